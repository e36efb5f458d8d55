//! Box plots of scores over cases.

use crate::chart::classes;
use crate::html::{escaped, short};
use crate::scale::Scale;
use std::fmt::Write;

const WIDTH: f64 = 420.0;
const LEFT: f64 = 10.0;
const RIGHT: f64 = 14.0;
/// Of a box with its name above it.
const ROW: f64 = 46.0;
const AXIS: f64 = 24.0;

/// One metric of several networks or runs, as boxes beside each other.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BoxPlots {
    /// The metric and its unit.
    pub title: String,
    /// Whose scores.
    pub groups: Vec<Sample>,
}

/// The scores of one network or run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    /// Of what.
    pub name: String,
    /// Cases with a value.
    pub values: Vec<(String, f64)>,
    /// Cases without one, and why.
    pub undefined: Vec<(String, String)>,
}

/// What a box shows.
#[derive(Clone, Copy, Debug, PartialEq)]
struct FiveNumbers {
    /// The first quartile, the median and the third quartile.
    quartiles: [f64; 3],
    /// The outermost values within one and a half boxes of the box (Tukey).
    whiskers: [f64; 2],
}

impl FiveNumbers {
    /// Those of some finite values; none of no values. Quartiles are interpolated linearly (type 7 of Hyndman and Fan), as numpy's.
    fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len().checked_sub(1)?;
        let quartiles = [0.25, 0.5, 0.75].map(|share| {
            let place = share * last as f64;
            let below = place as usize;
            sorted[below] + (place - below as f64) * (sorted[(below + 1).min(last)] - sorted[below])
        });
        let reach = 1.5 * (quartiles[2] - quartiles[0]);
        let within = |value: &&f64| (quartiles[0] - reach..=quartiles[2] + reach).contains(*value);
        let whiskers = [sorted.iter().find(within), sorted.iter().rfind(within)];
        // With two or three values a whisker may be missing: the box is all there is.
        let whiskers =
            [whiskers[0].map_or(quartiles[0], |low| *low), whiskers[1].map_or(quartiles[2], |high| *high)];
        Some(FiveNumbers { quartiles, whiskers })
    }
}

impl BoxPlots {
    pub(crate) fn write(&self, html: &mut String) {
        let _ = write!(html, "<figure class=\"chart\"><figcaption>{}</figcaption>", escaped(&self.title));
        let values = || self.groups.iter().flat_map(|group| &group.values).map(|(_, value)| *value);
        if values().next().is_none() {
            html.push_str("<p class=\"empty\">no values</p>");
        } else {
            let scale = Scale::holding(values(), [LEFT, WIDTH - RIGHT]);
            let height = ROW * self.groups.len() as f64 + AXIS;
            let _ = write!(
                html,
                "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{}\">",
                escaped(&self.spoken())
            );
            for (value, text) in scale.ticks(5) {
                let at = scale.at(value);
                let _ = write!(
                    html,
                    "<path d=\"M{at:.1} 0V{}\" class=\"grid\"/><text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{text}</text>",
                    height - AXIS + 2.0,
                    height - 6.0
                );
            }
            for (at, group) in self.groups.iter().enumerate() {
                group.draw(html, at, &scale);
            }
            html.push_str("</svg>");
        }
        self.gaps(html);
        html.push_str("</figure>\n");
    }

    fn spoken(&self) -> String {
        let of = |group: &Sample| {
            let median = group.five_numbers().map_or("no value".to_owned(), |box_| {
                let [first, median, third] = box_.quartiles.map(short);
                format!("median {median}, quartiles {first} and {third}")
            });
            format!("{}: {median}, of {} cases", group.name, group.values.len())
        };
        format!("{}. {}", self.title, self.groups.iter().map(of).collect::<Vec<_>>().join("; "))
    }

    /// What is undefined, with its reasons.
    fn gaps(&self, html: &mut String) {
        for group in self.groups.iter().filter(|group| !group.undefined.is_empty()) {
            let cases: Vec<String> =
                group.undefined.iter().map(|(case, why)| format!("{case} ({why})")).collect();
            let _ = write!(
                html,
                "<p class=\"small\">{}: undefined in {}: {}</p>",
                escaped(&group.name),
                group.undefined.len(),
                escaped(&cases.join(", "))
            );
        }
    }
}

impl Sample {
    fn five_numbers(&self) -> Option<FiveNumbers> {
        FiveNumbers::of(&self.values.iter().map(|(_, value)| *value).collect::<Vec<_>>())
    }

    fn draw(&self, html: &mut String, at: usize, scale: &Scale) {
        let top = ROW * at as f64;
        let (middle, classes) = (top + 29.0, classes(at));
        let _ = write!(
            html,
            "<text x=\"{LEFT}\" y=\"{}\" class=\"name\">{}</text>",
            top + 13.0,
            escaped(&self.name)
        );
        let Some(FiveNumbers { quartiles, whiskers }) = self.five_numbers() else { return };
        let [first, median, third] = quartiles.map(|value| scale.at(value));
        let [low, high] = whiskers.map(|value| scale.at(value));
        let _ = write!(
            html,
            "<path class=\"whisker {classes}\" d=\"M{low:.1} {middle}H{first:.1}M{third:.1} {middle}H{high:.1}M{low:.1} {}v8M{high:.1} {}v8\"/>\
             <rect class=\"box {classes}\" x=\"{first:.1}\" y=\"{}\" width=\"{:.1}\" height=\"18\"/>\
             <path class=\"median {classes}\" d=\"M{median:.1} {}v18\"/>",
            middle - 4.0,
            middle - 4.0,
            middle - 9.0,
            (third - first).max(0.5),
            middle - 9.0,
        );
        for (n, (case, value)) in self.values.iter().enumerate() {
            // A little up and down, so that equal values are seen: the same in every report.
            let aside = [0.0, -4.0, 4.0, -2.0, 2.0][n % 5];
            let _ = write!(
                html,
                "<circle class=\"case {classes}\" cx=\"{:.1}\" cy=\"{}\" r=\"2.2\"><title>{}: {}</title></circle>",
                scale.at(*value),
                middle + aside,
                escaped(case),
                short(*value)
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_numbers_are_those_of_numpy_and_tukey() {
        let box_ = FiveNumbers::of(&[7.0, 1.0, 2.0, 4.0, 3.0, 100.0]).unwrap();
        // numpy.percentile([1, 2, 3, 4, 7, 100], [25, 50, 75])
        assert_eq!(box_.quartiles, [2.25, 3.5, 6.25]);
        assert_eq!(box_.whiskers, [1.0, 7.0]);
        assert_eq!(FiveNumbers::of(&[5.0]).unwrap().quartiles, [5.0; 3]);
        assert_eq!(FiveNumbers::of(&[]), None);
    }

    #[test]
    fn every_case_is_a_point_and_what_is_undefined_is_told_with_its_reason() {
        let values = vec![("a<b>".to_owned(), 1.0), ("c".to_owned(), 3.0)];
        let undefined = vec![("d".to_owned(), "empty prediction".to_owned())];
        let plots = BoxPlots {
            title: "HD95 (mm)".into(),
            groups: vec![Sample { name: "vnet".into(), values, undefined }],
        };
        let mut html = String::new();
        plots.write(&mut html);
        assert_eq!(html.matches("<circle").count(), 2, "{html}");
        assert!(html.contains("undefined in 1: d (empty prediction)"), "{html}");
        assert!(html.contains("a&lt;b&gt;") && !html.contains("<b>"), "{html}");
    }
}
