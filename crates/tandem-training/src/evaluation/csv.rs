//! `metrics.csv`: the scores as a table.
//!
//! Columns are found by their headings, so that a table of an older version is read too: it says nothing of components
//! (its rows are of all that was predicted), and has the metrics that it has.

use super::{Component, Grid, Measure, Row, Scores};
use crate::files::write_text;
use crate::{Error, Result};
use std::fmt::Write;
use std::path::Path;
use tandem_metrics::{Score, Undefined};

const CASE: &str = "case";
const GRID: &str = "grid";
const PREDICTOR: &str = "predictor";
const COMPONENT: &str = "component";
const CLASS: &str = "class";
const UNDEFINED: &str = "undefined";

/// Units of metrics, as headings end with them.
const UNITS: [&str; 4] = ["mm", "voxels", "mL", "%"];

impl Scores {
    /// Writes the rows as CSV. An undefined value is an empty cell; the last column says why.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn write_csv(&self, path: &Path) -> Result<()> {
        let mut text = [CASE, GRID, PREDICTOR, COMPONENT, CLASS].join(",");
        for measure in self.rows.first().map_or(&[][..], |row| &row.measures) {
            let _ = write!(text, ",{}", heading(measure));
        }
        let _ = writeln!(text, ",{UNDEFINED}");
        for row in &self.rows {
            let (case, class) = (csv_cell(&row.case), csv_cell(&row.class));
            let _ =
                write!(text, "{case},{},{},{},{class}", row.grid.name(), row.predictor, row.component.name());
            let mut reasons = Vec::new();
            for measure in &row.measures {
                match measure.score {
                    Score::Value(value) => {
                        let _ = write!(text, ",{value}");
                    }
                    Score::Undefined(why) => {
                        text.push(',');
                        reasons.push(why.to_string());
                    }
                }
            }
            // One reason is enough where it is that of all.
            if reasons.windows(2).all(|pair| pair[0] == pair[1]) {
                reasons.truncate(1);
            }
            let _ = writeln!(text, ",{}", reasons.join(SEPARATOR));
        }
        write_text(path, &text)
    }

    /// Reads the scores of a run or of an evaluation back: what [`Self::write_csv`] wrote, now or in an older version.
    ///
    /// # Errors
    /// Where the file cannot be read or is not such a table.
    pub fn read_csv(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
        let mut lines = text.lines();
        let headings = cells(lines.next().unwrap_or_default());
        if ![CASE, GRID, PREDICTOR, CLASS].iter().all(|known| headings.iter().any(|heading| heading == known))
        {
            return Err(Error::run_file(path, "line 1 has no headings of scores; the file was changed"));
        }
        let read = |(index, line): (usize, &str)| {
            let problem = || format!("line {} is no row of scores; the file was changed", index + 2);
            row_of(&headings, &cells(line)).ok_or_else(|| Error::run_file(path, problem()))
        };
        Ok(Scores { rows: lines.enumerate().map(read).collect::<Result<_>>()? })
    }
}

/// Between the reasons of several undefined values, in the order of their columns.
const SEPARATOR: &str = "; ";

/// The heading of a metric: its name and, where it has one, its unit.
fn heading(Measure { metric, unit, .. }: &Measure) -> String {
    let separator = if unit.is_empty() { "" } else { "_" };
    format!("{metric}{separator}{unit}")
}

/// Name and unit of the metric of a heading.
fn metric_of(heading: &str) -> (&str, &str) {
    let split = heading.rsplit_once('_').filter(|(_, unit)| UNITS.contains(unit));
    split.unwrap_or((heading, ""))
}

/// A row of scores from the cells of its line.
fn row_of(headings: &[String], cells: &[String]) -> Option<Row> {
    if headings.len() != cells.len() {
        return None;
    }
    let mut row = Row {
        case: String::new(),
        grid: Grid::Own,
        predictor: String::new(),
        component: Component::All,
        class: String::new(),
        measures: Vec::new(),
    };
    let mut reasons: Vec<Undefined> = Vec::new();
    for (heading, cell) in headings.iter().zip(cells) {
        match heading.as_str() {
            CASE => row.case = cell.clone(),
            GRID => row.grid = [Grid::Own, Grid::Working].into_iter().find(|known| known.name() == cell)?,
            PREDICTOR => row.predictor = cell.clone(),
            COMPONENT => {
                row.component =
                    [Component::All, Component::Largest].into_iter().find(|known| known.name() == cell)?;
            }
            CLASS => row.class = cell.clone(),
            UNDEFINED if cell.is_empty() => {}
            UNDEFINED => reasons = cell.split(SEPARATOR).map(reason_of).collect::<Option<_>>()?,
            heading => {
                let (metric, unit) = metric_of(heading);
                // Why a value is undefined is known at the end of the line.
                let score = match cell.as_str() {
                    "" => Score::Undefined(Undefined::BothEmpty),
                    value => Score::Value(value.parse().ok()?),
                };
                row.measures.push(Measure { metric: metric.to_owned(), unit: unit.to_owned(), score });
            }
        }
    }
    let undefined: Vec<&mut Measure> =
        row.measures.iter_mut().filter(|measure| measure.score.value().is_none()).collect();
    if let [only] = reasons[..] {
        reasons = vec![only; undefined.len().max(1)];
    }
    if reasons.len() != undefined.len() {
        return None;
    }
    undefined.into_iter().zip(reasons).for_each(|(measure, why)| measure.score = Score::Undefined(why));
    Some(row)
}

fn reason_of(text: &str) -> Option<Undefined> {
    let reasons = [Undefined::EmptyPrediction, Undefined::EmptyReference, Undefined::BothEmpty];
    reasons.into_iter().find(|known| known.to_string() == text)
}

/// The cells of a line of CSV.
fn cells(line: &str) -> Vec<String> {
    let mut cells = vec![String::new()];
    let mut inside = false;
    let mut characters = line.chars().peekable();
    while let Some(c) = characters.next() {
        let cell = cells.len() - 1;
        match c {
            // A doubled quotation mark stands for one.
            '"' if inside && characters.peek() == Some(&'"') => {
                characters.next();
                cells[cell].push('"');
            }
            '"' => inside = !inside,
            ',' if !inside => cells.push(String::new()),
            c => cells[cell].push(c),
        }
    }
    cells
}

/// A cell of a CSV file: in quotes where it has to be (RFC 4180).
pub fn csv_cell(cell: &str) -> String {
    if cell.contains([',', '"', '\n']) {
        format!("\"{}\"", cell.replace('"', "\"\""))
    } else {
        cell.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluation::tests::sample;

    fn written(scores: &Scores) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.csv");
        scores.write_csv(&path).unwrap();
        std::fs::read_to_string(&path).unwrap()
    }

    fn read(text: &str) -> Result<Scores> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.csv");
        std::fs::write(&path, text).unwrap();
        Scores::read_csv(&path)
    }

    #[test]
    fn csv_has_a_cell_for_every_column_and_says_what_is_undefined() {
        let text = written(&sample());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4);
        let start = "case,grid,predictor,component,class,dice,jaccard,hd95_mm,asd_mm,nsd_1mm,assd_mm,";
        assert!(lines[0].starts_with(start), "{}", lines[0]);
        assert!(lines[0].ends_with("_voxels,undefined"), "{}", lines[0]);
        let cells = |line: &str| line.split(',').count();
        assert_eq!(cells(lines[1]), cells(lines[0]));
        assert!(lines[2].starts_with("\"b,2\",own,ensemble,all,1,0.857"), "{}", lines[2]);
        assert!(
            lines[3].starts_with("c,own,ensemble,all,1,0,0,,") && lines[3].ends_with(",empty prediction"),
            "{}",
            lines[3]
        );
    }

    #[test]
    fn a_table_comes_back_as_it_was_written() {
        let mut scores = sample();
        scores.rows[0].class = "a \"quoted\", odd one".to_owned();
        scores.rows[1].component = Component::Largest;
        // A mean over classes can lack its values for more than one reason.
        scores.rows[1].measures[3].score = Score::Undefined(Undefined::EmptyPrediction);
        scores.rows[1].measures[5].score = Score::Undefined(Undefined::EmptyReference);
        let text = written(&scores);
        assert!(text.contains(",nsd_1mm,") && text.contains(",volume_difference_mL,"), "{text}");
        assert_eq!(read(&text).unwrap(), scores);
    }

    #[test]
    fn a_table_of_the_version_before_components_is_read() {
        let old = "case,grid,predictor,class,dice,hd95_mm,hd95_voxels,undefined\n\
                   a,own,ensemble,1,0.5,2,4,\nb,working,vnet,1,0,,,empty prediction\n";
        let scores = read(old).unwrap();
        let [a, b] = scores.rows() else { panic!("{scores:?}") };
        assert_eq!((a.component, a.score("hd95", "voxels")), (Component::All, Some(Score::Value(4.0))));
        let gap = Score::Undefined(Undefined::EmptyPrediction);
        assert_eq!((b.grid, b.score("hd95", "mm"), b.score("asd", "mm")), (Grid::Working, Some(gap), None));
    }

    #[test]
    fn what_is_no_table_of_scores_is_refused_with_its_line() {
        let header = "case,grid,predictor,component,class,dice,undefined\n";
        for (rows, line) in [
            ("x,own\n", 2),
            ("x,own,vnet,all,1,0.5,\nx,own,vnet,half,1,0.5,\n", 3),
            ("x,own,vnet,all,1,half,\n", 2),
            ("x,own,vnet,all,1,,\n", 2),
            ("x,own,vnet,all,1,,bad luck\n", 2),
        ] {
            let message = read(&format!("{header}{rows}")).unwrap_err().to_string();
            assert!(message.contains(&format!("metrics.csv: line {line} is no row")), "{message}");
        }
        let message = read("case\nx\n").unwrap_err().to_string();
        assert!(message.contains("line 1 has no headings"), "{message}");
    }
}
