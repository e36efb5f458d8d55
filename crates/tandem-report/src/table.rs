//! Tables.

use crate::html::escaped;
use std::fmt::Write;

/// A table whose rows can be sorted by each column.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// What it holds, for those who do not see it.
    pub caption: String,
    /// What the columns are.
    pub headings: Vec<String>,
    /// One cell for each heading. A row with fewer ends in empty cells.
    pub rows: Vec<Vec<Cell>>,
}

/// A cell.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cell {
    /// What it says.
    pub text: String,
    /// By what the row is sorted; a cell without one comes last.
    pub value: Option<f64>,
    /// What it says to who points at it.
    pub title: Option<String>,
    /// Where it leads, in this file: the id of an element.
    pub link: Option<String>,
}

impl Cell {
    /// Text.
    pub fn text(text: impl Into<String>) -> Self {
        Cell { text: text.into(), ..Cell::default() }
    }

    /// A number, as it is written.
    pub fn number(value: f64, text: impl Into<String>) -> Self {
        Cell { text: text.into(), value: Some(value), ..Cell::default() }
    }

    /// No value, and why.
    pub fn undefined(why: impl Into<String>) -> Self {
        Cell { text: "–".to_owned(), title: Some(why.into()), ..Cell::default() }
    }
}

impl Table {
    pub(crate) fn write(&self, html: &mut String) {
        let caption = escaped(&self.caption);
        // It scrolls by itself where the screen is narrow; who has no mouse can reach it by the keyboard.
        let _ = write!(
            html,
            "<div class=\"scroll\" role=\"region\" aria-label=\"{caption}\" tabindex=\"0\"><table><caption>{caption}</caption><thead><tr>"
        );
        for (at, heading) in self.headings.iter().enumerate() {
            let numeric = if self.is_numeric(at) { " class=\"number\"" } else { "" };
            let _ = write!(html, "<th scope=\"col\"{numeric}>{}</th>", escaped(heading));
        }
        html.push_str("</tr></thead><tbody>");
        for row in &self.rows {
            html.push_str("<tr>");
            for at in 0..self.headings.len() {
                let numeric = if self.is_numeric(at) { " class=\"number\"" } else { "" };
                match (at, row.get(at)) {
                    (0, Some(cell)) => {
                        let _ = write!(html, "<th scope=\"row\"{numeric}>{}</th>", cell.html());
                    }
                    (_, cell) => {
                        let value =
                            cell.and_then(|cell| cell.value).map(|value| format!(" data-value=\"{value}\""));
                        let text = cell.map(Cell::html).unwrap_or_default();
                        let _ = write!(html, "<td{numeric}{}>{text}</td>", value.unwrap_or_default());
                    }
                }
            }
            html.push_str("</tr>");
        }
        html.push_str("</tbody></table></div>\n");
    }

    fn is_numeric(&self, column: usize) -> bool {
        self.rows.iter().any(|row| row.get(column).is_some_and(|cell| cell.value.is_some()))
    }
}

impl Cell {
    fn html(&self) -> String {
        let mut text = escaped(&self.text);
        if let Some(title) = &self.title {
            // A reason that only a mouse finds is lost on paper and on a phone: it stands there, small.
            text = format!("{text} <span class=\"why\">{}</span>", escaped(title));
        }
        match &self.link {
            Some(link) => format!("<a href=\"#{}\">{text}</a>", escaped(link)),
            None => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_escaped_and_an_undefined_one_says_why() {
        let table = Table {
            caption: "cases <i>".into(),
            headings: vec!["case".into(), "Dice (%)".into(), "HD95 (mm)".into()],
            rows: vec![
                vec![
                    Cell::text("<script>x</script>"),
                    Cell::number(88.5, "88.50"),
                    Cell::undefined("empty prediction"),
                ],
                vec![Cell { link: Some("case-2".into()), ..Cell::text("b") }],
            ],
        };
        let mut html = String::new();
        table.write(&mut html);
        assert!(!html.contains("<script>") && !html.contains("<i>"), "{html}");
        assert!(html.contains("<td class=\"number\" data-value=\"88.5\">88.50</td>"), "{html}");
        assert!(html.contains("– <span class=\"why\">empty prediction</span>"), "{html}");
        assert!(html.contains("<a href=\"#case-2\">b</a>"), "{html}");
        assert_eq!((html.matches("<td").count(), html.matches("scope=\"row\"").count()), (4, 2));
    }
}
