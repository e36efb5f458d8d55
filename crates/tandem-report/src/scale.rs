//! From values to places of a picture.

/// A linear scale.
#[derive(Clone, Debug)]
pub(crate) struct Scale {
    /// The values at its ends.
    ends: [f64; 2],
    /// Where they lie.
    places: [f64; 2],
}

impl Scale {
    /// A scale that holds all finite values, with round ends; `places` are those of its ends.
    pub(crate) fn holding(values: impl IntoIterator<Item = f64>, places: [f64; 2]) -> Self {
        let finite = values.into_iter().filter(|value| value.is_finite());
        let [mut low, mut high] =
            finite.fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], v| [low.min(v), high.max(v)]);
        if low > high {
            [low, high] = [0.0, 1.0];
        }
        // A flat curve lies in the middle of something, and so does one whose changes a number can hardly tell.
        let least = 1e-9 * low.abs().max(high.abs());
        if high - low <= least {
            let aside = if low == 0.0 { 0.5 } else { 0.5 * low.abs() };
            [low, high] = [low - aside, high + aside];
        }
        let step = round_step((high - low) / 5.0);
        let ends = [(low / step).floor() * step, (high / step).ceil() * step];
        Scale { ends, places }
    }

    /// A scale between two values.
    pub(crate) fn between(ends: [f64; 2], places: [f64; 2]) -> Self {
        let ends = if ends[0] < ends[1] { ends } else { [ends[0], ends[0] + 1.0] };
        Scale { ends, places }
    }

    /// Where a value lies.
    pub(crate) fn at(&self, value: f64) -> f64 {
        let share = (value - self.ends[0]) / (self.ends[1] - self.ends[0]);
        self.places[0] + share * (self.places[1] - self.places[0])
    }

    /// Round values along the scale, at most about so many, and how they are written.
    pub(crate) fn ticks(&self, most: usize) -> Vec<(f64, String)> {
        let [low, high] = self.ends;
        let step = round_step((high - low) / most.max(1) as f64);
        let decimals = (-step.log10().floor()).max(0.0) as usize;
        let first = (low / step - 1e-6).ceil();
        (0..=2 * most)
            .map(|at| (first + at as f64) * step)
            .take_while(|value| *value <= high + 1e-6 * step)
            // Not minus zero.
            .map(|value| if value.abs() < 1e-9 * step { 0.0 } else { value })
            .map(|value| (value, written(value, decimals)))
            .collect()
    }
}

fn written(value: f64, decimals: usize) -> String {
    if decimals > 5 || value.abs() >= 1e7 {
        return if value == 0.0 { "0".to_owned() } else { format!("{value:.1e}") };
    }
    let text = format!("{value:.decimals$}");
    // Thousands apart, by a space that does not break.
    let (sign, digits) = text.strip_prefix('-').map_or(("", text.as_str()), |digits| ("−", digits));
    let (whole, fraction) = digits.split_once('.').map_or((digits, None), |(w, f)| (w, Some(f)));
    let mut grouped = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at) % 3 == 0 && whole.len() > 4 {
            grouped.push('\u{202f}');
        }
        grouped.push(digit);
    }
    fraction.map_or(format!("{sign}{grouped}"), |fraction| format!("{sign}{grouped}.{fraction}"))
}

/// The next larger of 1, 2, 5, 10, 20, ... and their parts of ten.
fn round_step(least: f64) -> f64 {
    let power = 10f64.powf(least.log10().floor());
    let digit = least / power;
    // A hair above a digit is that digit.
    [1.0, 2.0, 5.0].into_iter().find(|known| digit <= known * (1.0 + 1e-9)).unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(values: &[f64]) -> Vec<String> {
        let scale = Scale::holding(values.iter().copied(), [0.0, 100.0]);
        scale.ticks(5).into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn ticks_are_round_and_hold_the_values() {
        assert_eq!(ticks(&[0.0, 1.0]), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(ticks(&[61.0, 92.0]), ["60", "70", "80", "90", "100"]);
        assert_eq!(ticks(&[0.0, 30_000.0]), ["0", "10\u{202f}000", "20\u{202f}000", "30\u{202f}000"]);
        assert_eq!(ticks(&[-0.031, 0.02]), ["−0.04", "−0.02", "0.00", "0.02"]);
        assert_eq!(ticks(&[0.0, 1e-7]).first().map(String::as_str), Some("0"));
    }

    #[test]
    fn what_has_no_extent_has_a_scale_too() {
        for values in [
            &[][..],
            &[f64::NAN],
            &[3.0],
            &[0.0, 0.0],
            &[-2.0, -2.0],
            &[f64::INFINITY, 1.0],
            &[1e300, -1e300],
        ] {
            let scale = Scale::holding(values.iter().copied(), [0.0, 100.0]);
            let found = scale.ticks(5);
            assert!(found.len() >= 2 && found.len() < 12, "{values:?} {found:?}");
            for value in values.iter().filter(|value| value.is_finite()) {
                assert!((0.0..=100.0).contains(&scale.at(*value)), "{values:?}");
            }
        }
    }

    #[test]
    fn values_lie_in_proportion() {
        let scale = Scale::between([0.0, 10.0], [200.0, 0.0]);
        assert_eq!([0.0, 2.5, 10.0].map(|value| scale.at(value)), [200.0, 150.0, 0.0]);
    }
}
