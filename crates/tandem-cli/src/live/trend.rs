//! A course of values in a few characters.

/// From the lowest value to the highest.
const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The values in at most `width` characters, each the mean of as many neighbours as it takes; the last one is the newest. Nothing
/// of fewer than two values: they have no course.
pub(super) fn trend(values: &[f64], width: usize) -> String {
    let values: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    if values.len() < 2 || width == 0 {
        return String::new();
    }
    let columns = values.len().min(width);
    let column = |at: usize| {
        let of = &values[at * values.len() / columns..(at + 1) * values.len() / columns];
        of.iter().sum::<f64>() / of.len() as f64
    };
    let means: Vec<f64> = (0..columns).map(column).collect();
    let lowest = means.iter().copied().fold(f64::INFINITY, f64::min);
    let range = means.iter().copied().fold(f64::NEG_INFINITY, f64::max) - lowest;
    let level = |mean: &f64| {
        let share = if range > 0.0 { (mean - lowest) / range } else { 0.0 };
        LEVELS[(share * (LEVELS.len() - 1) as f64).round() as usize]
    };
    means.iter().map(level).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_course_rises_and_falls_with_its_values() {
        assert_eq!(trend(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], 20), "▁▂▃▄▅▆▇█");
        assert_eq!(trend(&[3.0, 1.0, 2.0], 20), "█▁▅");
        assert_eq!(trend(&[0.5, 0.5], 20), "▁▁");
        assert_eq!(trend(&[0.5], 20), "");
        assert_eq!(trend(&[f64::NAN, 1.0, f64::INFINITY, 2.0], 20), "▁█");
    }

    #[test]
    fn many_values_share_a_character() {
        let values: Vec<f64> = (0..1000).map(f64::from).collect();
        assert_eq!(trend(&values, 8), "▁▂▃▄▅▆▇█");
        for width in 1..40 {
            assert_eq!(trend(&values, width).chars().count(), width);
        }
    }
}
