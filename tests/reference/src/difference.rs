//! How far numbers are from those they should be.

/// Largest difference of two lists, NaN where one of them has a NaN: it is not below any tolerance then.
///
/// # Panics
/// Where the lists are not of one length.
pub fn largest_difference<A, B>(ours: &[A], expected: &[B]) -> f64
where
    A: Copy + Into<f64>,
    B: Copy + Into<f64>,
{
    assert_eq!(ours.len(), expected.len(), "lists of different lengths");
    let apart = ours.iter().zip(expected).map(|(ours, expected)| ((*ours).into() - (*expected).into()).abs());
    // The largest of numbers passes over a NaN; in the total order it is above all.
    apart.max_by(f64::total_cmp).unwrap_or(0.0)
}

/// [`largest_difference`], relative to the largest expected value.
///
/// # Panics
/// Where the lists are not of one length.
pub fn relative_error<A, B>(ours: &[A], expected: &[B]) -> f64
where
    A: Copy + Into<f64>,
    B: Copy + Into<f64>,
{
    let largest = expected.iter().fold(1e-30f64, |most, value| most.max((*value).into().abs()));
    largest_difference(ours, expected) / largest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nan_is_below_no_tolerance() {
        for at in 0..3 {
            let mut ours = [1.0f32, -2.0, 3.0];
            assert_eq!(largest_difference(&ours, &[1.0, -4.0, 3.5]), 2.0);
            assert_eq!(relative_error(&ours, &[1.0, -4.0, 3.5]), 0.5);
            ours[at] = f32::NAN;
            assert!(largest_difference(&ours, &[1.0, -4.0, 3.5]).is_nan());
            ours[at] = -f32::NAN;
            assert!(relative_error(&ours, &[1.0, -4.0, 3.5]).is_nan());
        }
    }

    #[test]
    #[should_panic(expected = "lists of different lengths")]
    fn a_list_that_is_too_short_is_not_right() {
        largest_difference(&[1.0], &[1.0, 2.0]);
    }
}
