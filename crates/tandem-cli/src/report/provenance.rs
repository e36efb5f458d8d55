//! By what a run was made: scans, settings, program and machine.

use super::files::RunFiles;
use crate::progress::duration;
use crate::run_folder;
use serde_json::Value;
use tandem_report::{Cell, Part, Table};
use tandem_training::{KernelsRecord, Piece, Program};

pub(super) fn parts(runs: &[RunFiles]) -> Vec<Part> {
    if let [run] = runs {
        return of_run(run);
    }
    let differing = differing(runs);
    let mut parts = vec![Part::Text("Settings in which the runs differ:".to_owned())];
    if differing.rows.is_empty() {
        parts = vec![Part::Text("The runs have the same settings.".to_owned())];
    } else {
        parts.push(Part::Table(differing));
    }
    parts.extend(runs.iter().map(|run| Part::Folded(run.name.clone(), of_run(run))));
    parts
}

fn of_run(run: &RunFiles) -> Vec<Part> {
    let mut parts = vec![Part::Facts(facts(run))];
    let lists = &run.record.lists;
    for (what, ids) in
        [("Labelled", &lists.labelled), ("Unlabelled", &lists.unlabelled), ("Validation", &lists.validation)]
    {
        let shown = if ids.is_empty() { "none".to_owned() } else { ids.join(", ") };
        parts.push(Part::Folded(format!("{what} scans: {}", ids.len()), vec![Part::Text(shown)]));
    }
    let settings = flat(&run.settings);
    if !settings.is_empty() {
        parts.push(Part::Folded(
            format!("All {} settings (config.json)", settings.len()),
            vec![Part::Facts(settings.into_iter().map(|(name, value)| [name, value]).collect())],
        ));
    }
    if let Some(pieces) = run.provenance.as_ref().map(|provenance| &provenance.pieces) {
        parts.push(Part::Table(pieces_table(pieces)));
    }
    parts
}

fn facts(run: &RunFiles) -> Vec<[String; 2]> {
    let record = &run.record;
    let commit = record.commit.clone().unwrap_or_else(|| "unknown".to_owned());
    let kernels = |record: &KernelsRecord| match record.steps {
        0 => record.kernels.to_string(),
        steps => format!("after {steps} steps {}", record.kernels),
    };
    let kernels: Vec<String> = run.history.kernels.iter().map(kernels).collect();
    let kernels = if kernels.is_empty() { record.kernels.to_string() } else { kernels.join("; ") };
    let labelled = record.lists.labelled.len();
    let share = 100.0 * labelled as f64 / record.training_scans.max(1) as f64;
    let mut facts = [
        ["Run folder", &run.folder.display().to_string()],
        ["Method", run.method()],
        ["Dataset", &record.dataset],
        ["Scans", &record.prepared.display().to_string()],
        ["Digest of the scans", &record.data_digest],
        ["Labelled", &format!("{labelled} of the training list's {} ({share:.1} %)", record.training_scans)],
        ["Seed", &record.seed.to_string()],
        ["Arithmetic", &kernels],
        ["Program", &format!("Tandem {}, commit {commit}", record.version)],
        ["Digest of its dependencies", &record.dependencies],
        ["Digest of the settings", &record.config_digest],
        ["Processor", record.processor.as_deref().unwrap_or("unknown")],
        ["Threads", &record.threads.to_string()],
    ]
    .map(|fact| fact.map(str::to_owned))
    .to_vec();
    facts.retain(|[_, value]| !value.is_empty());
    if let Some(provenance) = &run.provenance {
        let memory = provenance.peak_memory.map(|bytes| format!("{:.2} GB", bytes as f64 / 1e9));
        facts.push(["Time", &duration(provenance.seconds)].map(str::to_owned));
        facts.extend(memory.map(|memory| ["Memory at most".to_owned(), memory]));
    }
    if run.scored != run.folder {
        facts.push(["Scores of".to_owned(), run.scored.display().to_string()]);
    }
    let looked = match run_folder::test_openings(&run.folder) {
        Ok(openings) => match openings.last() {
            None => "never opened by evaluate".to_owned(),
            Some(last) => format!("opened {} times by evaluate, last at {}", openings.len(), last.time),
        },
        Err(error) => error.to_string(),
    };
    facts.push(["Test list".to_owned(), looked]);
    facts
}

fn pieces_table(pieces: &[Piece]) -> Table {
    let row = |piece: &Piece| {
        let Program { version, commit, .. } = &piece.program;
        let memory = piece.peak_memory.map_or_else(
            || Cell::undefined("not known"),
            |bytes| Cell::number(bytes as f64, format!("{:.2} GB", bytes as f64 / 1e9)),
        );
        vec![
            Cell::text(format!("{} to {}", piece.steps[0], piece.steps[1])),
            Cell::number(piece.seconds, duration(piece.seconds)),
            memory,
            Cell::number(piece.threads as f64, piece.threads.to_string()),
            Cell::text(piece.processor.as_deref().unwrap_or("unknown")),
            Cell::text(format!("{version}, {}", commit.as_deref().unwrap_or("commit unknown"))),
        ]
    };
    Table {
        caption: "Pieces in which it was computed".to_owned(),
        headings: ["Steps", "Time", "Memory", "Threads", "Processor", "Program"].map(str::to_owned).into(),
        rows: pieces.iter().map(row).collect(),
    }
}

/// Settings as `training.iterations` and a value.
fn flat(settings: &Value) -> Vec<(String, String)> {
    fn walk(name: &str, value: &Value, found: &mut Vec<(String, String)>) {
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    let name = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
                    walk(&name, value, found);
                }
            }
            Value::String(text) => found.push((name.to_owned(), text.clone())),
            value => found.push((name.to_owned(), value.to_string())),
        }
    }
    let mut found = Vec::new();
    if settings.is_object() {
        walk("", settings, &mut found);
    }
    found
}

/// The settings that are not the same in all runs.
fn differing(runs: &[RunFiles]) -> Table {
    let all: Vec<Vec<(String, String)>> = runs.iter().map(|run| flat(&run.settings)).collect();
    let mut names: Vec<&String> = all.iter().flatten().map(|(name, _)| name).collect();
    names.sort();
    names.dedup();
    let of = |name: &String| -> Vec<Option<&str>> {
        all.iter().map(|flat| flat.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())).collect()
    };
    let row = |name: &&String| {
        let values = of(name);
        values.windows(2).any(|pair| pair[0] != pair[1]).then(|| {
            let cells =
                values.into_iter().map(|value| value.map_or_else(|| Cell::undefined("not set"), Cell::text));
            std::iter::once(Cell::text(*name)).chain(cells).collect()
        })
    };
    let names_of_runs = runs.iter().map(|run| run.name.clone());
    Table {
        caption: "Settings that differ".to_owned(),
        headings: std::iter::once("Setting".to_owned()).chain(names_of_runs).collect(),
        rows: names.iter().filter_map(row).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::flat;

    #[test]
    fn settings_are_named_as_on_the_command_line() {
        let settings = serde_json::json!({ "training": { "patch": [16, 16, 8], "seed": 3 }, "name": "a<b>" });
        let expected = [("name", "a<b>"), ("training.patch", "[16,16,8]"), ("training.seed", "3")];
        assert_eq!(flat(&settings), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert!(flat(&serde_json::Value::Null).is_empty());
    }
}
