//! The learning rate as a function of the share of the run that is done.

/// The learning rate of a step: `rate` times 0.1 for every share of `falls` that is reached.
///
/// A share is reached at step `round(share * iterations)`, counted from 0, so that 2500/6000 means step 2500 of 6000
/// however the fraction was rounded in a file.
///
/// ```
/// use tandem_training::learning_rate;
/// let at = |step| learning_rate(0.01, &[2500.0 / 6000.0, 5000.0 / 6000.0], step, 6000);
/// assert_eq!((at(2499), at(2500), at(5000)), (0.01, 0.001, 0.0001));
/// ```
pub fn learning_rate(rate: f64, falls: &[f64], step: u64, iterations: u64) -> f64 {
    let reached = falls.iter().filter(|&&share| step as f64 >= (share * iterations as f64).round()).count();
    // Divided by an exact power of ten: 0.01 * 0.1 would not be the double nearest to 0.001.
    rate / 10f64.powi(reached as i32)
}

#[cfg(test)]
mod tests {
    use super::learning_rate;

    #[test]
    fn it_scales_with_the_run_and_survives_rounded_fractions() {
        let falls = [0.416_667, 0.833_333];
        for (step, expected) in
            [(0, 0.01), (416, 0.01), (417, 0.001), (832, 0.001), (833, 0.0001), (999, 0.0001)]
        {
            assert_eq!(learning_rate(0.01, &falls, step, 1000), expected, "step {step}");
        }
        assert_eq!(learning_rate(0.01, &falls, 2499, 6000), 0.01);
        assert_eq!(learning_rate(0.01, &falls, 2500, 6000), 0.001);
        assert_eq!(learning_rate(0.3, &[], 5, 6), 0.3);
    }
}
