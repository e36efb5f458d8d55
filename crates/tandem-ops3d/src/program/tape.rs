//! What a forward pass keeps.

use crate::cpu::element::Element;
use crate::cpu::norm::Normalisation;
use crate::cpu::rows::Affine;
use crate::cpu::scratch::Scratch;
use crate::resize::Resampling;

/// What is kept of each value.
pub(super) struct Tape<S: Element> {
    /// `(n, d, h, w, c)` of every value.
    pub(super) dims: Vec<[usize; 5]>,
    pub(super) kept: Vec<Kept<S>>,
}

pub(super) enum Kept<S: Element> {
    /// Nothing (any more).
    Nothing,
    /// The values themselves.
    Image(Scratch<S>),
    /// A normalised convolution.
    Unit(Box<KeptUnit<S>>),
    /// Another value, whose channels are multiplied by factors, repeated over a tile, one tile an image; none in evaluation.
    Scaled { x: usize, factors: Option<Vec<Vec<f32>>> },
    /// Another value, resized.
    Resampled { x: usize, map: Resampling },
}

pub(super) struct KeptUnit<S: Element> {
    /// The convolution's output.
    pub(super) middle: Scratch<S>,
    pub(super) norm: Normalisation,
    pub(super) affine: Affine,
    /// The unit's output where it is a sum; else it is computed from the middle wherever it is read.
    pub(super) output: Option<Scratch<S>>,
}
