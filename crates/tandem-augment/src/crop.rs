//! The random crop of the published protocol.

use ndarray::{Array3, Array4, ArrayView3, ArrayViewMut3, Slice};
use serde::{Deserialize, Serialize};
use tandem_random::Draws;
use tandem_volume::{Geometry, Subject, Volume};

use crate::{AugmentError, Patch, RandomTransform, Result, Transform};

/// Voxels that a volume gains at either side, beyond what the patch needs, where it is padded at all.
const SLACK: i64 = 3;

/// A box of a volume, filled with zeros where it leaves the volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Crop {
    /// The first voxel along each axis, relative to the volume as it is stored; negative where the box begins outside.
    pub start: [i64; 3],
    /// Voxels along each axis.
    pub size: [usize; 3],
}

impl Transform for Crop {
    fn apply(&self, patch: Patch) -> Patch {
        let spacing = patch.spacing();
        let (image, label) = patch.into_parts();
        let [i, j, k] = self.size;
        let mut cut = Array4::zeros((image.dim().0, i, j, k));
        cut.outer_iter_mut().zip(image.outer_iter()).for_each(|(cut, channel)| self.cut(channel, cut));
        // Both arrays are cut alike, so they still share one shape.
        let label = label.map(|label| {
            let mut cut = Array3::zeros(self.size);
            self.cut(label.view(), cut.view_mut());
            cut
        });
        Patch::on_one_grid(cut, label, spacing)
    }

    fn is_spatial(&self) -> bool {
        true
    }
}

impl Crop {
    /// Crops a whole subject, whose grid then begins at the box.
    ///
    /// # Errors
    /// Where the box begins farther away than any scan reaches.
    pub fn of_subject(&self, subject: &Subject) -> Result<Subject> {
        let first = subject.image().geometry().starting_at(self.start.map(|start| start as f64))?;
        let image = subject.image().map::<AugmentError>(|channel| Ok(self.of_volume(channel, &first)))?;
        let label = subject.label().map(|label| self.of_volume(label, &first));
        Ok(Subject::new(subject.id(), image, label)?)
    }

    fn of_volume<T: Copy + Default>(&self, volume: &Volume<T>, geometry: &Geometry) -> Volume<T> {
        let mut cut = Array3::from_elem(self.size, T::default());
        self.cut(volume.array().view(), cut.view_mut());
        Volume::new(cut, geometry.clone())
    }

    /// Copies what the box and the array share.
    fn cut<T: Copy>(&self, array: ArrayView3<T>, mut cut: ArrayViewMut3<T>) {
        let (si, sj, sk) = array.dim();
        let sides = [si, sj, sk];
        // Per axis: where the overlap begins in the source and in the crop, and its length.
        let overlap = [0, 1, 2].map(|axis| {
            let (start, side, size) = (self.start[axis], sides[axis] as i64, self.size[axis] as i64);
            let (from, to) = (start.clamp(0, side), (start.saturating_add(size)).clamp(0, side));
            (from as usize, from.saturating_sub(start).clamp(0, size) as usize, (to - from) as usize)
        });
        let source = array.slice_each_axis(|axis| {
            let (from, _, length) = overlap[axis.axis.index()];
            Slice::from(from..from + length)
        });
        let mut target = cut.slice_each_axis_mut(|axis| {
            let (_, at, length) = overlap[axis.axis.index()];
            Slice::from(at..at + length)
        });
        target.assign(&source);
    }
}

/// Draws patches of one size, as the semi-supervised benchmarks on LA and Pancreas-CT do.
///
/// Where *any* side of the volume is not larger than the patch, *every* axis is padded with zeros on both sides by
/// `max(floor((patch - side) / 2) + 3, 0)`. The start is then uniform on `0..padded side - patch`, upper end excluded
/// (so the very last position is never drawn), one draw an axis in the order i, j, k.
///
/// # References
/// `RandomCrop` of Yu et al., "Uncertainty-aware Self-ensembling Model for Semi-supervised 3D Left Atrium
/// Segmentation", MICCAI 2019, in its released code; kept by MC-Net, MCF and the dual networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "[usize; 3]", into = "[usize; 3]")]
pub struct RandomCrop {
    size: [usize; 3],
}

impl RandomCrop {
    /// Crops of `size` voxels.
    ///
    /// # Errors
    /// Where a side is 0.
    pub fn new(size: [usize; 3]) -> Result<Self> {
        if size.contains(&0) {
            return Err(AugmentError::EmptyCrop { size });
        }
        Ok(RandomCrop { size })
    }

    /// Voxels along each axis.
    pub fn size(&self) -> [usize; 3] {
        self.size
    }
}

impl RandomTransform for RandomCrop {
    type Drawn = Crop;

    fn draw(&self, shape: [usize; 3], draws: &mut Draws) -> Crop {
        let is_padded = (0..3).any(|axis| shape[axis] <= self.size[axis]);
        let start = [0, 1, 2].map(|axis| {
            let (side, patch) = (shape[axis] as i64, self.size[axis] as i64);
            let padding = if is_padded { ((patch - side).div_euclid(2) + SLACK).max(0) } else { 0 };
            // At least 1 by construction: without padding every side exceeds the patch, with it by 5 voxels or more.
            let positions = side + 2 * padding - patch;
            draws.below(positions as usize) as i64 - padding
        });
        Crop { start, size: self.size }
    }
}

impl TryFrom<[usize; 3]> for RandomCrop {
    type Error = AugmentError;

    fn try_from(size: [usize; 3]) -> Result<Self> {
        RandomCrop::new(size)
    }
}

impl From<RandomCrop> for [usize; 3] {
    fn from(crop: RandomCrop) -> Self {
        crop.size
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Axis, stack};

    /// The smallest and the largest start of many draws, per axis.
    fn extremes(shape: [usize; 3], size: [usize; 3]) -> [(i64, i64); 3] {
        let crop = RandomCrop::new(size).unwrap();
        let mut draws = Draws::new(1, "crop", 0, 0);
        let starts: Vec<_> = (0..4000).map(|_| crop.draw(shape, &mut draws).start).collect();
        [0, 1, 2].map(|axis| {
            let of_axis = starts.iter().map(|start| start[axis]);
            (of_axis.clone().min().unwrap(), of_axis.max().unwrap())
        })
    }

    #[test]
    fn larger_volumes_are_not_padded_and_the_last_position_is_excluded() {
        assert_eq!(extremes([20, 9, 12], [8, 8, 8]), [(0, 11), (0, 0), (0, 3)]);
    }

    #[test]
    fn one_small_side_pads_every_axis_that_the_formula_gives_a_padding() {
        // i: floor((8-5)/2)+3 = 4, padded 13, starts 0..5 less 4. j: floor((8-11)/2)+3 = 1 (floor of -1.5 is -2),
        // padded 13, starts 0..5 less 1. k: floor((8-30)/2)+3 < 0: no padding, starts 0..22.
        assert_eq!(extremes([5, 11, 30], [8, 8, 8]), [(-4, 0), (-1, 3), (0, 21)]);
        // A side equal to the patch counts as small.
        assert_eq!(extremes([8, 8, 8], [8, 8, 8]), [(-3, 2); 3]);
    }

    #[test]
    fn axes_are_drawn_in_order_from_one_stream() {
        let key = || Draws::new(9, "crop", 4, 2);
        let crop = RandomCrop::new([8, 8, 8]).unwrap().draw([40, 50, 60], &mut key());
        let mut draws = key();
        assert_eq!(crop.start, [32, 42, 52].map(|positions| draws.below(positions) as i64));
    }

    #[test]
    fn voxels_are_where_they_were_and_zero_outside() {
        let value = |i: i64, j: i64, k: i64| (100 * i + 10 * j + k + 1) as f32;
        let of_label = Array3::from_shape_fn((4, 5, 6), |(i, j, k)| value(i as i64, j as i64, k as i64));
        // Two channels, of which the second is the negative of the first.
        let image = stack![Axis(0), of_label, -&of_label];
        let label = of_label.mapv(|v| v as u8 % 3);
        for start in [[-2, 1, 3], [0, 0, 0], [3, -1, 5], [9, 0, 0], [-9, 0, 0], [i64::MAX, i64::MIN, 0]] {
            let crop = Crop { start, size: [3, 4, 5] };
            let patch = crop.apply(Patch::new(image.clone(), Some(label.clone())).unwrap());
            assert_eq!(patch.shape(), [3, 4, 5]);
            for ((c, i, j, k), &got) in patch.image().indexed_iter() {
                let at = [(0, i), (1, j), (2, k)].map(|(axis, d)| start[axis].saturating_add(d as i64));
                let inside = (0..3).all(|a| (0..[4, 5, 6][a]).contains(&at[a]));
                let want = if inside { value(at[0], at[1], at[2]) } else { 0.0 };
                let got = if c == 0 { got } else { -got };
                assert_eq!(got, want, "start {start:?} at {:?}", [c, i, j, k]);
                assert_eq!(patch.label().unwrap()[[i, j, k]], want as u8 % 3);
            }
        }
    }

    #[test]
    fn a_cropped_subject_keeps_its_place() {
        let array = Array3::from_shape_fn((4, 5, 6), |(i, j, k)| (100 * i + 10 * j + k) as f32);
        let geometry = Geometry::with_spacing([1.0, 2.0, 3.0]).unwrap();
        let label = Volume::new(array.mapv(|value| value as u8 % 3), geometry.clone());
        let image = Volume::new(array, geometry.clone());
        let subject = Subject::new("a", image, Some(label)).unwrap();
        let cropped = Crop { start: [1, 2, -1], size: [2, 2, 3] }.of_subject(&subject).unwrap();
        let (image, label) = (&cropped.image().channels()[0], cropped.label().unwrap());
        assert_eq!(image.geometry(), &geometry.starting_at([1.0, 2.0, -1.0]).unwrap());
        assert_eq!((image.array()[[0, 0, 1]], image.array()[[1, 1, 2]]), (120.0, 231.0));
        assert_eq!((image.array()[[1, 1, 0]], label.array()[[1, 1, 2]]), (0.0, 231 % 3));
    }

    #[test]
    fn the_laws_hold() {
        crate::testing::check_laws(&RandomCrop::new([8, 7, 6]).unwrap());
    }

    #[test]
    fn empty_patches_are_refused() {
        let error = RandomCrop::new([8, 0, 8]).unwrap_err();
        assert!(error.to_string().contains("[8, 0, 8]"), "{error}");
        assert!(serde_json::from_str::<RandomCrop>("[8, 0, 8]").is_err());
    }
}
