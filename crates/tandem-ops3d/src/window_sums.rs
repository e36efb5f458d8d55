//! Windows of a prediction, added up on a GPU.

use crate::gpu::{Buffer, Queue};
use crate::program::HeadOnGpu;
use candle_core::{Result, bail};
use std::sync::Arc;

/// The sums of a network's softmaxes over the windows of an image so far, on the GPU that the network runs on: as many planes as a
/// window has, plane i of the image at i modulo their number.
pub struct WindowSums {
    queue: Queue,
    classes: usize,
    /// Sides of a window.
    window: [usize; 3],
    /// Sides of a plane of the image.
    plane: [usize; 2],
    /// `(K, plane, j, k)`.
    sums: Buffer,
}

/// Where a window lies in its (padded) image, and along which axes it was mirrored before the network saw it.
#[derive(Clone, Copy, Debug)]
pub struct WindowPlace {
    /// Its first voxel.
    pub start: [usize; 3],
    /// Axis by axis.
    pub mirrored: [bool; 3],
}

impl WindowSums {
    pub(crate) fn new(head: &HeadOnGpu, plane: [usize; 2]) -> Result<Self> {
        let [_, classes, i, j, k] = head.dims;
        let queue = head.queue.in_f32();
        let sums = queue.f32s(classes * i * plane[0] * plane[1])?;
        sums.clear()?;
        Ok(WindowSums { queue, classes, window: [i, j, k], plane, sums })
    }

    /// Adds some windows, in their order, of logits `(N, K, i, j, k)`.
    pub(crate) fn add(&mut self, head: &HeadOnGpu, places: &[WindowPlace]) -> Result<()> {
        let [i, j, k] = self.window;
        let expected = [places.len(), self.classes, i, j, k];
        if head.dims != expected || !Arc::ptr_eq(&head.queue.machine, &self.queue.machine) {
            bail!("logits of shape {:?} where {expected:?} is due on a GPU", head.dims);
        }
        let [rows, width] = self.plane;
        let len = self.classes * i * j * k;
        for (window, place) in places.iter().enumerate() {
            if place.start[1] + j > rows || place.start[2] + k > width {
                bail!(
                    "a window of {j} x {k} voxels at {:?} leaves its plane of {rows} x {width}",
                    place.start
                );
            }
            self.queue.add_window(
                head.logits.at(window * len),
                &self.sums,
                (self.classes, self.window),
                self.plane,
                place,
            )?;
        }
        Ok(())
    }

    /// The sums of one plane, `(K, j, k)`; in their place it is zero from now on.
    ///
    /// # Errors
    /// Where a window has not as many planes, or the device fails.
    pub fn take(&mut self, plane: usize) -> Result<Vec<f32>> {
        if plane >= self.window[0] {
            bail!("plane {plane} is not among {}", self.window[0]);
        }
        let len = self.plane[0] * self.plane[1];
        let mut found = vec![0.0; self.classes * len];
        for (class, to) in found.chunks_exact_mut(len.max(1)).enumerate() {
            let first = (class * self.window[0] + plane) * len;
            self.sums.download_from(first, to)?;
            self.sums.clear_part(first, len)?;
        }
        Ok(found)
    }
}
