//! What a run needs of memory and disk, against what is there.

use crate::output::say;
use anyhow::{Result, bail};
use std::path::Path;
use tandem_ops3d::Device;
use tandem_training::{Bytes, Config, Estimate, Precision, host};
use tandem_volume::prepared::Manifest;

/// Says what a run needs with networks on a device, and refuses one that cannot have it; with `anyway` it only says so.
///
/// Without `scans` the training is looked at alone, and nothing is said where it fits.
pub(crate) fn check(
    config: &Config,
    scans: Option<&Manifest>,
    folder: &Path,
    device: &Device,
    anyway: bool,
) -> Result<()> {
    let need = Estimate::of(config, scans, device)?;
    let there = There {
        memory: host::available_memory(),
        gpu: match device {
            Device::Cpu => None,
            Device::Cuda(gpu) => gpu.free_memory(),
        },
        disk: host::free_disk(folder),
    };
    if scans.is_some() {
        say(described(&need, &there));
    }
    let estimate = |config: &Config| Estimate::of(config, scans, device);
    let Some(problem) = problem(config, estimate, &need, &there, folder) else { return Ok(()) };
    if anyway {
        if scans.is_some() {
            say(format!("it begins anyway, as asked for: {problem}"));
        }
        return Ok(());
    }
    bail!("{problem}; --anyway begins all the same")
}

/// One of the memories that an estimate is about, in bytes.
type Part = fn(&Estimate) -> u64;

/// Bytes that are there, where the system says.
struct There {
    memory: Option<u64>,
    gpu: Option<u64>,
    disk: Option<u64>,
}

fn described(need: &Estimate, there: &There) -> String {
    let of = |need: u64, what: &str, free: Option<u64>| {
        let free = free.map_or_else(String::new, |bytes| format!(" ({} free)", Bytes(bytes)));
        format!("{} {what}{free}", Bytes(need))
    };
    let mut parts = vec![of(need.memory.total(), "of memory", there.memory)];
    if need.gpu > 0 {
        parts.push(of(need.gpu, "of the GPU's", there.gpu));
    }
    format!("needs about {} and {}", parts.join(", "), of(need.disk, "on disk", there.disk))
}

fn problem(
    config: &Config,
    estimate: impl Fn(&Config) -> tandem_training::Result<Estimate>,
    need: &Estimate,
    there: &There,
    folder: &Path,
) -> Option<String> {
    let memories: [(&str, Part, Option<u64>); 2] = [
        ("memory", |need| need.memory.total(), there.memory),
        ("the GPU's memory", |need| need.gpu, there.gpu),
    ];
    for (name, of, free) in memories {
        let Some(free) = free.filter(|free| *free < of(need)) else { continue };
        let fits = |config: &Config| estimate(config).is_ok_and(|need| of(&need) <= free);
        let settings = fitting(config, fits);
        let remedy = match settings.as_slice() {
            [] => "no setting helps: it takes a machine with more memory".to_owned(),
            settings => format!("it would fit with {}", settings.join(", or with ")),
        };
        let (needed, free) = (Bytes(of(need)), Bytes(free));
        return Some(format!("this run needs about {needed} of {name}, and {free} are free; {remedy}"));
    }
    there.disk.filter(|disk| *disk < need.disk).map(|disk| {
        format!(
            "the run folder {} needs about {} on disk, and {} are free there; make room, or choose another folder with --out",
            folder.display(),
            Bytes(need.disk),
            Bytes(disk)
        )
    })
}

/// Settings each of which alone makes a run fit, as `--set` takes them.
fn fitting(config: &Config, fits: impl Fn(&Config) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    let mut offer = |setting: String, changed: &Config| {
        let fit = fits(changed);
        if fit {
            found.push(format!("--set {setting}"));
        }
        fit
    };
    if config.precision == Precision::F32 {
        let changed = Config { precision: Precision::Bf16, ..config.clone() };
        offer("precision=bf16".to_owned(), &changed);
    }
    let mut changed = config.clone();
    (changed.training.batch_labelled, changed.training.batch_unlabelled) = (1, 1);
    if changed != *config {
        offer("training.batch_labelled=1 --set training.batch_unlabelled=1".to_owned(), &changed);
    }
    let mut changed = config.clone();
    while changed.network.filters > 1 {
        changed.network.filters /= 2;
        if offer(format!("network.filters={}", changed.network.filters), &changed) {
            break;
        }
    }
    let mut changed = config.clone();
    while let Some(side) = changed.training.patch.iter_mut().filter(|side| **side > 16).max() {
        *side -= 16;
        let [i, j, k] = changed.training.patch;
        // A stride that leaves out voxels would be refused.
        let stride = [0, 1, 2].map(|axis| config.inference.stride[axis].min(changed.training.patch[axis]));
        changed.inference.stride = stride;
        let mut setting = format!("training.patch=[{i},{j},{k}]");
        if stride != config.inference.stride {
            setting += &format!(" --set inference.stride=[{},{},{}]", stride[0], stride[1], stride[2]);
        }
        if offer(setting, &changed) {
            break;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> Config {
        serde_json::from_value(serde_json::json!({
            "version": 1, "name": "full", "method": { "name": "dual-networks" },
            "data": { "dataset": ["phantom"], "labelled": 2, "validation": 1 },
            "training": { "iterations": 6000, "patch": [112, 112, 80] },
            "inference": { "stride": [18, 18, 4] },
        }))
        .unwrap()
    }

    fn estimate(config: &Config) -> tandem_training::Result<Estimate> {
        Estimate::of(config, None, &Device::Cpu)
    }

    fn told(memory: u64, disk: u64) -> Option<String> {
        let there = There { memory: Some(memory), gpu: None, disk: Some(disk) };
        problem(&full(), estimate, &estimate(&full()).unwrap(), &there, Path::new("runs/full"))
    }

    #[test]
    fn what_is_enough_is_no_problem() {
        assert_eq!(told(u64::MAX, u64::MAX), None);
    }

    #[test]
    fn too_little_memory_is_told_with_settings_that_fit() {
        let problem = told(4 << 30, u64::MAX).unwrap();
        let settings: Vec<&str> =
            problem.split("--set ").skip(1).map(|rest| rest.split([',', ' ']).next().unwrap()).collect();
        assert_eq!(settings[0], "precision=bf16", "{problem}");
        assert!(problem.contains("network.filters=8") && problem.contains("training.patch=["), "{problem}");
        // Whatever is offered fits, and the next larger patch does not.
        let fits = |config: &Config| estimate(config).unwrap().memory.total() <= 4 << 30;
        let mut config = full();
        config.network.filters = 8;
        assert!(fits(&config) && !fits(&full()));
        assert!(told(1 << 20, u64::MAX).unwrap().contains("no setting helps"));
    }

    #[test]
    fn too_little_disk_is_told_with_the_folder() {
        let problem = told(u64::MAX, 1 << 20).unwrap();
        assert!(
            problem.starts_with("the run folder runs/full needs about") && problem.contains("--out"),
            "{problem}"
        );
    }

    #[test]
    fn the_line_names_what_is_needed_and_what_is_there() {
        let mut need = estimate(&full()).unwrap();
        let there = There { memory: Some(24 << 30), gpu: Some(80 << 30), disk: None };
        let line = described(&need, &there);
        assert!(line.starts_with("needs about ") && line.contains("(24.0 GiB free) and "), "{line}");
        assert!(line.ends_with(" on disk") && !line.contains("GPU"), "{line}");
        need.gpu = 3 << 30;
        let line = described(&need, &there);
        assert!(line.contains("3.0 GiB of the GPU's (80.0 GiB free) and "), "{line}");
        let there = There { gpu: Some(2 << 30), ..there };
        let problem = problem(&full(), estimate, &need, &there, Path::new("runs/full")).unwrap();
        assert!(problem.contains("3.0 GiB of the GPU's memory, and 2.0 GiB are free"), "{problem}");
    }
}
