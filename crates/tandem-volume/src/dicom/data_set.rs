//! The elements of a DICOM file (PS3.5 section 7, PS3.10 section 7), found without copying a value.
//!
//! Our own walk over them: it takes no memory but the file's own, so that a length that lies costs nothing, and of a
//! data set it needs little.
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

/// The number of an attribute: group and element.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Tag(pub(super) u16, pub(super) u16);

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "({:04X},{:04X})", self.0, self.1)
    }
}

/// Bytes before the first element: an empty preamble and the mark.
pub(super) const START_BYTES: usize = 132;

/// Where the voxels are.
pub(super) const PIXEL_DATA: Tag = Tag(0x7fe0, 0x0010);

/// How the elements are written and the voxels packed.
pub(super) const TRANSFER_SYNTAX: Tag = Tag(0x0002, 0x0010);
const ITEM: Tag = Tag(0xfffe, 0xe000);
const END_OF_ITEM: Tag = Tag(0xfffe, 0xe00d);
const END_OF_SEQUENCE: Tag = Tag(0xfffe, 0xe0dd);

/// The length of what lasts until its end is marked.
const UNDEFINED: u32 = u32::MAX;

/// Sequences in sequences: more than any standard object has, few enough for the stack.
const DEEPEST: usize = 32;

/// Kinds of values whose length has four bytes.
const LONG: [&[u8; 2]; 13] =
    [b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"];

/// Where the file holds its voxels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PixelData {
    /// One run of bytes.
    Plain(Range<usize>),
    /// A compressed frame in parts.
    Fragments(Vec<Range<usize>>),
}

/// The elements of a file up to its voxels; those inside sequences are passed over.
pub(super) struct DataSet<'a> {
    bytes: &'a [u8],
    values: BTreeMap<Tag, Range<usize>>,
    pub(super) transfer_syntax: String,
    pub(super) is_big_endian: bool,
    pub(super) pixel_data: Option<PixelData>,
    /// The last element, those that hold sequences among them.
    pub(super) last: Tag,
    /// Whether every element has a higher number than the one before, as the standard wants: where a length lies, what
    /// follows is no sequence of elements.
    pub(super) is_in_order: bool,
}

impl<'a> DataSet<'a> {
    /// Walks over the file `bytes`, which begin with preamble and mark; an error is where they stop making sense.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, usize> {
        let mut walk = Walk { bytes, at: START_BYTES, explicit: true, big: false };
        let values = BTreeMap::new();
        let mut set = DataSet {
            bytes,
            values,
            transfer_syntax: String::new(),
            is_big_endian: false,
            pixel_data: None,
            last: Tag(0, 0),
            is_in_order: true,
        };
        while walk.next_group() == Some(2) {
            set.take(&mut walk).ok_or(walk.at)?;
        }
        set.transfer_syntax = set.text(TRANSFER_SYNTAX).ok_or(START_BYTES)?;
        walk.explicit = set.transfer_syntax != "1.2.840.10008.1.2";
        walk.big = set.transfer_syntax == "1.2.840.10008.1.2.2";
        set.is_big_endian = walk.big;
        while walk.at < bytes.len() && set.pixel_data.is_none() {
            set.take(&mut walk).ok_or(walk.at)?;
        }
        Ok(set)
    }

    /// Takes in the next element.
    fn take(&mut self, walk: &mut Walk) -> Option<()> {
        let (tag, kind, length) = walk.element()?;
        if tag.0 == ITEM.0 {
            return None; // what only sequences hold
        }
        self.is_in_order &= tag > self.last;
        self.last = tag;
        match (tag, length) {
            (PIXEL_DATA, UNDEFINED) => self.pixel_data = Some(PixelData::Fragments(walk.fragments()?)),
            (_, UNDEFINED) => walk.pass_sequence(kind, 0)?,
            (PIXEL_DATA, _) => self.pixel_data = Some(PixelData::Plain(walk.value(length)?)),
            _ => {
                self.values.insert(tag, walk.value(length)?);
            }
        }
        Some(())
    }

    pub(super) fn has(&self, tag: Tag) -> bool {
        self.values.contains_key(&tag)
    }

    /// The text of an attribute without its padding; `None` where it is missing or empty.
    pub(super) fn text(&self, tag: Tag) -> Option<String> {
        let text = String::from_utf8_lossy(&self.bytes[self.values.get(&tag)?.clone()]);
        let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// The one 16-bit number of an attribute.
    pub(super) fn word(&self, tag: Tag) -> Option<u16> {
        let value = self.bytes[self.values.get(&tag)?.clone()].try_into().ok()?;
        Some(if self.is_big_endian { u16::from_be_bytes(value) } else { u16::from_le_bytes(value) })
    }
}

/// A place in a file, and how its elements are written.
struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Whether elements say the kind of their value.
    explicit: bool,
    big: bool,
}

impl Walk<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let array = self.bytes.get(self.at..)?.first_chunk().copied()?;
        self.at += N;
        Some(array)
    }

    fn u16(&mut self) -> Option<u16> {
        let bytes = self.array()?;
        Some(if self.big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    }

    fn u32(&mut self) -> Option<u32> {
        let bytes = self.array()?;
        Some(if self.big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }

    fn next_group(&self) -> Option<u16> {
        Walk { ..*self }.u16()
    }

    /// Tag, kind and length of the next element; behind it, its value.
    fn element(&mut self) -> Option<(Tag, [u8; 2], u32)> {
        let tag = Tag(self.u16()?, self.u16()?);
        // Items and their ends have no kind of value.
        if !self.explicit || tag.0 == ITEM.0 {
            return Some((tag, *b"  ", self.u32()?));
        }
        let kind = self.array()?;
        let length = if LONG.contains(&&kind) {
            self.u16()?;
            self.u32()?
        } else {
            self.u16()?.into()
        };
        Some((tag, kind, length))
    }

    /// The range of a value; the walk goes on behind it.
    fn value(&mut self, length: u32) -> Option<Range<usize>> {
        let end = self.at.checked_add(length as usize).filter(|&end| end <= self.bytes.len())?;
        Some(std::mem::replace(&mut self.at, end)..end)
    }

    /// The parts of a compressed frame, without the table of offsets before them.
    fn fragments(&mut self) -> Option<Vec<Range<usize>>> {
        let mut parts = Vec::new();
        loop {
            match self.element()? {
                (END_OF_SEQUENCE, ..) => break,
                (ITEM, _, length) => parts.push(self.value(length)?),
                _ => return None,
            }
        }
        (!parts.is_empty()).then(|| parts.split_off(1))
    }

    /// Goes behind a sequence whose end is marked; `kind` is that of its element.
    fn pass_sequence(&mut self, kind: [u8; 2], depth: usize) -> Option<()> {
        if depth == DEEPEST {
            return None;
        }
        // PS3.5 6.2.2: a sequence of unknown kind is written as in implicit little endian.
        let unknown = &kind == b"UN";
        let mut inside = Walk { explicit: self.explicit && !unknown, big: self.big && !unknown, ..*self };
        loop {
            match inside.element()? {
                (END_OF_SEQUENCE, ..) => break,
                (ITEM, _, UNDEFINED) => inside.pass_item(depth)?,
                (ITEM, _, length) => _ = inside.value(length)?,
                _ => return None,
            }
        }
        self.at = inside.at;
        Some(())
    }

    fn pass_item(&mut self, depth: usize) -> Option<()> {
        loop {
            match self.element()? {
                (END_OF_ITEM, ..) => return Some(()),
                (_, kind, UNDEFINED) => self.pass_sequence(kind, depth + 1)?,
                (_, _, length) => _ = self.value(length)?,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file in explicit little endian of the given elements behind its transfer syntax.
    fn file(elements: &[&[u8]]) -> Vec<u8> {
        let mut bytes = vec![0; 128];
        bytes.extend_from_slice(b"DICM\x02\0\x10\0UI\x14\x001.2.840.10008.1.2.1\0");
        elements.iter().for_each(|element| bytes.extend_from_slice(element));
        bytes
    }

    const BEFORE: &[u8] = b"\x08\0\x60\0CS\x02\0MR";
    const OPEN: &[u8] = b"\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff";
    const OPEN_ITEM: &[u8] = b"\xfe\xff\x00\xe0\xff\xff\xff\xff";
    const CLOSE_ITEM: &[u8] = b"\xfe\xff\x0d\xe0\0\0\0\0";
    const CLOSE: &[u8] = b"\xfe\xff\xdd\xe0\0\0\0\0";
    const AFTER: &[u8] = b"\x28\0\x10\0US\x02\0\x05\0";

    #[test]
    fn sequences_are_passed_over_however_their_ends_are_told() {
        let unknown: &[u8] = b"\x09\0\x01\0UN\0\0\xff\xff\xff\xff";
        let implicit: &[u8] = b"\x28\0\x10\0\x02\0\0\0\x09\0";
        let short_item: &[u8] = b"\xfe\xff\x00\xe0\x0a\0\0\0\x08\0\x60\0CS\x02\0CT";
        for inner in [
            vec![OPEN, CLOSE],
            vec![OPEN, OPEN_ITEM, b"\x28\0\x10\0US\x02\0\x09\0", CLOSE_ITEM, short_item, CLOSE],
            vec![OPEN, OPEN_ITEM, OPEN, OPEN_ITEM, CLOSE_ITEM, CLOSE, CLOSE_ITEM, CLOSE],
            vec![unknown, OPEN_ITEM, implicit, CLOSE_ITEM, CLOSE],
        ] {
            let bytes = file(&[&[BEFORE][..], &inner, &[AFTER]].concat());
            let set = DataSet::read(&bytes).unwrap();
            assert_eq!(set.text(Tag(0x0008, 0x0060)).as_deref(), Some("MR"));
            assert_eq!(set.word(Tag(0x0028, 0x0010)), Some(5));
        }
    }

    #[test]
    fn lengths_beyond_the_file_are_refused_where_they_stand() {
        let long: &[u8] = b"\x08\0\x60\0UT\0\0\xfe\xff\xff\xff";
        assert_eq!(DataSet::read(&file(&[BEFORE, long])).err(), Some(file(&[BEFORE, long]).len()));
    }

    #[test]
    fn sequences_without_end_leave_the_stack_whole() {
        let deep = file(&[OPEN, OPEN_ITEM].repeat(100_000));
        assert!(DataSet::read(&deep).is_err());
    }

    #[test]
    fn fragments_come_without_their_table() {
        let pixels: &[u8] = b"\xe0\x7f\x10\0OB\0\0\xff\xff\xff\xff";
        let item: &[u8] = b"\xfe\xff\x00\xe0\x02\0\0\0ab";
        let bytes = file(&[pixels, b"\xfe\xff\x00\xe0\0\0\0\0", item, item, CLOSE]);
        let Some(PixelData::Fragments(parts)) = DataSet::read(&bytes).unwrap().pixel_data else { panic!() };
        assert_eq!(parts.iter().map(|part| &bytes[part.clone()]).collect::<Vec<_>>(), [b"ab", b"ab"]);
        assert!(DataSet::read(&file(&[pixels, item, item])).is_err(), "no end");
    }
}
