//! Work space that is kept between calls.
//!
//! A training step asks for the same large buffers again and again. Memory fresh from the system costs a page fault every
//! 4 KiB, which can exceed the work done in it; so buffers are kept, the large ones on huge pages where the system has them.

use super::element::Element;
use memmap2::MmapMut;
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard};

/// A cache line: buffers begin with one, so that no aligned vector lies across two.
#[repr(C, align(64))]
#[derive(Clone, Copy)]
struct Line([u8; LINE]);
/// Its bytes.
pub(super) const LINE: usize = 64;

/// Lines of a huge page, and of the smallest block that is made of them.
const HUGE: usize = (2 << 20) / LINE;
const LARGE: usize = 4 * HUGE;

/// Lines of the block that serves a request: a large one has room for a frame around the next image as well; what is never
/// written takes no memory.
fn capacity(lines: usize) -> usize {
    if lines < LARGE { lines } else { (lines + lines / 8).next_multiple_of(HUGE) }
}

/// Memory of whole lines; its contents are whatever was left in it.
enum Block {
    Small(Vec<Line>),
    /// Begins with the first huge page of the map.
    Large {
        map: MmapMut,
        lines: usize,
    },
}

impl Block {
    fn new(lines: usize) -> Self {
        if lines < LARGE {
            return Block::Small(vec![Line([0; LINE]); lines]);
        }
        let lines = capacity(lines);
        match MmapMut::map_anon((lines + HUGE) * LINE) {
            Ok(map) => {
                // Only a wish: without huge pages it is slower, not wrong.
                #[cfg(target_os = "linux")]
                let _ = map.advise(memmap2::Advice::HugePage);
                Block::Large { map, lines }
            }
            // The allocator ends the process with a message of its own where it has no memory either.
            Err(_) => Block::Small(vec![Line([0; LINE]); lines]),
        }
    }

    fn lines(&self) -> usize {
        match self {
            Block::Small(lines) => lines.len(),
            Block::Large { lines, .. } => *lines,
        }
    }

    fn start(&self) -> *const u8 {
        match self {
            Block::Small(lines) => lines.as_ptr().cast(),
            Block::Large { map, .. } => map.as_ptr().wrapping_add(map.as_ptr().align_offset(HUGE * LINE)),
        }
    }
}

/// Blocks that nobody uses, by their size; those that came back last are the last of their size.
struct Idle {
    blocks: BTreeMap<usize, Vec<(u64, Block)>>,
    count: usize,
    /// Counts returns: the lower, the longer idle.
    clock: u64,
    /// Lines of large blocks: idle, in use, and the most that were ever in use at once.
    idle: usize,
    used: usize,
    most_used: usize,
}

/// Blocks that are kept at the most.
const KEPT: usize = 512;

static IDLE: Mutex<Idle> = Mutex::new(Idle::new());

fn idle() -> MutexGuard<'static, Idle> {
    IDLE.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Gives back to the system what nobody uses.
pub(crate) fn release() {
    idle().release();
}

fn large(lines: usize) -> usize {
    if lines < LARGE { 0 } else { lines }
}

impl Idle {
    const fn new() -> Self {
        Idle { blocks: BTreeMap::new(), count: 0, clock: 0, idle: 0, used: 0, most_used: 0 }
    }

    /// The smallest block of that many lines that is not much larger: a large one that serves a small request is missed by
    /// the next large one. Where there is none, makes room for a new one.
    fn take(&mut self, lines: usize) -> Option<Block> {
        let limit = lines + lines / 8 * 3 + 1024;
        let size = self.blocks.range(lines..=limit).next().map(|(size, _)| *size);
        let block = size.and_then(|size| self.remove(size, Vec::pop));
        let taken = large(block.as_ref().map_or(capacity(lines), Block::lines));
        self.used += taken;
        self.most_used = self.most_used.max(self.used);
        // The process may hold little more than what was once in use.
        let limit = self.most_used / 8 * 9;
        while taken > 0 && self.used + self.idle > limit && self.give_back(self.used + self.idle - limit) {}
        block
    }

    /// Takes back a block that was in use.
    fn put(&mut self, block: Block) {
        let lines = block.lines();
        self.used = self.used.saturating_sub(large(lines));
        self.idle += large(lines);
        self.clock += 1;
        self.blocks.entry(lines).or_default().push((self.clock, block));
        self.count += 1;
        if self.count > KEPT {
            self.drop_oldest();
        }
    }

    /// Gives a large block back to the system: the smallest that has that many lines, else the largest.
    fn give_back(&mut self, lines: usize) -> bool {
        let size =
            self.blocks.range(lines.max(LARGE)..).next().or_else(|| self.blocks.range(LARGE..).next_back());
        size.map(|(size, _)| *size)
            .is_some_and(|size| self.remove(size, |blocks| Some(blocks.remove(0))).is_some())
    }

    fn release(&mut self) {
        *self = Idle { clock: self.clock, used: self.used, most_used: self.used, ..Idle::new() };
    }

    /// Drops the block that has been idle for longest.
    fn drop_oldest(&mut self) {
        let oldest = |(size, blocks): (&usize, &Vec<(u64, Block)>)| Some((blocks.first()?.0, *size));
        if let Some((_, size)) = self.blocks.iter().filter_map(oldest).min() {
            self.remove(size, |blocks| Some(blocks.remove(0)));
        }
    }

    /// Removes one of the blocks of a size.
    fn remove(
        &mut self,
        size: usize,
        choose: impl FnOnce(&mut Vec<(u64, Block)>) -> Option<(u64, Block)>,
    ) -> Option<Block> {
        let blocks = self.blocks.get_mut(&size)?;
        let (_, block) = choose(blocks)?;
        if blocks.is_empty() {
            self.blocks.remove(&size);
        }
        self.count -= 1;
        self.idle -= large(size);
        Some(block)
    }
}

/// A buffer with unspecified (but initialised) contents, returned to the pool when dropped.
pub(crate) struct Scratch<T: Element> {
    block: Option<Block>,
    start: *mut T,
    len: usize,
    values: PhantomData<T>,
}

// SAFETY: a buffer owns its block; elements are plain data.
unsafe impl<T: Element> Send for Scratch<T> {}
// SAFETY: likewise; shared access only reads.
unsafe impl<T: Element> Sync for Scratch<T> {}

impl<T: Element> Scratch<T> {
    /// A buffer of that many values: a kept one that fits, else a new one.
    pub(crate) fn take(len: usize) -> Self {
        let lines = (len * size_of::<T>()).div_ceil(LINE);
        let block = idle().take(lines);
        let block = block.unwrap_or_else(|| Block::new(lines));
        let start = block.start().cast_mut().cast();
        Scratch { block: Some(block), start, len, values: PhantomData }
    }
}

impl<T: Element> Drop for Scratch<T> {
    fn drop(&mut self) {
        if let Some(block) = self.block.take() {
            idle().put(block);
        }
    }
}

impl<T: Element> Deref for Scratch<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        // SAFETY: the block holds `len` values at least from there on, aligned for them and initialised (zero, or what was
        // written before); an element is plain data of which every bit pattern is valid. A block does not move.
        unsafe { std::slice::from_raw_parts(self.start, self.len) }
    }
}

impl<T: Element> DerefMut for Scratch<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above, and borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_of_every_size_are_aligned_and_separate() {
        let sizes = [0, 1, 15, 4096, 300_000, 3 << 20, 5 << 20];
        let mut buffers: Vec<Scratch<f32>> = sizes.iter().map(|size| Scratch::take(*size)).collect();
        for (index, buffer) in buffers.iter_mut().enumerate() {
            assert_eq!(buffer.as_ptr() as usize % LINE, 0);
            buffer.fill(index as f32);
        }
        for (index, (buffer, size)) in buffers.iter().zip(sizes).enumerate() {
            assert!(buffer.len() == size && buffer.iter().all(|value| *value == index as f32));
        }
    }

    #[test]
    fn a_block_serves_its_own_size_and_no_much_smaller_one() {
        let mut idle = Idle::new();
        idle.put(Block::new(100_000));
        assert!(idle.take(50_000).is_none());
        assert_eq!(idle.take(90_000).unwrap().lines(), 100_000);
        assert!(idle.take(90_000).is_none());
    }

    #[test]
    fn memory_that_was_once_in_use_is_kept_and_no_more() {
        let mut idle = Idle::new();
        assert!(idle.take(2 * LARGE).is_none() && idle.take(2 * LARGE).is_none());
        idle.put(Block::new(2 * LARGE));
        idle.put(Block::new(2 * LARGE));
        assert_eq!(idle.used, 0);
        // One of the two goes to the system in place of a block of another size, and so on.
        let left = |idle: &Idle| idle.blocks.values().map(Vec::len).sum::<usize>();
        assert!(idle.take(LARGE).is_none() && left(&idle) == 1);
        assert!(idle.take(3 * LARGE).is_none() && left(&idle) == 0);
        idle.put(Block::new(LARGE));
        idle.release();
        assert_eq!((left(&idle), idle.idle, idle.most_used), (0, 0, idle.used));
    }
}
