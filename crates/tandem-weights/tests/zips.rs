//! Archives that would do harm to those who unpack them, or that contradict themselves.

use crate::archive::{Entry, archive, body, end, storage};
use crate::pickle::{dict, four, whole};
use std::path::Path;
use tandem_weights::of_bytes;

/// An honest pickle, as an entry.
fn pickle() -> Entry {
    Entry::new("a/data.pkl", &whole(&dict(&[("w", four())])))
}

/// Reads the archive, which must be refused with the reason; what was read of an honest one is known.
fn refused(what: &str, bytes: &[u8], reason: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("inner/evil.pth");
    std::fs::create_dir(folder.path().join("inner")).unwrap();
    std::fs::write(&path, bytes).unwrap();
    let message = tandem_weights::read(&path).expect_err(what).to_string();
    assert!(message.starts_with(&format!("{}: ", path.display())), "{what}: {message}");
    assert!(message.contains(reason), "{what}: no {reason:?} in {message:?}");
    // Nothing was unpacked, in the folder or above it.
    for (folder, count) in [(folder.path(), 1), (&folder.path().join("inner"), 1)] {
        assert_eq!(std::fs::read_dir(folder).unwrap().count(), count, "{what}");
    }
}

/// An archive whose storage is changed.
fn changed(change: impl Fn(&mut Entry)) -> Vec<u8> {
    let mut entry = storage();
    change(&mut entry);
    archive(&[pickle(), entry])
}

/// An archive with a further entry.
fn with(entry: Entry) -> Vec<u8> {
    archive(&[pickle(), storage(), entry])
}

#[test]
fn the_archive_of_these_tests_is_honest() {
    assert!(of_bytes(Path::new("a.pth"), &archive(&[pickle(), storage()])).is_ok());
    assert!(of_bytes(Path::new("a.pth"), &with(Entry::new("a/version", b"3\n"))).is_ok());
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    for (name, reason) in [
        ("../evil", "leads out of its folder"),
        ("a/../../evil", "leads out of its folder"),
        ("..\\evil", "leads out of its folder"),
        ("/tmp/evil", "is an absolute name"),
        ("\\evil", "is an absolute name"),
        ("C:/evil", "characters that no such name has"),
        ("a\\b", "characters that no such name has"),
        ("a\0b", "characters that no such name has"),
        ("a/", "is a folder or an empty name"),
        ("a//b", "is a folder or an empty name"),
        ("./a", "is a folder or an empty name"),
        ("", "is a folder or an empty name"),
    ] {
        refused(name, &with(Entry::new(name, b"x")), reason);
    }
}

#[test]
fn two_entries_of_one_name_are_refused() {
    refused("two pickles", &archive(&[pickle(), storage(), pickle()]), "has two zip entries \"a/data.pkl\"");
    let elsewhere = Entry::new("b/data.pkl", &whole(b"N"));
    refused("two folders", &with(elsewhere), "needs one entry NAME/data.pkl");
    refused("no pickle", &archive(&[storage()]), "needs one entry NAME/data.pkl");
    refused("TorchScript", &with(Entry::new("a/code/net.py", b"")), "TorchScript");
    refused("no entry", &archive(&[]), "is a zip archive, but not one of torch.save");
}

#[test]
fn what_pytorch_does_not_write_is_refused() {
    refused(
        "a compressed entry",
        &changed(|entry| entry.method = 8),
        "is compressed, which torch.save does not do",
    );
    let bomb = changed(|entry| (entry.method, entry.sizes) = (8, [u32::MAX - 1, 16]));
    refused("a zip bomb", &bomb, "is compressed, which torch.save does not do");
    for flag in [1, 1 << 6, 1 << 13] {
        refused("an encrypted entry", &changed(|entry| entry.flags = flag), "is encrypted");
    }
    refused("a patched entry", &changed(|entry| entry.flags = 1 << 5), "has flags that PyTorch does not set");
    refused("a link", &changed(|entry| entry.attributes = 0o120_777 << 16), "is a link");
    let other = Entry::new("a/byteorder", b"big");
    refused("another order of bytes", &with(other), "another order of bytes");
}

#[test]
fn sizes_that_lie_are_refused() {
    let outside = "it lies outside of the file";
    let sizes = |size: u32| changed(move |entry| (entry.sizes, entry.local_sizes) = ([size; 2], [size; 2]));
    refused("a size beyond the file", &sizes(1 << 30), outside);
    refused("a size into the directory", &sizes(17), outside);
    refused(
        "two sizes",
        &changed(|entry| entry.sizes = [16, 8]),
        "has two sizes though it is not compressed",
    );
    refused(
        "another size in its own header",
        &changed(|entry| entry.local_sizes = [8; 2]),
        "has another size or checksum",
    );
    let local = |entry: &mut Entry| entry.local_name = "b/data/0".to_owned();
    refused("another name in its own header", &changed(local), "its own header has another name");
    let nowhere = |entry: &mut Entry| entry.offset = Some(7);
    refused("a place without an entry", &changed(nowhere), "there is no entry where the directory says");
    refused("a place beyond the file", &changed(|entry| entry.offset = Some(1 << 30)), outside);
    let damaged = changed(|entry| entry.content[0] ^= 1);
    refused("another content", &damaged, "the checksum of \"a/data/0\" is not that of its content");
}

#[test]
fn entries_that_overlap_are_refused() {
    // A second name for what the first entry holds: its header lies within the first entry's content.
    let inner = archive(&[storage()]);
    let outer = Entry::new("a/data/1", &inner);
    let first = body(&[pickle()]).1 as u32;
    let mut hidden = storage();
    hidden.offset = Some(first + 30 + outer.name.len() as u32);
    let (mut bytes, start) = body(&[pickle(), outer, hidden]);
    let size = (bytes.len() - start) as u32;
    bytes.extend(end(3, 3, size, start as u32));
    refused("an entry within another", &bytes, "has zip entries that overlap: \"a/data/1\" and \"a/data/0\"");
}

#[test]
fn directories_that_lie_are_refused() {
    let (entries, start) = body(&[pickle(), storage()]);
    let size = (entries.len() - start) as u32;
    let start = start as u32;
    let ended = |end: Vec<u8>| [&entries[..], &end].concat();
    refused("fewer entries than there are", &ended(end(1, 1, size, start)), "more in it than its entries");
    refused("more entries than there are", &ended(end(3, 3, size, start)), "zip");
    refused("one of several disks", &ended(end(1, 2, size, start)), "a part of several");
    refused("a directory elsewhere", &ended(end(2, 2, size, start - 1)), "not where it says");
    refused("a directory beyond the file", &ended(end(2, 2, u32::MAX, u32::MAX)), "not where it says");
    let whole = archive(&[pickle(), storage()]);
    refused("something appended", &[&whole[..], b"x"].concat(), "something was appended");
    refused("something before it", &[b"PK", &whole[..]].concat(), "not where it says");
    let mut comment = whole.clone();
    let last = comment.len() - 2;
    comment[last] = 1;
    comment.push(b'x');
    refused("a comment", &comment, "something was appended");
}

#[test]
fn zip64_that_lies_is_refused() {
    let wide = |values: &[u64]| {
        let data: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        [&[1, 0][..], &(data.len() as u16).to_le_bytes(), &data].concat()
    };
    let full = [u32::MAX; 2];
    refused("no 64-bit sizes", &changed(|entry| entry.sizes = full), "zip64 data is not that of its fields");
    let huge = changed(|entry| (entry.sizes, entry.extra) = (full, wide(&[1 << 60, 1 << 60])));
    refused("sizes of 2^60", &huge, "has another size or checksum");
    let differing = changed(|entry| (entry.sizes, entry.extra) = (full, wide(&[16, 1 << 60])));
    refused("two 64-bit sizes", &differing, "has two sizes");
    let needless = changed(|entry| entry.extra = wide(&[16, 16]));
    refused("64-bit sizes that nothing needs", &needless, "zip64 data is not that of its fields");
    refused(
        "extra data that is cut",
        &changed(|entry| entry.extra = vec![1, 0, 16, 0]),
        "extra data is cut short",
    );
    let twice =
        changed(|entry| (entry.sizes, entry.extra) = (full, [wide(&[16, 16]), wide(&[16, 16])].concat()));
    refused("two sets of sizes", &twice, "zip64 data is there twice");

    let (entries, start) = body(&[pickle(), storage()]);
    let size = entries.len() - start;
    let ended = |count: u64, claimed: u64, place: u64| {
        let mut bytes = entries.clone();
        let at = bytes.len() as u64;
        bytes.extend(b"PK\x06\x06\x2c\0\0\0\0\0\0\0\x1e\x03\x2d\0\0\0\0\0\0\0\0\0");
        [count, count, size as u64, claimed].iter().for_each(|value| bytes.extend(value.to_le_bytes()));
        bytes.extend(b"PK\x06\x07\0\0\0\0");
        bytes.extend((at + place).to_le_bytes());
        bytes.extend(1u32.to_le_bytes());
        bytes.extend(end(2, 2, size as u32, start as u32));
        bytes
    };
    assert!(of_bytes(Path::new("a.pth"), &ended(2, start as u64, 0)).is_ok());
    refused("another count", &ended(1 << 40, start as u64, 0), "its zip64 end contradicts its end");
    refused("another place", &ended(2, 1 << 60, 0), "its zip64 end contradicts its end");
    refused("an end elsewhere", &ended(2, start as u64, 1), "its zip64 end is not where it says");
}
