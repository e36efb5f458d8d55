//! Seeded damage.

/// Numbers that headers seldom hold and readers seldom expect.
const NUMBERS: [[u8; 8]; 10] = [
    0i64.to_le_bytes(),
    (-1i64).to_le_bytes(),
    i64::MAX.to_le_bytes(),
    i64::MIN.to_le_bytes(),
    0x7fff_7fff_7fff_7fff_i64.to_le_bytes(),
    0x0001_0000_0001_0000_i64.to_le_bytes(),
    f64::NAN.to_le_bytes(),
    f64::INFINITY.to_le_bytes(),
    [0, 0, 0xc0, 0x7f, 0, 0, 0xc0, 0x7f], // two NaN in f32
    [0, 0, 0x80, 0xff, 0, 0, 0x80, 0xff], // two -inf in f32
];

/// The same for headers of text.
const WORDS: [&str; 10] =
    ["0", "-1", "99999999999999999999", "4294967296", "nan", "inf", "1e400", "", "(", "../../etc/passwd"];

/// Random numbers of one seed (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014).
pub(crate) struct Generator(u64);

impl Generator {
    pub(crate) fn new(seed: u64) -> Self {
        Generator(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    /// `bytes` with one to four injuries, most of them in the first 600 bytes, where headers are.
    pub(crate) fn mutated(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        for _ in 0..=self.below(4) {
            self.injure(&mut bytes);
        }
        bytes
    }

    fn injure(&mut self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let reach = if self.below(4) == 0 { bytes.len() } else { bytes.len().min(600) };
        let at = self.below(reach);
        match self.below(8) {
            0 => bytes[at] ^= 1 << self.below(8),
            1 => bytes[at] = self.next() as u8,
            2 => bytes.truncate(at),
            3 => {
                let end = (at + 1 + self.below(40)).min(bytes.len());
                bytes.drain(at..end);
            }
            4 => {
                let end = (at + 1 + self.below(40)).min(bytes.len());
                let again = bytes[at..end].to_vec();
                bytes.splice(at..at, again);
            }
            5 => {
                let noise: Vec<u8> = (0..=self.below(16)).map(|_| self.next() as u8).collect();
                bytes.splice(at..at, noise);
            }
            6 => {
                let size = [2, 4, 8][self.below(3)];
                let at = at / size * size;
                let end = (at + size).min(bytes.len());
                let mut number = NUMBERS[self.below(NUMBERS.len())][..size].to_vec();
                if self.below(2) == 0 {
                    number.reverse();
                }
                bytes[at..end].copy_from_slice(&number[..end - at]);
            }
            _ => self.replace_word(bytes, at),
        }
    }

    /// Puts a word in place of the one around `at`.
    fn replace_word(&mut self, bytes: &mut Vec<u8>, at: usize) {
        let is_end = |byte: &u8| b" \n(),=:".contains(byte);
        let start = bytes[..at].iter().rposition(is_end).map_or(0, |end| end + 1);
        let end = bytes[at..].iter().position(is_end).map_or(bytes.len(), |end| at + end).max(start);
        // Binary data have no words.
        let end = end.min(start + 40);
        let word = WORDS[self.below(WORDS.len())];
        bytes.splice(start..end, word.bytes());
    }
}
