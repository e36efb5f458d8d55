//! Exponential and logarithm without branches or calls, so that plain loops over voxels become vector code.

/// `ln 2 = LN_2_HIGH - LN_2_LOW`: the first has few bits, so that a whole multiple of it is exact.
const LN_2_HIGH: f32 = 355.0 / 512.0;
const LN_2_LOW: f32 = 2.121_944_4e-4;

/// Below this an exponential counts as 0; above its negative it would be infinite.
const SMALLEST: f32 = -87.0;

/// `exp(x)` for `x` up to 87, to 2 units in the last place; 0 below -87.
///
/// `x = n ln 2 + r` with a whole `n`; the polynomial is that of Cephes' `expf` (S. Moshier).
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    // Adding it pushes the fraction out of the mantissa and leaves `n` in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x - n * LN_2_HIGH + n * LN_2_LOW;
    let mut tail = 1.987_569_1e-4;
    for coefficient in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 0.166_666_65, 0.5] {
        tail = tail * r + coefficient;
    }
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23));
    let value = (tail * r * r + r + 1.0) * power;
    if x < SMALLEST { 0.0 } else { value }
}

/// `ln(x)` for positive normal `x`, to 2 units in the last place; else NaN.
///
/// `x = 2^e m` with `m` about 1; the polynomial is that of Cephes' `logf` (S. Moshier).
#[inline(always)]
pub fn ln(x: f32) -> f32 {
    const ROOT_HALF: u32 = 0x3f35_04f3;
    let bits = x.to_bits().wrapping_sub(ROOT_HALF);
    let e = ((bits as i32) >> 23) as f32;
    let m = f32::from_bits((bits & 0x007f_ffff).wrapping_add(ROOT_HALF)) - 1.0;
    let mut tail = 7.037_683_6e-2;
    for coefficient in [
        -0.115_146_1,
        0.116_769_984,
        -0.124_201_41,
        0.142_493_22,
        -0.166_680_57,
        0.200_007_15,
        -0.249_999_94,
        0.333_333_3,
    ] {
        tail = tail * m + coefficient;
    }
    let square = m * m;
    let value = tail * m * square - LN_2_LOW * e - 0.5 * square + m + LN_2_HIGH * e;
    if (f32::MIN_POSITIVE..f32::INFINITY).contains(&x) { value } else { f32::NAN }
}

/// `ln(1 + x)`, where `sum` is the rounded `1 + x`: the logarithm of what was rounded, times what rounding took
/// (W. Kahan's correction). Exact to a few units in the last place.
#[inline(always)]
pub fn ln_1p(x: f32, sum: f32) -> f32 {
    let corrected = ln(sum) * (x / (sum - 1.0));
    if sum == 1.0 { x } else { corrected }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, x: f32, got: f32, want: f64) {
        let error = (f64::from(got) - want).abs() / want.abs().max(f64::from(f32::MIN_POSITIVE));
        assert!(error < 2.4e-7, "{name}({x}) is {want}, not {got}");
    }

    #[test]
    fn both_are_right_to_two_units_in_the_last_place() {
        for i in 0..400_000 {
            let x = -87.0 + i as f32 * (174.0 / 400_000.0);
            check("exp", x, exp(x), f64::from(x).exp());
            let y = exp(x);
            // Near 1 the logarithm itself is near 0: there the error is taken of what is left.
            check("ln", y, ln(y), f64::from(y).ln());
        }
        // Where the exponent changes, from both sides.
        let edge = std::f32::consts::FRAC_1_SQRT_2;
        for x in [
            1e-10f32,
            0.25,
            edge.next_down(),
            edge,
            edge.next_up(),
            0.999_999_9,
            1.000_000_1,
            2.0 * edge,
            2.0,
            3.0,
        ] {
            check("ln", x, ln(x), f64::from(x).ln());
        }
        assert_eq!((exp(0.0), ln(1.0), exp(-88.0), exp(f32::NEG_INFINITY)), (1.0, 0.0, 0.0, 0.0));
    }

    #[test]
    fn what_is_no_number_stays_none() {
        assert!([exp(f32::NAN), ln(f32::NAN), ln(-1.0), ln(0.0)].iter().all(|value| value.is_nan()));
    }

    #[test]
    fn small_logarithms_keep_their_digits() {
        for x in [0.0, 1e-12, 3e-8, 1e-7, 2.5e-3, 0.3, 1.0, 20.0_f32] {
            let (got, want) = (f64::from(ln_1p(x, 1.0 + x)), f64::from(x).ln_1p());
            assert!((got - want).abs() <= 4e-7 * want, "ln(1 + {x}) is {want}, not {got}");
        }
    }
}
