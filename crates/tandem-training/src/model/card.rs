//! What a model folder says to people.

use super::{ModelRecord, Origin};
use crate::{ENSEMBLE, Selection};
use std::fmt::Write;
use tandem_volume::Orientation;
use tandem_volume::prepared::{Names, Normalisation};

/// The file `LICENSE`, until somebody writes a licence into it.
pub(super) const LICENCE: &str = "\
No licence has been chosen for the weights in this folder.

Whoever trained them decides on it, within the terms of the scans that they were trained on and, where they began with
the weights of somebody else, of those. Replace this text by that licence before you pass the folder on.
";

/// The file `README.md`.
pub(super) fn readme(record: &ModelRecord) -> String {
    let mut text = format!("# {}\n\n{}\n\n", record.name, record.intended_use);
    let networks: Vec<_> = record
        .networks
        .iter()
        .map(|network| format!("{} ({})", network.name, network.architecture))
        .collect();
    let lines = [
        format!("Networks: {}; {} filters", networks.join(", "), record.network.filters),
        format!("Channels of a scan: {}", names(&record.channels)),
        format!("Classes of the label map: {}", names(&record.classes)),
        format!("Working grid: {}", spacing(record.spacing_mm)),
        format!("Intensities: {}", intensities(&record.normalisation)),
        format!("Axes: {}", axes(record.orientation)),
        format!("Window: {:?} voxels, in steps of {:?}", record.patch, record.stride),
        format!("Weights: {}", origin(&record.origin)),
    ];
    for line in lines {
        let _ = writeln!(text, "- {line}");
    }
    text.push_str(&scores(record));
    text.push_str(
        "\n## Use\n\n```\ntandem predict THIS-FOLDER scan.nii.gz -o out\n```\n\n\
         `model.json` says all of this to programs. The weights are safetensors files, with the names of the published state dicts.\n",
    );
    text
}

fn names(names: &Names) -> String {
    match names {
        Names::Numbered(count) => count.to_string(),
        Names::Named(names) => names.join(", "),
    }
}

fn spacing(spacing: Option<[f64; 3]>) -> String {
    spacing.map_or("the scan's own".to_owned(), |[i, j, k]| format!("{i} x {j} x {k} mm"))
}

fn intensities(normalisation: &[Normalisation]) -> String {
    let channel = |by: &Normalisation| match by {
        Normalisation::ZScore => "z-scored over the whole scan".to_owned(),
        Normalisation::Window { low, high } => format!("cut off at {low} and {high} and scaled to 0 to 1"),
    };
    match normalisation {
        [] => channel(&Normalisation::ZScore),
        all => all.iter().map(channel).collect::<Vec<_>>().join("; "),
    }
}

fn axes(orientation: Option<Orientation>) -> String {
    orientation.map_or("as the scan has them".to_owned(), |to| format!("turned to {to}"))
}

fn origin(origin: &Origin) -> String {
    match origin {
        Origin::Run(run) => format!(
            "{} after {} steps{} on {} labelled and {} unlabelled scans of {} (manifest {}), seed {}",
            run.method,
            run.steps,
            chosen(run.weights),
            run.labelled,
            run.unlabelled,
            run.dataset,
            run.data_digest,
            run.seed
        ),
        Origin::Import(file) => format!("imported from {} (SHA-256 {})", file.file, file.sha256),
    }
}

/// What people must know of steps that are not the last ones.
fn chosen(weights: Selection) -> &'static str {
    match weights {
        Selection::Final => "",
        Selection::Unfinished => " (training had not ended)",
        Selection::BestOnValidation => " (those that did best on its validation scans)",
    }
}

/// The ensemble's scores, or those of the one network.
fn scores(record: &ModelRecord) -> String {
    let Some(validation) = &record.validation else {
        return "\nNo validation scores are known.\n".to_owned();
    };
    let mut text = format!(
        "\n## Validation, {} scans\n\n| Class | Metric | Mean | SD | n | Undefined |\n",
        validation.cases
    );
    text.push_str("|---|---|---|---|---|---|\n");
    let number = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.4}"));
    for score in validation.scores.iter().filter(|score| score.predictor == ENSEMBLE) {
        let unit = if score.unit.is_empty() { String::new() } else { format!(" ({})", score.unit) };
        let (mean, sd) = (number(score.mean), number(score.sd));
        let _ = writeln!(
            text,
            "| {} | {}{unit} | {mean} | {sd} | {} | {} |",
            score.class, score.metric, score.n, score.undefined
        );
    }
    text
}
