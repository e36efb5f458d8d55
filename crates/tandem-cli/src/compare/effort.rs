//! `effort.svg`: scores by the number of labelled scans, with their 95 % intervals over cases.

use super::shown::factor;
use super::{Comparison, Line};
use std::fmt::Write;

/// Colours that people with any colour vision tell apart (Okabe and Ito), and dark enough on white.
const COLOURS: [&str; 6] = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#8A6D00", "#000000"];
/// Of the picture, and what is left free around the axes of a panel.
const WIDTH: f64 = 920.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 70.0;
const TOP: f64 = 70.0;
const RIGHT: f64 = 20.0;
const BOTTOM: f64 = 60.0;
/// What is shown: title, metric, unit.
const PANELS: [(&str, &str, &str); 2] = [("Dice (%)", "dice", ""), ("HD95 (mm)", "hd95", "mm")];

/// The ensemble's lines of every method, by the number of labelled scans.
pub(super) fn curves<'a>(
    comparison: &'a Comparison,
    metric: &str,
    unit: &str,
) -> Vec<(&'a str, Vec<&'a Line>)> {
    let of = |method: &str| {
        let is = |line: &&Line| line.method == method && line.mean.is_some();
        let mut lines: Vec<&Line> = comparison.headlines(metric, unit).filter(is).collect();
        lines.sort_by_key(|line| line.labelled);
        lines
    };
    comparison.methods.iter().map(|runs| (runs.method.as_str(), of(&runs.method))).collect()
}

/// The picture; none where all runs have the same number of labelled scans.
pub(super) fn picture(comparison: &Comparison) -> Option<String> {
    let mut labelled = comparison.labelled();
    labelled.sort_unstable();
    if labelled.len() < 2 {
        return None;
    }
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"14\" \
         fill=\"#222\">\n<title>{}</title>\n<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>\n",
        escaped(&format!(
            "{} on {}: scores by the number of labelled scans",
            comparison.name, comparison.dataset
        ))
    );
    legend(&mut svg, comparison);
    for (at, (title, metric, unit)) in PANELS.into_iter().enumerate() {
        let curves = curves(comparison, metric, unit);
        let panel = Panel::new(at as f64 * WIDTH / 2.0, &labelled, &curves);
        panel.axes(&mut svg, title);
        curves.iter().enumerate().for_each(|(at, (_, lines))| panel.curve(&mut svg, at, curves.len(), lines));
    }
    svg += "</svg>\n";
    Some(svg)
}

fn legend(svg: &mut String, comparison: &Comparison) {
    let mut x = LEFT;
    for (at, runs) in comparison.methods.iter().enumerate() {
        let colour = COLOURS[at % COLOURS.len()];
        marker(svg, at, x, 20.0, colour);
        let _ = writeln!(svg, "<text x=\"{}\" y=\"25\">{}</text>", x + 12.0, escaped(&runs.method));
        x += 40.0 + 8.0 * runs.method.chars().count() as f64;
    }
    let note = "Points: mean over runs and cases. Bars: 95 % bootstrap intervals over cases.";
    let _ = writeln!(svg, "<text x=\"{LEFT}\" y=\"46\" font-size=\"12\" fill=\"#555\">{note}</text>");
}

/// One pair of axes.
struct Panel<'a> {
    from: f64,
    labelled: &'a [usize],
    low: f64,
    high: f64,
    step: f64,
}

impl<'a> Panel<'a> {
    fn new(from: f64, labelled: &'a [usize], curves: &[(&str, Vec<&Line>)]) -> Self {
        let values = curves.iter().flat_map(|(_, lines)| lines).flat_map(|line| {
            let ends = line.interval.map(Vec::from).unwrap_or_default();
            line.mean.into_iter().chain(ends).map(|value| value * factor(line))
        });
        let (low, high) =
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
        let (low, high) = if low.is_finite() { (low, high) } else { (0.0, 1.0) };
        let step = step((high - low).max(1e-3) / 5.0);
        let (low, mut high) = ((low / step).floor() * step, (high / step).ceil() * step);
        if high <= low {
            high = low + step;
        }
        Panel { from, labelled, low, high, step }
    }

    /// The numbers of labelled scans stand at equal distances: they are doubled rather than added.
    fn x(&self, labelled: usize) -> f64 {
        let at = self.labelled.iter().position(|known| *known == labelled).unwrap_or(0) as f64;
        let width = WIDTH / 2.0 - LEFT - RIGHT;
        self.from + LEFT + width * (at + 0.5) / self.labelled.len() as f64
    }

    fn y(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - self.low) / (self.high - self.low)
    }

    fn axes(&self, svg: &mut String, title: &str) {
        let (left, right) = (self.from + LEFT, self.from + WIDTH / 2.0 - RIGHT);
        let (top, bottom) = (TOP, HEIGHT - BOTTOM);
        let ticks = ((self.high - self.low) / self.step).round() as usize;
        let decimals = (-self.step.log10().floor()).max(0.0) as usize;
        for tick in 0..=ticks {
            let value = self.low + tick as f64 * self.step;
            let y = self.y(value);
            let _ = writeln!(
                svg,
                "<line x1=\"{left}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\" stroke=\"#ddd\"/>\n<text x=\"{}\" y=\"{:.1}\" \
                 text-anchor=\"end\">{value:.decimals$}</text>",
                left - 8.0,
                y + 5.0
            );
        }
        let _ = writeln!(
            svg,
            "<path d=\"M{left} {top}V{bottom}H{right}\" fill=\"none\" stroke=\"#222\"/>\n<text x=\"{}\" y=\"{}\" \
             text-anchor=\"middle\">labelled scans</text>\n<text transform=\"translate({} {}) rotate(-90)\" \
             text-anchor=\"middle\">{}</text>",
            0.5 * (left + right),
            bottom + 46.0,
            self.from + 18.0,
            0.5 * (top + bottom),
            escaped(title)
        );
        for count in self.labelled {
            let x = self.x(*count);
            let _ = writeln!(
                svg,
                "<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{count}</text>",
                bottom + 20.0
            );
        }
    }

    /// The curve of one of several methods; each stands a little aside of the others, so that no bar hides another.
    fn curve(&self, svg: &mut String, at: usize, of: usize, lines: &[&Line]) {
        let colour = COLOURS[at % COLOURS.len()];
        let aside = 9.0 * (at as f64 - 0.5 * (of - 1) as f64);
        let points: Vec<(f64, f64)> = lines
            .iter()
            .filter_map(|line| Some((self.x(line.labelled) + aside, self.y(line.mean? * factor(line)))))
            .collect();
        let path: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            path.join(" ")
        );
        for (line, (x, y)) in lines.iter().zip(&points) {
            if let Some(ends) = line.interval {
                let [low, high] = ends.map(|end| self.y(end * factor(line)));
                let (left, right) = (x - 4.0, x + 4.0);
                let _ = writeln!(
                    svg,
                    "<path d=\"M{x:.1} {low:.1}V{high:.1}M{left:.1} {low:.1}H{right:.1}M{left:.1} {high:.1}H{right:.1}\" \
                     stroke=\"{colour}\" stroke-width=\"1.5\"/>"
                );
            }
            marker(svg, at, *x, *y, colour);
        }
    }
}

/// A circle, square, diamond or triangle, so that curves are told apart without colours too.
fn marker(svg: &mut String, at: usize, x: f64, y: f64, colour: &str) {
    let path = match at % 4 {
        0 => format!("M{:.1} {y:.1}a5 5 0 1 0 10 0a5 5 0 1 0 -10 0z", x - 5.0),
        1 => format!("M{:.1} {:.1}h9v9h-9z", x - 4.5, y - 4.5),
        2 => format!("M{x:.1} {:.1}l6 6l-6 6l-6 -6z", y - 6.0),
        _ => format!("M{x:.1} {:.1}l6 10h-12z", y - 6.0),
    };
    let _ = writeln!(svg, "<path d=\"{path}\" fill=\"{colour}\"/>");
}

/// The next larger of 1, 2, 5, 10, 20, ... and their parts of ten.
fn step(least: f64) -> f64 {
    let power = 10f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .map(|digit| digit * power)
        .into_iter()
        .find(|step| *step >= least)
        .unwrap_or(10.0 * power)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::step;

    #[test]
    fn steps_of_an_axis_are_round() {
        assert_eq!([0.7, 1.0, 1.3, 3.0, 7.0].map(step), [1.0, 1.0, 2.0, 5.0, 10.0]);
        assert!((step(0.013) - 0.02).abs() < 1e-12);
    }
}
