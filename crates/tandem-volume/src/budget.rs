//! How much memory a file may make its reader take.
use std::path::Path;

use crate::stored::byte_count;
use crate::{Error, Result};

/// Bytes that reading one scan may take: its stored voxels and their f32 (or u8) copies together. 8 GiB are a scan of
/// 1024 x 1024 x 1024 voxels in f32.
///
/// Every reader compares what a header claims with this limit, and with what a file of its length can hold, before it
/// takes memory; packed DICOM slices are compared with this limit alone.
pub const READ_LIMIT: u64 = 8 << 30;

/// Bytes of one decoded voxel that are counted beside the stored ones.
const DECODED: u64 = size_of::<f32>() as u64;

/// The limit that a reader keeps to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget(pub(crate) u64);

impl Default for Budget {
    fn default() -> Self {
        Budget(READ_LIMIT)
    }
}

impl Budget {
    /// The bytes that a file stores for `channels` values of `size` bytes at each voxel of a grid of `shape`.
    ///
    /// # Errors
    /// Where these and the decoded voxels exceed the budget; `path` is for the message.
    pub(crate) fn stored_bytes(
        self,
        shape: [usize; 3],
        channels: usize,
        size: usize,
        path: &Path,
    ) -> Result<u64> {
        let too_many = |reason: String| {
            let values = if channels == 1 { String::new() } else { format!("{channels} times ") };
            Error::file(
                path,
                format!(
                    "the header claims {shape:?} voxels of {values}{size} bytes, {reason}; crop or resample the scan, or mend the \
                     header where it is damaged"
                ),
            )
        };
        let voxel = size.checked_mul(channels);
        let bytes = voxel.and_then(|voxel| byte_count(shape, voxel));
        let bytes = bytes.ok_or_else(|| too_many("more than any memory holds".into()))? as u64;
        let taken = (bytes / size as u64).checked_mul(DECODED).and_then(|decoded| decoded.checked_add(bytes));
        if taken.is_none_or(|taken| taken > self.0) {
            return Err(too_many(format!("which take more memory than the limit of {} MiB", self.0 >> 20)));
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_and_decoded_voxels_are_counted_together() {
        let path = Path::new("scan.nii");
        assert_eq!(Budget(24 * 6).stored_bytes([2, 3, 4], 1, 2, path).unwrap(), 48);
        let refused = Budget(24 * 6 - 1).stored_bytes([2, 3, 4], 1, 2, path).unwrap_err().to_string();
        assert!(refused.starts_with("scan.nii: the header claims [2, 3, 4] voxels of 2 bytes"), "{refused}");
        assert!(refused.contains("; crop or resample"), "{refused}");
        assert_eq!(Budget(24 * 18).stored_bytes([2, 3, 4], 3, 2, path).unwrap(), 144);
        let refused = Budget(24 * 18 - 1).stored_bytes([2, 3, 4], 3, 2, path).unwrap_err().to_string();
        assert!(refused.contains("[2, 3, 4] voxels of 3 times 2 bytes"), "{refused}");
    }

    #[test]
    fn products_beyond_any_integer_are_refused() {
        for shape in [[usize::MAX; 3], [usize::MAX, 1, 1], [1 << 62, 1, 1], [1 << 31, 1 << 31, 4]] {
            for size in [1, 2, 8] {
                assert!(Budget::default().stored_bytes(shape, 1, size, Path::new("x")).is_err());
                assert!(Budget::default().stored_bytes([1; 3], shape[0], size, Path::new("x")).is_err());
            }
        }
    }
}
