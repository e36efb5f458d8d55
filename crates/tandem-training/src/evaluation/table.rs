//! The scores that people see: what stands in the tables of a report and of a terminal.

use super::{Component, ENSEMBLE, Grid, MEAN, SummaryRow};
use tandem_metrics::Summary;

/// What a table shows of each line: heading, metric, unit, and the factor to the heading's unit. The four metrics of
/// the papers, distances in mm and in voxels.
pub const TABLE_COLUMNS: [(&str, &str, &str, f64); 6] = [
    ("Dice (%)", "dice", "", 100.0),
    ("Jaccard (%)", "jaccard", "", 100.0),
    ("HD95 (mm)", "hd95", "mm", 1.0),
    ("ASD (mm)", "asd", "mm", 1.0),
    ("HD95 (voxels)", "hd95", "voxels", 1.0),
    ("ASD (voxels)", "asd", "voxels", 1.0),
];

/// One predictor and class.
#[derive(Clone, Debug, PartialEq)]
pub struct TableLine {
    /// The network, or the ensemble; and whether only its largest component was scored.
    pub predictor: String,
    /// The class.
    pub class: String,
    /// The scores of [`TABLE_COLUMNS`], multiplied by their factor; none where the file does not have one.
    pub cells: [Option<Summary>; TABLE_COLUMNS.len()],
}

/// The lines of one grid: every network and class with all that was predicted, and, in one line at the end, the ensemble
/// with its largest component (of several classes their mean). Empty where there are no scores on this grid.
pub fn table_lines(summary: &[SummaryRow], grid: Grid) -> Vec<TableLine> {
    let dice = || summary.iter().filter(|row| row.grid == grid && row.metric == "dice");
    let largest: Vec<&SummaryRow> =
        dice().filter(|row| row.component == Component::Largest && row.predictor == ENSEMBLE).collect();
    let last = largest.iter().find(|row| row.class == MEAN).or(largest.first());
    dice()
        .filter(|row| row.component == Component::All)
        .chain(last.copied())
        .map(|of| line(summary, of))
        .collect()
}

fn line(summary: &[SummaryRow], of: &SummaryRow) -> TableLine {
    let key = |row: &SummaryRow| (row.grid, row.component, row.predictor.clone(), row.class.clone());
    let rows: Vec<&SummaryRow> = summary.iter().filter(|row| key(row) == key(of)).collect();
    let cells = TABLE_COLUMNS.map(|(_, metric, unit, factor)| {
        let row = rows.iter().find(|row| row.metric == metric && row.unit == unit)?;
        Some(row.summary.times(factor))
    });
    let predictor = match of.component {
        Component::All => of.predictor.clone(),
        Component::Largest => format!("{} (largest)", of.predictor),
    };
    TableLine { predictor, class: of.class.clone(), cells }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(predictor: &str, component: Component, class: &str, metric: &str, mean: f64) -> SummaryRow {
        let [predictor, class, metric, unit] = [predictor, class, metric, ""].map(str::to_owned);
        let summary = Summary { mean: Some(mean), sd: None, n: 1, undefined: 0 };
        SummaryRow { grid: Grid::Own, predictor, component, class, metric, unit, summary }
    }

    #[test]
    fn one_line_shows_the_ensembles_largest_component() {
        let rows = |classes: &[&str]| {
            let mut rows = Vec::new();
            for component in [Component::All, Component::Largest] {
                for class in classes {
                    for predictor in ["vnet", ENSEMBLE] {
                        rows.push(row(predictor, component, class, "dice", 0.5));
                        rows.push(row(predictor, component, class, "jaccard", 0.25));
                    }
                }
            }
            rows
        };
        let named = |classes: &[&str]| -> Vec<(String, String)> {
            let lines = table_lines(&rows(classes), Grid::Own).into_iter();
            lines.map(|line| (line.predictor, line.class)).collect()
        };
        let expected = |lines: &[(&str, &str)]| -> Vec<(String, String)> {
            lines.iter().map(|(predictor, class)| ((*predictor).to_owned(), (*class).to_owned())).collect()
        };
        assert_eq!(named(&["1"]), expected(&[("vnet", "1"), (ENSEMBLE, "1"), ("ensemble (largest)", "1")]));
        let last = named(&["a", "b", MEAN]).pop();
        assert_eq!(last, expected(&[("ensemble (largest)", MEAN)]).pop());
        assert_eq!(table_lines(&rows(&["1"]), Grid::Working), []);
        let line = &table_lines(&rows(&["1"]), Grid::Own)[0];
        assert_eq!(
            line.cells.map(|cell| cell.and_then(|cell| cell.mean))[..3],
            [Some(50.0), Some(25.0), None]
        );
    }
}
