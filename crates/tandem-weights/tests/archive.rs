//! Zip archives byte by byte, so that any field can lie.

/// An entry, with what its two headers say of it.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) name: String,
    /// The name in the entry's own header.
    pub(crate) local_name: String,
    pub(crate) content: Vec<u8>,
    pub(crate) flags: u16,
    pub(crate) method: u16,
    pub(crate) crc: u32,
    /// Size before and after packing, in the directory.
    pub(crate) sizes: [u32; 2],
    /// The same in the entry's own header.
    pub(crate) local_sizes: [u32; 2],
    pub(crate) attributes: u32,
    /// Extra data in the directory.
    pub(crate) extra: Vec<u8>,
    /// Where the entry lies, where that is a lie.
    pub(crate) offset: Option<u32>,
}

impl Entry {
    /// An honest one.
    pub(crate) fn new(name: &str, content: &[u8]) -> Self {
        let size = content.len() as u32;
        Entry {
            name: name.to_owned(),
            local_name: name.to_owned(),
            content: content.to_owned(),
            flags: 0,
            method: 0,
            crc: crc32fast::hash(content),
            sizes: [size; 2],
            local_sizes: [size; 2],
            attributes: 0,
            extra: Vec::new(),
            offset: None,
        }
    }
}

/// The end of an archive: entries here, all entries, size and place of the directory.
pub(crate) fn end(here: u16, all: u16, size: u32, start: u32) -> Vec<u8> {
    let mut bytes = b"PK\x05\x06\0\0\0\0".to_vec();
    [here, all].iter().for_each(|count| bytes.extend(count.to_le_bytes()));
    [size, start].iter().for_each(|value| bytes.extend(value.to_le_bytes()));
    bytes.extend([0, 0]);
    bytes
}

/// Entries and directory, and where the directory begins.
pub(crate) fn body(entries: &[Entry]) -> (Vec<u8>, usize) {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for entry in entries {
        let offset = entry.offset.unwrap_or(bytes.len() as u32);
        let ([size, packed], [local_size, local_packed]) = (entry.sizes, entry.local_sizes);
        bytes.extend(b"PK\x03\x04\0\0");
        for field in [entry.flags, entry.method, 0, 0] {
            bytes.extend(field.to_le_bytes());
        }
        for field in [entry.crc, local_packed, local_size] {
            bytes.extend(field.to_le_bytes());
        }
        bytes.extend((entry.local_name.len() as u16).to_le_bytes());
        bytes.extend([0, 0]);
        bytes.extend(entry.local_name.as_bytes());
        bytes.extend(&entry.content);

        directory.extend(b"PK\x01\x02\0\0\0\0");
        for field in [entry.flags, entry.method, 0, 0] {
            directory.extend(field.to_le_bytes());
        }
        for field in [entry.crc, packed, size] {
            directory.extend(field.to_le_bytes());
        }
        for field in [entry.name.len() as u16, entry.extra.len() as u16, 0, 0, 0] {
            directory.extend(field.to_le_bytes());
        }
        directory.extend(entry.attributes.to_le_bytes());
        directory.extend(offset.to_le_bytes());
        directory.extend(entry.name.as_bytes());
        directory.extend(&entry.extra);
    }
    let start = bytes.len();
    bytes.extend(directory);
    (bytes, start)
}

/// A whole archive.
pub(crate) fn archive(entries: &[Entry]) -> Vec<u8> {
    let (mut bytes, start) = body(entries);
    let count = entries.len() as u16;
    let size = (bytes.len() - start) as u32;
    bytes.extend(end(count, count, size, start as u32));
    bytes
}

/// A file of torch.save with this pickle, and a storage `0` of four f32 values: 1, 2, 3, 4.
pub(crate) fn file(pickle: &[u8]) -> Vec<u8> {
    archive(&[Entry::new("a/data.pkl", pickle), storage()])
}

/// The storage `0` of four f32 values.
pub(crate) fn storage() -> Entry {
    let values: Vec<u8> = [1f32, 2.0, 3.0, 4.0].iter().flat_map(|value| value.to_le_bytes()).collect();
    Entry::new("a/data/0", &values)
}
