//! How activations are stored.

use half::bf16;

/// A stored number.
///
/// # Safety
/// Plain data without padding, of which every bit pattern is a value; at most 64 bytes aligned.
pub(crate) unsafe trait Element: Copy + Default + Send + Sync + 'static {
    /// Its value.
    fn to_f32(self) -> f32;
    /// The nearest that can be stored (ties to even).
    fn from_f32(value: f32) -> Self;
    /// The values themselves where they are stored as f32.
    fn as_f32(_: &[Self]) -> Option<&[f32]> {
        None
    }
}

// SAFETY: every bit pattern is an f32.
unsafe impl Element for f32 {
    #[inline(always)]
    fn to_f32(self) -> f32 {
        self
    }
    #[inline(always)]
    fn from_f32(value: f32) -> Self {
        value
    }
    fn as_f32(values: &[f32]) -> Option<&[f32]> {
        Some(values)
    }
}

// SAFETY: every bit pattern is a bf16, which is a transparent u16.
unsafe impl Element for bf16 {
    #[inline(always)]
    fn to_f32(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }
    // Written without branches, so that loops over it become vector code. A NaN stays one.
    #[inline(always)]
    fn from_f32(value: f32) -> Self {
        let bits = value.to_bits();
        let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
        let quiet = bits >> 16 | 0x40;
        bf16::from_bits(if value.is_nan() { quiet } else { rounded } as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_as_half_does() {
        let mut bits = 0u32;
        for _ in 0..100_000 {
            bits = bits.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let value = f32::from_bits(bits);
            let (ours, theirs) = (<bf16 as Element>::from_f32(value), bf16::from_f32(value));
            assert!(ours == theirs || value.is_nan() && ours.is_nan(), "{value}: {ours} {theirs}");
            assert!(ours.to_f32() == Element::to_f32(ours) || value.is_nan());
        }
    }
}
