//! Positioned reads from an uncompressed NIfTI file.
use std::fs::File;
use std::io;
use std::path::PathBuf;

use ndarray::{Array3, AxisDescription, Slice};

use crate::nifti::{self, Header};
use crate::stored::{Voxel, byte_count};
use crate::{Error, Geometry, Result};

/// An opened file of voxels of type `T`, read plane by plane: the file stores i fastest, then j, then k, then channels.
#[derive(Debug)]
pub(super) struct Planes<T> {
    file: File,
    path: PathBuf,
    header: Header,
    voxel: std::marker::PhantomData<T>,
}

impl<T: Voxel> Planes<T> {
    /// Opens a file that must have `shape` and so many channels, as the manifest says.
    pub(super) fn open(path: PathBuf, shape: [usize; 3], channels: usize) -> Result<Self> {
        let file = File::open(&path).map_err(Error::io(&path))?;
        let header = nifti::read_header(&file, &path)?;
        if (header.shape, header.channels) != (shape, channels) {
            let found = format!("the file has shape {:?} and {} channel(s)", header.shape, header.channels);
            let problem = format!("{found}, but the manifest says {shape:?} and {channels}; prepare again");
            return Err(Error::file(&path, problem));
        }
        if header.scalar != T::SCALAR || header.scaling.is_some() {
            return Err(Error::file(
                &path,
                format!(
                    "the voxels are not unscaled {:?}, as prepared files have them; prepare again",
                    T::SCALAR
                ),
            ));
        }
        Ok(Planes { file, path, header, voxel: std::marker::PhantomData })
    }

    pub(super) fn shape(&self) -> [usize; 3] {
        self.header.shape
    }

    pub(super) fn geometry(&self) -> &Geometry {
        &self.header.geometry
    }

    pub(super) fn channels(&self) -> usize {
        self.header.channels
    }

    /// The patch of `size` voxels from `start` of a channel, 0 outside the volume.
    pub(super) fn read_patch(&self, channel: usize, start: [i64; 3], size: [usize; 3]) -> Result<Array3<T>> {
        if size.contains(&0) || byte_count(size, size_of::<T>()).is_none() {
            return Err(Error::Argument(format!(
                "no patch of {size:?} voxels can be read; every side needs 1 or more"
            )));
        }
        let overlaps = &[0, 1, 2].map(|axis| Overlap::new(start[axis], size[axis], self.shape()[axis]));
        let [i, j, k] = overlaps;
        let shared = [i.count, j.count, k.count];
        if shared.contains(&0) {
            return Ok(Array3::default(size));
        }
        let side = self.shape()[0];
        // Of a plane, all from the first wanted voxel to the last one: a few unwanted voxels cost less than a read for
        // every row.
        let slab_bytes = ((j.count - 1) * side + i.count) * size_of::<T>();
        let mut slabs = vec![0; k.count * slab_bytes];
        for (plane, slab) in slabs.chunks_mut(slab_bytes).enumerate() {
            self.read_slab(channel, [i.file, j.file, k.file + plane], slab)?;
        }
        let row = |plane: usize, row: usize| {
            &slabs[plane * slab_bytes + row * side * size_of::<T>()..][..i.count * size_of::<T>()]
        };
        let inside = T::decoded(row, self.header.endian, shared);
        if shared == size {
            return Ok(inside);
        }
        let mut patch = Array3::default(size);
        let shares = |axis: AxisDescription| overlaps[axis.axis.index()].in_patch();
        patch.slice_each_axis_mut(shares).assign(&inside);
        Ok(patch)
    }

    /// Reads the voxels of a channel from `[i, j, k]` on.
    fn read_slab(&self, channel: usize, [i, j, k]: [usize; 3], slab: &mut [u8]) -> Result<()> {
        let [ni, nj, nk] = self.shape();
        let voxel = ((channel * nk + k) * nj + j) * ni + i;
        let offset = self.header.data_offset + (voxel * size_of::<T>()) as u64;
        super::case::read_exact_at(&self.file, slab, offset).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => Error::Truncated {
                path: self.path.clone(),
                expected: self.header.data_offset + self.header.data_bytes,
                found: self.file.metadata().map_or(0, |metadata| metadata.len()),
            },
            _ => Error::io(&self.path)(error),
        })
    }
}

/// What a patch and a volume share along one axis.
struct Overlap {
    /// First shared voxel, in the file.
    file: usize,
    /// First shared voxel, in the patch.
    patch: usize,
    /// How many voxels are shared.
    count: usize,
}

impl Overlap {
    fn new(start: i64, size: usize, side: usize) -> Self {
        // In i128 no sum of an i64 and a usize overflows.
        let (start, size, side) = (i128::from(start), size as i128, side as i128);
        let first = start.clamp(0, side);
        let end = (start + size).clamp(first, side);
        // All three lie between 0 and a usize; a patch that begins behind the volume shares nothing.
        Overlap {
            file: first as usize,
            patch: (first - start).clamp(0, size) as usize,
            count: (end - first) as usize,
        }
    }

    /// What is shared, in the patch.
    fn in_patch(&self) -> Slice {
        Slice::from(self.patch..self.patch + self.count)
    }
}
