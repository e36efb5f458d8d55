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
            if !bytes.is_empty() {
                self.injure(&mut bytes);
            }
        }
        bytes
    }

    fn injure(&mut self, bytes: &mut Vec<u8>) {
        let at = self.place(bytes);
        match self.below(11) {
            0 => bytes[at] ^= 1 << self.below(8),
            1 => bytes[at] = self.next() as u8,
            2 => bytes.truncate(at),
            3 => _ = bytes.drain(at..self.end_of_chunk(bytes, at)),
            4 => {
                let again = bytes[at..self.end_of_chunk(bytes, at)].to_vec();
                bytes.splice(at..at, again);
            }
            5 => {
                let noise: Vec<u8> = (0..=self.below(16)).map(|_| self.next() as u8).collect();
                bytes.splice(at..at, noise);
            }
            6 => {
                // A chunk from elsewhere over what is here.
                let from = self.place(bytes);
                let chunk = bytes[from..self.end_of_chunk(bytes, from)].to_vec();
                let end = (at + chunk.len()).min(bytes.len());
                bytes.splice(at..end, chunk);
            }
            7 => self.replace_number(bytes, at),
            8 => self.change_number(bytes, at),
            9 => self.replace_word(bytes, at),
            _ => self.change_digits(bytes, at),
        }
    }

    /// A place in `bytes`, mostly in the header.
    fn place(&mut self, bytes: &[u8]) -> usize {
        let reach = if self.below(4) == 0 { bytes.len() } else { bytes.len().min(600) };
        self.below(reach)
    }

    fn end_of_chunk(&mut self, bytes: &[u8], at: usize) -> usize {
        (at + 1 + self.below(40)).min(bytes.len())
    }

    /// Puts one of [`NUMBERS`] over the field around `at`.
    fn replace_number(&mut self, bytes: &mut [u8], at: usize) {
        let field = self.field(bytes, at);
        let mut number = NUMBERS[self.below(NUMBERS.len())][..field.len()].to_vec();
        if self.below(2) == 0 {
            number.reverse();
        }
        field.copy_from_slice(&number);
    }

    /// Makes the whole number around `at`, a length perhaps, a little or much larger or smaller.
    fn change_number(&mut self, bytes: &mut [u8], at: usize) {
        let field = self.field(bytes, at);
        let big = self.below(2) == 0;
        let mut number = [0; 8];
        number[..field.len()].copy_from_slice(field);
        if big {
            number[..field.len()].reverse();
        }
        let changed = self.changed(u64::from_le_bytes(number)).to_le_bytes();
        field.copy_from_slice(&changed[..field.len()]);
        if big {
            field.reverse();
        }
    }

    /// The two, four or eight bytes around `at`, as far as there are so many.
    fn field<'a>(&mut self, bytes: &'a mut [u8], at: usize) -> &'a mut [u8] {
        let size = [2, 4, 8][self.below(3)];
        let start = at / size * size;
        let end = (start + size).min(bytes.len());
        &mut bytes[start..end]
    }

    fn changed(&mut self, number: u64) -> u64 {
        match self.below(5) {
            0 => number.wrapping_add(1),
            1 => number.wrapping_sub(1),
            2 => number.wrapping_mul(2),
            3 => number / 2,
            _ => number.wrapping_add(1 << self.below(40)),
        }
    }

    /// Puts one of [`WORDS`] in place of the word around `at`.
    fn replace_word(&mut self, bytes: &mut Vec<u8>, at: usize) {
        let is_end = |byte: &u8| b" \n(),=:".contains(byte);
        let start = bytes[..at].iter().rposition(is_end).map_or(0, |end| end + 1);
        let end = bytes[at..].iter().position(is_end).map_or(bytes.len(), |end| at + end).max(start);
        // Binary data have no words.
        let end = end.min(start + 40);
        let word = WORDS[self.below(WORDS.len())];
        bytes.splice(start..end, word.bytes());
    }

    /// Changes the next number of digits from `at` on, if there is one.
    fn change_digits(&mut self, bytes: &mut Vec<u8>, at: usize) {
        let Some(start) = bytes[at..].iter().position(u8::is_ascii_digit).map(|ahead| at + ahead) else {
            return;
        };
        let digits = bytes[start..].iter().take(18).take_while(|byte| byte.is_ascii_digit());
        let (number, end) =
            digits.fold((0, start), |(n, end), byte| (10 * n + u64::from(byte - b'0'), end + 1));
        let sign = ["", "-", "0.", "1e"][self.below(4)];
        let changed = format!("{sign}{}", self.changed(number));
        bytes.splice(start..end, changed.bytes());
    }
}
