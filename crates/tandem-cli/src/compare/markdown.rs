//! `comparison.md`: for people.

use super::shown::{factor, heading, interval, mean_and_sd, network, p_value, tables};
use super::{Comparison, Line};
use std::fmt::Write;
use tandem_training::TABLE_COLUMNS;

pub(super) fn text(comparison: &Comparison) -> String {
    let Comparison { name, dataset, profile, control, .. } = comparison;
    let mut text = format!("# {name} on {dataset}: methods compared\n\n");
    let scans = match &comparison.evaluation {
        None => "validation scans, weights of the last step".to_owned(),
        Some(folder) => format!("scans of `{folder}` in each run"),
    };
    let commits: Vec<String> =
        comparison.commits.iter().map(|(commit, runs)| format!("{commit} ({runs} runs)")).collect();
    let _ = writeln!(text, "- Profile: {profile}; scores: {scans}; control: {control}");
    let _ = writeln!(text, "- Programs: {}", commits.join(", "));
    for runs in &comparison.methods {
        let _ = writeln!(
            text,
            "- {}: {} runs with scores, {} failed, {} open",
            runs.method,
            runs.done,
            runs.failed.len(),
            runs.open.len()
        );
        for (run, reason) in &runs.failed {
            let _ = writeln!(text, "  - **{run} failed**: {reason}");
        }
    }
    text += "\nMean ± SD over runs of each run's mean over cases; in brackets the 95 % bootstrap interval over cases (runs averaged \
             within each case). \"(largest)\" is with each class's largest connected component only; \"undefined\" counts values of a \
             case in a run that do not exist, such as the distance to an empty prediction, which are in no mean.\n";
    for table in tables(comparison) {
        let _ = write!(text, "\n## {}\n\n", capital(&heading(comparison, table[0])));
        scores(&mut text, comparison, &table);
        if table.iter().any(|line| line.against.is_some()) {
            differences(&mut text, comparison, &table);
        }
    }
    text += &effort(comparison);
    text
}

fn scores(text: &mut String, comparison: &Comparison, table: &[&Line]) {
    let headings = TABLE_COLUMNS.map(|(heading, ..)| heading).join(" | ");
    let _ = writeln!(text, "| Network | Method | Runs | {headings} |");
    let _ = writeln!(text, "|---|---|---{}|", "|---".repeat(TABLE_COLUMNS.len()));
    for line in table {
        let cells = TABLE_COLUMNS.map(|(_, metric, unit, _)| {
            comparison.beside(line, &line.method, metric, unit).map_or_else(|| "-".to_owned(), cell)
        });
        let _ =
            writeln!(text, "| {} | {} | {} | {} |", network(line), line.method, line.runs, cells.join(" | "));
    }
}

fn cell(line: &Line) -> String {
    let mut cell = format!("{} {}", mean_and_sd(line), interval(line.interval, factor(line)));
    if line.undefined > 0 {
        let _ = write!(cell, " (undefined: {})", line.undefined);
    }
    cell.trim_end().to_owned()
}

/// Dice and the distances in mm, less the control's.
fn differences(text: &mut String, comparison: &Comparison, table: &[&Line]) {
    let _ = write!(
        text,
        "\nLess {} on the same cases in runs of the same seed, labelled set and fold. p: Wilcoxon's signed-rank test over cases; \
         corrected by Holm over the methods, metric by metric. r: rank-biserial correlation of the pairs, 1 where every case is \
         higher. Left out: cases without a pair.\n\n| Network | Method | Metric | Difference [95 %] | Median | p | p (Holm) | r | \
         d_z | Cases | Left out |\n|---|---|---|---|---|---|---|---|---|---|---|\n",
        comparison.control
    );
    for line in table {
        for (heading, metric, unit, factor) in TABLE_COLUMNS.iter().filter(|column| column.2 != "voxels") {
            let Some(of) = comparison.beside(line, &line.method, metric, unit) else { continue };
            let Some(found) = &of.against else { continue };
            let number = |value: Option<f64>, factor: f64| {
                value.map_or_else(|| "-".to_owned(), |value| format!("{:+.2}", value * factor))
            };
            let better = if of.higher_is_better() { "higher is better" } else { "lower is better" };
            let _ = writeln!(
                text,
                "| {} | {} | {heading}, {better} | {} {} | {} | {} | {} | {} | {} | {} | {} |",
                network(line),
                line.method,
                number(found.difference, *factor),
                interval(found.interval, *factor),
                number(found.median, *factor),
                p_value(found.p),
                p_value(found.p_holm),
                number(found.rank_biserial, 1.0),
                number(found.cohen_dz, 1.0),
                found.cases,
                found.cases_left_out
            );
        }
    }
}

/// What each number of labelled scans brings, where there are several.
fn effort(comparison: &Comparison) -> String {
    let curves = super::effort::curves(comparison, "dice", "");
    let labelled = comparison.labelled();
    if labelled.len() < 2 {
        return String::new();
    }
    let mut text = String::from(
        "\n## Labelling effort\n\nThe ensemble's Dice (%) on the scans' own grids by the number of labelled scans.\n\n| Labelled |",
    );
    curves.iter().for_each(|(method, _)| text += &format!(" {method} |"));
    let _ = writeln!(text, "\n|---{}|", "|---".repeat(curves.len()));
    for count in labelled {
        let cells = curves.iter().map(|(_, lines)| {
            lines.iter().find(|line| line.labelled == count).map_or_else(|| "-".to_owned(), |line| cell(line))
        });
        let _ = writeln!(text, "| {count} | {} |", cells.collect::<Vec<_>>().join(" | "));
    }
    text
}

fn capital(text: &str) -> String {
    let mut characters = text.chars();
    characters
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().collect::<String>() + characters.as_str())
}
