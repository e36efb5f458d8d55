//! Curves over the steps of a run: losses, validations, and how sure the networks are.

use super::files::RunFiles;
use tandem_report::{Chart, Curve, Part};
use tandem_training::{Component, ENSEMBLE, Grid, Logged, LoggedStep, MEAN, SummaryRow, ValidationRecord};

const STEPS: &str = "steps";

/// Terms that say which share of unlabelled voxels a method learns from, as the methods call it.
const SHARES: [(&str, &str); 3] = [
    ("reliable_share", "Reliable voxels, share of the unlabelled"),
    ("certain_share", "Certain voxels, share of the unlabelled"),
    ("l_u/sure", "Voxels with a pseudo-label, share of the unlabelled"),
];

/// Losses and validations. Those of several runs are beside each other in the chart of their scores, and one after the other below.
pub(super) fn parts(runs: &[RunFiles]) -> Vec<Part> {
    let mut charts = Vec::new();
    for (metric, unit, title, factor) in
        [("dice", "", "Validation Dice (%)", 100.0), ("hd95", "mm", "Validation HD95 (mm)", 1.0)]
    {
        let curves = if let [run] = runs {
            of_networks(run, metric, unit, factor)
        } else {
            of_runs(runs, metric, unit, factor)
        };
        charts.push(Chart { title: title.to_owned(), along: STEPS.to_owned(), curves, ..Chart::default() });
    }
    charts.retain(|chart| !chart.curves.is_empty());
    let mut parts = Vec::new();
    match (charts.is_empty(), runs) {
        (true, _) => parts.push(Part::Text("There is no validation in the log.".to_owned())),
        (false, [run]) if run.history.validations.len() == 1 => parts.push(Part::Text(
            "The run was validated at its end only (training.validate_every says how often).".to_owned(),
        )),
        _ => {}
    }
    match runs {
        [run] => {
            charts.extend(losses(run));
            parts.push(Part::Charts(charts));
        }
        runs => {
            parts.push(Part::Charts(charts));
            for run in runs {
                let charts = losses(run);
                if !charts.is_empty() {
                    parts.push(Part::Folded(format!("Losses of {}", run.name), vec![Part::Charts(charts)]));
                }
            }
        }
    }
    if runs.iter().all(|run| run.history.steps.is_empty()) {
        parts.push(Part::Text("There are no steps in the log.".to_owned()));
    }
    parts
}

/// The mean over cases of each network in every validation.
fn of_networks(run: &RunFiles, metric: &str, unit: &str, factor: f64) -> Vec<Curve> {
    let mut names: Vec<&str> = Vec::new();
    for row in run.history.validations.iter().flat_map(|record| &record.validation) {
        if !names.contains(&row.predictor.as_str()) {
            names.push(&row.predictor);
        }
    }
    let curve = |name: &&str| validations(run, name, metric, unit, factor, name);
    names.iter().map(curve).collect()
}

/// The mean over cases of each run's ensemble in every validation.
fn of_runs(runs: &[RunFiles], metric: &str, unit: &str, factor: f64) -> Vec<Curve> {
    let with = runs.iter().filter(|run| !run.history.validations.is_empty());
    with.map(|run| validations(run, ENSEMBLE, metric, unit, factor, &run.name)).collect()
}

fn validations(run: &RunFiles, predictor: &str, metric: &str, unit: &str, factor: f64, name: &str) -> Curve {
    let point = |record: &ValidationRecord| {
        let is = |row: &&SummaryRow| {
            (row.grid, row.component) == (Grid::Own, Component::All)
                && row.predictor == predictor
                && (row.metric.as_str(), row.unit.as_str()) == (metric, unit)
        };
        let mut rows = record.validation.iter().filter(is);
        let row = rows.clone().find(|row| row.class == MEAN).or_else(|| rows.next());
        let mean = row.and_then(|row| row.summary.mean);
        [record.steps as f64, mean.map_or(f64::NAN, |mean| factor * mean)]
    };
    Curve { name: name.to_owned(), points: run.history.validations.iter().map(point).collect() }
}

/// All that a step logs: one chart a quantity, the networks beside each other in it.
fn losses(run: &RunFiles) -> Vec<Chart> {
    let steps = &run.history.steps;
    let networks: Vec<&str> = steps
        .first()
        .map_or_else(Vec::new, |step| step.losses.iter().map(|(name, _)| name.as_str()).collect());
    let mut charts: Vec<Chart> = Vec::new();
    for (name, _) in steps.first().iter().flat_map(|step| &step.losses) {
        charts.push_curve("Loss, all of it", name, series(steps, |step| &step.losses, name));
    }
    for name in names(steps) {
        if SHARES.iter().any(|(share, _)| *share == name) {
            continue;
        }
        let of_network = name.split_once('/').filter(|(network, _)| networks.contains(network));
        let (title, curve) = match of_network {
            Some((network, term)) => (format!("Loss term {term}"), network),
            None if name.starts_with("lambda") => ("Weights of terms".to_owned(), name),
            None => (format!("Term {name}"), name),
        };
        charts.push_curve(&title, curve, series(steps, |step| &step.terms, name));
    }
    for (name, _) in steps.first().iter().flat_map(|step| &step.gradient_norms) {
        charts.push_curve("Norm of the gradient", name, series(steps, |step| &step.gradient_norms, name));
    }
    if !steps.is_empty() {
        let points = steps.iter().map(|step| [step.step as f64, step.learning_rate]).collect();
        charts.push_curve("Learning rate", "learning rate", (points, None));
    }
    charts
}

/// The names of all terms, in the order in which they first turn up.
fn names(steps: &[LoggedStep]) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    let mut last: Option<&LoggedStep> = None;
    for step in steps {
        // Most steps have the terms of the step before.
        let same = last.is_some_and(|last| {
            last.terms.len() == step.terms.len()
                && last.terms.iter().zip(&step.terms).all(|(a, b)| a.0 == b.0)
        });
        if !same {
            names.extend(
                step.terms
                    .iter()
                    .map(|(name, _)| name.as_str())
                    .filter(|name| !names.contains(name))
                    .collect::<Vec<_>>(),
            );
        }
        last = Some(step);
    }
    names
}

/// Points of a curve, and what has to be said about it.
type Series = (Vec<[f64; 2]>, Option<String>);

/// A quantity over the steps. Where it has no value there is a gap, and the reasons are counted.
fn series(steps: &[LoggedStep], of: impl Fn(&LoggedStep) -> &Vec<(String, Logged)>, name: &str) -> Series {
    let mut reasons: Vec<(&str, usize)> = Vec::new();
    let mut points = Vec::with_capacity(steps.len());
    for step in steps {
        let logged = of(step).iter().find(|(found, _)| found == name).map(|(_, logged)| logged);
        let reason = logged.map_or(Some("not logged"), Logged::reason);
        if let Some(reason) = reason {
            match reasons.iter_mut().find(|(known, _)| *known == reason) {
                Some((_, n)) => *n += 1,
                None => reasons.push((reason, 1)),
            }
        }
        points.push([step.step as f64, logged.and_then(Logged::value).unwrap_or(f64::NAN)]);
    }
    let told: Vec<String> = reasons.iter().map(|(reason, n)| format!("{reason} ({n})")).collect();
    let note = (!told.is_empty())
        .then(|| format!("{name}: no value in some of {} steps: {}", steps.len(), told.join(", ")));
    (points, note)
}

trait PushCurve {
    /// Adds a curve to the chart of a title, which is made where there is none.
    fn push_curve(&mut self, title: &str, name: &str, series: Series);
}

impl PushCurve for Vec<Chart> {
    fn push_curve(&mut self, title: &str, name: &str, (points, note): Series) {
        let at = self.iter().position(|chart| chart.title == title).unwrap_or_else(|| {
            self.push(Chart { title: title.to_owned(), along: STEPS.to_owned(), ..Chart::default() });
            self.len() - 1
        });
        self[at].curves.push(Curve { name: name.to_owned(), points });
        self[at].notes.extend(note);
    }
}

/// Calibration, and the share of voxels that pseudo-labels are taken from.
pub(super) fn confidence(runs: &[RunFiles]) -> Vec<Part> {
    let mut charts = Vec::new();
    let calibrated = || {
        runs.iter().filter_map(|run| {
            Some((run, run.history.validations.iter().rev().find_map(|r| r.calibration.as_ref())?))
        })
    };
    let reliability = |(run, found): (&RunFiles, &tandem_training::Calibration)| Curve {
        name: if runs.len() > 1 { run.name.clone() } else { ENSEMBLE.to_owned() },
        points: found.points(),
    };
    let curves: Vec<Curve> = calibrated().map(reliability).collect();
    let mut parts = Vec::new();
    if curves.is_empty() {
        parts.push(Part::Text("The log does not hold how well the networks are calibrated.".to_owned()));
    } else {
        parts.push(Part::Text(
            "Calibration is of the ensemble, by the probability of its label, in the box around each reference with 10 mm on every \
             side. On the dotted line it is as often right as it is sure; below it, too sure. The expected calibration error is the mean \
             distance from that line over voxels."
                .to_owned(),
        ));
        let notes = calibrated().filter_map(|(run, found)| {
            let whose = if runs.len() > 1 { format!("{}: ", run.name) } else { String::new() };
            Some(format!("{whose}expected calibration error {:.2} %", 100.0 * found.expected_error()?))
        });
        charts.push(Chart {
            title: "Share of right voxels by confidence, last validation".to_owned(),
            along: "confidence".to_owned(),
            notes: notes.collect(),
            curves,
            range: Some([0.0, 1.0]),
            diagonal: true,
        });
        charts.push(Chart {
            title: "Expected calibration error (%) over time".to_owned(),
            along: STEPS.to_owned(),
            curves: runs
                .iter()
                .map(|run| errors(run, runs.len() > 1))
                .filter(|curve| !curve.points.is_empty())
                .collect(),
            ..Chart::default()
        });
    }
    let mut shares: Vec<Chart> = Vec::new();
    for run in runs {
        for (term, title) in SHARES {
            let steps = &run.history.steps;
            if steps.iter().any(|step| step.terms.iter().any(|(name, _)| name == term)) {
                let name = if runs.len() > 1 { &run.name } else { term };
                shares.push_curve(title, name, series(steps, |step| &step.terms, term));
            }
        }
    }
    shares.iter_mut().for_each(|chart| chart.range = Some([0.0, 1.0]));
    if shares.is_empty() {
        parts.push(Part::Text(
            "The log holds no share of reliable voxels: the method takes all of them, or none.".to_owned(),
        ));
    }
    charts.extend(shares);
    if !charts.is_empty() {
        parts.push(Part::Charts(charts));
    }
    parts
}

fn errors(run: &RunFiles, several: bool) -> Curve {
    let point = |record: &ValidationRecord| {
        Some([record.steps as f64, 100.0 * record.calibration.as_ref()?.expected_error()?])
    };
    let name = if several { run.name.clone() } else { ENSEMBLE.to_owned() };
    Curve { name, points: run.history.validations.iter().filter_map(point).collect() }
}
