//! Patches that fit scans and memory.

use anyhow::Result;
use serde::Serialize;
use tandem_ops3d::Device;
use tandem_training::{Config, Estimate};

/// Labelled and unlabelled patches of a batch.
pub(super) const BATCH: [usize; 2] = [2, 2];

/// Both backbones halve a patch four times.
const DIVISOR: usize = 16;

/// So many patches of the profile `quick` are a scan that it can do at full resolution.
const QUICK_PATCHES: usize = 8;

/// The share of the memory that training may take: validation comes on top of it.
const SHARE: f64 = 0.7;

/// A working grid and its patches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Sizes {
    /// In mm along i, j, k.
    pub(crate) spacing_mm: [f64; 3],
    /// Voxels along i, j, k.
    pub(crate) patch: [usize; 3],
    /// Voxels between windows.
    pub(crate) stride: [usize; 3],
    /// Channels of the first stage.
    pub(crate) filters: usize,
}

/// What a run with a proposed patch would be, as far as its memory depends on it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Proposal {
    pub(super) method: &'static str,
    pub(super) batch: [usize; 2],
    pub(super) channels: usize,
    pub(super) classes: usize,
}

impl Proposal {
    /// Bytes that training takes at most, by the estimate that a run begins with.
    pub(super) fn bytes(&self, patch: [usize; 3], profile: Profile) -> Result<u64> {
        let Proposal { method, batch: [labelled, unlabelled], channels, classes } = self;
        let config: Config = serde_json::from_value(serde_json::json!({
            "version": 1, "name": "proposal", "precision": profile.precision, "method": { "name": method },
            "data": { "dataset": [], "labelled": labelled, "validation": 0, "channels": channels, "classes": classes },
            "network": { "filters": profile.filters },
            "training": {
                "iterations": 1, "patch": patch, "batch_labelled": labelled, "batch_unlabelled": unlabelled,
            },
            "inference": { "stride": patch, "batch": profile.windows },
        }))?;
        Ok(Estimate::of(&config, None, &Device::Cpu)?.memory.total())
    }

    /// Whether a patch is no larger than the profile's, and training with it fits the memory.
    pub(super) fn fits(&self, patch: [usize; 3], profile: Profile, memory: Option<u64>) -> bool {
        patch.iter().product::<usize>() <= profile.voxels
            && memory.is_none_or(|memory| {
                self.bytes(patch, profile).is_ok_and(|bytes| bytes as f64 <= SHARE * memory as f64)
            })
    }
}

/// What a definition says of a profile besides its patch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Profile {
    /// The most voxels of a patch.
    voxels: usize,
    filters: usize,
    precision: &'static str,
    /// Windows that pass a network at once.
    windows: usize,
}

pub(super) const FULL: Profile =
    Profile { voxels: 112 * 112 * 80, filters: 16, precision: "f32", windows: 1 };
pub(super) const QUICK: Profile = Profile { voxels: 64 * 64 * 32, filters: 8, precision: "auto", windows: 4 };

impl Sizes {
    /// The largest patch that fits and that a scan of `extent_mm` fills: whole scans where they fit, else the side that is
    /// longest in mm gives way first, so that patches come out near to cubes.
    pub(super) fn fitting(
        extent_mm: [f64; 3],
        spacing_mm: [f64; 3],
        profile: Profile,
        fits: impl Fn([usize; 3]) -> bool,
    ) -> Self {
        let mut patch = [0, 1, 2].map(|axis| {
            let steps = (extent_mm[axis] / spacing_mm[axis] / DIVISOR as f64).round();
            // A header may claim any extent; what fits is far below this.
            (steps.clamp(1.0, 1024.0) as usize) * DIVISOR
        });
        while !fits(patch) {
            let length = |axis: &usize| patch[*axis] as f64 * spacing_mm[*axis];
            let shrinkable = (0..3).filter(|axis| patch[*axis] > DIVISOR);
            let Some(longest) = shrinkable.max_by(|a, b| length(a).total_cmp(&length(b))) else { break };
            patch[longest] -= DIVISOR;
        }
        Sizes { spacing_mm, patch, stride: patch.map(|side| side / 2), filters: profile.filters }
    }
}

/// The spacing of the profile `quick` in mm: of scans that are many of its patches, the fine axes are halved in resolution;
/// those that are coarse already stay as they are.
pub(super) fn quick_spacing(extent_mm: [f64; 3], spacing_mm: [f64; 3]) -> [f64; 3] {
    let voxels: f64 = (0..3).map(|axis| extent_mm[axis] / spacing_mm[axis]).product();
    if voxels <= (QUICK_PATCHES * QUICK.voxels) as f64 {
        return spacing_mm;
    }
    let finest = spacing_mm.iter().copied().fold(f64::INFINITY, f64::min);
    spacing_mm.map(|mm| mm.max(2.0 * finest))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROPOSAL: Proposal = Proposal { method: "dual-networks", batch: BATCH, channels: 1, classes: 2 };

    fn patch(shape: [usize; 3], spacing: [f64; 3], memory: Option<u64>) -> [usize; 3] {
        let extent = [0, 1, 2].map(|axis| shape[axis] as f64 * spacing[axis]);
        Sizes::fitting(extent, spacing, FULL, |patch| PROPOSAL.fits(patch, FULL, memory)).patch
    }

    #[test]
    fn a_small_scan_is_its_own_patch() {
        assert_eq!(patch([70, 50, 9], [1.0; 3], None), [64, 48, 16]);
    }

    #[test]
    fn a_large_scan_gives_way_on_its_longest_sides() {
        let left_atrium = patch([190, 142, 88], [0.625; 3], None);
        assert!(left_atrium.iter().product::<usize>() <= FULL.voxels, "{left_atrium:?}");
        assert_eq!(left_atrium, [96, 96, 96]);
        // Near to a cube in mm, not in voxels.
        let spacing = [0.5, 0.5, 5.0];
        let thick = patch([512, 512, 24], spacing, None);
        let mm = [0, 1, 2].map(|axis| thick[axis] as f64 * spacing[axis]);
        let (shortest, longest) =
            (mm.iter().copied().fold(f64::INFINITY, f64::min), mm.iter().copied().fold(0.0, f64::max));
        assert!(longest <= 2.0 * shortest, "{thick:?}");
    }

    #[test]
    fn little_memory_means_small_patches() {
        let memory = 2 << 30;
        let small = patch([190, 142, 88], [0.625; 3], Some(memory));
        assert!(PROPOSAL.bytes(small, FULL).unwrap() <= memory * 7 / 10, "{small:?}");
        assert!(small.iter().product::<usize>() > 64 * 32 * 32, "{small:?}");
        assert_eq!(patch([190, 142, 88], [0.625; 3], Some(1)), [16; 3]);
    }

    #[test]
    fn quick_halves_the_fine_axes_of_large_scans() {
        let quick = |shape: [f64; 3], spacing: [f64; 3]| {
            quick_spacing([0, 1, 2].map(|axis| shape[axis] * spacing[axis]), spacing)
        };
        assert_eq!(quick([190.0, 142.0, 88.0], [0.625; 3]), [1.25; 3]);
        assert_eq!(quick([512.0, 512.0, 24.0], [0.5, 0.5, 5.0]), [1.0, 1.0, 5.0]);
        assert_eq!(quick([100.0, 100.0, 50.0], [1.0; 3]), [1.0; 3]);
    }
}
