//! The arithmetic of a run: what is asked for, and which kernels do it.

use serde::{Deserialize, Serialize};
use std::fmt;
use tandem_ops3d::{CpuPath, Device};

/// Arithmetic of the networks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// `bf16` where the device multiplies it as it is (AVX-512 BF16 or matrix tiles of a CPU, tensor cores of a GPU), else `f32`. A run decides
    /// when it is made: its folder never says `auto`.
    Auto,
    /// 32-bit floating point throughout.
    #[default]
    F32,
    /// Activations and their gradients as bfloat16; sums, statistics and weights in 32 bits.
    Bf16,
}

impl Precision {
    /// The same, as the networks call it; what is not decided yet is for the CPU of this process.
    pub fn of_networks(self) -> tandem_networks::Precision {
        match self {
            Precision::Auto => tandem_networks::Precision::fastest(&Device::Cpu),
            Precision::F32 => tandem_networks::Precision::F32,
            Precision::Bf16 => tandem_networks::Precision::Bf16,
        }
    }

    /// What [`Precision::Auto`] comes to on a device; the others are what they are.
    pub fn decided(self, device: &Device) -> Self {
        match self {
            Precision::Auto => match tandem_networks::Precision::fastest(device) {
                tandem_networks::Precision::F32 => Precision::F32,
                tandem_networks::Precision::Bf16 => Precision::Bf16,
            },
            decided => decided,
        }
    }
}

/// Which kernels compute the networks: together with the seed they decide every bit of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kernels {
    /// Never [`Precision::Auto`].
    pub precision: Precision,
    /// [`CpuPath::name`] of the path whose kernels run.
    pub cpu: String,
    /// The GPU whose kernels run instead, and the library of its convolutions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu: Option<String>,
}

impl Kernels {
    /// Those that networks of a precision take in this process, on its CPU.
    pub fn of(precision: Precision) -> Self {
        Self::on(precision, &Device::Cpu)
    }

    /// The same on a device.
    pub fn on(precision: Precision, device: &Device) -> Self {
        let gpu = match device {
            Device::Cpu => None,
            Device::Cuda(gpu) => Some(gpu.to_string()),
        };
        let precision = precision.decided(device);
        Kernels { precision, cpu: precision.of_networks().kernels().name().to_owned(), gpu }
    }
}

impl fmt::Display for Kernels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cpu = &self.cpu;
        if let Some(gpu) = &self.gpu {
            let stored = if self.precision == Precision::Bf16 { "bf16" } else { "f32" };
            return write!(f, "{stored} on {gpu}");
        }
        match self.precision {
            Precision::Bf16 if multiplies_bf16(cpu) => write!(f, "bf16, kernels {cpu}"),
            Precision::Bf16 => write!(f, "bf16 stored, f32 kernels {cpu} (the CPU multiplies no bf16)"),
            Precision::F32 | Precision::Auto => write!(f, "f32, kernels {cpu}"),
        }
    }
}

/// Whether the path of a name multiplies bf16 values as they are.
fn multiplies_bf16(name: &str) -> bool {
    CpuPath::ALL.into_iter().any(|path| path.name() == name && path.multiplies_bf16())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tandem_ops3d::cpu_path;

    #[test]
    fn auto_is_bf16_where_the_cpu_multiplies_it() {
        let expected = if cpu_path().multiplies_bf16() { Precision::Bf16 } else { Precision::F32 };
        assert_eq!(Precision::Auto.decided(&Device::Cpu), expected);
        for decided in [Precision::F32, Precision::Bf16] {
            assert_eq!(decided.decided(&Device::Cpu), decided);
        }
    }

    #[test]
    fn kernels_name_the_path_that_computes() {
        assert_ne!(Kernels::of(Precision::F32).cpu, "amx");
        assert_eq!(Kernels::of(Precision::Bf16).cpu, cpu_path().name());
        assert_eq!(Kernels::of(Precision::Auto), Kernels::of(Precision::Auto.decided(&Device::Cpu)));
        let shown = |precision, cpu: &str| Kernels { precision, cpu: cpu.to_owned(), gpu: None }.to_string();
        assert_eq!(shown(Precision::Bf16, "amx"), "bf16, kernels amx");
        assert_eq!(shown(Precision::Bf16, "avx512bf16"), "bf16, kernels avx512bf16");
        assert_eq!(shown(Precision::F32, "avx2"), "f32, kernels avx2");
        assert_eq!(
            shown(Precision::Bf16, "avx2"),
            "bf16 stored, f32 kernels avx2 (the CPU multiplies no bf16)"
        );
        let of_gpu = Kernels { gpu: Some("a GPU".to_owned()), ..Kernels::of(Precision::F32) };
        assert_eq!(of_gpu.to_string(), "f32 on a GPU");
    }

    #[test]
    fn a_definition_spells_it_in_lower_case() {
        for (text, precision) in
            [("auto", Precision::Auto), ("f32", Precision::F32), ("bf16", Precision::Bf16)]
        {
            assert_eq!(serde_json::to_value(precision).unwrap(), text);
        }
        let message = serde_json::from_str::<Precision>("\"f16\"").unwrap_err().to_string();
        assert!(message.contains("`auto`, `f32`, `bf16`"), "{message}");
    }
}
