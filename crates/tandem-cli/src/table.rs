//! Scores as a table for a terminal.

use tandem_metrics::Summary;
use tandem_training::{Component, ENSEMBLE, Grid, MEAN, SummaryRow, Table, TableLine};

/// Mean and standard deviation over cases of each network and their ensemble, on each grid. Where a value is
/// undefined in some cases, it says of how many it is the mean.
pub(crate) fn scores(summary: &[SummaryRow]) -> String {
    let mut text = Vec::new();
    for (grid, title) in [(Grid::Own, "on the scans' own grids"), (Grid::Working, "on the working grid")] {
        let Some(Table { headings, lines }) = Table::of(summary, grid) else { continue };
        text.push(format!("\n{title}, mean and SD over cases"));
        let mut rows = vec![vec!["network".to_owned(), "class".to_owned()]];
        rows[0].extend(headings);
        for TableLine { predictor, class, cells } in lines {
            let mut row = vec![predictor, class];
            row.extend(cells.into_iter().map(|score| score.map_or_else(|| "-".to_owned(), cell)));
            rows.push(row);
        }
        text.extend(aligned(&rows, 1));
    }
    text.join("\n")
}

/// The rows of a table with columns as wide as their widest cell: the first `left` to the left, the others to the right.
pub(crate) fn aligned(rows: &[Vec<String>], left: usize) -> impl Iterator<Item = String> {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..rows.first().map_or(0, Vec::len)).map(width).collect();
    rows.iter().map(move |row| {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            if column < left { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    })
}

/// The ensemble's Dice in one line: of the only foreground class, or the mean over all.
pub(crate) fn headline(summary: &[SummaryRow]) -> String {
    let several = summary.iter().any(|row| row.class == MEAN);
    let dice = summary.iter().filter(|row| {
        (row.predictor.as_str(), row.component, row.metric.as_str()) == (ENSEMBLE, Component::All, "dice")
            && (!several || row.class == MEAN)
    });
    let parts = dice.map(|row| {
        let grid = if row.grid == Grid::Own { "own grid" } else { "working grid" };
        let class = if several { "mean over classes".to_owned() } else { format!("class {}", row.class) };
        format!("{} ({class}, {grid})", cell(row.summary.times(100.0)))
    });
    format!("ensemble Dice % {}", parts.collect::<Vec<_>>().join(", "))
}

fn cell(summary: Summary) -> String {
    let value = match (summary.mean, summary.sd) {
        (None, _) => return format!("undefined in {}", summary.undefined),
        (Some(mean), None) => format!("{mean:.2}"),
        (Some(mean), Some(sd)) => format!("{mean:.2} ± {sd:.2}"),
    };
    if summary.undefined > 0 { format!("{value} (n={})", summary.n) } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(class: &str, metric: &str, unit: &str, summary: Summary) -> SummaryRow {
        let [predictor, class, metric, unit] = [ENSEMBLE, class, metric, unit].map(str::to_owned);
        SummaryRow { grid: Grid::Own, predictor, component: Component::All, class, metric, unit, summary }
    }

    #[test]
    fn undefined_values_are_counted_and_never_shown_as_numbers() {
        let dice = Summary { mean: Some(0.5), sd: Some(0.1), n: 3, undefined: 0 };
        let hd95 = Summary { mean: None, sd: None, n: 0, undefined: 3 };
        let rows = [row("1", "dice", "", dice), row("1", "hd95", "mm", hd95)];
        let text = scores(&rows);
        assert!(text.contains("50.00 ± 10.00"), "{text}");
        assert!(text.contains("undefined in 3"), "{text}");
        assert!(!text.contains("working grid"), "{text}");
        assert_eq!(headline(&rows), "ensemble Dice % 50.00 ± 10.00 (class 1, own grid)");
    }

    #[test]
    fn every_class_has_its_line_and_the_mean_the_headline() {
        let dice = |mean| Summary { mean: Some(mean), sd: None, n: 1, undefined: 0 };
        let rows = [
            row("liver", "dice", "", dice(0.9)),
            row("portal vein", "dice", "", dice(0.5)),
            row(MEAN, "dice", "", dice(0.7)),
        ];
        let text = scores(&rows);
        for (class, value) in [("liver", "90.00"), ("portal vein", "50.00"), ("mean", "70.00")] {
            let of_class = |line: &&str| line.starts_with(ENSEMBLE) && line.contains(class);
            let line = text.lines().find(of_class).unwrap();
            assert!(line.contains(value), "{line}");
        }
        assert_eq!(headline(&rows), "ensemble Dice % 70.00 (mean over classes, own grid)");
    }
}
