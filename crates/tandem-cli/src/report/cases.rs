//! Cases, the worst first: their scores, slices through their largest error, and three of them in three dimensions.

use super::InViewer;
use super::files::RunFiles;
use super::scores::shown;
use anyhow::{Context, Result, bail};
use rayon::prelude::*;
use std::cmp::Ordering;
use std::path::Path;
use tandem_metrics::Score;
use tandem_report::{Cell, Part, Scan, Section, Slices, Table, Viewer};
use tandem_training::ENSEMBLE;
use tandem_volume::prepared::PreparedSet;
use tandem_volume::{Geometry, Orientation, Volume, read_label};

/// How many bytes of the file slices may take: those of the best cases are left out where there are too many.
const SLICES: usize = 3_500_000;

/// So many cases are shown unfolded.
const OPEN: usize = 3;

/// A case by its first run's score.
struct Case<'a> {
    id: &'a str,
    dice: Option<f64>,
}

pub(super) fn sections(runs: &[RunFiles], in_viewer: &InViewer) -> Result<Vec<Section>> {
    let Some(first) = runs.first().filter(|run| !run.scores.rows().is_empty()) else { return Ok(Vec::new()) };
    let cases = worst_first(first);
    let scans = open_scans(first);
    let mut parts = Vec::new();
    let order = if runs.len() > 1 { format!(" of {}", first.name) } else { String::new() };
    parts
        .push(Part::Text(format!("By the ensemble's Dice{order} on the scans' own grids, the worst first.")));
    parts.push(Part::Table(table(runs, &cases)));
    let read = |case: &Case| scans.as_ref().map_err(Clone::clone).and_then(|set| scan(set, runs, case.id));
    match &scans {
        Err(why) => parts.push(Part::Warning(format!("There are no pictures: {why}."))),
        Ok(set) => {
            parts.extend(channel_note(set).map(Part::Text));
            parts.push(Part::Key(runs.iter().map(prediction_name).collect()));
            let drawn = draw(&cases, read);
            parts.extend(cases.iter().zip(drawn).enumerate().map(|(at, (case, slices))| Part::Case {
                id: element(at),
                heading: case.id.to_owned(),
                scores: scores(first, case.id),
                slices,
                open: at < OPEN,
            }));
        }
    }
    let mut sections = vec![Section { heading: "Cases".to_owned(), parts }];
    if scans.is_ok() && *in_viewer != InViewer::None {
        sections.push(Section {
            heading: "Three dimensions".to_owned(),
            parts: viewer(&cases, in_viewer, read)?,
        });
    }
    Ok(sections)
}

fn element(at: usize) -> String {
    format!("case-{}", at + 1)
}

fn prediction_name(run: &RunFiles) -> String {
    format!("prediction of {}", run.name)
}

/// The cases of a run. One without a Dice has nothing to find and nothing found: it comes last.
fn worst_first(run: &RunFiles) -> Vec<Case<'_>> {
    let class = run.headline_class();
    let of = |row: &tandem_training::Row| row.score("dice", "").and_then(Score::value);
    let mut cases: Vec<Case> =
        run.rows(ENSEMBLE, class).map(|row| Case { id: row.case.as_str(), dice: of(row) }).collect();
    cases.sort_by(|a, b| match (a.dice, b.dice) {
        (Some(a), Some(b)) => a.total_cmp(&b),
        (a, b) => {
            if a.is_some() { Ordering::Less } else { Ordering::Greater }.then(a.is_some().cmp(&b.is_some()))
        }
    });
    cases
}

fn table(runs: &[RunFiles], cases: &[Case]) -> Table {
    let (first, several) = (&runs[0], runs.len() > 1);
    let mut headings = vec!["Case".to_owned()];
    let mut rows: Vec<Vec<Cell>> = cases
        .iter()
        .enumerate()
        .map(|(at, case)| vec![Cell { link: Some(element(at)), ..Cell::text(case.id) }])
        .collect();
    let wanted = |metric: &str| !several || ["dice", "hd95"].contains(&metric);
    for shown in shown(first).iter().filter(|shown| wanted(&shown.metric)) {
        for run in runs {
            headings.push(if several {
                format!("{}, {}", shown.heading, run.name)
            } else {
                shown.heading.clone()
            });
            for (row, case) in rows.iter_mut().zip(cases) {
                row.push(shown.cell(run.row(case.id)));
            }
        }
    }
    if !several && first.classes().len() > 1 {
        for class in first.classes() {
            headings.push(format!("Dice of {class} (%)"));
            let dice = &shown(first)[0];
            for (row, case) in rows.iter_mut().zip(cases) {
                row.push(dice.cell(first.rows(ENSEMBLE, class).find(|row| row.case == case.id)));
            }
        }
    }
    Table { caption: "Scores by case, the ensemble on the scans' own grids".to_owned(), headings, rows }
}

/// The scores of a case in one line.
fn scores(run: &RunFiles, case: &str) -> String {
    let told = shown(run)
        .into_iter()
        .filter(|shown| ["dice", "hd95", "asd"].contains(&shown.metric.as_str()))
        .map(|shown| match run.row(case).and_then(|row| shown.of(row)) {
            Some(Score::Value(value)) => format!("{} {value:.2}", shown.heading),
            Some(Score::Undefined(why)) => format!("{} undefined: {why}", shown.heading),
            None => format!("{} not measured", shown.heading),
        });
    told.collect::<Vec<_>>().join(", ")
}

/// The prepared scans of a run; or why its pictures cannot be drawn.
fn open_scans(run: &RunFiles) -> Result<PreparedSet, String> {
    let folder = &run.record.prepared;
    if !folder.exists() {
        return Err(format!("the scans are not at {} any more", folder.display()));
    }
    let set = PreparedSet::open(folder).map_err(|error| error.to_string())?;
    if set.digest() != run.record.data_digest {
        return Err(format!("other scans were prepared in {} since the run", folder.display()));
    }
    Ok(set)
}

/// Slices of cases, on all cores, until there is no more room.
fn draw(cases: &[Case], read: impl Fn(&Case) -> Result<Scan, String> + Sync) -> Vec<Result<Slices, String>> {
    let mut room = SLICES;
    let mut drawn = Vec::new();
    for some in cases.chunks(rayon::current_num_threads().max(1)) {
        if room == 0 {
            drawn.extend(some.iter().map(|_| Err(LEFT_OUT.to_owned())));
            continue;
        }
        let slices: Vec<Result<Slices, String>> = some
            .par_iter()
            .map(|case| read(case).and_then(|scan| Slices::of(&scan).map_err(|error| error.to_string())))
            .collect();
        for slices in slices {
            let bytes = slices.as_ref().map_or(0, Slices::bytes);
            if bytes > room {
                room = 0;
                drawn.push(Err(LEFT_OUT.to_owned()));
            } else {
                room -= bytes;
                drawn.push(slices);
            }
        }
    }
    drawn
}

const LEFT_OUT: &str = "Its slices are left out, so that the file stays small: worse cases come first.";

/// Which channel pictures show, where scans have several.
fn channel_note(set: &PreparedSet) -> Option<String> {
    let channels = &set.manifest().channels;
    let first = channels.name(0);
    (channels.count() > 1)
        .then(|| format!("Pictures show the first of the {} channels: {first}.", channels.count()))
}

/// A scan with the predictions of all runs that have one, turned so that its axes run as those of the world do.
fn scan(set: &PreparedSet, runs: &[RunFiles], id: &str) -> Result<Scan, String> {
    let subject = set.subject(id).map_err(|error| error.to_string())?;
    let (_, image, label) = subject.into_parts();
    let label = label.ok_or("it has no label map")?;
    let geometry = label.geometry().clone();
    let image = image.into_channels().into_iter().next().ok_or("it has no channel")?;
    let mut predictions = Vec::new();
    for (at, run) in runs.iter().enumerate() {
        match of_run(&run.scored, "predictions", id, &label) {
            Ok(volume) => predictions.push((prediction_name(run), volume)),
            // Without the first one's there is nothing to show; another run may not have the case.
            Err(why) if at == 0 => return Err(why),
            Err(_) => {}
        }
    }
    let uncertainty = runs.first().and_then(|run| of_run(&run.scored, "uncertainty", id, &label).ok());
    let turned = |labels: Volume<u8>| Ok::<_, String>(turn(labels)?.into_parts().0);
    let image = turn(image)?;
    Ok(Scan {
        id: id.to_owned(),
        spacing: image.geometry().spacing(),
        image: image.into_parts().0,
        reference: turned(label)?,
        predictions: predictions
            .into_iter()
            .map(|(name, labels)| Ok((name, turned(labels)?)))
            .collect::<Result<_, String>>()?,
        uncertainty: uncertainty.filter(|map| is_on(&geometry, map)).map(turned).transpose()?,
    })
}

fn turn<T: Clone>(volume: Volume<T>) -> Result<Volume<T>, String> {
    volume.reoriented(Orientation::RAS).map_err(|error| error.to_string())
}

fn is_on(geometry: &Geometry, volume: &Volume<u8>) -> bool {
    geometry.same_grid(volume.geometry(), volume.shape())
}

/// What a run wrote of a case, if it is on the grid of its scan.
fn of_run(scored: &Path, folder: &str, id: &str, label: &Volume<u8>) -> Result<Volume<u8>, String> {
    let path = scored.join(folder).join(format!("{id}.nii.gz"));
    if !path.exists() {
        return Err(format!("{} is not there", path.display()));
    }
    let volume = read_label(&path).map_err(|error| error.to_string())?;
    if volume.shape() != label.shape() || !is_on(label.geometry(), &volume) {
        return Err(format!("{} is not on the grid of the scan", path.display()));
    }
    Ok(volume)
}

/// The cases that are shown in three dimensions.
fn viewer(
    cases: &[Case],
    in_viewer: &InViewer,
    read: impl Fn(&Case) -> Result<Scan, String>,
) -> Result<Vec<Part>> {
    let chosen: Vec<(String, &Case)> = match in_viewer {
        InViewer::Named(ids) => {
            let find = |id: &String| {
                let case = cases.iter().find(|case| case.id == *id);
                let known = || cases.iter().map(|case| case.id).collect::<Vec<_>>().join(", ");
                let case = case
                    .with_context(|| format!("--viewer: {id} is none of the scored cases ({})", known()))?;
                Ok((String::new(), case))
            };
            ids.iter().map(find).collect::<Result<_>>()?
        }
        _ => {
            let last = cases.len() - 1;
            let mut places = vec![(0, "worst: "), (last / 2, "median: "), (last, "best: ")];
            places.dedup_by_key(|(at, _)| *at);
            places.into_iter().map(|(at, what)| (what.to_owned(), &cases[at])).collect()
        }
    };
    if chosen.is_empty() {
        bail!("--viewer names no case; give ids, or none");
    }
    let (mut viewer, mut parts) = (Viewer::default(), Vec::new());
    for (what, case) in chosen {
        let dice = case.dice.map_or_else(String::new, |dice| format!(", Dice {:.2} %", 100.0 * dice));
        let title = format!("{what}{}{dice}", case.id);
        let added = read(case).and_then(|scan| viewer.add(&title, &scan).map_err(|error| error.to_string()));
        if let Err(why) = added {
            parts.push(Part::Warning(format!("{title}: not shown: {why}")));
        }
    }
    if !viewer.is_empty() {
        parts.push(Part::Viewer(Box::new(viewer)));
    }
    Ok(parts)
}
