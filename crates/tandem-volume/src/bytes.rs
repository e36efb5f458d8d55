//! The bytes of a file's voxels, in memory that the next file uses again: fresh memory would be cleared first.
use std::cell::RefCell;
use std::ops::{Deref, Range};

/// Each thread keeps one buffer of at most so many bytes.
const MOST_KEPT: usize = 32 << 20;

thread_local! {
    static KEPT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A part of a buffer.
#[derive(Clone, Debug)]
pub(crate) struct Bytes {
    buffer: Vec<u8>,
    part: Range<usize>,
}

impl Bytes {
    /// A part of what `fill` puts into memory that reaches to the part's end and may hold anything before; `None` where
    /// `fill` says that it failed.
    pub(crate) fn filled(part: Range<usize>, fill: impl FnOnce(&mut [u8]) -> bool) -> Option<Self> {
        let mut buffer = KEPT.take();
        if buffer.len() < part.end {
            buffer = vec![0; part.end];
        }
        let end = part.end;
        let mut bytes = Bytes { buffer, part };
        fill(&mut bytes.buffer[..end]).then_some(bytes)
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(buffer: Vec<u8>) -> Self {
        Bytes { part: 0..buffer.len(), buffer }
    }
}

impl Deref for Bytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.buffer[self.part.clone()]
    }
}

impl Drop for Bytes {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.buffer);
        // A thread that ends keeps nothing.
        let _ = KEPT.try_with(|kept| {
            let mut kept = kept.borrow_mut();
            if buffer.capacity() <= MOST_KEPT && buffer.len() > kept.len() {
                *kept = buffer;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again_and_holds_what_it_was_filled_with() {
        let filled = |part, value| {
            Bytes::filled(part, |bytes| {
                bytes.fill(value);
                true
            })
            .unwrap()
        };
        let first = filled(0..100, 1);
        let address = first.as_ptr();
        drop(first);
        let second = filled(10..20, 2);
        assert_eq!((second.as_ptr(), &second[..]), (address.wrapping_add(10), &[2; 10][..]));
        // The one kept buffer is out.
        assert_eq!(filled(0..3, 3)[..], [3; 3]);
        assert_eq!(second[..], [2; 10]);
        drop(second);
        assert!(Bytes::filled(0..5, |_| false).is_none());
        assert_eq!(KEPT.with_borrow(Vec::len), 100);
        drop(Bytes::from(vec![0; MOST_KEPT + 1]));
        assert_eq!(KEPT.with_borrow(Vec::len), 100);
    }
}
