//! How numbers of a comparison are shown to people, and the short table for a terminal.

use super::{Comparison, Line};
use crate::table::aligned;
use tandem_training::{Component, Grid, MEAN, TABLE_COLUMNS};

/// The factor to the unit of the tables: ratios are in per cent.
pub(super) fn factor(line: &Line) -> f64 {
    TABLE_COLUMNS.iter().find(|(_, metric, ..)| *metric == line.metric).map_or(1.0, |(.., factor)| *factor)
}

/// `88.12 ± 0.40`, or what there is of it.
pub(super) fn mean_and_sd(line: &Line) -> String {
    let factor = factor(line);
    match (line.mean, line.sd) {
        (None, _) => "undefined".to_owned(),
        (Some(mean), None) => format!("{:.2}", mean * factor),
        (Some(mean), Some(sd)) => format!("{:.2} ± {:.2}", mean * factor, sd * factor),
    }
}

/// `[86.10, 89.95]`; empty where there is none.
pub(super) fn interval(ends: Option<[f64; 2]>, factor: f64) -> String {
    ends.map_or_else(String::new, |[low, high]| format!("[{:.2}, {:.2}]", low * factor, high * factor))
}

/// A p value as papers write it.
pub(crate) fn p_value(p: Option<f64>) -> String {
    match p {
        None => "-".to_owned(),
        Some(p) if p < 0.001 => "< 0.001".to_owned(),
        Some(p) => format!("{p:.3}"),
    }
}

/// The network, and whether only its largest component was scored.
pub(super) fn network(line: &Line) -> String {
    match line.component {
        Component::All => line.predictor.clone(),
        Component::Largest => format!("{} (largest)", line.predictor),
    }
}

/// What a group of lines is of: how many scans were labelled, the grid, and the class where there are several.
pub(super) fn heading(comparison: &Comparison, line: &Line) -> String {
    let grid = match line.grid {
        Grid::Own => "on the scans' own grids",
        Grid::Working => "on the working grid",
    };
    let several = comparison.has_several_classes();
    let class = match line.class.as_str() {
        _ if !several => String::new(),
        MEAN => ", mean over classes".to_owned(),
        class => format!(", class {class}"),
    };
    format!("{} labelled scans, {grid}{class}", line.labelled)
}

/// The lines of one table: all methods and networks of one number of labelled scans, one grid and one class, by their Dice.
pub(super) fn tables(comparison: &Comparison) -> Vec<Vec<&Line>> {
    let dice: Vec<&Line> = comparison.lines.iter().filter(|line| line.metric == "dice").collect();
    let key = |line: &Line| (line.labelled, line.grid, line.class.clone());
    let mut tables: Vec<Vec<&Line>> = Vec::new();
    for line in dice {
        match tables.iter_mut().find(|table| key(table[0]) == key(line)) {
            Some(table) => table.push(line),
            None => tables.push(vec![line]),
        }
    }
    tables
}

/// The ensemble's Dice and HD95 on the scans' own grids, of every method.
pub(super) fn terminal(comparison: &Comparison) -> String {
    let heads = [
        "labelled",
        "method",
        "runs",
        "Dice (%)",
        "95 % interval",
        "less the control",
        "p (Holm)",
        "HD95 (mm)",
    ];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    for line in comparison.headlines("dice", "") {
        let against = line.against.as_ref();
        let difference = against.map_or_else(String::new, |found| {
            let mean =
                found.difference.map_or_else(|| "-".to_owned(), |mean| format!("{:+.2}", 100.0 * mean));
            format!("{mean} {}", interval(found.interval, 100.0))
        });
        let hd95 = comparison.beside(line, &line.method, "hd95", "mm");
        let runs = comparison.methods.iter().find(|runs| runs.method == line.method);
        let failed = runs.map_or(0, |runs| runs.failed.len());
        rows.push(vec![
            line.labelled.to_string(),
            line.method.clone(),
            if failed > 0 { format!("{} ({failed} failed)", line.runs) } else { line.runs.to_string() },
            mean_and_sd(line),
            interval(line.interval, 100.0),
            difference,
            against.map_or_else(String::new, |found| p_value(found.p_holm)),
            hd95.map_or_else(|| "-".to_owned(), mean_and_sd),
        ]);
    }
    for runs in comparison.methods.iter().filter(|runs| runs.done == 0) {
        let state = format!("none ({} failed)", runs.failed.len());
        rows.push(["", &runs.method, &state, "-", "", "", "", ""].map(str::to_owned).to_vec());
    }
    let scans = if comparison.evaluation.is_some() { "evaluated scans" } else { "validation scans" };
    let title = format!("\nensemble on the {scans}, own grids; control: {}\n", comparison.control);
    title + &aligned(&rows, heads.len()).collect::<Vec<_>>().join("\n")
}
