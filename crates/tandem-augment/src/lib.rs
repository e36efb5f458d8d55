//! Preprocessing, augmentation and synthetic subjects: transforms drawn first and applied after.
//!
//! ```
//! use tandem_augment::phantom::{self, PhantomParams};
//! use tandem_augment::{Augmentation, Drawn, Patch, RandomCrop, RandomTransform, Transform};
//! use tandem_random::Draws;
//!
//! // A labelled subject, here a synthetic one.
//! let subject = phantom::generate(&PhantomParams { spacing_mm: [4.0; 3], ..PhantomParams::new(1337, 0) })?;
//! let mut draws = Draws::new(1337, "augmentation", 12, 3); // seed, purpose, step, slot
//! let crop = RandomCrop::new([32, 32, 16])?.draw(subject.image().shape(), &mut draws);
//! let patch = crop.apply(Patch::from(subject));
//!
//! // A preset, or a table of transforms with their probabilities and ranges, as in an experiment's settings.
//! let augmentation = Augmentation::weak();
//! augmentation.check(patch.shape())?;
//! let drawn: Vec<Drawn> = augmentation.draw(patch.shape(), &mut draws);
//! let augmented = drawn.apply(patch.clone());
//! assert_eq!(augmented.image().dim(), (1, 32, 32, 16)); // (C, i, j, k); its label map is (i, j, k)
//!
//! // What was drawn is plain data: written to a log and read back, it gives the same bits.
//! let again: Vec<Drawn> = serde_json::from_str(&serde_json::to_string(&drawn)?)?;
//! assert_eq!(again.apply(patch), augmented);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A [`RandomTransform`] looks at the shape of a volume, takes what it needs from a [`Draws`](tandem_random::Draws)
//! and returns a [`Transform`]: plain data that can be logged, stored and applied again. Nothing random happens while a
//! transform is applied. A [`RandomCrop`] is drawn before any voxel is read, so that a dataset reads no more than the patch.
//!
//! What this crate does not do: it reads and writes no files, and it knows nothing of tensors or networks.
#![forbid(unsafe_code)]

mod transform;

mod augmentation;
mod crop;
mod drawn;

mod affine;
mod elastic;
mod flip;
mod turn;

mod bias_field;
mod blur;
mod brightness;
mod contrast;
mod gamma;
mod low_resolution;
mod noise;

mod error;
mod foreground;
mod moments;
mod normalise;
pub mod phantom;
mod preprocess;
mod resample;
mod separable;
mod setting;
pub mod testing;

pub use affine::{Affine, RandomAffine};
pub use augmentation::Augmentation;
pub use bias_field::{BiasField, RandomBiasField};
pub use blur::{Blur, RandomBlur};
pub use brightness::{Brightness, RandomBrightness};
pub use contrast::{Contrast, RandomContrast};
pub use crop::{Crop, RandomCrop};
pub use drawn::Drawn;
pub use elastic::{Elastic, RandomElastic};
pub use error::{AugmentError, Result};
pub use flip::{Flip, RandomFlip};
pub use foreground::foreground;
pub use gamma::{Gamma, RandomGamma};
pub use low_resolution::{LowResolution, RandomLowResolution};
pub use noise::{Noise, RandomNoise};
pub use normalise::{normalise, normalise_in_place};
pub use preprocess::{la_benchmark, pancreas_coranet, pancreas_mc_net, z_score, z_score_in_place};
pub use transform::{Patch, RandomTransform, Transform};
pub use turn::{RandomTurn, Turn};
