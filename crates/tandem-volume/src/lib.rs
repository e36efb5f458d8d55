//! Voxel arrays with physical geometry, resampling, and their files.
//!
//! A [`Volume`] is an array `[i, j, k]` in the file's voxel axes with its [`Geometry`]; an [`Image`] is a scan of one or
//! several channels, each a volume; a [`Subject`] is an image with or without a label map; all of it on one grid.
//! [`read_image`], [`read_channels`], [`read_label`], [`write_image`] and [`write_label`] know the file formats, and with the
//! feature `dicom` folders of DICOM slices; [`inspect()`] says what is in a file; [`resample`] changes the spacing or the
//! grid; [`layout`] finds the scans of a folder; [`prepared`] is the folder of cases that training reads patches from.
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
pub use whole::{link_whole, remove_partial, write_whole, write_whole_by};
