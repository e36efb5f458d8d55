//! Memory in two halves: one is filled while what lies in the other is still read.

/// Places begin at multiples of so many bytes.
const ALIGNED: usize = 64;

/// What of the memory is taken.
#[derive(Debug)]
pub(crate) struct Halves {
    /// Bytes of a half.
    half: usize,
    /// The half that is filled.
    current: usize,
    /// Bytes of it that are taken.
    used: usize,
}

/// A place for some bytes.
#[derive(Debug, PartialEq)]
pub(crate) struct Place {
    pub(crate) first: usize,
    pub(crate) len: usize,
    /// The half that was filled until now, where this place is the first one of the other half: what lies there is over-written.
    pub(crate) left: Option<usize>,
}

impl Halves {
    pub(crate) fn new(half: usize) -> Self {
        Halves { half: half.next_multiple_of(ALIGNED), current: 0, used: 0 }
    }

    /// Bytes of both.
    pub(crate) fn bytes(&self) -> usize {
        2 * self.half
    }

    /// The place of so many bytes, or of as many of them as are left in this half.
    pub(crate) fn take(&mut self, bytes: usize) -> Place {
        let mut left = None;
        if self.used == self.half {
            left = Some(self.current);
            (self.current, self.used) = (1 - self.current, 0);
        }
        let len = bytes.min(self.half - self.used);
        let first = self.current * self.half + self.used;
        self.used = (self.used + len).next_multiple_of(ALIGNED);
        Place { first, len, left }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tandem_random::Draws;

    #[test]
    fn places_lie_side_by_side_until_a_half_is_full() {
        let mut halves = Halves::new(200);
        assert_eq!(halves.bytes(), 512);
        let place = |first, len, left| Place { first, len, left };
        assert_eq!(halves.take(10), place(0, 10, None));
        assert_eq!(halves.take(500), place(64, 192, None));
        assert_eq!(halves.take(308), place(256, 256, Some(0)));
        assert_eq!(halves.take(52), place(0, 52, Some(1)));
    }

    #[test]
    fn nothing_is_over_written_before_its_half_was_left_and_come_back_to() {
        let mut halves = Halves::new(1 << 12);
        let mut draws = Draws::new(3, "halves", 0, 0);
        // Since when each byte is in use: until its own half is begun again.
        let mut taken = vec![false; halves.bytes()];
        for _ in 0..2000 {
            let mut bytes = draws.below(6000);
            while bytes > 0 {
                let Place { first, len, left } = halves.take(bytes);
                assert!(len > 0 && first % ALIGNED == 0);
                if let Some(left) = left {
                    let begun = (1 - left) << 12;
                    taken[begun..begun + (1 << 12)].fill(false);
                }
                assert!(taken[first..first + len].iter().all(|taken| !taken));
                taken[first..first + len].fill(true);
                bytes -= len;
            }
        }
    }
}
