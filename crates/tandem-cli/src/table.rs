//! Scores as a table for a terminal.

use tandem_training::{ENSEMBLE, Grid, SummaryRow};

/// What is shown: heading, metric, unit, factor.
const COLUMNS: [(&str, &str, &str, f64); 6] = [
    ("Dice %", "dice", "", 100.0),
    ("Jaccard %", "jaccard", "", 100.0),
    ("HD95 mm", "hd95", "mm", 1.0),
    ("ASD mm", "asd", "mm", 1.0),
    ("HD95 vox", "hd95", "voxels", 1.0),
    ("ASD vox", "asd", "voxels", 1.0),
];

/// Mean and standard deviation over cases of each network and their ensemble, on each grid. Where a value is
/// undefined in some cases, it says of how many it is the mean.
pub(crate) fn scores(summary: &[SummaryRow]) -> String {
    let mut lines = Vec::new();
    for (grid, title) in [(Grid::Own, "on the scans' own grids"), (Grid::Working, "on the working grid")] {
        let rows: Vec<&SummaryRow> = summary.iter().filter(|row| row.grid == grid).collect();
        let groups: Vec<&&SummaryRow> = rows.iter().filter(|row| row.metric == "dice").collect();
        if groups.is_empty() {
            continue;
        }
        lines.push(format!("\n{title}, mean and SD over cases"));
        lines.push(line("network", "class", COLUMNS.map(|(heading, ..)| heading.to_owned())));
        for group in groups {
            let cells = COLUMNS.map(|(_, metric, unit, factor)| {
                let wanted = (metric, unit, group.predictor.as_str(), group.class);
                let same = |row: &&&SummaryRow| {
                    (row.metric.as_str(), row.unit.as_str(), row.predictor.as_str(), row.class) == wanted
                };
                rows.iter().find(same).map_or_else(|| "-".to_owned(), |row| cell(row, factor))
            });
            lines.push(line(&group.predictor, &group.class.to_string(), cells));
        }
    }
    lines.join("\n")
}

/// The ensemble's Dice in one line.
pub(crate) fn headline(summary: &[SummaryRow]) -> String {
    let dice = summary.iter().filter(|row| row.predictor == ENSEMBLE && row.metric == "dice");
    let parts = dice.map(|row| {
        let grid = if row.grid == Grid::Own { "own grid" } else { "working grid" };
        format!("{} (class {}, {grid})", cell(row, 100.0), row.class)
    });
    format!("ensemble Dice % {}", parts.collect::<Vec<_>>().join(", "))
}

fn cell(row: &SummaryRow, factor: f64) -> String {
    let summary = row.summary;
    let value = match (summary.mean, summary.sd) {
        (None, _) => return format!("undefined in {}", summary.undefined),
        (Some(mean), None) => format!("{:.2}", mean * factor),
        (Some(mean), Some(sd)) => format!("{:.2} ± {:.2}", mean * factor, sd * factor),
    };
    if summary.undefined > 0 { format!("{value} (n={})", summary.n) } else { value }
}

fn line(network: &str, class: &str, cells: [String; 6]) -> String {
    let cells = cells.map(|cell| format!("{cell:>18}")).join(" ");
    format!("{network:<10} {class:>5} {cells}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use tandem_metrics::Summary;

    fn row(metric: &str, unit: &str, summary: Summary) -> SummaryRow {
        let (metric, unit) = (metric.to_owned(), unit.to_owned());
        SummaryRow { grid: Grid::Own, predictor: ENSEMBLE.to_owned(), class: 1, metric, unit, summary }
    }

    #[test]
    fn undefined_values_are_counted_and_never_shown_as_numbers() {
        let dice = Summary { mean: Some(0.5), sd: Some(0.1), n: 3, undefined: 0 };
        let hd95 = Summary { mean: None, sd: None, n: 0, undefined: 3 };
        let rows = [row("dice", "", dice), row("hd95", "mm", hd95)];
        let text = scores(&rows);
        assert!(text.contains("50.00 ± 10.00"), "{text}");
        assert!(text.contains("undefined in 3"), "{text}");
        assert!(!text.contains("working grid"), "{text}");
        assert_eq!(headline(&rows), "ensemble Dice % 50.00 ± 10.00 (class 1, own grid)");
    }
}
