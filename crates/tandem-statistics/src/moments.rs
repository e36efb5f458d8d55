//! Mean and standard deviation.

/// The mean; none of no values.
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// The standard deviation of a sample, divided by n - 1; none below two values.
pub fn sd(values: &[f64]) -> Option<f64> {
    let mean = mean(values).filter(|_| values.len() > 1)?;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    Some((squares / (values.len() - 1) as f64).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_few_values_have_no_mean_or_spread() {
        assert_eq!((mean(&[]), sd(&[])), (None, None));
        assert_eq!((mean(&[4.0]), sd(&[4.0])), (Some(4.0), None));
        assert_eq!((mean(&[1.0, 2.0, 6.0]), sd(&[1.0, 2.0, 6.0])), (Some(3.0), Some(7f64.sqrt())));
    }
}
