//! Records of an event file: each with its length, and both with a checksum.
//!
//! ```text
//! u64 length | u32 checksum of the length | length bytes | u32 checksum of these, all little-endian
//! ```

/// Bytes before the content, and after it.
const HEAD: usize = 12;
const TAIL: usize = 4;

/// The record of a content.
pub(crate) fn framed(content: &[u8]) -> Vec<u8> {
    let length = (content.len() as u64).to_le_bytes();
    let mut record = Vec::with_capacity(HEAD + content.len() + TAIL);
    record.extend(length);
    record.extend(masked(checksum(&length)).to_le_bytes());
    record.extend(content);
    record.extend(masked(checksum(content)).to_le_bytes());
    record
}

/// The content of the record that `bytes` begin with, and how long the record is; none where it is cut or damaged.
pub(crate) fn first(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let head = bytes.get(..HEAD)?;
    let length = u64::from_le_bytes(head[..8].try_into().ok()?);
    let stored = |bytes: &[u8]| bytes.try_into().ok().map(u32::from_le_bytes);
    if stored(&head[8..])? != masked(checksum(&head[..8])) {
        return None;
    }
    let end = HEAD.checked_add(usize::try_from(length).ok()?)?;
    let content = bytes.get(HEAD..end)?;
    let whole = stored(bytes.get(end..end.checked_add(TAIL)?)?)? == masked(checksum(content));
    whole.then_some((content, end + TAIL))
}

/// A checksum of bytes that hold checksums would be weak; the format turns it around and adds a constant.
fn masked(checksum: u32) -> u32 {
    checksum.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32C (Castagnoli, RFC 3720).
fn checksum(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| TABLE[usize::from(crc as u8 ^ byte)] ^ (crc >> 8))
}

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let (mut crc, mut bit) = (byte as u32, 0);
        while bit < 8 {
            crc = if crc & 1 == 1 { 0x82f6_3b78 ^ (crc >> 1) } else { crc >> 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_rfc_3720_and_masked_as_tensorboard_does() {
        let ascending: Vec<u8> = (0..32).collect();
        // The first three are in RFC 3720, B.4, the fourth is the check value of the CRC catalogue; masked by TensorBoard 2.21's
        // `masked_crc32c`.
        for (bytes, plain, turned) in [
            (&[0; 32][..], 0x8a91_36aa, 0x0fd7_fffa),
            (&[0xff; 32], 0x62a8_ab43, 0xf909_b029),
            (&ascending, 0x46dd_794e, 0x951f_7892),
            (b"123456789", 0xe306_9283, 0xc78a_b0e5),
            (b"", 0, 0xa282_ead8),
        ] {
            assert_eq!((checksum(bytes), masked(checksum(bytes))), (plain, turned), "{bytes:?}");
        }
    }

    #[test]
    fn every_cut_and_every_flipped_bit_is_seen() {
        let record = framed(b"some content");
        assert_eq!(first(&record), Some((&b"some content"[..], record.len())));
        assert_eq!(first(&[&record[..], b"more"].concat()), Some((&b"some content"[..], record.len())));
        for length in 0..record.len() {
            assert_eq!(first(&record[..length]), None, "cut to {length}");
        }
        for bit in 0..8 * record.len() {
            let mut flipped = record.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(first(&flipped), None, "bit {bit}");
        }
    }
}
