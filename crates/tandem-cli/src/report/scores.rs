//! Scores: a few large numbers, box plots, and the table of networks.

use super::files::RunFiles;
use crate::progress::duration;
use tandem_metrics::Score;
use tandem_report::{BoxPlots, Cell, Part, Sample, Table};
use tandem_statistics::{Resampling, bootstrap_mean, mean, sd};
use tandem_training::{Component, ENSEMBLE, Grid, Row, TableLine};

/// A metric that is shown: its name in scores, its unit there, its heading, and the factor to the heading's unit.
pub(super) struct Shown {
    pub(super) metric: String,
    pub(super) unit: &'static str,
    pub(super) heading: String,
    pub(super) factor: f64,
    /// Whether the larger value is the better one.
    pub(super) up: bool,
}

/// Metric, unit, heading, factor, whether more is better.
const METRICS: [(&str, &str, &str, f64, bool); 8] = [
    ("dice", "", "Dice (%)", 100.0, true),
    ("jaccard", "", "Jaccard (%)", 100.0, true),
    ("hd95", "mm", "HD95 (mm)", 1.0, false),
    ("asd", "mm", "ASD (mm)", 1.0, false),
    ("sensitivity", "", "Sensitivity (%)", 100.0, true),
    ("precision", "", "Precision (%)", 100.0, true),
    ("relative_volume_difference", "%", "Volume difference (%)", 1.0, false),
    ("volume_difference", "mL", "Volume difference (mL)", 1.0, false),
];

/// The metrics that the scores of a run have.
pub(super) fn shown(run: &RunFiles) -> Vec<Shown> {
    let Some(row) = run.scores.rows().first() else { return Vec::new() };
    let of = |(metric, unit, heading, factor, up): (&str, &'static str, &str, f64, bool)| Shown {
        metric: metric.to_owned(),
        unit,
        heading: heading.to_owned(),
        factor,
        up,
    };
    let mut found: Vec<Shown> = METRICS.map(of).into();
    // The name of a surface Dice has its tolerance.
    let surface =
        row.measures.iter().find_map(|measure| Some((&measure.metric, measure.metric.strip_prefix("nsd_")?)));
    if let Some((metric, at)) = surface {
        found.insert(
            4,
            Shown {
                metric: metric.clone(),
                unit: "",
                heading: format!("NSD {at} (%)"),
                factor: 100.0,
                up: true,
            },
        );
    }
    found.retain(|shown| row.score(&shown.metric, shown.unit).is_some());
    found
}

impl Shown {
    /// The score of a row in the heading's unit.
    pub(super) fn of(&self, row: &Row) -> Option<Score> {
        Some(match row.score(&self.metric, self.unit)? {
            Score::Value(value) => Score::Value(self.factor * value),
            undefined => undefined,
        })
    }

    pub(super) fn cell(&self, row: Option<&Row>) -> Cell {
        match row.and_then(|row| self.of(row)) {
            Some(Score::Value(value)) => Cell::number(value, format!("{value:.2}")),
            Some(Score::Undefined(why)) => Cell::undefined(why.to_string()),
            None => Cell::undefined("not measured"),
        }
    }
}

/// The large numbers of each run, and what is missing.
pub(super) fn summary(runs: &[RunFiles]) -> Vec<Part> {
    let mut parts = Vec::new();
    for run in runs {
        if runs.len() > 1 {
            parts.push(Part::Text(format!("{} ({}):", run.name, run.title())));
        }
        parts.extend(run.missing.iter().cloned().map(Part::Warning));
        let numbers = numbers(run);
        if !numbers.is_empty() {
            parts.push(Part::Numbers(numbers));
        }
    }
    parts
}

fn numbers(run: &RunFiles) -> Vec<[String; 3]> {
    let class = run.headline_class();
    let of = |shown: &Shown| {
        let scores: Vec<Score> = run.rows(ENSEMBLE, class).filter_map(|row| shown.of(row)).collect();
        let values: Vec<f64> = scores.iter().filter_map(|score| score.value()).collect();
        let Some(mean) = mean(&values) else {
            return [shown.heading.clone(), "undefined".to_owned(), format!("in all {} cases", scores.len())];
        };
        let interval = bootstrap_mean(&values, &Resampling::default());
        let interval =
            interval.map_or_else(String::new, |[low, high]| format!("95 % interval {low:.2} to {high:.2}; "));
        let sd = sd(&values).map_or_else(String::new, |sd| format!("SD {sd:.2}, "));
        let undefined = match scores.len() - values.len() {
            0 => String::new(),
            n => format!(", undefined in {n}"),
        };
        let sure = format!("{interval}{sd}{} cases{undefined}", values.len());
        [shown.heading.clone(), format!("{mean:.2}"), sure]
    };
    let wanted = ["dice", "hd95", "asd"];
    let is_wanted =
        |shown: &&Shown| wanted.contains(&shown.metric.as_str()) || shown.metric.starts_with("nsd_");
    let mut numbers: Vec<[String; 3]> = shown(run).iter().filter(is_wanted).map(of).collect();
    if let Some(provenance) = &run.provenance {
        let memory = provenance
            .peak_memory
            .map_or_else(String::new, |bytes| format!("{:.1} GB at most", bytes as f64 / 1e9));
        numbers.push(["Time".to_owned(), duration(provenance.seconds), memory]);
    }
    numbers
}

/// Box plots and the table of networks.
pub(super) fn parts(runs: &[RunFiles]) -> Vec<Part> {
    let mut parts = Vec::new();
    let scored: Vec<&RunFiles> = runs.iter().filter(|run| !run.scores.rows().is_empty()).collect();
    let Some(first) = scored.first() else {
        return vec![Part::Text("There are no scores.".to_owned())];
    };
    let several = runs.len() > 1;
    let whose = if several { "the ensemble of each run" } else { "each network and their ensemble" };
    let classes = if first.classes().len() > 1 { ", mean over classes" } else { "" };
    parts.push(Part::Text(format!(
        "On the scans' own grids, {whose}{classes}. Boxes are quartiles with the median, whiskers reach to the last case within one \
         and a half boxes, every point is a case."
    )));
    let plot = |shown: &Shown| {
        let groups = if several {
            scored
                .iter()
                .map(|run| sample(&run.name, run.rows(ENSEMBLE, run.headline_class()), shown))
                .collect()
        } else {
            let of =
                |predictor: &&str| sample(predictor, first.rows(predictor, first.headline_class()), shown);
            first.predictors().iter().map(of).collect()
        };
        BoxPlots { title: shown.heading.clone(), groups }
    };
    let shown = shown(first);
    parts.push(Part::BoxPlots(shown.iter().map(plot).collect()));
    if first.classes().len() > 1 {
        parts.push(Part::Text(format!(
            "By class, {}:",
            if several { "the first run's ensemble" } else { "the ensemble" }
        )));
        let plot = |shown: &Shown| {
            let of = |class: &&str| sample(class, first.rows(ENSEMBLE, class), shown);
            BoxPlots { title: shown.heading.clone(), groups: first.classes().iter().map(of).collect() }
        };
        parts.push(Part::BoxPlots(shown.iter().take(3).map(plot).collect()));
    }
    for run in scored {
        for grid in [Grid::Own, Grid::Working] {
            parts.extend(networks(run, grid, several));
        }
    }
    parts
}

fn sample<'a>(name: &str, rows: impl Iterator<Item = &'a Row>, shown: &Shown) -> Sample {
    let mut sample = Sample { name: name.to_owned(), ..Sample::default() };
    for row in rows {
        match shown.of(row) {
            Some(Score::Value(value)) => sample.values.push((row.case.clone(), value)),
            Some(Score::Undefined(why)) => sample.undefined.push((row.case.clone(), why.to_string())),
            None => sample.undefined.push((row.case.clone(), "not measured".to_owned())),
        }
    }
    sample
}

/// The table that `report.md` has too.
fn networks(run: &RunFiles, grid: Grid, several: bool) -> Option<Part> {
    let summary = run.scores.summary();
    let tandem_training::Table { headings, lines } = tandem_training::Table::of(&summary, grid)?;
    let mut caption = match grid {
        Grid::Own => "Mean ± SD over cases, on the scans' own grids".to_owned(),
        Grid::Working => "Mean ± SD over cases, on the working grid".to_owned(),
    };
    if summary.iter().any(|row| row.component == Component::Largest) {
        caption += "; largest: of each class the largest connected component alone";
    }
    if several {
        caption = format!("{}: {caption}", run.name);
    }
    let cell = |summary: Option<tandem_metrics::Summary>| match summary {
        None => Cell::undefined("not measured"),
        Some(summary) => match summary.mean {
            None => Cell::undefined(format!("undefined in all {} cases", summary.undefined)),
            Some(mean) => {
                let sd = summary.sd.map_or_else(String::new, |sd| format!(" ± {sd:.2}"));
                let title = (summary.undefined > 0).then(|| format!("undefined in {}", summary.undefined));
                Cell { title, ..Cell::number(mean, format!("{mean:.2}{sd}")) }
            }
        },
    };
    let row = |TableLine { predictor, class, cells }: TableLine| {
        let named = [Cell::text(predictor), Cell::text(class)];
        named.into_iter().chain(cells.into_iter().map(cell)).collect()
    };
    let headings = ["Network", "Class"].into_iter().map(str::to_owned).chain(headings).collect();
    Some(Part::Table(Table { caption, headings, rows: lines.into_iter().map(row).collect() }))
}
