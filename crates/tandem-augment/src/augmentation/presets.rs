//! Augmentations with a name.

use super::Augmentation;
use crate::{
    RandomAffine, RandomBrightness, RandomContrast, RandomFlip, RandomGamma, RandomNoise, RandomTurn,
};

impl Augmentation {
    /// The names that [`Self::named`] knows.
    pub const NAMES: [&str; 4] = ["none", "flips-and-turns", "weak", "strong"];

    /// A preset.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "none" => Some(Self::default()),
            "flips-and-turns" => Some(Self::flips_and_turns()),
            "weak" => Some(Self::weak()),
            "strong" => Some(Self::strong()),
            _ => None,
        }
    }

    /// What the semi-supervised benchmarks on LA do: any number of quarter turns about k, then always a flip along i or j.
    ///
    /// With turns before it, a flip along i and one along j have the same distribution, so that i is enough here. Since it is
    /// never left out, no patch is seen as it was scanned: each is one of four mirror images. So it is in the released code of
    /// UA-MT (Yu et al., MICCAI 2019, `RandomRotFlip`) and of those after it; we keep it as it is.
    pub fn flips_and_turns() -> Self {
        Augmentation {
            turn: Some(RandomTurn { probability: [0.0, 0.0, 1.0] }),
            flip: Some(RandomFlip { probability: [1.0, 0.0, 0.0] }),
            ..Self::default()
        }
    }

    /// Small changes that leave an organ as plausible as it was, for every patch: a third of what nnU-Net turns and half of how
    /// much it scales at most, and a little of brightness, contrast and noise. No flips: they turn left into right.
    pub fn weak() -> Self {
        Augmentation {
            affine: Some(RandomAffine {
                probability: 0.5,
                rotation_degrees: [10.0; 3],
                scale: [0.85, 1.15],
                shift_mm: [0.0; 3],
            }),
            brightness: Some(RandomBrightness { probability: 0.5, factor: [0.9, 1.1], offset: [-0.1, 0.1] }),
            contrast: Some(RandomContrast { probability: 0.5, factor: [0.9, 1.1] }),
            noise: Some(RandomNoise { probability: 0.5, deviation: [0.0, 0.1] }),
            ..Self::default()
        }
    }

    /// Strong changes of intensities that move no voxel, so that a pseudo-label of the same patch fits. Scans of one organ can
    /// differ several times in the scale of their intensities (left atrium crops of the LA benchmark: standard deviations of 0.4
    /// to 1.7 after the scans were brought to 1), so brightness has a wide range; exponents are nnU-Net's (Isensee et al. 2021);
    /// blur and low resolution, which move borders, are left out.
    pub fn strong() -> Self {
        Augmentation {
            brightness: Some(RandomBrightness { probability: 0.8, factor: [0.3, 1.4], offset: [-0.4, 0.1] }),
            gamma: Some(RandomGamma { probability: 0.5, exponent: [0.7, 1.5], inverted: 0.25 }),
            noise: Some(RandomNoise { probability: 0.5, deviation: [0.0, 0.1] }),
            ..Self::default()
        }
    }
}
