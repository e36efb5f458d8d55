//! Values of a network that are made where somebody asks for them.

use crate::class_scores::ClassScores;
use crate::cpu::rows::for_rows;
use crate::cpu::transpose::transpose;
use crate::program::HeadOnGpu;
use crate::storage::{filled, with_slices};
use crate::voxel_bytes::VoxelBytes;
use crate::window_sums::{WindowPlace, WindowSums};
use candle_core::{CpuStorage, CustomOp1, Device, Layout, Result, Shape, Tensor, Var, bail};
use rayon::prelude::*;
use std::ops::Range;
use std::sync::Arc;

/// Voxels of a task that sums. A constant, so that the order of every sum follows from the shape alone.
const SPAN: usize = 2048;

/// A value `(N, C, D, H, W)` of a network that costs nothing until it is asked for, and is made anew each time.
///
/// As a tensor ([`Self::get`]) it can enter any graph. A loss that looks at few voxels, or at means of many, does better with
/// [`Self::class_sums`], [`Self::at`] and [`Self::loss`]: it reads what it needs and says what it adds, and no tensor is made in
/// either direction; of a network on a GPU the value stays there. Voxels are counted in the order (patch, i, j, k) over some
/// `patches` of the N.
#[derive(Clone)]
pub struct Deferred(Arc<dyn Source>);

/// Where a deferred value comes from. What is asked for was checked against [`Self::dims`].
pub(crate) trait Source: Send + Sync {
    fn tensor(&self) -> Result<Tensor>;
    fn dims(&self) -> Result<[usize; 5]>;
    /// Of each class the sums of the channels, and behind them the number of voxels, `(count, C + 1)`.
    fn class_sums(&self, voxels: Voxels, classes: &VoxelBytes, count: usize) -> Result<Vec<f64>>;
    fn at(&self, voxels: Voxels, indices: &[usize]) -> Result<Vec<f32>>;
    fn loss(&self, value: f32, gradient: Arc<VoxelGradient>) -> Result<Tensor>;
    /// What a head made on a GPU, where this is that.
    fn on_gpu(&self) -> Option<HeadOnGpu> {
        None
    }
    /// The same as a constant, where it needs nothing that its network keeps: then that is freed with the graph.
    fn detached(&self) -> Option<Deferred> {
        None
    }
}

/// What the voxels of a class add up to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClassSum {
    /// The sum of each channel.
    pub channels: Vec<f64>,
    /// How many voxels these are.
    pub voxels: usize,
}

/// The gradient of a loss with respect to some patches of a deferred value: one vector of channels for all voxels of a class, and
/// one of their own for some voxels. A voxel that has both gets their sum.
#[derive(Clone, Debug, Default)]
pub struct VoxelGradient {
    /// The patches that have one.
    pub patches: Range<usize>,
    /// The class of each of their voxels; one that [`Self::of_classes`] does not have stands for none. Nothing where that is empty.
    pub classes: VoxelBytes,
    /// `(class, C)`.
    pub of_classes: Vec<f32>,
    /// Voxels in ascending order, each once.
    pub voxels: Vec<usize>,
    /// `(voxel, C)`, of these.
    pub of_voxels: Vec<f32>,
}

/// The voxels of some patches among those of all, `(n, d, h, w)`, and how they lie in rows `(w, c)`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Voxels {
    pub(crate) first: usize,
    pub(crate) count: usize,
    width: usize,
    channels: usize,
}

impl Voxels {
    fn of(patches: &Range<usize>, [n, channels, d, h, width]: [usize; 5]) -> Result<Self> {
        if patches.start > patches.end || patches.end > n {
            bail!("patches {patches:?} are not among the {n} of a value");
        }
        if channels == 0 {
            bail!("a value without channels has no voxels to look at");
        }
        let patch = d * h * width;
        Ok(Voxels { first: patches.start * patch, count: patches.len() * patch, width, channels })
    }

    fn row(self, row: usize) -> Range<usize> {
        row * self.width..(row + 1) * self.width
    }
}

impl Deferred {
    pub(crate) fn new(source: impl Source + 'static) -> Self {
        Deferred(Arc::new(source))
    }

    /// The value as a tensor, differentiable where the network is.
    ///
    /// # Errors
    /// Where it cannot be made (any more).
    pub fn get(&self) -> Result<Tensor> {
        self.0.tensor()
    }

    /// `(N, C, D, H, W)`.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn dims(&self) -> Result<[usize; 5]> {
        self.0.dims()
    }

    /// The sums of the channels over the voxels of each of `count` classes. Voxels of other classes are left out.
    ///
    /// # Errors
    /// As [`Self::get`], and where `classes` does not cover the patches.
    pub fn class_sums(
        &self,
        patches: Range<usize>,
        classes: &VoxelBytes,
        count: usize,
    ) -> Result<Vec<ClassSum>> {
        let voxels = Voxels::of(&patches, self.dims()?)?;
        if classes.len() != voxels.count {
            bail!("there are {} classes for the {} voxels of a value", classes.len(), voxels.count);
        }
        let sums = self.0.class_sums(voxels, classes, count)?;
        let of_class = |sums: &[f64]| {
            let (channels, voxels) = sums.split_at(sums.len() - 1);
            ClassSum { channels: channels.to_vec(), voxels: voxels[0] as usize }
        };
        Ok(sums.chunks_exact(voxels.channels + 1).map(of_class).collect())
    }

    /// The channels of some voxels, `(indices, C)`.
    ///
    /// # Errors
    /// As [`Self::get`], and where an index lies outside of the patches.
    pub fn at(&self, patches: Range<usize>, indices: &[usize]) -> Result<Vec<f32>> {
        let voxels = Voxels::of(&patches, self.dims()?)?;
        if let Some(index) = indices.iter().find(|index| **index >= voxels.count) {
            bail!("voxel {index} lies outside of the {} voxels of a value", voxels.count);
        }
        self.0.at(voxels, indices)
    }

    /// A scalar of candle's graph, of a known value and a known gradient with respect to this.
    ///
    /// # Errors
    /// As [`Self::get`], and where the gradient is not one of these patches.
    pub fn loss(&self, value: f64, gradient: VoxelGradient) -> Result<Tensor> {
        gradient.check(self.dims()?)?;
        self.0.loss(value as f32, Arc::new(gradient))
    }

    /// For logits that lie on a GPU: their softmax there.
    ///
    /// # Errors
    /// Where the device fails.
    pub fn class_scores(&self) -> Result<Option<ClassScores>> {
        self.0.on_gpu().map(ClassScores::new).transpose()
    }

    /// Adds logits `(N, K, i, j, k)` that lie on a GPU to the sums of windows there, which are made where there are none yet, for an image
    /// with planes of these sides. False, and nothing done, where the logits do not lie on a GPU.
    ///
    /// # Errors
    /// Where the logits are not those of so many windows of the sums, or a window leaves its plane.
    pub fn add_to_windows(
        &self,
        sums: &mut Option<WindowSums>,
        plane: [usize; 2],
        places: &[WindowPlace],
    ) -> Result<bool> {
        let Some(head) = self.0.on_gpu() else { return Ok(false) };
        match sums {
            Some(sums) => sums.add(&head, places)?,
            none => none.insert(WindowSums::new(&head, plane)?).add(&head, places)?,
        }
        Ok(true)
    }

    /// The same as a constant to the gradient. Of logits nothing else is kept; other values are made of activations, which stay as long
    /// as somebody may ask.
    pub fn detach(&self) -> Self {
        self.0.detached().unwrap_or_else(|| Self::new(Constant(self.clone())))
    }
}

impl VoxelGradient {
    fn check(&self, dims: [usize; 5]) -> Result<()> {
        let voxels = Voxels::of(&self.patches, dims)?;
        let channels = voxels.channels;
        let covered = if self.of_classes.is_empty() { 0 } else { voxels.count };
        if self.classes.len() != covered || !self.of_classes.len().is_multiple_of(channels.max(1)) {
            bail!("the classes of a gradient do not fit its value {dims:?}");
        }
        let ascending = self.voxels.windows(2).all(|pair| pair[0] < pair[1]);
        let inside = self.voxels.last().is_none_or(|last| *last < voxels.count);
        if !ascending || !inside || self.of_voxels.len() != self.voxels.len() * channels {
            bail!("the voxels of a gradient do not fit its value {dims:?}, or are not in ascending order");
        }
        Ok(())
    }

    /// Adds the gradient of a row of all rows `(n, d, h)` of a value, `(n, c, d, h, w)`, its classes being these on the host.
    pub(crate) fn add_row(&self, classes: &[u8], [_, c, d, h, w]: [usize; 5], row: usize, to: &mut [f32]) {
        let rows = self.patches.start * d * h..self.patches.end * d * h;
        if !rows.contains(&row) {
            return;
        }
        let voxels = (row - rows.start) * w..(row - rows.start + 1) * w;
        if !classes.is_empty() {
            for (to, class) in to.chunks_exact_mut(c).zip(&classes[voxels.clone()]) {
                let from = usize::from(*class) * c;
                if let Some(of_class) = self.of_classes.get(from..from + c) {
                    add(to, of_class);
                }
            }
        }
        let own = [voxels.start, voxels.end].map(|end| self.voxels.partition_point(|voxel| *voxel < end));
        for at in own[0]..own[1] {
            add(&mut to[(self.voxels[at] - voxels.start) * c..][..c], &self.of_voxels[at * c..][..c]);
        }
    }
}

fn add(to: &mut [f32], gradient: &[f32]) {
    to.iter_mut().zip(gradient).for_each(|(to, gradient)| *to += gradient);
}

impl From<Tensor> for Deferred {
    /// A tensor `(N, C, D, H, W)` that exists already.
    fn from(tensor: Tensor) -> Self {
        Self::new(tensor)
    }
}

impl From<&Tensor> for Deferred {
    fn from(tensor: &Tensor) -> Self {
        tensor.clone().into()
    }
}

impl From<&Var> for Deferred {
    fn from(variable: &Var) -> Self {
        variable.as_tensor().into()
    }
}

impl From<&Deferred> for Deferred {
    fn from(value: &Deferred) -> Self {
        value.clone()
    }
}

impl std::fmt::Debug for Deferred {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Deferred")
    }
}

/// Writes the row `(w, c)` of an index of all rows `(n, d, h)`.
pub(crate) type ReadRow<'a> = &'a (dyn Fn(usize, &mut [f32]) + Sync);

/// [`Source::class_sums`] of rows.
pub(crate) fn class_sums(read: ReadRow, voxels: Voxels, classes: &[u8], count: usize) -> Vec<f64> {
    let Voxels { first, width, channels, .. } = voxels;
    let (first, rows) = (first / width.max(1), voxels.count / width.max(1));
    let some = (SPAN / width.max(1)).max(1);
    let tasks: Vec<_> = (0..rows).step_by(some).map(|row| row..rows.min(row + some)).collect();
    let of_class = channels + 1;
    let of_rows = |rows: Range<usize>| {
        let (mut sums, mut values) = (vec![0.0; count * of_class], vec![0.0; width * channels]);
        for row in rows {
            let classes = &classes[voxels.row(row)];
            if classes.iter().all(|class| usize::from(*class) >= count) {
                continue;
            }
            read(first + row, &mut values);
            for (class, values) in classes.iter().zip(values.chunks_exact(channels)) {
                let from = usize::from(*class) * of_class;
                if let Some([sums @ .., voxels]) = sums.get_mut(from..from + of_class) {
                    sums.iter_mut().zip(values).for_each(|(sum, x)| *sum += f64::from(*x));
                    *voxels += 1.0;
                }
            }
        }
        sums
    };
    let parts: Vec<Vec<f64>> = tasks.into_par_iter().map(of_rows).collect();
    let mut total = vec![0.0; count * of_class];
    parts.iter().for_each(|part| total.iter_mut().zip(part).for_each(|(total, sum)| *total += sum));
    total
}

/// [`Deferred::at`] of rows.
pub(crate) fn at(read: ReadRow, voxels: Voxels, indices: &[usize]) -> Vec<f32> {
    let Voxels { first, width, channels, .. } = voxels;
    let mut found = vec![0.0; indices.len() * channels];
    found.par_chunks_mut(channels.max(1)).zip(indices).for_each(|(to, index)| {
        let mut row = vec![0.0; width * channels];
        read((first + index) / width, &mut row);
        to.copy_from_slice(&row[(first + index) % width * channels..][..channels]);
    });
    found
}

struct Constant(Deferred);

impl Source for Constant {
    fn tensor(&self) -> Result<Tensor> {
        Ok(self.0.get()?.detach())
    }
    fn dims(&self) -> Result<[usize; 5]> {
        self.0.dims()
    }
    fn class_sums(&self, voxels: Voxels, classes: &VoxelBytes, count: usize) -> Result<Vec<f64>> {
        self.0.0.class_sums(voxels, classes, count)
    }
    fn at(&self, voxels: Voxels, indices: &[usize]) -> Result<Vec<f32>> {
        self.0.0.at(voxels, indices)
    }
    fn loss(&self, value: f32, _: Arc<VoxelGradient>) -> Result<Tensor> {
        Tensor::new(value, &Device::Cpu)
    }
}

/// Runs `f` with a function that reads the rows of a tensor.
fn with_rows<R>(tensor: &Tensor, f: impl FnOnce(ReadRow) -> R) -> Result<R> {
    let dims = Source::dims(tensor)?;
    with_slices("a deferred value", [&tensor.detach()], |[planes]| {
        Ok(f(&|row, to| {
            to.fill(0.0);
            add_row(planes, dims, row, to);
        }))
    })
}

impl Source for Tensor {
    fn tensor(&self) -> Result<Tensor> {
        Ok(self.clone())
    }
    fn dims(&self) -> Result<[usize; 5]> {
        self.dims5().map(Into::into)
    }
    fn class_sums(&self, voxels: Voxels, classes: &VoxelBytes, count: usize) -> Result<Vec<f64>> {
        let classes = classes.values()?;
        with_rows(self, |read| class_sums(read, voxels, classes, count))
    }
    fn at(&self, voxels: Voxels, indices: &[usize]) -> Result<Vec<f32>> {
        with_rows(self, |read| at(read, voxels, indices))
    }
    fn loss(&self, value: f32, gradient: Arc<VoxelGradient>) -> Result<Tensor> {
        self.apply_op1(LossOfTensor { value, gradient })
    }
    fn detached(&self) -> Option<Deferred> {
        Some(self.detach().into())
    }
}

/// Adds a row of a tensor `(n, c, d, h, w)`.
pub(crate) fn add_row(planes: &[f32], [_, c, d, h, w]: [usize; 5], row: usize, to: &mut [f32]) {
    let (image, line) = (row / (d * h), row % (d * h));
    for channel in 0..c {
        let from = &planes[((image * c + channel) * d * h + line) * w..][..w];
        to[channel..].iter_mut().step_by(c).zip(from).for_each(|(to, from)| *to += from);
    }
}

struct LossOfTensor {
    value: f32,
    gradient: Arc<VoxelGradient>,
}

impl CustomOp1 for LossOfTensor {
    fn name(&self) -> &'static str {
        "loss of a tensor"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(vec![self.value]), Shape::from(())))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, upstream: &Tensor) -> Result<Option<Tensor>> {
        let dims = Source::dims(x)?;
        let [n, c, d, h, w] = dims;
        let factor = upstream.to_scalar::<f32>()?;
        let classes = self.gradient.classes.values()?;
        let mut voxels = vec![0.0; x.elem_count()];
        for_rows(&mut voxels, (w * c).max(1), |row, to| {
            self.gradient.add_row(classes, dims, row, to);
            to.iter_mut().for_each(|value| *value *= factor);
        });
        let planes = filled(voxels.len(), |planes| transpose(&voxels, n, [d * h * w, c], planes));
        Ok(Some(Tensor::from_vec(planes, x.shape(), &Device::Cpu)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two patches of 2 x 2 x 4 voxels with three channels; the value of a voxel of all and a channel.
    fn sample() -> (Var, impl Fn(usize, usize) -> f32) {
        let values: Vec<f32> = (0..96).map(|i| (i as f32).sin()).collect();
        let of = values.clone();
        let x = Var::from_vec(values, &[2, 3, 2, 2, 4], &Device::Cpu).unwrap();
        (x, move |voxel, channel| of[(voxel / 16 * 3 + channel) * 16 + voxel % 16])
    }

    #[test]
    fn sums_and_voxels_are_those_of_the_patches_asked_for() -> Result<()> {
        let (x, value) = sample();
        let deferred = Deferred::from(x.as_tensor().clone());
        assert_eq!(deferred.dims()?, [2, 3, 2, 2, 4]);
        // Classes 0, 1 and two that are left out.
        let classes: Vec<u8> = (0..16).map(|voxel| [0, 1, 7, 255][voxel % 4]).collect();
        let sums = deferred.class_sums(1..2, &classes.into(), 2)?;
        for class in 0..2 {
            for channel in 0..3 {
                let voxels = (0..16).filter(|voxel| voxel % 4 == class);
                let expected: f64 = voxels.map(|voxel| f64::from(value(16 + voxel, channel))).sum();
                assert!((sums[class].channels[channel] - expected).abs() < 1e-12);
            }
            assert_eq!(sums[class].voxels, 4);
        }
        let found = deferred.at(1..2, &[13, 2])?;
        let expected = [13, 2].map(|voxel| [0, 1, 2].map(|channel| value(16 + voxel, channel)));
        assert_eq!(found, expected.concat());
        Ok(())
    }

    #[test]
    fn a_gradient_of_classes_and_voxels_reaches_the_tensor() -> Result<()> {
        let (x, _) = sample();
        let deferred = Deferred::from(x.as_tensor().clone());
        let gradient = VoxelGradient {
            patches: 1..2,
            classes: (0..16).map(|voxel| [0, 1, 255][voxel % 3]).collect::<Vec<u8>>().into(),
            of_classes: vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
            voxels: vec![4, 15],
            of_voxels: vec![10.0, 20.0, 30.0, 40.0, 50.0, 60.0],
        };
        let loss = deferred.loss(1.5, gradient.clone())?;
        assert_eq!(loss.to_scalar::<f32>()?, 1.5);
        let found = (loss * 2.0)?.backward()?;
        let found = found.get(&x).unwrap().permute((0, 2, 3, 4, 1))?.reshape((32, 3))?.to_vec2::<f32>()?;
        for (voxel, found) in found.iter().enumerate() {
            let Some(voxel) = voxel.checked_sub(16) else {
                assert_eq!(*found, [0.0; 3], "a patch that has no gradient");
                continue;
            };
            let of_class = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [0.0; 3]][voxel % 3];
            let own = match voxel {
                4 => [10.0, 20.0, 30.0],
                15 => [40.0, 50.0, 60.0],
                _ => [0.0; 3],
            };
            assert_eq!(*found, [0, 1, 2].map(|c| 2.0 * (of_class[c] + own[c])), "voxel {voxel}");
        }
        assert!(deferred.detach().loss(1.5, gradient)?.backward()?.get(&x).is_none());
        Ok(())
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let (x, _) = sample();
        let deferred = Deferred::from(x.as_tensor().clone());
        assert!(deferred.class_sums(0..2, &vec![0; 16].into(), 2).is_err());
        assert!(deferred.class_sums(1..3, &vec![0; 32].into(), 2).is_err());
        assert!(deferred.at(1..2, &[16]).is_err());
        let with = |voxels: &[usize], of_voxels: usize, classes: usize, of_classes: usize| {
            let gradient = VoxelGradient {
                patches: 1..2,
                classes: vec![0; classes].into(),
                of_classes: vec![0.0; of_classes],
                voxels: voxels.to_vec(),
                of_voxels: vec![0.0; of_voxels],
            };
            deferred.loss(0.0, gradient).is_ok()
        };
        assert!(with(&[0, 15], 6, 16, 3) && with(&[], 0, 0, 0));
        assert!(!with(&[15, 0], 6, 0, 0), "descending");
        assert!(!with(&[3, 3], 6, 0, 0), "twice");
        assert!(!with(&[16], 3, 0, 0), "outside");
        assert!(!with(&[1], 6, 0, 0), "another number of channels");
        assert!(!with(&[], 0, 15, 3) && !with(&[], 0, 16, 4) && !with(&[], 0, 16, 0));
    }
}
