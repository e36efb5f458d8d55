//! Preprocessing, augmentation and synthetic subjects: transforms drawn first and applied after.
//!
//! A [`RandomTransform`] looks at the shape of a volume, takes what it needs from a [`Draws`](tandem_random::Draws)
//! and returns a [`Transform`]: plain data that can be logged, stored and applied again. Nothing random happens while a
//! transform is applied. A crop is drawn before any voxel is read, so that a dataset reads no more than the patch:
//!
//! ```
//! use tandem_augment::{RandomCrop, RandomTransform};
//! use tandem_random::Draws;
//!
//! let random_crop = RandomCrop::new([112, 112, 80])?;
//! let crop = random_crop.draw([190, 142, 88], &mut Draws::new(1337, "crop", 12, 3));
//! assert!((0..78).contains(&crop.start[0]));
//! // Now read `crop.size` voxels from `crop.start`, zeros where the crop leaves the volume.
//! # Ok::<(), tandem_augment::AugmentError>(())
//! ```
//!
//! What is read goes through an [`Augmentation`], which draws a list of transforms: the log of what was done to the patch.
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
