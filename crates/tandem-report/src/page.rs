//! The page: one file with all that it shows.

use crate::html::escaped;
use crate::{BoxPlots, Chart, Slices, Table, Viewer, viewer};
use std::fmt::Write;

const STYLE: &str = include_str!("../assets/report.css");
const SCRIPT: &str = include_str!("../assets/report.js");

/// What a browser may do with the file: run what is in it, and fetch nothing.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; \
                      font-src data:; connect-src data: blob:; base-uri 'none'; form-action 'none'";

/// A report as one HTML file that opens from a disk and asks nobody for anything.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// What it is about.
    pub title: String,
    /// What it is about, in one more sentence.
    pub subtitle: String,
    /// Its chapters.
    pub sections: Vec<Section>,
    /// What stands at its end: who made it.
    pub footer: String,
}

/// A chapter, with an entry in the table of contents.
#[derive(Clone, Debug, Default)]
pub struct Section {
    /// What it is about.
    pub heading: String,
    /// What it shows, in this order.
    pub parts: Vec<Part>,
}

/// Something that a chapter shows. All text is shown as it is: nothing in it is markup.
#[derive(Clone, Debug)]
pub enum Part {
    /// A paragraph.
    Text(String),
    /// A paragraph that nobody shall overlook: what is missing, what went wrong.
    Warning(String),
    /// A few numbers in large letters: what, how much, and how sure.
    Numbers(Vec<[String; 3]>),
    /// Names and what they stand for.
    Facts(Vec<[String; 2]>),
    /// A table.
    Table(Table),
    /// Curves, as many side by side as there is room for.
    Charts(Vec<Chart>),
    /// Box plots, likewise.
    BoxPlots(Vec<BoxPlots>),
    /// Which outline is what, with a switch for each; the names are those of the predictions.
    Key(Vec<String>),
    /// A case, which may be folded.
    Case {
        /// The id of the element, for links.
        id: String,
        /// Its name.
        heading: String,
        /// Its scores.
        scores: String,
        /// Its slices, or why there are none.
        slices: Result<Slices, String>,
        /// Whether it is shown unfolded.
        open: bool,
    },
    /// The viewer.
    Viewer(Box<Viewer>),
    /// What is folded until somebody wants to see it.
    Folded(String, Vec<Part>),
}

impl Page {
    /// The file.
    pub fn html(&self) -> String {
        let title = escaped(&self.title);
        let mut html = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta http-equiv=\"Content-Security-Policy\" \
             content=\"{POLICY}\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
             <a class=\"skip\" href=\"#content\">To the content</a>\n<header><h1>{title}</h1><p>{}</p>\n<nav aria-label=\"Contents\"><ul>",
            escaped(&self.subtitle)
        );
        for (at, section) in self.sections.iter().enumerate() {
            let _ = write!(html, "<li><a href=\"#section-{at}\">{}</a></li>", escaped(&section.heading));
        }
        html.push_str("</ul></nav></header>\n<main id=\"content\">\n");
        let mut has_viewer = false;
        for (at, section) in self.sections.iter().enumerate() {
            let heading = escaped(&section.heading);
            let _ = writeln!(
                html,
                "<section id=\"section-{at}\" aria-labelledby=\"heading-{at}\"><h2 id=\"heading-{at}\">{heading}</h2>"
            );
            for part in &section.parts {
                part.write(&mut html);
                has_viewer |= matches!(part, Part::Viewer(_));
            }
            html.push_str("</section>\n");
        }
        let _ = write!(html, "</main>\n<footer><p>{}</p>", escaped(&self.footer));
        if has_viewer {
            let _ = write!(
                html,
                "<details><summary>Licences of the viewer</summary><pre>{}</pre></details>",
                escaped(viewer::LICENCES)
            );
        }
        let _ = write!(html, "</footer>\n<script>\n{SCRIPT}</script>\n</body>\n</html>\n");
        html
    }
}

impl Part {
    fn write(&self, html: &mut String) {
        match self {
            Part::Text(text) => paragraph(html, "", text),
            Part::Warning(text) => paragraph(html, " class=\"warning\"", text),
            Part::Numbers(numbers) => {
                html.push_str("<dl class=\"numbers\">");
                for [what, value, sure] in numbers.each_escaped() {
                    let _ = write!(html, "<div><dt>{what}</dt><dd>{value}<span>{sure}</span></dd></div>");
                }
                html.push_str("</dl>\n");
            }
            Part::Facts(facts) => {
                html.push_str("<dl class=\"facts\">");
                for [name, value] in facts.each_escaped() {
                    let _ = write!(html, "<div><dt>{name}</dt><dd>{value}</dd></div>");
                }
                html.push_str("</dl>\n");
            }
            Part::Table(table) => table.write(html),
            Part::Charts(charts) => {
                html.push_str("<div class=\"charts\">");
                charts.iter().for_each(|chart| chart.write(html));
                html.push_str("</div>\n");
            }
            Part::BoxPlots(plots) => {
                html.push_str("<div class=\"charts\">");
                plots.iter().for_each(|plot| plot.write(html));
                html.push_str("</div>\n");
            }
            Part::Key(predictions) => key(html, predictions),
            Part::Case { id, heading, scores, slices, open } => {
                let _ = write!(
                    html,
                    "<details class=\"case\" id=\"{}\"{}><summary><span class=\"id\">{}</span> <span class=\"scores\">{}</span></summary>",
                    escaped(id),
                    if *open { " open" } else { "" },
                    escaped(heading),
                    escaped(scores)
                );
                match slices {
                    Ok(slices) => slices.write(html),
                    Err(why) => paragraph(html, " class=\"small\"", why),
                }
                html.push_str("</details>\n");
            }
            Part::Viewer(viewer) => viewer.write(html),
            Part::Folded(summary, parts) => {
                let _ = write!(html, "<details class=\"folded\"><summary>{}</summary>", escaped(summary));
                parts.iter().for_each(|part| part.write(html));
                html.push_str("</details>\n");
            }
        }
    }
}

fn paragraph(html: &mut String, attributes: &str, text: &str) {
    let _ = writeln!(html, "<p{attributes}>{}</p>", escaped(text));
}

/// Which outline is what, with a switch for each.
fn key(html: &mut String, predictions: &[String]) {
    html.push_str("<fieldset class=\"key\"><legend>Outlines</legend>");
    let mut entry = |class: &str, group: &str, name: &str| {
        let _ = write!(
            html,
            "<label><input type=\"checkbox\" checked data-hides=\"{group}\"><svg viewBox=\"0 0 24 12\" aria-hidden=\"true\">\
             <path class=\"{class}\" d=\"M2 2h20v8h-20z\"/></svg>{}</label>",
            escaped(name)
        );
    };
    entry("outline reference", "reference", "reference");
    for (at, name) in predictions.iter().enumerate() {
        let class = format!("outline {}", crate::case::prediction_classes(at));
        entry(&class, if at == 0 { "prediction" } else { "further" }, name);
    }
    entry("missed", "missed", "missed or of another class");
    entry("added", "added", "added");
    html.push_str("</fieldset>\n");
}

/// Texts that are escaped together.
trait EachEscaped<const N: usize> {
    fn each_escaped(&self) -> impl Iterator<Item = [String; N]>;
}

impl<const N: usize> EachEscaped<N> for Vec<[String; N]> {
    fn each_escaped(&self) -> impl Iterator<Item = [String; N]> {
        self.iter().map(|texts| texts.each_ref().map(|text| escaped(text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::tests::scan;
    use crate::{Cell, Curve, Sample};
    use ndarray::Array3;

    const HOSTILE: &str = "</title></script></style><script>alert(1)</script><img src=x onerror=alert(1)>\" autofocus onfocus='alert(1)'";

    /// A page that has the text wherever it takes one.
    fn page(text: &str) -> Page {
        let text = || text.to_owned();
        let mut scan = scan();
        scan.id = text();
        scan.predictions[0].0 = text();
        let mut viewer = Viewer::default();
        viewer.add(&text(), &scan).unwrap();
        let curve = Curve { name: text(), points: vec![[0.0, 1.0], [1.0, 2.0]] };
        let chart = Chart {
            title: text(),
            along: text(),
            curves: vec![curve.clone(), curve],
            notes: vec![text()],
            ..Chart::default()
        };
        let sample = Sample { name: text(), values: vec![(text(), 1.0)], undefined: vec![(text(), text())] };
        let cell = Cell { text: text(), value: Some(1.0), title: Some(text()), link: Some(text()) };
        let case = |slices| Part::Case { id: text(), heading: text(), scores: text(), slices, open: true };
        let parts = vec![
            Part::Text(text()),
            Part::Warning(text()),
            Part::Numbers(vec![[text(), text(), text()]]),
            Part::Facts(vec![[text(), text()]]),
            Part::Table(Table { caption: text(), headings: vec![text()], rows: vec![vec![cell]] }),
            Part::Charts(vec![chart]),
            Part::BoxPlots(vec![BoxPlots { title: text(), groups: vec![sample] }]),
            Part::Key(vec![text()]),
            case(Ok(Slices::of(&scan).unwrap())),
            case(Err(text())),
            Part::Viewer(Box::new(viewer)),
            Part::Folded(text(), vec![Part::Text(text())]),
        ];
        let sections = vec![Section { heading: text(), parts }];
        Page { title: text(), subtitle: text(), sections, footer: text() }
    }

    #[test]
    fn no_text_becomes_markup_anywhere() {
        let (plain, hostile) = (page("x").html(), page(HOSTILE).html());
        // As many tags as with a text that has none.
        for tag in ["<script", "</script", "<img", "</title", "</style", "<style", "<svg", "<p", "<details"] {
            assert_eq!(hostile.matches(tag).count(), plain.matches(tag).count(), "{tag}");
        }
        assert!(!hostile.contains("<img src=x"));
        // In JSON a quotation mark stands behind a stroke, and in no attribute.
        let unquoted = hostile.replace("\\\"", "");
        assert!(!unquoted.contains("\" autofocus"), "a quotation mark of a text ends an attribute");
    }

    #[test]
    fn the_file_needs_no_other() {
        let html = page("x").html();
        let outside = |attribute: &str| {
            html.split(attribute)
                .skip(1)
                .filter(|rest| !rest.starts_with("data:") && !rest.starts_with('#'))
                .count()
        };
        assert_eq!((outside(" src=\""), outside(" href=\"")), (0, 0));
        assert!(html.contains("Content-Security-Policy") && html.contains("default-src 'none'"));
        assert!(!STYLE.contains("url(") && !STYLE.contains("@import"));
    }

    #[test]
    fn three_scans_that_do_not_pack_stay_below_15_mb() {
        let shape = (144, 144, 80);
        // Noise packs worst.
        let mut state = 1u32;
        let image = Array3::from_shape_fn(shape, |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32
        });
        let reference = Array3::from_shape_fn(shape, |(i, j, k)| u8::from((i + 2 * j + 5 * k) % 97 < 40));
        let predictions = vec![("ensemble".to_owned(), reference.mapv(|label| 1 - label))];
        let uncertainty = Some(image.mapv(|value| (value as u32 % 251) as u8));
        let scan =
            Scan { id: "noise".into(), image, spacing: [0.5, 0.5, 1.0], reference, predictions, uncertainty };
        let mut viewer = Viewer::default();
        let mut parts = Vec::new();
        for at in 0..3 {
            viewer.add("noise", &scan).unwrap();
            let slices = Ok(Slices::of(&scan).unwrap());
            let (id, heading, scores) = (format!("case-{at}"), String::new(), String::new());
            parts.push(Part::Case { id, heading, scores, slices, open: true });
        }
        parts.push(Part::Viewer(Box::new(viewer)));
        let sections = vec![Section { heading: "cases".into(), parts }];
        let bytes = Page { sections, ..Page::default() }.html().len();
        assert!(bytes < 15_000_000, "{bytes}");
        assert!(bytes > 5_000_000, "{bytes}: is the viewer in it?");
    }

    use crate::Scan;
}
