//! `report.md`: what a run was and what it scored, for people.

use crate::files::write_text;
use crate::{
    AugmentationConfig, Component, Config, Grid, KernelsRecord, Result, RunRecord, SkippedRecord, SummaryRow,
    Table, TableLine, ValidationRecord, ensemble_dice,
};
use std::fmt::Write;
use std::path::Path;
use tandem_metrics::Summary;

/// What a report is made from.
pub(crate) struct Report<'a> {
    pub(crate) config: &'a Config,
    pub(crate) record: &'a RunRecord,
    /// Which kernels computed, as the log says.
    pub(crate) kernels: &'a [KernelsRecord],
    /// All validations, the last one of the final weights.
    pub(crate) validations: &'a [ValidationRecord],
    /// Steps that were left out.
    pub(crate) skipped: &'a [SkippedRecord],
    pub(crate) summary: &'a [SummaryRow],
}

impl Report<'_> {
    /// Writes `report.md`.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        write_text(path, &self.text())
    }

    /// What it says.
    pub(crate) fn text(&self) -> String {
        text(self)
    }
}

fn text(&Report { config, record, kernels, validations, skipped, summary }: &Report) -> String {
    let mut text = format!("# {}: {} on {}\n\n", config.name, config.method.name, record.dataset);
    let (training, lists) = (&config.training, &record.lists);
    let labelled = lists.labelled.len();
    let share = |of: usize| 100.0 * labelled as f64 / of.max(1) as f64;
    let spacing = match config.data.spacing_mm {
        Some([i, j, k]) => format!("{i} x {j} x {k} mm"),
        None => "the scans' own".to_owned(),
    };
    let lines = [
        format!(
            "Labelled: {} of the training list ({:.1} % of its {}, {:.1} % of all {})",
            config.data.describe_labelled(),
            share(record.training_scans),
            record.training_scans,
            share(record.all_scans),
            record.all_scans
        ),
        format!(
            "Unlabelled: {} scans; validation: {} scans{}",
            lists.unlabelled.len(),
            lists.validation.len(),
            match config.data.folds {
                0 => String::new(),
                folds => format!(", fold {} of {folds}", config.data.fold),
            }
        ),
        format!(
            "Iterations: {}; patch {:?}; filters {}",
            training.iterations, training.patch, config.network.filters
        ),
        format!("Working grid: {spacing}; window stride {:?}", config.inference.stride),
        format!("Precision: {}", precision(kernels)),
        format!("Seed: {}; version {}{}", record.seed, record.version, commit(record)),
        format!("Data: {} (manifest {})", record.dataset, record.data_digest),
    ];
    for line in lines.into_iter().chain(augmentation(config)) {
        let _ = writeln!(text, "- {line}");
    }
    for SkippedRecord { step, skipped } in skipped {
        let _ = writeln!(text, "- **Step {step} was skipped**: {skipped}");
    }
    for (record, why) in validations.iter().filter_map(|record| Some((record, record.collapse.as_ref()?))) {
        let _ = writeln!(text, "- **Collapse after {} steps**: {why}", record.steps);
    }
    text.push_str("\nValidation cases, final weights (those of the last step): mean ± SD over cases.\n");
    if summary.iter().any(|row| row.component == Component::Largest) {
        text.push_str("\"largest\": of each class only the largest connected component of the prediction.\n");
    }
    for grid in [Grid::Own, Grid::Working] {
        table(&mut text, grid, summary);
    }
    if validations.len() > 1 {
        text.push_str(&validation_table(validations));
    }
    text
}

/// How patches were changed, where they were.
fn augmentation(config: &Config) -> Option<String> {
    let AugmentationConfig { patches, strong_view } = &config.augmentation;
    let view = strong_view.as_ref().map_or_else(String::new, |view| format!("; of a strong view: {view}"));
    let changed = config.augmentation != AugmentationConfig::default();
    changed.then(|| format!("Augmentation: {patches}{view}"))
}

/// All validations of the run. A step that is chosen by them has a score that is too good.
fn validation_table(validations: &[ValidationRecord]) -> String {
    let mut text = String::from("\n## Validations\n\n| Steps | Ensemble, mean Dice (%) | |\n|---|---|---|\n");
    for record in validations {
        let dice = ensemble_dice(&record.validation)
            .map_or_else(|| "-".to_owned(), |dice| format!("{:.2}", 100.0 * dice));
        let note = if record.collapse.is_some() { "collapse" } else { "" };
        let _ = writeln!(text, "| {} | {dice} | {note} |", record.steps);
    }
    text
}

fn commit(record: &RunRecord) -> String {
    record.commit.as_ref().map_or_else(String::new, |commit| format!(", commit {commit}"))
}

/// What computed, and from which step on where it changed.
fn precision(kernels: &[KernelsRecord]) -> String {
    let since = |record: &KernelsRecord| match record.steps {
        0 => record.kernels.to_string(),
        steps => format!("after {steps} steps {}", record.kernels),
    };
    kernels.iter().map(since).collect::<Vec<_>>().join("; ")
}

fn table(text: &mut String, grid: Grid, summary: &[SummaryRow]) {
    let Some(Table { headings, lines }) = Table::of(summary, grid) else { return };
    let title = match grid {
        Grid::Own => "On the scans' own grids",
        Grid::Working => "On the working grid",
    };
    let _ = write!(text, "\n## {title}\n\n| Network | Class | {} |\n", headings.join(" | "));
    let _ = writeln!(text, "|---|---{}|", "|---".repeat(headings.len()));
    for TableLine { predictor, class, cells } in lines {
        let cells = cells.iter().map(|summary| summary.as_ref().map_or_else(|| "-".to_owned(), cell));
        let _ = writeln!(text, "| {predictor} | {class} | {} |", cells.collect::<Vec<_>>().join(" | "));
    }
}

fn cell(summary: &Summary) -> String {
    let Some(mean) = summary.mean else {
        return format!("undefined in {}", summary.undefined);
    };
    let mut cell = format!("{mean:.2}");
    if let Some(sd) = summary.sd {
        let _ = write!(cell, " ± {sd:.2}");
    }
    if summary.undefined > 0 {
        let _ = write!(cell, " (n = {}, undefined in {})", summary.n, summary.undefined);
    }
    cell
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::tiny;
    use crate::evaluation::tests::sample;
    use crate::{Kernels, Lists, Precision};

    #[test]
    fn the_report_names_both_shares_and_counts_what_is_undefined() {
        let kernels = |cpu: &str| Kernels { precision: Precision::Bf16, cpu: cpu.to_owned(), gpu: None };
        let ids = |range: std::ops::Range<usize>| range.map(|at| at.to_string()).collect();
        let record = RunRecord {
            version: "0.1.0".into(),
            commit: Some("12ab-dirty".into()),
            dependencies: "ef".into(),
            dataset: "phantom".into(),
            prepared: "data/prepared/phantom".into(),
            data_digest: "ab".into(),
            config_digest: "cd".into(),
            seed: 1337,
            kernels: kernels("amx"),
            threads: 2,
            processor: None,
            training_scans: 80,
            all_scans: 100,
            lists: Lists { labelled: ids(0..8), unlabelled: ids(8..64), validation: ids(64..80) },
            normalisation: Vec::new(),
            orientation: None,
        };
        let log = [
            KernelsRecord { steps: 0, kernels: kernels("amx") },
            KernelsRecord { steps: 30, kernels: kernels("avx2") },
        ];
        let (config, summary) = (tiny(), sample().summary());
        let validation = |steps, collapse: Option<&str>| ValidationRecord {
            steps,
            collapse: collapse.map(str::to_owned),
            validation: summary.clone(),
            calibration: None,
        };
        let validations = [validation(20, Some("nothing is predicted")), validation(60, None)];
        let skipped = [SkippedRecord { step: 7, skipped: "the loss of vnet is not finite".into() }];
        let text = text(&Report {
            config: &config,
            record: &record,
            kernels: &log,
            validations: &validations,
            skipped: &skipped,
            summary: &summary,
        });
        assert!(text.contains("- Seed: 1337; version 0.1.0, commit 12ab-dirty\n"), "{text}");
        assert!(text.contains("- **Step 7 was skipped**: the loss of vnet is not finite\n"), "{text}");
        assert!(text.contains("- **Collapse after 20 steps**: nothing is predicted\n"), "{text}");
        let (last, course) =
            (text.find("final weights").unwrap(), text.find("| 20 | 61.90 | collapse |").unwrap());
        assert!(last < course, "{text}");
        let precision = "- Precision: bf16, kernels amx; after 30 steps bf16 stored, f32 kernels avx2 (the CPU multiplies no bf16)\n";
        assert!(text.contains(precision), "{text}");
        assert!(text.starts_with("# tiny: supervised-ensemble on phantom\n"), "{text}");
        assert!(
            text.contains("the first 2 scans of the training list (10.0 % of its 80, 8.0 % of all 100)"),
            "{text}"
        );
        assert!(text.contains("| ensemble | 1 | 61.90 ± "), "{text}");
        assert!(text.contains("(n = 2, undefined in 1)"), "{text}");
        assert!(!text.contains("working grid\n"), "{text}");
    }
}
