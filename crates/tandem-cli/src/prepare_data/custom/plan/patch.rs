//! Patches that fit scans and memory.

use serde::Serialize;

/// Labelled and unlabelled patches of a batch.
pub(super) const BATCH: [usize; 2] = [2, 2];

/// Both backbones halve a patch four times.
const DIVISOR: usize = 16;

/// Bytes of a dual step for each voxel of the batch and filter, in f32: docs/performance.md has 5577 MiB for a batch of 4 patches of
/// 112 x 112 x 80 voxels and 16 filters, which is 91 bytes.
const STEP_BYTES: u64 = 96;

/// Voxels of the paper's patch on the left atrium, and of the profile `quick`: larger ones cost time that a first run need not.
const FULL_VOXELS: usize = 112 * 112 * 80;
const QUICK_VOXELS: usize = 64 * 64 * 32;

/// So many patches of the profile `quick` are a scan that it can do at full resolution.
const QUICK_PATCHES: usize = 8;

/// Filters of the paper, and of the profile `quick`.
const FULL_FILTERS: usize = 16;
const QUICK_FILTERS: usize = 8;

/// The share of the memory that a step may take.
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

/// The most voxels of a patch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    voxels: usize,
    filters: usize,
}

impl Limit {
    pub(super) fn full(memory: Option<u64>) -> Self {
        Limit::new(FULL_VOXELS, FULL_FILTERS, memory)
    }

    pub(super) fn quick(memory: Option<u64>) -> Self {
        Limit::new(QUICK_VOXELS, QUICK_FILTERS, memory)
    }

    fn new(voxels: usize, filters: usize, memory: Option<u64>) -> Self {
        let fitting =
            memory.map(|bytes| (SHARE * bytes as f64 / Self::step_bytes([1; 3], filters) as f64) as usize);
        Limit { voxels: fitting.map_or(voxels, |fitting| fitting.min(voxels)), filters }
    }

    /// Bytes that a step with such patches takes.
    pub(super) fn step_bytes(patch: [usize; 3], filters: usize) -> u64 {
        let voxels: usize = patch.iter().product::<usize>() * BATCH.iter().sum::<usize>();
        (voxels * filters) as u64 * STEP_BYTES
    }
}

impl Sizes {
    /// The largest patch within the limit that a scan of `extent_mm` fills: whole scans where they fit, else the side that
    /// is longest in mm gives way first, so that patches come out near to cubes.
    pub(super) fn fitting(extent_mm: [f64; 3], spacing_mm: [f64; 3], limit: Limit) -> Self {
        let mut patch = [0, 1, 2].map(|axis| {
            let steps = (extent_mm[axis] / spacing_mm[axis] / DIVISOR as f64).round();
            // A header may claim any extent; the limit is far below this.
            (steps.clamp(1.0, 1024.0) as usize) * DIVISOR
        });
        while patch.iter().product::<usize>() > limit.voxels {
            let length = |axis: &usize| patch[*axis] as f64 * spacing_mm[*axis];
            let shrinkable = (0..3).filter(|axis| patch[*axis] > DIVISOR);
            let Some(longest) = shrinkable.max_by(|a, b| length(a).total_cmp(&length(b))) else { break };
            patch[longest] -= DIVISOR;
        }
        Sizes { spacing_mm, patch, stride: patch.map(|side| side / 2), filters: limit.filters }
    }
}

/// The spacing of the profile `quick` in mm: of scans that are many of its patches, the fine axes are halved in resolution;
/// those that are coarse already stay as they are.
pub(super) fn quick_spacing(extent_mm: [f64; 3], spacing_mm: [f64; 3]) -> [f64; 3] {
    let voxels: f64 = (0..3).map(|axis| extent_mm[axis] / spacing_mm[axis]).product();
    if voxels <= (QUICK_PATCHES * QUICK_VOXELS) as f64 {
        return spacing_mm;
    }
    let finest = spacing_mm.iter().copied().fold(f64::INFINITY, f64::min);
    spacing_mm.map(|mm| mm.max(2.0 * finest))
}

/// The memory that a program could take without swapping, in bytes, where the system says.
pub(crate) fn available_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patch(shape: [usize; 3], spacing: [f64; 3], memory: Option<u64>) -> [usize; 3] {
        let extent = [0, 1, 2].map(|axis| shape[axis] as f64 * spacing[axis]);
        Sizes::fitting(extent, spacing, Limit::full(memory)).patch
    }

    #[test]
    fn a_small_scan_is_its_own_patch() {
        assert_eq!(patch([70, 50, 9], [1.0; 3], None), [64, 48, 16]);
    }

    #[test]
    fn a_large_scan_gives_way_on_its_longest_sides() {
        let left_atrium = patch([190, 142, 88], [0.625; 3], None);
        assert!(left_atrium.iter().product::<usize>() <= FULL_VOXELS, "{left_atrium:?}");
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
        let memory = 1 << 30;
        let small = patch([190, 142, 88], [0.625; 3], Some(memory));
        assert!(Limit::step_bytes(small, FULL_FILTERS) <= memory * 7 / 10, "{small:?}");
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

    #[test]
    fn this_machine_has_memory() {
        assert!(available_memory().is_none_or(|bytes| bytes > 1 << 20));
    }
}
