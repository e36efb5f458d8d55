//! `metrics.csv`: the scores as a table.

use super::{Column, Grid, Measure, Row, Scores, columns};
use crate::files::write_text;
use crate::{Error, Result};
use std::fmt::Write;
use std::path::Path;
use tandem_metrics::{Score, Undefined};

impl Scores {
    /// Writes the rows as CSV. An undefined value is an empty cell; the last column says why.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn write_csv(&self, path: &Path) -> Result<()> {
        let mut text = String::from("case,grid,predictor,class");
        for Column { metric, unit } in columns() {
            let separator = if unit.is_empty() { "" } else { "_" };
            let _ = write!(text, ",{metric}{separator}{unit}");
        }
        text.push_str(",undefined\n");
        for row in &self.rows {
            let (case, class) = (quoted(&row.case), quoted(&row.class));
            let _ = write!(text, "{case},{},{},{class}", row.grid.name(), row.predictor);
            let mut reason = String::new();
            for measure in &row.measures {
                match measure.score {
                    Score::Value(value) => {
                        let _ = write!(text, ",{value}");
                    }
                    Score::Undefined(why) => {
                        text.push(',');
                        reason = why.to_string();
                    }
                }
            }
            let _ = writeln!(text, ",{reason}");
        }
        write_text(path, &text)
    }

    /// Reads what [`Self::write_csv`] wrote.
    ///
    /// # Errors
    /// Where the file cannot be read or is not such a table.
    pub fn read_csv(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
        let lines = text.lines().skip(1).enumerate();
        let read = |(index, line): (usize, &str)| {
            let problem = || format!("line {} is no row of scores; the file was changed", index + 2);
            row_of(&cells(line)).ok_or_else(|| Error::run_file(path, problem()))
        };
        Ok(Scores { rows: lines.map(read).collect::<Result<_>>()? })
    }
}

/// A row of scores from the cells of its line.
fn row_of(cells: &[String]) -> Option<Row> {
    let [case, grid, predictor, class, values @ .., reason] = cells else { return None };
    let columns: Vec<Column> = columns().collect();
    let reasons = [Undefined::EmptyPrediction, Undefined::EmptyReference, Undefined::BothEmpty];
    let score = |cell: &String| match cell.as_str() {
        "" => reasons.into_iter().find(|known| known.to_string() == *reason).map(Score::Undefined),
        value => value.parse().ok().map(Score::Value),
    };
    let measure = |(column, cell): (Column, &String)| {
        Some(Measure { metric: column.metric, unit: column.unit, score: score(cell)? })
    };
    if columns.len() != values.len() {
        return None;
    }
    Some(Row {
        case: case.clone(),
        grid: [Grid::Own, Grid::Working].into_iter().find(|known| known.name() == grid)?,
        predictor: predictor.clone(),
        class: class.clone(),
        measures: columns.into_iter().zip(values).map(measure).collect::<Option<_>>()?,
    })
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

/// A cell of CSV.
fn quoted(cell: &str) -> String {
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

    #[test]
    fn csv_has_a_cell_for_every_column_and_says_what_is_undefined() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.csv");
        sample().write_csv(&path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4);
        assert!(lines[0].starts_with("case,grid,predictor,class,dice,jaccard,hd95_mm,"), "{}", lines[0]);
        assert!(lines[0].ends_with("_voxels,undefined"), "{}", lines[0]);
        let cells = |line: &str| line.split(',').count();
        assert_eq!(cells(lines[1]), cells(lines[0]));
        assert!(lines[2].starts_with("\"b,2\",own,ensemble,1,0.857"), "{}", lines[2]);
        assert!(
            lines[3].starts_with("c,own,ensemble,1,0,0,,") && lines[3].ends_with(",empty prediction"),
            "{}",
            lines[3]
        );
    }

    #[test]
    fn a_table_comes_back_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.csv");
        let mut scores = sample();
        scores.rows[0].class = "a \"quoted\", odd one".to_owned();
        scores.write_csv(&path).unwrap();
        assert_eq!(Scores::read_csv(&path).unwrap(), scores);
        std::fs::write(&path, "case\nx,own\n").unwrap();
        let message = Scores::read_csv(&path).unwrap_err().to_string();
        assert!(message.contains("metrics.csv: line 2 is no row"), "{message}");
    }
}
