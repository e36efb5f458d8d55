//! Every number of a comparison: one line for each method and each thing that was measured.
//!
//! The unit is the case. Runs of a method are averaged within each case, and cases are resampled and ranked. The control is
//! compared in pairs: the same case in runs of the same seed, labelled set and fold. A pair with an undefined side is counted and
//! left out on both sides, so that neither gains by what it does not find.

use crate::grid::CellRecord;
use rayon::prelude::*;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::OnceLock;
use tandem_statistics::{
    CaseMeans, NullDistribution, Resampling, Samples, cohen_dz, hodges_lehmann, holm, mean, sd, signed_rank,
};
use tandem_training::{Component, Grid, Row, Scores};

/// A run with its scores.
pub(crate) struct Scored<'a> {
    pub(crate) cell: &'a CellRecord,
    pub(crate) scores: Scores,
}

/// A method on one metric.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Line {
    pub(crate) labelled: usize,
    pub(crate) grid: Grid,
    pub(crate) component: Component,
    pub(crate) class: String,
    pub(crate) predictor: String,
    pub(crate) metric: String,
    pub(crate) unit: String,
    pub(crate) method: String,
    /// Runs with scores.
    pub(crate) runs: usize,
    /// Over runs, of each run's mean over its cases.
    pub(crate) mean: Option<f64>,
    pub(crate) sd: Option<f64>,
    /// Cases with a value in some run, and those without.
    pub(crate) cases: usize,
    pub(crate) cases_left_out: usize,
    /// Values that are undefined, of a case in a run.
    pub(crate) undefined: usize,
    /// The 95 % interval of the mean over cases.
    pub(crate) interval: Option<[f64; 2]>,
    /// None of the control itself, and where it has no such line.
    pub(crate) against: Option<Against>,
}

/// A method less the control, in pairs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Against {
    /// Cases with a pair, and those without.
    pub(crate) cases: usize,
    pub(crate) cases_left_out: usize,
    /// Pairs with an undefined side.
    pub(crate) undefined: usize,
    /// Runs that the control has no run of the same seed, labelled set and fold to.
    pub(crate) runs_left_out: usize,
    /// Mean over cases, and its 95 % interval.
    pub(crate) difference: Option<f64>,
    pub(crate) interval: Option<[f64; 2]>,
    /// Hodges and Lehmann's.
    pub(crate) median: Option<f64>,
    /// Wilcoxon's signed-rank test over cases, and its p value corrected by Holm over the methods. None where no case differs.
    pub(crate) p: Option<f64>,
    pub(crate) p_holm: Option<f64>,
    /// `exact` or `normal`.
    pub(crate) distribution: Option<&'static str>,
    /// Cases without a difference.
    pub(crate) zeros: usize,
    pub(crate) rank_biserial: Option<f64>,
    pub(crate) cohen_dz: Option<f64>,
}

impl Line {
    /// Whether both are of the same part of the same network's predictions, whatever the method and metric.
    pub(crate) fn is_of_same_predictions(&self, other: &Line) -> bool {
        let key = |line: &Line| (line.grid, line.component);
        key(self) == key(other) && (&self.class, &self.predictor) == (&other.class, &other.predictor)
    }

    /// Whether a larger value is the better one: of ratios, not of distances and differences of volumes.
    pub(crate) fn higher_is_better(&self) -> bool {
        self.unit.is_empty()
    }
}

/// What is measured.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    grid: Grid,
    component: Component,
    class: String,
    predictor: String,
    metric: String,
    unit: String,
}

impl Key {
    fn of(row: &Row, metric: &str, unit: &str) -> Self {
        Key {
            grid: row.grid,
            component: row.component,
            class: row.class.clone(),
            predictor: row.predictor.clone(),
            metric: metric.to_owned(),
            unit: unit.to_owned(),
        }
    }
}

/// The values of a run, case by case, in the order of its scores.
type Values = BTreeMap<Key, Vec<(String, Option<f64>)>>;

/// A run with its values.
struct Run<'a> {
    cell: &'a CellRecord,
    values: Values,
}

/// All lines, in the order of the grid and of the scores, the methods beside each other.
pub(crate) fn all(scored: &[Scored], methods: &[&str], control: &str) -> Vec<Line> {
    let mut keys: Vec<Key> = Vec::new();
    let mut runs = Vec::new();
    for run in scored {
        let mut values = Values::new();
        for row in run.scores.rows() {
            for measure in &row.measures {
                let key = Key::of(row, &measure.metric, &measure.unit);
                if !values.contains_key(&key) && !keys.contains(&key) {
                    keys.push(key.clone());
                }
                values.entry(key).or_default().push((row.case.clone(), measure.score.value()));
            }
        }
        runs.push(Run { cell: run.cell, values });
    }
    // Stable: metrics, networks and classes keep the order of the scores.
    keys.sort_by_key(|key| (key.grid, key.component));
    let mut labelled: Vec<usize> = Vec::new();
    for run in &runs {
        if !labelled.contains(&run.cell.labelled) {
            labelled.push(run.cell.labelled);
        }
    }
    let places: Vec<(usize, &Key)> =
        labelled.iter().flat_map(|labelled| keys.iter().map(|key| (*labelled, key))).collect();
    let intervals = Intervals::new(&runs);
    let groups: Vec<Vec<Line>> = places
        .par_iter()
        .map(|(labelled, key)| group(key, *labelled, &runs, methods, control, &intervals))
        .collect();
    groups.into_iter().flatten().collect()
}

/// All methods on one metric.
fn group(
    key: &Key,
    labelled: usize,
    runs: &[Run],
    methods: &[&str],
    control: &str,
    intervals: &Intervals,
) -> Vec<Line> {
    let of = |method: &str| -> Vec<&Run> {
        let is = |cell: &CellRecord| cell.labelled == labelled && cell.method == method;
        runs.iter().filter(|run| is(run.cell) && run.values.contains_key(key)).collect()
    };
    let controls = of(control);
    let mut lines = Vec::new();
    for method in methods {
        let own = of(method);
        if own.is_empty() {
            continue;
        }
        let mut line = line(key, method, labelled, &own, intervals);
        if *method != control && !controls.is_empty() {
            line.against = Some(against(key, &own, &controls, intervals));
        }
        lines.push(line);
    }
    correct(&mut lines);
    lines
}

/// Intervals of means over cases. The samples of so many cases are drawn when they are first asked for.
struct Intervals(Vec<OnceLock<Samples>>);

impl Intervals {
    fn new(runs: &[Run]) -> Self {
        let cases: BTreeSet<&String> =
            runs.iter().flat_map(|run| run.values.values().flatten()).map(|(case, _)| case).collect();
        Intervals((0..=cases.len()).map(|_| OnceLock::new()).collect())
    }

    fn of(&self, values: &[f64]) -> Option<[f64; 2]> {
        let samples =
            self.0.get(values.len())?.get_or_init(|| Samples::draw(values.len(), &Resampling::default()));
        samples.interval_of_mean(values)
    }
}

fn line(key: &Key, method: &str, labelled: usize, runs: &[&Run], intervals: &Intervals) -> Line {
    let means: Vec<f64> = runs.iter().filter_map(|run| mean(&defined(&run.values[key]))).collect();
    let values = runs.iter().flat_map(|run| &run.values[key]);
    let cases = CaseMeans::of(values.map(|(case, value)| (case.as_str(), *value)));
    let Key { grid, component, class, predictor, metric, unit } = key.clone();
    Line {
        labelled,
        grid,
        component,
        class,
        predictor,
        metric,
        unit,
        method: method.to_owned(),
        runs: runs.len(),
        mean: mean(&means),
        sd: sd(&means),
        cases: cases.means.len(),
        cases_left_out: cases.left_out,
        undefined: cases.undefined,
        interval: intervals.of(&cases.means),
        against: None,
    }
}

fn defined(values: &[(String, Option<f64>)]) -> Vec<f64> {
    values.iter().filter_map(|(_, value)| *value).collect()
}

fn against(key: &Key, runs: &[&Run], controls: &[&Run], intervals: &Intervals) -> Against {
    let place = |cell: &CellRecord| (cell.seed, cell.labelled_set, cell.fold);
    let mut pairs: Vec<(&str, Option<f64>)> = Vec::new();
    let mut runs_left_out = 0;
    for run in runs {
        let Some(control) = controls.iter().find(|control| place(control.cell) == place(run.cell)) else {
            runs_left_out += 1;
            continue;
        };
        let of_control: HashMap<&str, Option<f64>> =
            control.values[key].iter().map(|(case, value)| (case.as_str(), *value)).collect();
        pairs.extend(run.values[key].iter().map(|(case, value)| {
            let control = of_control.get(case.as_str()).copied().flatten();
            (case.as_str(), value.zip(control).map(|(value, control)| value - control))
        }));
    }
    let cases = CaseMeans::of(pairs);
    let test = signed_rank(&cases.means);
    Against {
        cases: cases.means.len(),
        cases_left_out: cases.left_out,
        undefined: cases.undefined,
        runs_left_out,
        difference: mean(&cases.means),
        interval: intervals.of(&cases.means),
        median: hodges_lehmann(&cases.means),
        p: test.map(|test| test.p),
        p_holm: None,
        distribution: test.map(|test| match test.distribution {
            NullDistribution::Exact => "exact",
            NullDistribution::Normal => "normal",
        }),
        zeros: cases.means.iter().filter(|difference| **difference == 0.0).count(),
        rank_biserial: test.map(|test| test.rank_biserial()),
        cohen_dz: cohen_dz(&cases.means),
    }
}

/// Corrects the p values of the methods on one metric by Holm.
fn correct(lines: &mut [Line]) {
    let mut tested: Vec<&mut Against> = lines
        .iter_mut()
        .filter_map(|line| line.against.as_mut())
        .filter(|against| against.p.is_some())
        .collect();
    let p: Vec<f64> = tested.iter().filter_map(|against| against.p).collect();
    for (against, corrected) in tested.iter_mut().zip(holm(&p)) {
        against.p_holm = Some(corrected);
    }
}
