//! Voxel arrays with physical geometry, resampling, and their files.
//!
//! ```
//! use tandem_volume::{Orientation, read_image};
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("scan.nii.gz");
//! # let grid = tandem_volume::Geometry::with_spacing([0.625, 0.625, 1.25])?;
//! # tandem_volume::write_image(&path, &tandem_volume::Volume::new(ndarray::Array3::zeros((4, 5, 3)), grid))?;
//!
//! let scan = read_image(&path)?; // NIfTI, NRRD or MetaImage; a `Volume<f32>`
//! let ([ni, nj, nk], grid) = (scan.shape(), scan.geometry());
//! println!("{ni} x {nj} x {nk} voxels of {:?} mm, axes {}", grid.spacing(), Orientation::of(grid));
//! println!("the last voxel lies at {:?} mm", grid.position([ni, nj, nk].map(|side| side as f64 - 1.0)));
//! println!("its value is {}", scan.array()[[ni - 1, nj - 1, nk - 1]]);
//! # assert_eq!((Orientation::of(grid).to_string().as_str(), grid.position([3.0, 4.0, 2.0])), ("RAS", [1.875, 2.5, 2.5]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A [`Volume`] is an array `[i, j, k]` in the file's voxel axes with its [`Geometry`]: spacing in mm, and an affine from voxels to
//! mm in RAS+. An [`Image`] is a scan of one or several channels, each a volume; a [`Subject`] is an image with or without a label
//! map; all of it on one grid.
//!
//! [`read_image`], [`read_channels`], [`read_label`], [`write_image`] and [`write_label`] know the file formats, and with the
//! feature `dicom` folders of DICOM slices; [`inspect()`] says what is in a file; [`resample`] changes the spacing or the
//! grid; [`layout`] finds the scans of a folder; [`prepared`] is the folder of cases that training reads patches from.
//!
//! What this crate does not do: it changes no intensities, and it knows nothing of tensors or networks.
#![forbid(unsafe_code)]

mod budget;
mod bytes;
#[cfg(feature = "dicom")]
pub mod dicom;
mod error;
mod files;
mod geometry;
mod gzip;
pub mod hdf5;
mod image;
pub mod inspect;
pub mod layout;
mod metaimage;
mod nifti;
mod nrrd;
mod orientation;
pub mod prepared;
pub mod resample;
mod stored;
mod subject;
pub mod testing;
mod text_header;
mod volume;
mod whole;

pub use budget::READ_LIMIT;
pub use error::{Error, Result, remedy};
pub use files::{
    ImagePlanes, read_channels, read_image, read_label, stem, write_image, write_label, write_label_of,
};
pub use geometry::Geometry;
pub use image::Image;
pub use inspect::{Inspection, inspect};
pub use orientation::Orientation;
pub use subject::Subject;
pub use volume::Volume;
pub use whole::{link_whole, remove_partial, write_folder, write_whole, write_whole_by};
