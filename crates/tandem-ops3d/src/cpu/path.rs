//! The code path of this process, chosen at run time.

use candle_core::{Result, bail};
use std::sync::OnceLock;

/// The code path that the kernels of this process take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CpuPath {
    /// Plain Rust, on every processor.
    Portable,
    /// AVX2 with fused multiply-add.
    Avx2,
    /// AVX-512.
    Avx512,
    /// AVX-512, and products of bf16 pairs (AVX-512 BF16) for convolutions of bf16 values.
    Avx512Bf16,
    /// AVX-512, and matrix tiles (AMX) for convolutions of bf16 values.
    Amx,
}

impl CpuPath {
    /// All paths, narrowest first.
    pub const ALL: [Self; 5] =
        [CpuPath::Portable, CpuPath::Avx2, CpuPath::Avx512, CpuPath::Avx512Bf16, CpuPath::Amx];

    /// Its name in logs, and in the variable `TANDEM_CPU` that forces a path.
    pub fn name(self) -> &'static str {
        match self {
            CpuPath::Portable => "portable",
            CpuPath::Avx2 => "avx2",
            CpuPath::Avx512 => "avx512",
            CpuPath::Avx512Bf16 => "avx512bf16",
            CpuPath::Amx => "amx",
        }
    }

    /// Whether its convolutions of bf16 values multiply these as they are, in place of as f32.
    pub fn multiplies_bf16(self) -> bool {
        self >= CpuPath::Avx512Bf16
    }

    /// The widest path of this processor, whatever `TANDEM_CPU` says. It has all narrower ones too.
    pub fn widest() -> Self {
        static WIDEST: OnceLock<CpuPath> = OnceLock::new();
        *WIDEST.get_or_init(widest_path)
    }
}

/// The path of this process: the one that `TANDEM_CPU=portable|avx2|avx512|avx512bf16|amx` forces, else the widest of this processor.
///
/// It cannot fail and takes the widest path where `TANDEM_CPU` asks for what is not there; a program says so with
/// [`check_cpu_path`] when it starts.
pub fn cpu_path() -> CpuPath {
    static PATH: OnceLock<CpuPath> = OnceLock::new();
    *PATH.get_or_init(|| check_cpu_path().unwrap_or_else(|_| CpuPath::widest()))
}

/// As [`cpu_path`].
///
/// # Errors
/// Where `TANDEM_CPU` names no path, or one that this processor lacks.
pub fn check_cpu_path() -> Result<CpuPath> {
    let asked = std::env::var_os("TANDEM_CPU").map(|value| value.to_string_lossy().into_owned());
    forced_path(asked.as_deref(), widest_that_can_be_forced())
}

/// The widest path of this processor, or the one whose tiles are emulated in tests.
fn widest_that_can_be_forced() -> CpuPath {
    #[cfg(all(test, target_arch = "x86_64"))]
    if super::bf16::tiles_emulated() {
        return CpuPath::Amx;
    }
    CpuPath::widest()
}

fn forced_path(asked: Option<&str>, widest: CpuPath) -> Result<CpuPath> {
    let Some(asked) = asked else { return Ok(widest) };
    let Some(path) = CpuPath::ALL.into_iter().find(|path| path.name() == asked) else {
        let names = CpuPath::ALL.map(CpuPath::name).join(", ");
        bail!("TANDEM_CPU is {asked:?}; it takes one of {names}, or unset it for the widest that is there")
    };
    if path > widest {
        bail!("TANDEM_CPU is {asked}, which this processor lacks; its widest path is {}", widest.name())
    }
    Ok(path)
}

#[cfg(target_arch = "x86_64")]
fn widest_path() -> CpuPath {
    let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
    let avx512 = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq");
    match (avx2, avx2 && avx512) {
        (_, true) if super::bf16::tiles_available() => CpuPath::Amx,
        (_, true) if is_x86_feature_detected!("avx512bf16") => CpuPath::Avx512Bf16,
        (_, true) => CpuPath::Avx512,
        (true, _) => CpuPath::Avx2,
        _ => CpuPath::Portable,
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn widest_path() -> CpuPath {
    CpuPath::Portable
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_forced_by_its_name() {
        for (index, path) in CpuPath::ALL.into_iter().enumerate() {
            assert_eq!(forced_path(None, path).unwrap(), path);
            for narrower in &CpuPath::ALL[..=index] {
                assert_eq!(forced_path(Some(narrower.name()), path).unwrap(), *narrower);
            }
        }
    }

    #[test]
    fn a_path_that_is_not_there_is_refused_with_those_that_are() {
        for unknown in ["avx1024", "AMX", ""] {
            let message = forced_path(Some(unknown), CpuPath::Amx).unwrap_err().to_string();
            assert!(message.contains("one of portable, avx2, avx512, avx512bf16, amx"), "{message}");
        }
        let message = forced_path(Some("amx"), CpuPath::Avx2).unwrap_err().to_string();
        assert!(message.contains("amx, which this processor lacks; its widest path is avx2"), "{message}");
    }

    /// What runs the tests once for each path relies on it.
    #[test]
    fn this_process_takes_the_path_that_was_asked_for() {
        assert_eq!(cpu_path(), check_cpu_path().unwrap());
    }
}
