//! The zip archives that PyTorch writes: entries that are stored as they are.
//!
//! An archive is read strictly. It has one directory at its end, and every entry lies once in it, before the directory, apart
//! from all others, with the same name and size in both of its headers. What torch.save never writes is refused: compression,
//! encryption, links, folders, several disks, names that lead elsewhere, and anything after the end.

use crate::Parsed;
use std::collections::BTreeMap;
use std::ops::Range;

const LOCAL: u32 = 0x0403_4b50;
const CENTRAL: u32 = 0x0201_4b50;
const END: u32 = 0x0605_4b50;
const END_64: u32 = 0x0606_4b50;
const LOCATOR_64: u32 = 0x0706_4b50;

const LOCAL_BYTES: usize = 30;
const CENTRAL_BYTES: usize = 46;
const END_BYTES: usize = 22;
const END_64_BYTES: usize = 56;
const LOCATOR_64_BYTES: usize = 20;

/// Flags that PyTorch sets: sizes follow the content, the name is UTF-8.
const SIZES_FOLLOW: u16 = 1 << 3;
const UTF_8: u16 = 1 << 11;
/// Flags of encrypted entries and directories.
const ENCRYPTED: u16 = 1 | 1 << 6 | 1 << 13;

/// The type of a file in the upper half of Unix's attributes.
const FILE_TYPE: u32 = 0xf000;
const SYMBOLIC_LINK: u32 = 0xa000;

/// An archive in memory.
pub(crate) struct Archive<'a> {
    bytes: &'a [u8],
    entries: BTreeMap<String, Entry>,
}

/// Where an entry's content lies.
struct Entry {
    content: Range<usize>,
    crc: u32,
}

/// Where the directory lies.
struct Directory {
    entries: u64,
    range: Range<usize>,
}

/// What a header of the directory says.
struct Header {
    flags: u16,
    crc: u32,
    size: u64,
    local: u64,
}

impl<'a> Archive<'a> {
    /// Reads the directory and checks it against the entries.
    pub(crate) fn of(bytes: &'a [u8]) -> Parsed<Self> {
        let directory = directory(bytes)
            .map_err(|problem| format!("is no zip archive as PyTorch writes it: {problem}"))?;
        let mut archive = Archive { bytes, entries: BTreeMap::new() };
        let mut extents = Vec::new();
        let mut at = directory.range.start;
        for _ in 0..directory.entries {
            let (name, header, end) = central(bytes, at, directory.range.end)?;
            at = end;
            let content = content(bytes, &name, &header, directory.range.start)
                .map_err(|problem| format!("has a damaged or forged zip entry {name:?}: {problem}"))?;
            extents.push((header.local as usize..content.end, name.clone()));
            if archive.entries.insert(name.clone(), Entry { content, crc: header.crc }).is_some() {
                return Err(format!("has two zip entries {name:?}: which one is meant, nobody can say"));
            }
        }
        if at != directory.range.end {
            return Err("has a zip directory with more in it than its entries".to_owned());
        }
        extents.sort_by_key(|(extent, _)| extent.start);
        match extents.windows(2).find(|pair| pair[1].0.start < pair[0].0.end) {
            Some(pair) => Err(format!("has zip entries that overlap: {:?} and {:?}", pair[0].1, pair[1].1)),
            None => Ok(archive),
        }
    }

    /// The names of all entries, sorted.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// The content of an entry, where there is one of that name.
    pub(crate) fn content(&self, name: &str) -> Parsed<Option<&'a [u8]>> {
        let Some(Entry { content, crc }) = self.entries.get(name) else { return Ok(None) };
        let content = &self.bytes[content.clone()];
        match crc32fast::hash(content) == *crc {
            true => Ok(Some(content)),
            false => Err(format!(
                "is damaged: the checksum of {name:?} is not that of its content; copy the file anew"
            )),
        }
    }
}

/// Finds the directory from the end of the file.
fn directory(bytes: &[u8]) -> Parsed<Directory> {
    let end = bytes.len().checked_sub(END_BYTES).ok_or("it is cut short")?;
    if u32_at(bytes, end)? != END || u16_at(bytes, end + 20)? != 0 {
        return Err(
            "it does not end with its directory; it is cut short, or something was appended".to_owned()
        );
    }
    let small = [
        u64::from(u16_at(bytes, end + 4)?),
        u64::from(u16_at(bytes, end + 6)?),
        u64::from(u16_at(bytes, end + 8)?),
        u64::from(u16_at(bytes, end + 10)?),
        u64::from(u32_at(bytes, end + 12)?),
        u64::from(u32_at(bytes, end + 16)?),
    ];
    let (fields, until) = match end.checked_sub(LOCATOR_64_BYTES) {
        Some(locator) if u32_at(bytes, locator)? == LOCATOR_64 => {
            let found = u64_at(bytes, locator + 8)?;
            let end_64 = locator.checked_sub(END_64_BYTES).ok_or("its zip64 end is cut short")?;
            let disks = [u32_at(bytes, locator + 4)?, u32_at(bytes, locator + 16)?];
            if found != end_64 as u64 || u32_at(bytes, end_64)? != END_64 || disks[0] != 0 || disks[1] > 1 {
                return Err("its zip64 end is not where it says".to_owned());
            }
            if u64_at(bytes, end_64 + 4)? != (END_64_BYTES - 12) as u64 {
                return Err("its zip64 end has another size than it says".to_owned());
            }
            let large = [
                u64::from(u32_at(bytes, end_64 + 16)?),
                u64::from(u32_at(bytes, end_64 + 20)?),
                u64_at(bytes, end_64 + 24)?,
                u64_at(bytes, end_64 + 32)?,
                u64_at(bytes, end_64 + 40)?,
                u64_at(bytes, end_64 + 48)?,
            ];
            let full = [u64::from(u16::MAX), u64::from(u32::MAX)];
            let widths = [0, 0, 0, 0, 1, 1];
            let agree =
                (0..6).all(|field| small[field] == large[field] || small[field] == full[widths[field]]);
            if !agree {
                return Err("its zip64 end contradicts its end".to_owned());
            }
            (large, end_64)
        }
        _ => (small, end),
    };
    let [disk, first_disk, here, entries, size, start] = fields;
    if disk != 0 || first_disk != 0 || here != entries {
        return Err("it is a part of several".to_owned());
    }
    if start.checked_add(size) != Some(until as u64) {
        return Err("its directory is not where it says".to_owned());
    }
    Ok(Directory { entries, range: start as usize..until })
}

/// The entry of the directory at `at`: its name, what it says, and where it ends.
fn central(bytes: &[u8], at: usize, until: usize) -> Parsed<(String, Header, usize)> {
    let damaged = || "has a zip directory that is cut short or damaged".to_owned();
    let bytes = &bytes[..until];
    if u32_at(bytes, at)? != CENTRAL {
        return Err(damaged());
    }
    let lengths = [28, 30, 32].map(|field| u16_at(bytes, at + field).map(usize::from));
    let [name_bytes, extra_bytes, comment_bytes] = lengths;
    let (name_end, extra_bytes) = (at + CENTRAL_BYTES + name_bytes?, extra_bytes?);
    let end = name_end + extra_bytes + comment_bytes?;
    let name = bytes.get(at + CENTRAL_BYTES..name_end).ok_or_else(damaged)?;
    let extra = bytes.get(name_end..name_end + extra_bytes).ok_or_else(damaged)?;
    if end > until {
        return Err(damaged());
    }
    let name = std::str::from_utf8(name).map_err(|_| "has a zip entry whose name is no UTF-8".to_owned())?;
    check_name(name)?;
    let wrong =
        |problem: &str| Err(format!("has a zip entry {name:?} that {problem}; {}", crate::file::REMEDY));
    let flags = u16_at(bytes, at + 8)?;
    if flags & ENCRYPTED != 0 {
        return wrong("is encrypted");
    }
    if flags & !(SIZES_FOLLOW | UTF_8) != 0 {
        return wrong("has flags that PyTorch does not set");
    }
    if u16_at(bytes, at + 10)? != 0 {
        return wrong("is compressed, which torch.save does not do (TorchScript programs have such entries)");
    }
    if u32_at(bytes, at + 38)? >> 16 & FILE_TYPE == SYMBOLIC_LINK {
        return wrong("is a link");
    }
    if u16_at(bytes, at + 34)? != 0 {
        return wrong("lies on another disk");
    }
    let mut fields =
        [u32_at(bytes, at + 24)?, u32_at(bytes, at + 20)?, u32_at(bytes, at + 42)?].map(u64::from);
    wide(extra, &mut fields).map_err(|problem| format!("has a zip entry {name:?} whose {problem}"))?;
    let [size, packed, local] = fields;
    if size != packed {
        return wrong("has two sizes though it is not compressed");
    }
    Ok((name.to_owned(), Header { flags, crc: u32_at(bytes, at + 16)?, size, local }, end))
}

/// Takes the 64-bit values of those fields that are all ones from the extra data.
fn wide(extra: &[u8], fields: &mut [u64]) -> Parsed<()> {
    let mut large = None;
    let mut rest = extra;
    while !rest.is_empty() {
        let (kind, length) = (u16_at(rest, 0)?, usize::from(u16_at(rest, 2)?));
        let data = rest.get(4..4 + length).ok_or("extra data is cut short")?;
        if kind == 1 && large.replace(data).is_some() {
            return Err("zip64 data is there twice".to_owned());
        }
        rest = &rest[4 + length..];
    }
    let is_full = |field: &&mut u64| **field == u64::from(u32::MAX);
    let full: Vec<&mut u64> = fields.iter_mut().filter(is_full).collect();
    match large {
        None if full.is_empty() => Ok(()),
        Some(data) if data.len() == 8 * full.len() => {
            for (index, field) in full.into_iter().enumerate() {
                *field = u64_at(data, 8 * index)?;
            }
            Ok(())
        }
        _ => Err("zip64 data is not that of its fields".to_owned()),
    }
}

/// Where the content of an entry lies, by its own header, which must agree with the directory's.
fn content(bytes: &[u8], name: &str, header: &Header, until: usize) -> Parsed<Range<usize>> {
    let bytes = &bytes[..until];
    let outside = || "it lies outside of the file".to_owned();
    let local = usize::try_from(header.local).ok().filter(|local| *local < until).ok_or_else(outside)?;
    if u32_at(bytes, local)? != LOCAL {
        return Err("there is no entry where the directory says".to_owned());
    }
    let name_bytes = usize::from(u16_at(bytes, local + 26)?);
    let extra_bytes = usize::from(u16_at(bytes, local + 28)?);
    let start = local + LOCAL_BYTES + name_bytes + extra_bytes;
    let own = bytes.get(local + LOCAL_BYTES..local + LOCAL_BYTES + name_bytes).ok_or_else(outside)?;
    if own != name.as_bytes() {
        return Err("its own header has another name".to_owned());
    }
    if u16_at(bytes, local + 6)? != header.flags || u16_at(bytes, local + 8)? != 0 {
        return Err("its own header has other flags".to_owned());
    }
    let mut sizes = [u32_at(bytes, local + 22)?, u32_at(bytes, local + 18)?].map(u64::from);
    let extra = bytes.get(start - extra_bytes..start).ok_or_else(outside)?;
    wide(extra, &mut sizes)?;
    let crc = u32_at(bytes, local + 14)?;
    let follows = header.flags & SIZES_FOLLOW != 0 && sizes == [0, 0] && crc == 0;
    if !follows && (sizes != [header.size; 2] || crc != header.crc) {
        return Err("its own header has another size or checksum".to_owned());
    }
    let size = usize::try_from(header.size).map_err(|_| outside())?;
    let end = start.checked_add(size).filter(|end| *end <= until).ok_or_else(outside)?;
    Ok(start..end)
}

/// Nothing is unpacked here; a file with such names was made to harm those who unpack it.
fn check_name(name: &str) -> Parsed<()> {
    let wrong =
        |problem: &str| Err(format!("has a zip entry {name:?}, which {problem}; do not unpack this file"));
    let is_odd = |c: char| c.is_control() || c == '\\' || c == ':';
    match name {
        _ if name.starts_with('/') || name.starts_with('\\') => wrong("is an absolute name"),
        _ if name.split(['/', '\\']).any(|part| part == "..") => wrong("leads out of its folder"),
        _ if name.contains(is_odd) => wrong("has characters that no such name has"),
        _ if name.split('/').any(|part| part.is_empty() || part == ".") => {
            wrong("is a folder or an empty name")
        }
        _ => Ok(()),
    }
}

fn at<const N: usize>(bytes: &[u8], at: usize) -> Parsed<[u8; N]> {
    let found = bytes.get(at..at.saturating_add(N)).and_then(|found| found.first_chunk());
    found.copied().ok_or_else(|| "is cut short or damaged: a zip header ends early".to_owned())
}

fn u16_at(bytes: &[u8], offset: usize) -> Parsed<u16> {
    at(bytes, offset).map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], offset: usize) -> Parsed<u32> {
    at(bytes, offset).map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], offset: usize) -> Parsed<u64> {
    at(bytes, offset).map(u64::from_le_bytes)
}
