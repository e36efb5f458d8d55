//! Pulls uncertain voxels to the mean features of reliable ones.

use candle_core::{Result, bail};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use tandem_ops3d::{ClassSum, Deferred, VoxelBytes, VoxelGradient};

/// Shorter feature vectors are divided by this instead of their length.
const SHORTEST: f64 = 1e-12;

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
    /// The voxels that make the prototype of a class: the class of each, in the order (patch, i, j, k), and
    /// [`IGNORE`](super::IGNORE) where a voxel makes none.
    pub members: &'a VoxelBytes,
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
/// Features `(N, C, D, H, W)`, of which `patches` are looked at; voxels are counted over these. The gradient returned is
/// `weight` times that of the sum of both parts, for [`Deferred::loss`].
///
/// # Errors
/// Where the members do not cover the voxels, or a candidate lies outside.
///
/// # References
/// Lu et al., "Semi-supervised medical image segmentation via dual networks", ISBI 2025: L_c. Its released code adds
/// the distance of the prototypes, which draws them together; here repelling is offered beside it.
pub fn contrast(
    features: &Deferred,
    patches: Range<usize>,
    input: &ContrastInput<'_>,
    weight: f64,
) -> Result<(Contrast, VoxelGradient)> {
    let channels = features.dims()?[1];
    if channels == 0 {
        bail!("features need at least one channel");
    }
    let classes = input.candidates.len();
    let sums = features.class_sums(patches.clone(), input.members, classes)?;
    let mut prototypes: Vec<Option<Prototype>> = sums.iter().map(Prototype::of).collect();

    let with_prototype = prototypes.iter().zip(input.candidates).filter(|(prototype, _)| prototype.is_some());
    let mut voxels: Vec<usize> = with_prototype.flat_map(|(_, candidates)| candidates).copied().collect();
    voxels.par_sort_unstable();
    voxels.dedup();
    let of_candidates = features.at(patches.clone(), &voxels)?;
    let mut of_voxels = vec![0.0; of_candidates.len()];
    let mut pulled = Pulled { voxels: &voxels, features: &of_candidates, gradient: &mut of_voxels };
    let (mut result, live) = (Contrast::default(), input.options.live_prototypes);
    for (prototype, candidates) in prototypes.iter_mut().zip(input.candidates) {
        if let (Some(prototype), false) = (prototype, candidates.is_empty()) {
            result.pull += pull(&mut pulled, (prototype, live), candidates, weight);
        }
    }
    result.missing_prototypes = prototypes.iter().filter(|p| p.is_none()).count();
    result.missing_candidates = input.candidates.iter().filter(|candidates| candidates.is_empty()).count();
    result.push = push(&mut prototypes, input.options, weight);
    let of_classes = of_members(&prototypes, channels);
    let gradient = VoxelGradient {
        patches,
        classes: if of_classes.is_empty() { VoxelBytes::default() } else { input.members.clone() },
        of_classes,
        voxels,
        of_voxels,
    };
    Ok((result, gradient))
}

/// How many of `size` candidates are drawn: one in `one_in`, at least one where there is any.
pub fn candidate_count(size: usize, one_in: usize) -> usize {
    if size == 0 { 0 } else { (size / one_in.max(1)).max(1) }
}

/// The mean feature of a class.
struct Prototype {
    count: f64,
    direction: Direction,
    /// With respect to the direction.
    gradient: Vec<f64>,
}

/// A vector of unit length (or the zero vector), and the length it had.
#[derive(Default)]
struct Direction {
    unit: Vec<f64>,
    length: f64,
}

impl Direction {
    /// Makes it that of a vector.
    fn turn(&mut self, vector: impl Iterator<Item = f64>) {
        self.unit.clear();
        self.unit.extend(vector);
        self.length = self.unit.iter().map(|x| x * x).sum::<f64>().sqrt();
        self.unit.iter_mut().for_each(|x| *x /= self.length.max(SHORTEST));
    }

    /// Distance to another direction, whose derivative with respect to this one is written.
    fn distance(&self, other: &Direction, slopes: &mut [f64]) -> f64 {
        let pairs = self.unit.iter().zip(&other.unit);
        slopes.iter_mut().zip(pairs).for_each(|(slope, (a, b))| *slope = a - b);
        let distance = slopes.iter().map(|d| d * d).sum::<f64>().sqrt();
        if distance > 0.0 {
            slopes.iter_mut().for_each(|slope| *slope /= distance);
        }
        distance
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

impl Prototype {
    /// From the sum of the members; none where there is none.
    fn of(members: &ClassSum) -> Option<Self> {
        if members.voxels == 0 {
            return None;
        }
        let (count, mut direction) = (members.voxels as f64, Direction::default());
        direction.turn(members.channels.iter().map(|sum| sum / count));
        Some(Prototype { count, direction, gradient: vec![0.0; members.channels.len()] })
    }
}

/// What is pulled: voxels in ascending order, their features, and the gradient of these.
struct Pulled<'a> {
    voxels: &'a [usize],
    features: &'a [f32],
    gradient: &'a mut [f32],
}

/// The mean distance of candidates, which are among the voxels, to a prototype that is live or not.
fn pull(
    pulled: &mut Pulled<'_>,
    (prototype, live): (&mut Prototype, bool),
    candidates: &[usize],
    weight: f64,
) -> f64 {
    let scale = weight / candidates.len() as f64;
    let (direction, channels) = (&prototype.direction, prototype.gradient.len());
    let mut slopes = vec![0.0; candidates.len() * channels];
    let mut gradients = vec![0f32; slopes.len()];
    let each = candidates.par_iter().with_min_len(64);
    let each = each.zip(slopes.par_chunks_exact_mut(channels)).zip(gradients.par_chunks_exact_mut(channels));
    let found = each.map_init(Direction::default, |own, ((voxel, slopes), gradient)| {
        let place = pulled.voxels.partition_point(|before| before < voxel) * channels;
        own.turn(pulled.features[place..place + channels].iter().map(|x| f64::from(*x)));
        let distance = own.distance(direction, slopes);
        gradient.iter_mut().zip(own.backward(slopes)).for_each(|(to, g)| *to = (scale * g) as f32);
        (place, distance)
    });
    let found: Vec<(usize, f64)> = found.collect();
    let mut sum = 0.0;
    let parts = slopes.chunks_exact(channels).zip(gradients.chunks_exact(channels));
    for ((place, distance), (slopes, gradient)) in found.into_iter().zip(parts) {
        sum += distance;
        pulled.gradient[place..].iter_mut().zip(gradient).for_each(|(to, g)| *to += g);
        if live {
            prototype.gradient.iter_mut().zip(slopes).for_each(|(to, g)| *to -= scale * g);
        }
    }
    sum / candidates.len() as f64
}

/// The term between prototypes.
fn push(prototypes: &mut [Option<Prototype>], options: ContrastOptions, weight: f64) -> f64 {
    let mut present: Vec<_> = prototypes.iter_mut().flatten().collect();
    let pairs = (present.len() * present.len().saturating_sub(1) / 2) as f64;
    let mut value = 0.0;
    for b in 1..present.len() {
        let (before, from_b) = present.split_at_mut(b);
        for a in before {
            let mut by_a = vec![0.0; a.gradient.len()];
            let distance = a.direction.distance(&from_b[0].direction, &mut by_a);
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

/// What each member of a class gets of its prototype's gradient, `(class, channel)`; nothing where no prototype has one.
fn of_members(prototypes: &[Option<Prototype>], channels: usize) -> Vec<f32> {
    let moved = |prototype: &Prototype| prototype.gradient.iter().any(|g| *g != 0.0);
    if !prototypes.iter().flatten().any(moved) {
        return Vec::new();
    }
    let of_class = |prototype: &Option<Prototype>| match prototype.as_ref().filter(|p| moved(p)) {
        Some(prototype) => {
            let by_sum = prototype.direction.backward(&prototype.gradient);
            by_sum.map(|g| (g / prototype.count) as f32).collect()
        }
        None => vec![0.0; channels],
    };
    prototypes.iter().flat_map(of_class).collect()
}
