//! How much memory and disk a run needs, before it starts.
//!
//! What networks hold is known exactly, by a walk over their layers ([`tandem_networks::size`]). Around it are a few vectors for each
//! voxel of a batch or scan, counted here as they lie in the code, and a share for memory that is kept for the next step.

use crate::checkpoints::KEPT;
use crate::reader::AHEAD;
use crate::{Config, Result};
use std::fmt;
use tandem_networks::{Device, Size, size};
use tandem_objectives::{Method, Role};
use tandem_volume::prepared::{Manifest, Split};

/// Bytes that a run holds at most, by what holds them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Weights, their gradients and momentum of all networks, and the copies of weights and momentum that go into a checkpoint; where
    /// the networks run on a GPU, these copies alone.
    pub weights: u64,
    /// Activations and their gradients in a training step, or in a window of inference where that is more; none where the networks
    /// run on a GPU.
    pub activations: u64,
    /// Logits and losses of a step.
    pub losses: u64,
    /// Batches: the one in use and those read ahead.
    pub batches: u64,
    /// The largest validation scan: its channels, and the probabilities of its classes on both grids.
    pub validation: u64,
    /// The program itself.
    pub program: u64,
}

impl Memory {
    /// All of it.
    pub fn total(&self) -> u64 {
        self.weights + self.activations + self.losses + self.batches + self.validation + self.program
    }
}

/// What a run needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    /// Of the host, at most at one time.
    pub memory: Memory,
    /// Bytes of the GPU's memory, without the work space of cuDNN; none where the networks run on the CPU.
    pub gpu: u64,
    /// Bytes that the run folder grows to.
    pub disk: u64,
}

/// The share of what was once in use that is kept for the next step, and what lies between kept blocks.
const KEPT_SHARE: f64 = 1.06;
/// The program, its threads and their work space.
const PROGRAM: u64 = 64 << 20;
/// Bytes of a step's line in the log.
const LOG_LINE: u64 = 1024;

impl Estimate {
    /// What a run with these settings needs, with networks on a device; where `scans` are given, with their validation.
    ///
    /// # Errors
    /// Where the method is unknown, or a network cannot take the patch.
    pub fn of(config: &Config, scans: Option<&Manifest>, device: &Device) -> Result<Self> {
        let method = crate::trainer::method(config)?;
        let networks = sizes(config, method.as_ref(), device)?;
        let voxels = Voxels::of(config, scans);
        let mut memory = memory(config, method.as_ref(), &networks, &voxels);
        let [there, copies] = vectors(&networks);
        let gpu = match device {
            Device::Cpu => {
                memory.weights = there + copies;
                0
            }
            Device::Cuda(_) => {
                memory.weights = copies;
                // Losses count on both: logits and what is made of them stay on the GPU, but for losses without a kernel. Batches lie on
                // both.
                there + std::mem::take(&mut memory.activations) + memory.losses + memory.batches
            }
        };
        // The last steps', the final one, the best one where there is one, and the next one aside.
        let kept = KEPT as u64 + 2 + u64::from(config.training.validate_every > 0);
        let checkpoints = kept * copies;
        let disk = checkpoints + config.training.iterations * LOG_LINE + voxels.all_validation;
        Ok(Estimate { memory, gpu, disk })
    }
}

/// A network at the sizes of a batch and of a window.
struct Sizes {
    training: Size,
    window: Size,
}

fn sizes(config: &Config, method: &dyn Method, device: &Device) -> Result<Vec<(Role, Sizes)>> {
    let network = config.of_networks();
    let patch = config.training.patch;
    let of = |asked: tandem_objectives::Network| {
        let at = |images| size(asked.architecture, &network, (images, patch), device);
        let sizes = Sizes { training: at(batch(config, method))?, window: at(config.window().at_once())? };
        Ok((asked.role, sizes))
    };
    method.networks().into_iter().map(of).collect()
}

/// Patches of a batch.
fn batch(config: &Config, method: &dyn Method) -> usize {
    config.training.batch(method).iter().sum()
}

/// Bytes of the vectors of weights: where the networks run, and of their copies that go into a checkpoint.
fn vectors(networks: &[(Role, Sizes)]) -> [u64; 2] {
    let mut bytes = [0, 0];
    for (role, sizes) in networks {
        // An average has neither gradient nor momentum.
        let counts = if *role == Role::Trained { [3, 2] } else { [1, 1] };
        for (bytes, count) in bytes.iter_mut().zip(counts) {
            *bytes += 4 * count * sizes.training.weights as u64;
        }
    }
    bytes
}

/// What a run holds besides the vectors of its weights.
fn memory(config: &Config, method: &dyn Method, networks: &[(Role, Sizes)], voxels: &Voxels) -> Memory {
    let [classes, channels] =
        [config.data.class_count(), config.data.channel_count()].map(|count| count as u64);
    let trained = || networks.iter().filter(|(role, _)| *role == Role::Trained).map(|(_, sizes)| sizes);
    // All networks have run before the first of them is differentiated.
    let kept: u64 = trained().map(|sizes| sizes.training.passes.kept).sum();
    let of_passes = |sizes: &Sizes| {
        let passes = &sizes.training.passes;
        kept - passes.kept + passes.forward.max(passes.backward)
    };
    let training = trained().map(of_passes).max().unwrap_or(0);
    let window = networks.iter().map(|(_, sizes)| sizes.window.passes.inference).max().unwrap_or(0);
    let scores = trained().map(|sizes| classes + sizes.training.further_channels as u64);
    let averages = (networks.len() - trained().count()) as u64;
    let patches = batch(config, method) as u64;
    let patch = config.training.patch.iter().product::<usize>() as u64;
    let in_batch = patches * patch;
    let views = 1 + u64::from(method.wants_strong_view());
    Memory {
        weights: 0,
        activations: (training.max(window) as f64 * KEPT_SHARE) as u64,
        // Of each head the logits, the gradient of the losses, and its sums in the graph; of an average the logits, and
        // its softmax and logarithm.
        losses: (scores.sum::<u64>() * 5 + averages * classes * 3) * 4 * in_batch,
        // Read ahead, being read and stacked, in use; labels are one byte.
        batches: (AHEAD as u64 + 3) * (4 * channels * views + 1) * in_batch,
        validation: voxels.validation(method.predictors().len() as u64, channels, classes),
        program: PROGRAM,
    }
}

/// Voxels of scans that validate.
#[derive(Default)]
struct Voxels {
    /// Of the largest one on its own grid, and on the working grid where that is another one.
    own: u64,
    working: u64,
    /// Of all of them.
    all_validation: u64,
}

impl Voxels {
    fn of(config: &Config, scans: Option<&Manifest>) -> Self {
        let lists = scans.and_then(|manifest| crate::Lists::of(manifest, &config.data).ok());
        let (Some(manifest), Some(lists)) = (scans, lists) else { return Voxels::default() };
        let validates =
            |id: &String| manifest.cases.iter().find(|case| case.id == *id && case.split == Split::Train);
        let mut voxels = Voxels::default();
        for case in lists.validation.iter().filter_map(validates) {
            let own = case.shape.iter().product::<usize>() as f64;
            let finer =
                |spacing: [f64; 3]| (0..3).map(|axis| case.spacing[axis] / spacing[axis]).product::<f64>();
            voxels.own = voxels.own.max(own as u64);
            voxels.working =
                voxels.working.max(config.data.spacing_mm.map_or(0.0, |spacing| own * finer(spacing)) as u64);
            voxels.all_validation += own as u64;
        }
        voxels
    }

    /// Bytes of images, label maps, and probabilities of each network and their mean.
    fn validation(&self, networks: u64, channels: u64, classes: u64) -> u64 {
        let of_each = 8 * channels + 4 * classes * (networks + 1);
        // On the scan's own grid distances are measured too.
        self.working * of_each + self.own * (of_each + 24)
    }
}

/// Bytes for people: GiB from one on, else MiB.
#[derive(Clone, Copy, Debug)]
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = self.0 as f64 / f64::from(1 << 20);
        if mib < 1024.0 { write!(f, "{mib:.0} MiB") } else { write!(f, "{:.1} GiB", mib / 1024.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Precision;
    use crate::config::tests::tiny;

    fn full(change: impl FnOnce(&mut Config)) -> Memory {
        let mut config = tiny();
        config.method.name = "dual-networks".into();
        config.network.filters = 16;
        config.training.patch = [112, 112, 80];
        change(&mut config);
        Estimate::of(&config, None, &Device::Cpu).unwrap().memory
    }

    #[test]
    fn every_setting_that_should_save_memory_does() {
        let all = full(|_| {}).total();
        let smaller: [fn(&mut Config); 5] = [
            |c| c.precision = Precision::Bf16,
            |c| c.training.patch = [96, 96, 80],
            |c| c.training.batch_unlabelled = 1,
            |c| c.network.filters = 8,
            |c| c.method.name = "supervised-ensemble".into(),
        ];
        for (index, change) in smaller.into_iter().enumerate() {
            assert!(full(change).total() < all, "{index}");
        }
    }

    #[test]
    fn an_average_costs_its_weights_and_what_it_says_but_no_gradient() {
        let of = |method: &str| full(|c| c.method.name = method.into());
        let (alone, averaged) = (of("supervised"), of("mean-teacher"));
        // It, and its copy in a checkpoint.
        assert_eq!(averaged.weights - alone.weights, 2 * 4 * 9_448_866);
        // Twice the patches; five vectors of the student's, three of the average's.
        assert_eq!(averaged.losses * 5, alone.losses * 2 * 8);
    }

    #[test]
    fn weights_are_counted_and_activations_grow_with_the_patch() {
        let memory = full(|_| {});
        // docs/method.md: 9,448,866 and 17,930,354 parameters.
        assert_eq!(memory.weights, 5 * 4 * (9_448_866 + 17_930_354));
        let half = full(|c| c.training.patch = [112, 112, 48]);
        let ratio = memory.activations as f64 / half.activations as f64;
        assert!((ratio - 80.0 / 48.0).abs() < 0.05, "{ratio}");
    }

    #[test]
    fn bytes_are_shown_in_a_unit_that_reads_well() {
        assert_eq!(Bytes(300 << 20).to_string(), "300 MiB");
        assert_eq!(Bytes(5734 << 20).to_string(), "5.6 GiB");
    }
}
