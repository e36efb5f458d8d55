//! A byte for each voxel of some patches.

use crate::gpu::{Buffer, Machine};
use crate::mirrored::Mirrored;
use candle_core::{Result, bail};
use rayon::prelude::*;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Voxels that are counted together: what [`VoxelBytes::find`] goes through to find one.
const SPAN: usize = 256;

/// A byte for each voxel of some patches, in the order (patch, i, j, k): classes, of which 255 stands for none, or a mask, which is
/// set where it is not 0.
///
/// The bytes lie where they were made, on the host or on a GPU, and are counted and picked there. What needs them on the other
/// side copies them once. Clones share them.
///
/// # Examples
/// ```
/// use tandem_ops3d::VoxelBytes;
///
/// let classes = VoxelBytes::from(vec![1, 0, 1, 255, 1]);
/// assert_eq!(classes.counts(2)?.of_classes, [1, 3]);
/// assert_eq!(classes.find(&[vec![0], vec![2, 0]])?, [vec![1], vec![4, 0]]);
/// let kept = classes.keep_where(&VoxelBytes::from(vec![1, 1, 0, 0, 0]), true)?;
/// assert_eq!(kept.values()?, [1, 0, 255, 255, 255]);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Clone)]
pub struct VoxelBytes(Arc<Inner>);

struct Inner {
    bytes: Mirrored<u8>,
    /// Every byte is below this, or 255.
    below: usize,
    /// Of the most classes that somebody asked for.
    tally: Mutex<Option<Arc<Tally>>>,
    /// How many are not 0, where a GPU counted them.
    set: OnceLock<usize>,
}

/// How many voxels have which class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoxelCounts {
    /// Of each class.
    pub of_classes: Vec<usize>,
    /// Those of 255, of no class.
    pub of_none: usize,
    /// Those of other bytes.
    pub of_others: usize,
}

/// Of each class, and last of 255, how many voxels come before each span, and how many there are.
struct Tally(Vec<Vec<usize>>);

impl From<Vec<u8>> for VoxelBytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self::new(Mirrored::on_host(bytes), 255)
    }
}

impl Default for VoxelBytes {
    /// Those of no voxel.
    fn default() -> Self {
        Vec::new().into()
    }
}

impl std::fmt::Debug for VoxelBytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "VoxelBytes of {} voxels", self.len())
    }
}

impl VoxelBytes {
    /// What the bytes of a mask on a GPU are below.
    pub(crate) const MASK: usize = 2;

    fn new(bytes: Mirrored<u8>, below: usize) -> Self {
        VoxelBytes(Arc::new(Inner { bytes, below, tally: Mutex::default(), set: OnceLock::new() }))
    }

    /// Bytes that a GPU has or will have: each is 255, or below this.
    pub(crate) fn on_gpu(bytes: Buffer, len: usize, below: usize) -> Self {
        Self::new(Mirrored::on_gpu(bytes, len), below)
    }

    /// Number of voxels.
    pub fn len(&self) -> usize {
        self.0.bytes.len()
    }

    /// Whether there is no voxel.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes on the host.
    ///
    /// # Errors
    /// Where they lie on a GPU that fails.
    pub fn values(&self) -> Result<&[u8]> {
        self.0.bytes.values()
    }

    pub(crate) fn on(&self, machine: &Arc<dyn Machine>) -> Result<Buffer> {
        self.0.bytes.on(machine)
    }

    /// How many voxels have each class. Counted once and kept.
    ///
    /// # Errors
    /// As [`Self::values`], and where there are more than 255 classes.
    pub fn counts(&self, classes: usize) -> Result<VoxelCounts> {
        let tally = self.tally(classes)?;
        let of = |row: &Vec<usize>| row.last().copied().unwrap_or(0);
        let of_classes: Vec<usize> = tally.0[..classes].iter().map(of).collect();
        let of_none = tally.0.last().map_or(0, of);
        let of_others = self.len() - of_classes.iter().sum::<usize>() - of_none;
        Ok(VoxelCounts { of_classes, of_none, of_others })
    }

    /// Whether each byte is one of so many classes, or 255. What a GPU made as classes need not be counted for it.
    ///
    /// # Errors
    /// As [`Self::counts`].
    pub fn fit(&self, classes: usize) -> Result<bool> {
        Ok(self.0.below <= classes || self.counts(classes)?.of_others == 0)
    }

    /// At how many voxels a mask is set.
    ///
    /// # Errors
    /// As [`Self::values`].
    pub fn count_set(&self) -> Result<usize> {
        if let Some((queue, there)) = self.0.bytes.only_on_gpu() {
            let set = self.0.set.get().map_or_else(|| queue.count_set(there, self.len()), |set| Ok(*set))?;
            return Ok(*self.0.set.get_or_init(|| set));
        }
        Ok(self.len() - self.counts(1)?.of_classes[0])
    }

    /// Of each class the voxels at some places among all of it, counted from 0 in the order of the voxels.
    ///
    /// # Errors
    /// As [`Self::values`], and where a class has not as many voxels.
    pub fn find(&self, places: &[Vec<usize>]) -> Result<Vec<Vec<usize>>> {
        let tally = self.tally(places.len())?;
        // In which span each place is, and which it is among those of the class in it.
        let mut near = Vec::with_capacity(places.iter().map(Vec::len).sum());
        for (class, places) in places.iter().enumerate() {
            let before = &tally.0[class];
            let count = before.last().copied().unwrap_or(0);
            if let Some(place) = places.iter().find(|place| **place >= count) {
                bail!("class {class} has {count} voxels, and so none at place {place}");
            }
            near.extend(places.iter().map(|place| {
                let span = before.partition_point(|before| before <= place) - 1;
                [class, span * SPAN, place - before[span]].map(|number| number as i64)
            }));
        }
        let found = match self.0.bytes.only_on_gpu() {
            Some((queue, there)) => queue.find_bytes(there, self.len(), &near)?,
            None => {
                let bytes = self.values()?;
                let nth = |[class, first, place]: [i64; 3]| {
                    let of_class = bytes[first as usize..]
                        .iter()
                        .zip(first..)
                        .filter(|(byte, _)| i64::from(**byte) == class);
                    of_class.map(|(_, voxel)| voxel).nth(place as usize)
                };
                near.into_iter().filter_map(nth).collect()
            }
        };
        let mut found = found.into_iter().map(|voxel| voxel as usize);
        Ok(places.iter().map(|places| found.by_ref().take(places.len()).collect()).collect())
    }

    /// The bytes where a mask is set, or where it is not; 255 elsewhere.
    ///
    /// # Errors
    /// As [`Self::values`], and where the mask covers other voxels.
    pub fn keep_where(&self, mask: &VoxelBytes, set: bool) -> Result<VoxelBytes> {
        if mask.len() != self.len() {
            bail!("a mask covers {} voxels, not {}", mask.len(), self.len());
        }
        if let Some((queue, there)) = self.0.bytes.only_on_gpu() {
            let kept = queue.keep_bytes(there, &mask.on(&queue.machine)?, set, self.len())?;
            return Ok(Self::on_gpu(kept, self.len(), self.0.below));
        }
        let voxels = self.values()?.par_iter().zip(mask.values()?).with_min_len(8 * SPAN);
        let kept = voxels.map(|(byte, mask)| if (*mask != 0) == set { *byte } else { u8::MAX });
        Ok(kept.collect::<Vec<u8>>().into())
    }

    fn tally(&self, classes: usize) -> Result<Arc<Tally>> {
        if classes > 255 {
            bail!("a byte for each voxel tells 255 classes apart, not {classes}");
        }
        let kept = || self.0.tally.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tally) = kept().clone().filter(|tally| tally.0.len() > classes) {
            return Ok(tally);
        }
        // Not under the lock: a thread that waits for a parallel loop may take up other work that asks for the same counts.
        let tally = Arc::new(self.count(classes)?);
        *kept() = Some(tally.clone());
        Ok(tally)
    }

    fn count(&self, classes: usize) -> Result<Tally> {
        let spans = self.len().div_ceil(SPAN);
        let counts: Vec<Vec<usize>> = match self.0.bytes.only_on_gpu() {
            Some((queue, there)) => {
                let counts = queue.count_bytes(there, self.len(), SPAN, classes)?;
                let row = |row| (row * spans..(row + 1) * spans).map(|at| counts[at] as usize).collect();
                (0..=classes).map(row).collect()
            }
            None => {
                let bytes = self.values()?;
                let row = |row: usize| {
                    let wanted = if row == classes { u8::MAX } else { row as u8 };
                    let of_span = |span: &[u8]| span.iter().filter(|byte| **byte == wanted).count();
                    bytes.par_chunks(SPAN).with_min_len(8).map(of_span).collect()
                };
                (0..=classes).map(row).collect()
            }
        };
        let before = |counts: Vec<usize>| {
            let sums = counts.into_iter().scan(0, |sum, count| {
                *sum += count;
                Some(*sum)
            });
            std::iter::once(0).chain(sums).collect()
        };
        Ok(Tally(counts.into_iter().map(before).collect()))
    }
}
