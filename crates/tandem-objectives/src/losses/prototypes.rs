//! Pulls uncertain voxels to the mean features of reliable ones.

use crate::rows::{self, CHUNK};
use candle_core::{Result, Tensor, bail};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Shorter feature vectors are divided by this instead of their length.
const SHORTEST: f64 = 1e-12;

/// The feature vector of every voxel of some patches.
pub struct Features {
    tensor: Tensor,
    patches: Range<usize>,
    channels: usize,
    rows: Vec<f32>,
}

impl Features {
    /// Reads some patches of features `(N, C, D, H, W)`, contiguous or a view of channels-last storage.
    ///
    /// # Errors
    /// Where the features are not f32 on the CPU, have another rank or no such patches.
    pub fn new(features: &Tensor, patches: Range<usize>) -> Result<Self> {
        let (_, channels, ..) = features.dims5()?;
        if channels == 0 {
            bail!("features need at least one channel");
        }
        let rows = rows::read(features, patches.clone())?;
        Ok(Features { tensor: features.clone(), patches, channels, rows })
    }

    /// Number of voxels, over all patches that were read.
    pub fn voxels(&self) -> usize {
        self.rows.len() / self.channels
    }

    /// A gradient of zeros for [`contrast`] to add to.
    pub fn zero_gradient(&self) -> Vec<f32> {
        vec![0.0; self.rows.len()]
    }

    /// A gradient in the shape of the whole tensor, zero in patches that were not read.
    ///
    /// # Errors
    /// Where the device refuses the tensor.
    pub fn gradient_tensor(&self, gradient: &[f32]) -> Result<Tensor> {
        rows::write(gradient, self.patches.clone(), &self.tensor)
    }

    fn row(&self, voxel: usize) -> &[f32] {
        &self.rows[voxel * self.channels..][..self.channels]
    }
}

/// What happens between the prototypes of two classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PrototypeTerm {
    /// They are pushed apart up to the margin: `max(0, m - d)`, the mean over pairs of classes.
    Repel,
    /// They are pulled together: `d`, as in the released code of Dual Networks.
    Attract,
    /// Nothing.
    Off,
}

/// Choices of [`contrast`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ContrastOptions {
    /// Whether the pull moves the prototypes too; else it takes them for constants.
    pub live_prototypes: bool,
    /// The term between prototypes, which are live there in any case.
    pub prototype_term: PrototypeTerm,
    /// The margin `m` of [`PrototypeTerm::Repel`]: a distance of unit vectors, 0 to 2.
    pub margin: f64,
}

/// Which voxels stand for what in [`contrast`].
#[derive(Clone, Copy, Debug)]
pub struct ContrastInput<'a> {
    /// A class for each voxel, in the order (patch, i, j, k).
    pub labels: &'a [u8],
    /// The voxels that make the prototype of their class.
    pub reliable: &'a [bool],
    /// For each class the voxels that are pulled to its prototype.
    pub candidates: &'a [Vec<usize>],
    /// How.
    pub options: ContrastOptions,
}

/// The parts of the contrastive loss; their sum is minimised.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Contrast {
    /// Sum over classes of the mean distance of a class's candidates to its prototype.
    pub pull: f64,
    /// The term between prototypes.
    pub push: f64,
    /// Classes without a reliable voxel; their terms are left out.
    pub missing_prototypes: usize,
    /// Classes without a candidate; their pull is left out.
    pub missing_candidates: usize,
}

/// Distance of candidates to class prototypes, plus a term between the prototypes.
///
/// `P_c` is the mean feature of the reliable voxels of class c, vectors are brought to unit length
/// (`x / max(|x|, 1e-12)`) and `d` is the Euclidean distance of two of them, whose gradient at 0 is taken for 0.
/// A zero vector has distance 1 to every prototype; its gradient is divided by 1e-12 as in PyTorch, and vanishes in
/// the ReLU that made the zero.
///
/// # Shapes
/// `gradient` is what [`Features::zero_gradient`] returns.
///
/// # Errors
/// Where labels or mask do not cover the voxels, or a candidate lies outside.
///
/// # References
/// Lu et al., "Semi-supervised medical image segmentation via dual networks", ISBI 2025: L_c. Its released code adds
/// the distance of the prototypes, which draws them together; here repelling is offered beside it.
pub fn contrast(
    features: &Features,
    gradient: &mut [f32],
    input: &ContrastInput<'_>,
    weight: f64,
) -> Result<Contrast> {
    check(features, gradient, input)?;
    let mut result = Contrast::default();
    let mut prototypes = prototypes(features, input);
    result.missing_prototypes = prototypes.iter().filter(|p| p.is_none()).count();
    result.missing_candidates = input.candidates.iter().filter(|candidates| candidates.is_empty()).count();
    for (prototype, candidates) in prototypes.iter_mut().zip(input.candidates) {
        if let (Some(prototype), false) = (prototype, candidates.is_empty()) {
            result.pull +=
                pull(features, gradient, (prototype, candidates, input.options.live_prototypes), weight);
        }
    }
    result.push = push(&mut prototypes, input.options, weight);
    spread(features.channels, gradient, input, &prototypes);
    Ok(result)
}

/// How many of `size` candidates are drawn: one in `one_in`, at least one where there is any.
pub fn candidate_count(size: usize, one_in: usize) -> usize {
    if size == 0 { 0 } else { (size / one_in.max(1)).max(1) }
}

fn check(features: &Features, gradient: &[f32], input: &ContrastInput<'_>) -> Result<()> {
    let voxels = features.voxels();
    if [input.labels.len(), input.reliable.len(), gradient.len() / features.channels] != [voxels; 3] {
        bail!("labels, mask and gradient must cover the {voxels} voxels of the features");
    }
    if let Some(v) = input.candidates.iter().flatten().find(|&&v| v >= voxels) {
        bail!("candidate {v} lies outside of the {voxels} voxels of the features");
    }
    Ok(())
}

/// The mean feature of a class.
struct Prototype {
    count: f64,
    direction: Direction,
    /// With respect to the direction.
    gradient: Vec<f64>,
}

/// A vector of unit length (or the zero vector), and the length it had.
struct Direction {
    unit: Vec<f64>,
    length: f64,
}

impl Direction {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut unit: Vec<f64> = values.collect();
        let length = unit.iter().map(|x| x * x).sum::<f64>().sqrt();
        unit.iter_mut().for_each(|x| *x /= length.max(SHORTEST));
        Direction { unit, length }
    }

    /// Distance to another direction, and its derivative with respect to this one.
    fn distance(&self, other: &Direction) -> (f64, Vec<f64>) {
        let mut difference: Vec<f64> = self.unit.iter().zip(&other.unit).map(|(a, b)| a - b).collect();
        let distance = difference.iter().map(|d| d * d).sum::<f64>().sqrt();
        if distance > 0.0 {
            difference.iter_mut().for_each(|d| *d /= distance);
        }
        (distance, difference)
    }

    /// The gradient with respect to the vector from that with respect to its direction.
    fn backward<'a>(&'a self, gradient: &'a [f64]) -> impl Iterator<Item = f64> + 'a {
        let along: f64 = if self.length < SHORTEST { 0.0 } else { dot(&self.unit, gradient) };
        let length = self.length.max(SHORTEST);
        self.unit.iter().zip(gradient).map(move |(u, g)| (g - along * u) / length)
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn prototypes(features: &Features, input: &ContrastInput<'_>) -> Vec<Option<Prototype>> {
    let (classes, channels) = (input.candidates.len(), features.channels);
    // One row for each class: the sums of the channels, then the count.
    let chunks = rows::per_chunk(features.voxels(), |chunk| {
        let mut sums = vec![vec![0.0; channels + 1]; classes];
        for v in chunk.filter(|&v| input.reliable[v] && usize::from(input.labels[v]) < classes) {
            let sums = &mut sums[usize::from(input.labels[v])];
            sums.iter_mut().zip(features.row(v)).for_each(|(sum, x)| *sum += f64::from(*x));
            sums[channels] += 1.0;
        }
        sums
    });
    let mut totals = vec![vec![0.0; channels + 1]; classes];
    for chunk in chunks {
        for (total, sum) in totals.iter_mut().flatten().zip(chunk.into_iter().flatten()) {
            *total += sum;
        }
    }
    let prototype = |sums: Vec<f64>| {
        let count = sums[channels];
        let direction = Direction::of(sums[..channels].iter().map(|sum| sum / count));
        (count > 0.0).then(|| Prototype { count, direction, gradient: vec![0.0; channels] })
    };
    totals.into_iter().map(prototype).collect()
}

/// The mean distance of candidates to a prototype.
fn pull(
    features: &Features,
    gradient: &mut [f32],
    (prototype, candidates, live): (&mut Prototype, &[usize], bool),
    weight: f64,
) -> f64 {
    let (channels, count) = (features.channels, candidates.len() as f64);
    let scale = weight / count;
    let mut sum = 0.0;
    for &v in candidates {
        let candidate = Direction::of(features.row(v).iter().map(|x| f64::from(*x)));
        let (distance, by_candidate) = candidate.distance(&prototype.direction);
        sum += distance;
        let row = &mut gradient[v * channels..][..channels];
        row.iter_mut().zip(candidate.backward(&by_candidate)).for_each(|(to, g)| *to += (scale * g) as f32);
        if live {
            prototype.gradient.iter_mut().zip(&by_candidate).for_each(|(to, g)| *to -= scale * g);
        }
    }
    sum / count
}

/// The term between prototypes.
fn push(prototypes: &mut [Option<Prototype>], options: ContrastOptions, weight: f64) -> f64 {
    let mut present: Vec<_> = prototypes.iter_mut().flatten().collect();
    let pairs = (present.len() * present.len().saturating_sub(1) / 2) as f64;
    let mut value = 0.0;
    for b in 1..present.len() {
        let (before, from_b) = present.split_at_mut(b);
        for a in before {
            let (distance, by_a) = a.direction.distance(&from_b[0].direction);
            let (term, slope) = match options.prototype_term {
                PrototypeTerm::Repel if distance < options.margin => (options.margin - distance, -1.0),
                PrototypeTerm::Attract => (distance, 1.0),
                PrototypeTerm::Repel | PrototypeTerm::Off => continue,
            };
            value += term / pairs;
            let scale = weight * slope / pairs;
            a.gradient.iter_mut().zip(&by_a).for_each(|(to, g)| *to += scale * g);
            from_b[0].gradient.iter_mut().zip(&by_a).for_each(|(to, g)| *to -= scale * g);
        }
    }
    value
}

/// Hands the gradients of the prototypes to the voxels they are the means of.
fn spread(
    channels: usize,
    gradient: &mut [f32],
    input: &ContrastInput<'_>,
    prototypes: &[Option<Prototype>],
) {
    let shares: Vec<Option<Vec<f32>>> = prototypes
        .iter()
        .map(|prototype| {
            let prototype = prototype.as_ref().filter(|p| p.gradient.iter().any(|g| *g != 0.0))?;
            Some(
                prototype
                    .direction
                    .backward(&prototype.gradient)
                    .map(|g| (g / prototype.count) as f32)
                    .collect(),
            )
        })
        .collect();
    if shares.iter().all(Option::is_none) {
        return;
    }
    gradient.par_chunks_mut(CHUNK * channels).enumerate().for_each(|(chunk, rows)| {
        for (v, row) in rows.chunks_exact_mut(channels).enumerate() {
            let v = chunk * CHUNK + v;
            let share = shares.get(usize::from(input.labels[v])).and_then(Option::as_ref);
            if let (true, Some(share)) = (input.reliable[v], share) {
                row.iter_mut().zip(share).for_each(|(to, g)| *to += g);
            }
        }
    });
}
