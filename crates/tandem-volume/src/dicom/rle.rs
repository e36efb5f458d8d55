//! RLE lossless, PS3.5 annex G: one segment for each byte of a value, the highest byte first, packed as PackBits.

/// Bytes of the header: how many segments there are, and where up to 15 begin.
const HEADER_BYTES: usize = 64;

/// Unpacks a frame of `pixels` values of `bytes` bytes into little-endian values; `None` where it is damaged.
pub(super) fn decode(frame: &[u8], bytes: usize, pixels: usize) -> Option<Vec<u8>> {
    let number = |n: usize| {
        let field = frame.get(4 * n..4 * n + 4)?;
        usize::try_from(u32::from_le_bytes(field.try_into().ok()?)).ok()
    };
    if frame.len() < HEADER_BYTES || number(0)? != bytes {
        return None;
    }
    let mut values = vec![0; pixels * bytes];
    for segment in 0..bytes {
        let start = number(1 + segment)?;
        let end = if segment + 1 < bytes { number(2 + segment)? } else { frame.len() };
        if start < HEADER_BYTES {
            return None;
        }
        let unpacked = unpack(frame.get(start..end)?, pixels)?;
        let place = bytes - 1 - segment;
        values.iter_mut().skip(place).step_by(bytes).zip(unpacked).for_each(|(value, byte)| *value = byte);
    }
    Some(values)
}

/// Unpacks exactly `count` bytes; what follows them pads the segment.
fn unpack(mut packed: &[u8], count: usize) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    while bytes.len() < count {
        let (&control, rest) = packed.split_first()?;
        packed = rest;
        match control {
            0..=127 => {
                let (literal, rest) = packed.split_at_checked(usize::from(control) + 1)?;
                bytes.extend_from_slice(literal);
                packed = rest;
            }
            128 => {}
            129..=255 => {
                let (&byte, rest) = packed.split_first()?;
                bytes.resize(bytes.len() + 257 - usize::from(control), byte);
                packed = rest;
            }
        }
    }
    (bytes.len() == count).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame of the given segments.
    fn frame(segments: &[&[u8]]) -> Vec<u8> {
        let mut frame = vec![0; HEADER_BYTES];
        frame[0] = segments.len() as u8;
        for (n, segment) in segments.iter().enumerate() {
            let start = frame.len() as u32;
            frame[4 * (n + 1)..4 * (n + 2)].copy_from_slice(&start.to_le_bytes());
            frame.extend_from_slice(segment);
        }
        frame
    }

    #[test]
    fn runs_and_literals_are_unpacked_and_bytes_interleaved() {
        // The standard's order: high bytes first. Literal 1 2, no operation, three times 7; low bytes five times 9.
        let frame = frame(&[&[1, 1, 2, 128, 254, 7], &[252, 9]]);
        assert_eq!(decode(&frame, 2, 5).unwrap(), [9, 1, 9, 2, 9, 7, 9, 7, 9, 7]);
    }

    #[test]
    fn damaged_frames_are_refused() {
        let whole = frame(&[&[252, 3], &[252, 9]]);
        assert!(decode(&whole, 2, 5).is_some());
        for (bytes, pixels) in [(1, 5), (2, 4), (2, 6)] {
            assert!(decode(&whole, bytes, pixels).is_none(), "{bytes} {pixels}");
        }
        for length in 0..whole.len() {
            assert!(decode(&whole[..length], 2, 5).is_none(), "{length}");
        }
        let mut inside = whole.clone();
        inside[4] = 4; // a segment in the header
        assert!(decode(&inside, 2, 5).is_none());
    }
}
