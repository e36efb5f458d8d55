//! Curves.

use crate::html::{escaped, short};
use crate::scale::Scale;
use std::fmt::Write;

/// Of a picture. Small enough that its letters can be read on a phone, where it is about as wide.
const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 230.0;
const LEFT: f64 = 48.0;
const RIGHT: f64 = 10.0;
const TOP: f64 = 8.0;
const BOTTOM: f64 = 36.0;

/// So many points of a curve are drawn; more of them are gathered into so many groups.
const POINTS: usize = 240;
/// Fewer points than this are marked.
const MARKED: usize = 40;
/// Colours that there are; further curves have the same ones with other dashes.
pub(crate) const COLOURS: usize = 6;

/// Curves over one quantity.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Chart {
    /// What it shows.
    pub title: String,
    /// What runs along its axis: `steps`.
    pub along: String,
    /// The curves.
    pub curves: Vec<Curve>,
    /// The ends of the vertical axis, where they shall not follow from the values.
    pub range: Option<[f64; 2]>,
    /// A straight line from corner to corner: what is perfect.
    pub diagonal: bool,
    /// What has to be said about it.
    pub notes: Vec<String>,
}

/// A curve.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Curve {
    /// What it is of.
    pub name: String,
    /// Its points by their place along the axis. A value that is not finite is a gap.
    pub points: Vec<[f64; 2]>,
}

/// What is drawn of some neighbouring points.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Group {
    along: f64,
    mean: f64,
    /// The smallest and the largest value.
    ends: [f64; 2],
}

impl Curve {
    /// The points, gathered where there are too many. None is a gap.
    fn groups(&self) -> Vec<Option<Group>> {
        let size = self.points.len().div_ceil(POINTS).max(1);
        let group = |points: &[[f64; 2]]| {
            let finite: Vec<&[f64; 2]> = points.iter().filter(|point| point[1].is_finite()).collect();
            let n = finite.len() as f64;
            (!finite.is_empty()).then(|| Group {
                along: finite.iter().map(|point| point[0]).sum::<f64>() / n,
                mean: finite.iter().map(|point| point[1]).sum::<f64>() / n,
                ends: finite.iter().fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], point| {
                    [low.min(point[1]), high.max(point[1])]
                }),
            })
        };
        self.points.chunks(size).map(group).collect()
    }

    fn last(&self) -> Option<f64> {
        self.points.iter().map(|point| point[1]).rfind(|value| value.is_finite())
    }
}

impl Chart {
    pub(crate) fn write(&self, html: &mut String) {
        let groups: Vec<Vec<Option<Group>>> = self.curves.iter().map(Curve::groups).collect();
        let drawn = || groups.iter().flatten().flatten();
        let across = [LEFT, WIDTH - RIGHT];
        let x = self.along_scale(drawn().map(|group| group.along), across);
        let up = [HEIGHT - BOTTOM, TOP];
        let y = match self.range {
            Some(ends) => Scale::between(ends, up),
            None => Scale::holding(drawn().flat_map(|group| group.ends), up),
        };
        let _ = write!(html, "<figure class=\"chart\"><figcaption>{}", escaped(&self.title));
        self.legend(html);
        html.push_str("</figcaption>");
        if drawn().next().is_none() {
            html.push_str("<p class=\"empty\">no values</p>");
        } else {
            let _ = write!(
                html,
                "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">",
                escaped(&self.spoken())
            );
            self.axes(html, &x, &y);
            for (at, groups) in groups.iter().enumerate() {
                draw(html, at, groups, &x, &y);
            }
            html.push_str("</svg>");
        }
        for note in &self.notes {
            let _ = write!(html, "<p class=\"small\">{}</p>", escaped(note));
        }
        html.push_str("</figure>\n");
    }

    /// Steps begin and end where they do; shares go from 0 to 1.
    fn along_scale(&self, along: impl Iterator<Item = f64>, places: [f64; 2]) -> Scale {
        if self.diagonal {
            return Scale::between([0.0, 1.0], places);
        }
        let ends = along.fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], v| [low.min(v), high.max(v)]);
        if ends[0] < ends[1] { Scale::between(ends, places) } else { Scale::holding(ends, places) }
    }

    /// What a screen reader says of it.
    fn spoken(&self) -> String {
        let last =
            |curve: &Curve| curve.last().map(|value| format!("{}: at last {}", curve.name, short(value)));
        let curves: Vec<String> = self.curves.iter().filter_map(last).collect();
        format!("{} by {}. {}", self.title, self.along, curves.join("; "))
    }

    fn legend(&self, html: &mut String) {
        // A title may say whose the only curve is.
        if let [only] = &self.curves[..]
            && self.title.to_lowercase().ends_with(&only.name.to_lowercase())
        {
            return;
        }
        html.push_str("<span class=\"legend\">");
        for (at, curve) in self.curves.iter().enumerate() {
            let _ = write!(
                html,
                "<span><svg viewBox=\"0 0 24 8\" class=\"key\" aria-hidden=\"true\"><path d=\"M1 4H23\" class=\"line {}\"/></svg>{}</span>",
                classes(at),
                escaped(&curve.name)
            );
        }
        html.push_str("</span>");
    }

    fn axes(&self, html: &mut String, x: &Scale, y: &Scale) {
        let (bottom, end) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
        for (value, text) in y.ticks(5) {
            let at = y.at(value);
            let _ = write!(
                html,
                "<path d=\"M{LEFT} {at:.1}H{end}\" class=\"grid\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>",
                LEFT - 6.0,
                at + 4.0
            );
        }
        for (value, text) in x.ticks(5) {
            let at = x.at(value);
            let _ = write!(
                html,
                "<path d=\"M{at:.1} {bottom}v4\" class=\"axis\"/><text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{text}</text>",
                bottom + 17.0
            );
        }
        let _ = write!(
            html,
            "<path d=\"M{LEFT} {bottom}H{end}\" class=\"axis\"/><text x=\"{end}\" y=\"{}\" text-anchor=\"end\" class=\"along\">{}</text>",
            HEIGHT - 4.0,
            escaped(&self.along)
        );
        if self.diagonal {
            let [from, to] = [0.0, 1.0].map(|share| (x.at(share), y.at(share)));
            let _ = write!(
                html,
                "<path d=\"M{:.1} {:.1}L{:.1} {:.1}\" class=\"perfect\"/>",
                from.0, from.1, to.0, to.1
            );
        }
    }
}

/// The classes of a curve, box or outline: they give it a colour and a dash.
pub(crate) fn classes(at: usize) -> String {
    let dash = match at / COLOURS % 3 {
        0 => "",
        1 => " dashed",
        _ => " dotted",
    };
    format!("c{}{dash}", at % COLOURS)
}

/// One curve: from gap to gap a line, and where values were gathered, the band that they lie in.
fn draw(html: &mut String, at: usize, groups: &[Option<Group>], x: &Scale, y: &Scale) {
    let classes = classes(at);
    let marked = groups.len() < MARKED;
    for piece in groups.split(Option::is_none) {
        let piece: Vec<Group> = piece.iter().flatten().copied().collect();
        let Some(first) = piece.first() else { continue };
        if piece.iter().any(|group| group.ends[0] < group.ends[1]) {
            let above = piece.iter().map(|group| (x.at(group.along), y.at(group.ends[1])));
            let below = piece.iter().rev().map(|group| (x.at(group.along), y.at(group.ends[0])));
            let _ = write!(html, "<path class=\"band {classes}\" d=\"{}Z\"/>", path(above.chain(below)));
        }
        let line = path(piece.iter().map(|group| (x.at(group.along), y.at(group.mean))));
        // One point alone is no line.
        if piece.len() > 1 {
            let _ = write!(html, "<path class=\"line {classes}\" d=\"{line}\"/>");
        }
        if marked || piece.len() == 1 {
            let points = if marked { &piece[..] } else { std::slice::from_ref(first) };
            for group in points {
                let _ = write!(
                    html,
                    "<circle class=\"dot {classes}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\"><title>{}</title></circle>",
                    x.at(group.along),
                    y.at(group.mean),
                    short(group.mean)
                );
            }
        }
    }
}

fn path(points: impl Iterator<Item = (f64, f64)>) -> String {
    let mut path = String::new();
    for (at, (x, y)) in points.enumerate() {
        let _ = write!(path, "{}{x:.1} {y:.1}", if at == 0 { 'M' } else { 'L' });
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(values: &[f64]) -> Curve {
        let points = values.iter().enumerate().map(|(at, value)| [at as f64, *value]).collect();
        Curve { name: "vnet".into(), points }
    }

    fn html(chart: &Chart) -> String {
        let mut html = String::new();
        chart.write(&mut html);
        html
    }

    #[test]
    fn many_points_are_gathered_and_keep_their_mean_and_ends() {
        let values: Vec<f64> = (0..1000).map(f64::from).collect();
        let groups = curve(&values).groups();
        assert_eq!(groups.len(), 200);
        assert_eq!(groups[0], Some(Group { along: 2.0, mean: 2.0, ends: [0.0, 4.0] }));
        assert_eq!(groups[199].unwrap().ends, [995.0, 999.0]);
    }

    #[test]
    fn a_value_that_is_not_finite_is_a_gap() {
        let chart = Chart {
            curves: vec![curve(&[1.0, 2.0, f64::NAN, 3.0, 4.0, f64::INFINITY, 5.0])],
            title: "Loss of vnet".into(),
            ..Chart::default()
        };
        let html = html(&chart);
        assert_eq!(html.matches("class=\"line").count(), 2, "{html}");
        assert_eq!(html.matches("<circle").count(), 5);
        assert!(!html.contains("NaN") && !html.contains("inf"), "{html}");
    }

    #[test]
    fn what_has_no_values_says_so_and_names_are_escaped() {
        let hostile = Curve { name: "</svg><script>".into(), points: Vec::new() };
        let chart = Chart { title: "<b>".into(), curves: vec![hostile.clone(), hostile], ..Chart::default() };
        let html = html(&chart);
        assert!(html.contains("no values") && !html.contains("<script>") && !html.contains("<b>"), "{html}");
    }

    #[test]
    fn one_point_is_drawn() {
        let html = html(&Chart { curves: vec![curve(&[0.5])], ..Chart::default() });
        assert_eq!(html.matches("<circle").count(), 1, "{html}");
    }
}
