//! The scores that people see: what stands in the tables of a report and of a terminal.

use super::{Component, ENSEMBLE, Grid, MEAN, SummaryRow};
use tandem_metrics::Summary;

/// The columns of every table: heading, metric, unit, and the factor to the heading's unit. The four metrics of the
/// papers, distances in mm and in voxels.
pub const TABLE_COLUMNS: [(&str, &str, &str, f64); 6] = [
    ("Dice (%)", "dice", "", 100.0),
    ("Jaccard (%)", "jaccard", "", 100.0),
    ("HD95 (mm)", "hd95", "mm", 1.0),
    ("ASD (mm)", "asd", "mm", 1.0),
    ("HD95 (voxels)", "hd95", "voxels", 1.0),
    ("ASD (voxels)", "asd", "voxels", 1.0),
];

/// The scores of one grid.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// What the columns are: the four metrics of the papers, and the surface Dice where there is one.
    pub headings: Vec<String>,
    /// Every network and class with all that was predicted, and, in one line at the end, the ensemble with its largest
    /// component (of several classes their mean).
    pub lines: Vec<TableLine>,
}

/// One predictor and class.
#[derive(Clone, Debug, PartialEq)]
pub struct TableLine {
    /// The network, or the ensemble; and whether only its largest component was scored.
    pub predictor: String,
    /// The class.
    pub class: String,
    /// A score for each heading; none where it was not measured.
    pub cells: Vec<Option<Summary>>,
}

/// Heading, metric, unit, factor: those of [`TABLE_COLUMNS`], and of a surface Dice, whose name has its tolerance.
type Column<'a> = (String, &'a str, &'a str, f64);

impl Table {
    /// None where there are no scores on this grid.
    pub fn of(summary: &[SummaryRow], grid: Grid) -> Option<Self> {
        let rows: Vec<&SummaryRow> = summary.iter().filter(|row| row.grid == grid).collect();
        let mut columns: Vec<Column> = TABLE_COLUMNS
            .iter()
            .map(|(heading, metric, unit, factor)| ((*heading).to_owned(), *metric, *unit, *factor))
            .collect();
        let surface_dice = rows.iter().find_map(|row| Some((&row.metric, row.metric.strip_prefix("nsd_")?)));
        columns.extend(surface_dice.map(|(name, at)| (format!("NSD {at} (%)"), name.as_str(), "", 100.0)));

        let lines: Vec<TableLine> = shown(&rows).into_iter().map(|row| line(&rows, row, &columns)).collect();
        let headings = columns.into_iter().map(|(heading, ..)| heading).collect();
        (!lines.is_empty()).then_some(Table { headings, lines })
    }
}

/// The rows of the Dice whose lines are shown.
fn shown<'a>(rows: &[&'a SummaryRow]) -> Vec<&'a SummaryRow> {
    let of = |component| {
        rows.iter().copied().filter(move |row| row.metric == "dice" && row.component == component)
    };
    let ensemble: Vec<&SummaryRow> = of(Component::Largest).filter(|row| row.predictor == ENSEMBLE).collect();
    let last = ensemble.iter().find(|row| row.class == MEAN).or(ensemble.first());
    of(Component::All).chain(last.copied()).collect()
}

fn line(rows: &[&SummaryRow], of: &SummaryRow, columns: &[Column]) -> TableLine {
    let key = |row: &SummaryRow| (row.component, row.predictor.clone(), row.class.clone());
    let own: Vec<&&SummaryRow> = rows.iter().filter(|row| key(row) == key(of)).collect();
    let cell = |(_, metric, unit, factor): &Column| {
        let row = own.iter().find(|row| row.metric == *metric && row.unit == *unit)?;
        Some(row.summary.times(*factor))
    };
    let predictor = match of.component {
        Component::All => of.predictor.clone(),
        Component::Largest => format!("{} (largest)", of.predictor),
    };
    TableLine { predictor, class: of.class.clone(), cells: columns.iter().map(cell).collect() }
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
            let lines = Table::of(&rows(classes), Grid::Own).unwrap().lines.into_iter();
            lines.map(|line| (line.predictor, line.class)).collect()
        };
        let expected = |lines: &[(&str, &str)]| -> Vec<(String, String)> {
            lines.iter().map(|(predictor, class)| ((*predictor).to_owned(), (*class).to_owned())).collect()
        };
        assert_eq!(named(&["1"]), expected(&[("vnet", "1"), (ENSEMBLE, "1"), ("ensemble (largest)", "1")]));
        let last = named(&["a", "b", MEAN]).pop();
        assert_eq!(last, expected(&[("ensemble (largest)", MEAN)]).pop());
        assert_eq!(Table::of(&rows(&["1"]), Grid::Working), None);
    }

    #[test]
    fn the_surface_dice_has_a_column_where_there_is_one() {
        let mut rows = vec![row(ENSEMBLE, Component::All, "1", "dice", 0.5)];
        let cells = |rows: &[SummaryRow]| {
            let Table { headings, lines } = Table::of(rows, Grid::Own).unwrap();
            let means = lines[0].cells.iter().map(|cell| cell.and_then(|cell| cell.mean));
            (headings.last().cloned().unwrap(), headings.len(), means.collect::<Vec<_>>())
        };
        let mut expected = vec![Some(50.0), None, None, None, None, None];
        assert_eq!(cells(&rows), ("ASD (voxels)".to_owned(), 6, expected.clone()));
        rows.push(row(ENSEMBLE, Component::All, "1", "nsd_2.5mm", 0.75));
        expected.push(Some(75.0));
        assert_eq!(cells(&rows), ("NSD 2.5mm (%)".to_owned(), 7, expected));
    }
}
