//! Scores of whole scans: per case, per network and ensemble, per grid.

mod calibration;
mod csv;
mod table;

pub use calibration::Calibration;
pub use csv::csv_cell;
pub use table::{TABLE_COLUMNS, Table, TableLine};

use crate::run::{PREDICTIONS, UNCERTAINTY};
use crate::{Error, Predictor, Result};
use calibration::Box3;
use ndarray::{Array3, Axis};
use serde::{Deserialize, Serialize};
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use tandem_inference::{On, Plane, entropy, label_map};
use tandem_metrics::{
    Comparison, Metric, Nsd, Score, Summary, Undefined, largest_component, metrics, summarise,
};
use tandem_volume::prepared::PreparedSet;
use tandem_volume::{Subject, Volume, resample, write_label};

/// The name under which the mean of all networks is scored.
pub const ENSEMBLE: &str = "ensemble";

/// The class of rows that hold the mean over all foreground classes, where there are several.
pub const MEAN: &str = "mean";

/// On which grid a prediction was compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Grid {
    /// The scan's own: what counts for whoever uses the segmentation.
    Own,
    /// The run's working grid, where that is another one: the label is resampled, not the prediction.
    Working,
}

impl Grid {
    /// The name in tables and files.
    pub fn name(self) -> &'static str {
        match self {
            Grid::Own => "own",
            Grid::Working => "working",
        }
    }
}

/// Which part of a prediction was compared. No component is removed from what is written to `predictions`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Component {
    /// All of it.
    #[default]
    All,
    /// Of each class its largest connected component ([`largest_component`]).
    Largest,
}

impl Component {
    /// The name in tables and files.
    pub fn name(self) -> &'static str {
        match self {
            Component::All => "all",
            Component::Largest => "largest",
        }
    }
}

/// One metric of one prediction.
#[derive(Clone, Debug, PartialEq)]
pub struct Measure {
    /// The metric.
    pub metric: String,
    /// `mm` or `voxels` for distances, `mL` for volumes, `%`, or empty for ratios.
    pub unit: String,
    /// Its value, or why there is none.
    pub score: Score,
}

/// One foreground class of one prediction of one case, or the mean over all of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The case's id.
    pub case: String,
    /// Where it was compared.
    pub grid: Grid,
    /// The network, or [`ENSEMBLE`].
    pub predictor: String,
    /// Which part of its prediction.
    pub component: Component,
    /// The class's name, or its number from 1 where it has none; or [`MEAN`].
    pub class: String,
    /// All metrics: ratios once, distances in mm and in voxels.
    pub measures: Vec<Measure>,
}

impl Row {
    /// The score of a metric, by name and unit; none where the table does not have it.
    pub fn score(&self, metric: &str, unit: &str) -> Option<Score> {
        let found = self.measures.iter().find(|measure| measure.metric == metric && measure.unit == unit);
        found.map(|measure| measure.score)
    }
}

/// One line of `summary.json`: a metric over all cases.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SummaryRow {
    /// Where the cases were compared.
    pub grid: Grid,
    /// The network, or [`ENSEMBLE`].
    pub predictor: String,
    /// Which part of its prediction: all of it, in a file that says nothing of it.
    #[serde(default)]
    pub component: Component,
    /// The class's name, or its number from 1 where it has none; or [`MEAN`].
    pub class: String,
    /// The metric.
    pub metric: String,
    /// `mm` or `voxels` for distances, `mL` for volumes, `%`, or empty for ratios.
    pub unit: String,
    /// Mean, SD, and how many cases have the value and how many do not.
    #[serde(flatten)]
    pub summary: Summary,
}

/// The scores of some cases.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scores {
    rows: Vec<Row>,
}

impl Scores {
    /// All rows: case by case, own grid first, networks before their ensemble, all of a prediction before its largest
    /// components.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Mean, SD and counts of each metric over the cases: by grid, by component, by class, by predictor.
    pub fn summary(&self) -> Vec<SummaryRow> {
        let mut groups: Vec<(&Row, Vec<&Row>)> = Vec::new();
        let mut classes: Vec<&str> = Vec::new();
        for row in &self.rows {
            if !classes.contains(&row.class.as_str()) {
                classes.push(&row.class);
            }
            let same = |(first, _): &&mut (&Row, Vec<&Row>)| {
                (first.grid, first.component, &first.predictor, &first.class)
                    == (row.grid, row.component, &row.predictor, &row.class)
            };
            match groups.iter_mut().find(same) {
                Some((_, rows)) => rows.push(row),
                None => groups.push((row, vec![row])),
            }
        }
        let place = |row: &Row| classes.iter().position(|class| *class == row.class);
        groups.sort_by_key(|(first, _)| (first.grid, first.component, place(first)));
        groups.iter().flat_map(|(first, rows)| summarise_group(first, rows)).collect()
    }
}

/// What was found in some cases.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evaluation {
    /// The scores.
    pub scores: Scores,
    /// Whether the ensemble is as often right as it is sure, on the scans' own grids.
    pub calibration: Calibration,
}

/// The mean Dice of the ensemble on the scans' own grids, over all foreground classes, without removing components: what
/// validations are compared by. None where it is defined for no case.
pub fn ensemble_dice(summary: &[SummaryRow]) -> Option<f64> {
    let is_dice = |row: &&SummaryRow| {
        (row.grid, row.component) == (Grid::Own, Component::All)
            && (row.predictor.as_str(), row.metric.as_str()) == (ENSEMBLE, "dice")
    };
    let mut rows = summary.iter().filter(is_dice);
    // Of several classes there is a mean; a single one is its own.
    let row = rows.clone().find(|row| row.class == MEAN).or_else(|| rows.next())?;
    row.summary.mean
}

/// Segments cases one by one and scores those that have a label, on their own grid and on the working grid where that
/// is another one. What the ensemble says of each case is written below `folder`, on the scan's own grid: its label map as
/// `predictions/ID.nii.gz`, and how unsure it is as `uncertainty/ID.nii.gz`, its entropy from 0 to 255.
///
/// `progress` gets the case's id, the windows done and their number, and may end the work.
///
/// # Errors
/// [`crate::Error::Stopped`] where `progress` ended it; the first error of `cases`; where a case cannot be segmented, compared or written.
pub fn evaluate(
    predictor: &Predictor<'_>,
    cases: impl IntoIterator<Item = Result<Subject>>,
    folder: Option<&Path>,
    progress: &mut dyn FnMut(&str, usize, usize) -> ControlFlow<()>,
) -> Result<Evaluation> {
    let mut found = Evaluation::default();
    for subject in cases {
        let (id, image, label) = subject?.into_parts();
        let geometry = image.geometry().clone();
        let within = label.as_ref().and_then(Box3::around);
        let [mut own, mut working] = [const { Vec::new() }; 2];
        let mut unsure = Array3::zeros(image.shape());
        let calibration = &mut found.calibration;
        let mut take = |plane: Plane| {
            if plane.on == On::Own {
                if folder.is_some() {
                    // 8 bits, mostly 0: a fraction of the scan's bytes, and the report needs no networks.
                    let steps = entropy(&plane.ensemble).mapv(|share| (255.0 * share).round() as u8);
                    unsure.index_axis_mut(Axis(0), plane.index).assign(&steps);
                }
                if let (Some(label), Some(within)) = (&label, &within) {
                    let label = label.array().index_axis(Axis(0), plane.index);
                    calibration.add(plane.index, plane.ensemble.view(), label, within);
                }
            }
            put(if plane.on == On::Own { &mut own } else { &mut working }, &plane);
            Ok(())
        };
        predictor.segment_planes(&id, image, &mut take, &mut |done, total| progress(&id, done, total))?;
        if let (Some(folder), Some(ensemble)) = (folder, own.last()) {
            write(&folder.join(PREDICTIONS), &id, &Volume::new(ensemble.clone(), geometry.clone()))?;
            write(&folder.join(UNCERTAINTY), &id, &Volume::new(unsure, geometry))?;
        }
        let Some(label) = label else {
            continue;
        };
        found.scores.rows.extend(rows(&id, Grid::Own, predictor, &own, &label)?);
        if let (false, Some(spacing)) = (working.is_empty(), predictor.spacing()) {
            let label =
                resample::label_to_spacing(&label, spacing, predictor.classes()).map_err(Error::case(&id))?;
            found.scores.rows.extend(rows(&id, Grid::Working, predictor, &working, &label)?);
        }
    }
    Ok(found)
}

/// Writes a map of a case into a folder, which is made.
fn write(folder: &Path, id: &str, map: &Volume<u8>) -> Result<()> {
    fs::create_dir_all(folder).map_err(Error::io(folder))?;
    write_label(folder.join(format!("{id}.nii.gz")), map).map_err(Error::case(id))
}

/// Puts a plane into the label maps of each network and of their ensemble, which comes last.
fn put(maps: &mut Vec<Array3<u8>>, plane: &Plane) {
    let probabilities = || plane.networks.iter().chain([&plane.ensemble]);
    if maps.is_empty() {
        maps.extend(probabilities().map(|_| Array3::zeros(plane.shape)));
    }
    for (map, probabilities) in maps.iter_mut().zip(probabilities()) {
        map.index_axis_mut(Axis(0), plane.index).assign(&label_map(probabilities));
    }
}

/// Reads cases of a prepared set, one at a time.
pub fn subjects<'a>(set: &'a PreparedSet, ids: &'a [String]) -> impl Iterator<Item = Result<Subject>> + 'a {
    ids.iter().map(|id| set.subject(id).map_err(Error::case(id)))
}

fn rows(
    case: &str,
    grid: Grid,
    predictor: &Predictor<'_>,
    maps: &[Array3<u8>],
    label: &Volume<u8>,
) -> Result<Vec<Row>> {
    let names = predictor.names().iter().copied().chain([ENSEMBLE]);
    let mut rows = Vec::new();
    for (name, predicted) in names.zip(maps) {
        let mut of_components = [Component::All, Component::Largest].map(|component| (component, Vec::new()));
        for class in (1..=u8::MAX).take(predictor.classes() - 1) {
            let measures = compare(predicted, label, class, predictor.nsd())
                .map_err(|source| Error::Comparison { id: case.to_owned(), source })?;
            for ((_, of_classes), measures) in of_components.iter_mut().zip(measures) {
                of_classes.push((predictor.class_name(class.into()), measures));
            }
        }
        for (component, mut of_classes) in of_components {
            if of_classes.len() > 1 {
                of_classes.push((MEAN.to_owned(), mean(&of_classes)));
            }
            let row = |(class, measures)| Row {
                case: case.to_owned(),
                grid,
                predictor: name.to_owned(),
                component,
                class,
                measures,
            };
            rows.extend(of_classes.into_iter().map(row));
        }
    }
    Ok(rows)
}

/// The mean over classes. One that neither prediction nor reference has is left out; where another one has no value,
/// there is no mean.
fn mean(of_classes: &[(String, Vec<Measure>)]) -> Vec<Measure> {
    let columns = of_classes.first().map_or(&[][..], |(_, measures)| measures);
    let column = |(at, first): (usize, &Measure)| {
        let scores = || of_classes.iter().map(|(_, measures)| measures[at].score);
        let present = || scores().filter(|score| *score != Score::Undefined(Undefined::BothEmpty));
        let gap = present().find(|score| score.value().is_none());
        let score = gap.unwrap_or_else(|| match summarise(present()).mean {
            Some(mean) => Score::Value(mean),
            None => Score::Undefined(Undefined::BothEmpty),
        });
        Measure { score, ..first.clone() }
    };
    columns.iter().enumerate().map(column).collect()
}

/// All metrics of one class: of all that is predicted, and of its largest component.
fn compare(
    predicted: &Array3<u8>,
    label: &Volume<u8>,
    class: u8,
    nsd: &Nsd,
) -> Result<[Vec<Measure>; 2], tandem_metrics::Error> {
    let predicted = predicted.mapv(|voxel| voxel == class);
    let reference = label.array().mapv(|voxel| voxel == class);
    let measured = |predicted: &Array3<bool>| {
        let spacing = label.geometry().spacing();
        Ok(measure(&Comparison::new(predicted.view(), reference.view(), spacing)?, nsd))
    };
    let all = measured(&predicted)?;
    let largest = largest_component(predicted.view());
    // Most predictions are of one piece.
    let of_largest = if largest == predicted { all.clone() } else { measured(&largest)? };
    Ok([all, of_largest])
}

/// All metrics of a pair of masks, and those that are distances in voxels too.
fn measure(comparison: &Comparison, nsd: &Nsd) -> Vec<Measure> {
    let metrics = metrics(nsd);
    let score = |metric: &dyn Metric, comparison: &Comparison, unit: &str| Measure {
        metric: metric.name().into_owned(),
        unit: unit.to_owned(),
        score: metric.measure(comparison),
    };
    let in_voxels = comparison.in_voxels();
    let all = metrics.iter().map(|metric| score(*metric, comparison, metric.unit()));
    let distances = metrics.iter().filter(|metric| metric.unit() == "mm");
    all.chain(distances.map(|metric| score(*metric, &in_voxels, "voxels"))).collect()
}

fn summarise_group(first: &Row, rows: &[&Row]) -> Vec<SummaryRow> {
    let line = |(at, measure): (usize, &Measure)| SummaryRow {
        grid: first.grid,
        predictor: first.predictor.clone(),
        component: first.component,
        class: first.class.clone(),
        metric: measure.metric.clone(),
        unit: measure.unit.clone(),
        summary: summarise(rows.iter().map(|row| row.measures[at].score)),
    };
    first.measures.iter().enumerate().map(line).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use tandem_volume::Geometry;

    fn nsd() -> Nsd {
        Nsd::new(1.0).unwrap()
    }

    fn row(case: &str, predictor: &str, grid: Grid, predicted: usize) -> Row {
        // A slab of four voxels along i, at 2 mm, against one of `predicted` voxels.
        let slab = |side: usize| Array3::from_shape_fn((8, 4, 4), |(i, _, _)| u8::from(i < side));
        let label = Volume::new(slab(4), Geometry::isotropic(2.0).unwrap());
        let [measures, _] = compare(&slab(predicted), &label, 1, &nsd()).unwrap();
        let [case, predictor, class] = [case, predictor, "1"].map(str::to_owned);
        Row { case, grid, predictor, component: Component::All, class, measures }
    }

    /// Cases of which the ensemble predicts so many planes of four.
    pub(crate) fn predicting(planes: &[usize]) -> Scores {
        let row = |(case, planes): (usize, &usize)| row(&case.to_string(), ENSEMBLE, Grid::Own, *planes);
        Scores { rows: planes.iter().enumerate().map(row).collect() }
    }

    /// Three cases by an ensemble: perfect, one plane short, and empty.
    pub(crate) fn sample() -> Scores {
        let row = |case, predicted| row(case, ENSEMBLE, Grid::Own, predicted);
        Scores { rows: vec![row("a", 4), row("b,2", 3), row("c", 0)] }
    }

    #[test]
    fn distances_are_in_mm_and_in_voxels_and_ratios_are_not_repeated() {
        let row = row("a", "vnet", Grid::Own, 3);
        let of = |metric: &str, unit: &str| row.score(metric, unit).unwrap().value().unwrap();
        assert_eq!(row.measures.iter().filter(|measure| measure.metric == "dice").count(), 1);
        assert_eq!(of("dice", ""), 2.0 * 3.0 / 7.0);
        assert_eq!(of("hd95", "mm"), 2.0 * of("hd95", "voxels"));
        assert!(of("hd95", "mm") > 0.0);
        // 16 voxels of 8 mm³ are missing.
        assert_eq!((of("volume_difference", "mL"), of("relative_volume_difference", "%")), (0.128, 25.0));
        assert!(of("nsd_1mm", "") < 1.0);
    }

    #[test]
    fn an_empty_prediction_is_counted_and_not_averaged() {
        let summary = sample().summary();
        let of = |metric: &str, unit: &str| {
            summary.iter().find(|row| row.metric == metric && row.unit == unit).unwrap().summary
        };
        let dice = of("dice", "");
        assert_eq!((dice.n, dice.undefined), (3, 0));
        assert!((dice.mean.unwrap() - (1.0 + 6.0 / 7.0) / 3.0).abs() < 1e-12);
        let hd95 = of("hd95", "mm");
        assert_eq!((hd95.n, hd95.undefined), (2, 1));
    }

    #[test]
    fn the_largest_component_is_scored_beside_all_that_is_predicted() {
        let slab = Array3::from_shape_fn((9, 4, 4), |(i, _, _)| u8::from(i < 4));
        let label = Volume::new(slab.clone(), Geometry::isotropic(1.0).unwrap());
        let mut predicted = slab.clone();
        predicted[(8, 0, 0)] = 1;
        let [all, largest] = compare(&predicted, &label, 1, &nsd()).unwrap();
        let dice = |measures: &[Measure]| measures[0].score.value().unwrap();
        assert_eq!((dice(&all), dice(&largest)), (128.0 / 129.0, 1.0));
        let [all, largest] = compare(&slab, &label, 1, &nsd()).unwrap();
        assert_eq!(all, largest);
    }

    #[test]
    fn validations_are_compared_by_the_ensemble_over_all_classes_on_the_own_grid() {
        let dice = |rows: Vec<Row>| ensemble_dice(&Scores { rows }.summary());
        let others = [row("a", "vnet", Grid::Own, 4), row("a", ENSEMBLE, Grid::Working, 4)];
        let ensemble = |class: &str, predicted| Row {
            class: class.to_owned(),
            ..row("a", ENSEMBLE, Grid::Own, predicted)
        };
        assert_eq!(dice(others.to_vec()), None);
        assert_eq!(dice([&others[..], &[ensemble("1", 3)]].concat()), Some(6.0 / 7.0));
        assert_eq!(dice(vec![ensemble("1", 4), ensemble(MEAN, 3)]), Some(6.0 / 7.0));
        let largest = Row { component: Component::Largest, ..ensemble("1", 4) };
        assert_eq!(dice(vec![ensemble("1", 3), largest]), Some(6.0 / 7.0));
    }

    #[test]
    fn groups_are_sorted_by_grid_and_keep_the_order_of_predictors() {
        let rows = vec![
            row("a", "vnet", Grid::Working, 4),
            row("a", ENSEMBLE, Grid::Own, 4),
            row("a", "vnet", Grid::Own, 4),
        ];
        let summary = Scores { rows }.summary();
        let order: Vec<_> = summary
            .iter()
            .filter(|row| row.metric == "dice")
            .map(|row| (row.grid, row.predictor.as_str()))
            .collect();
        assert_eq!(order, [(Grid::Own, ENSEMBLE), (Grid::Own, "vnet"), (Grid::Working, "vnet")]);
    }

    #[test]
    fn the_mean_leaves_out_what_nobody_has_and_hides_no_gap() {
        let of = |score: Score| {
            ("1".to_owned(), vec![Measure { metric: "dice".to_owned(), unit: String::new(), score }])
        };
        let mean_of = |scores: &[Score]| mean(&scores.iter().copied().map(of).collect::<Vec<_>>())[0].score;
        let (half, one) = (Score::Value(0.5), Score::Value(1.0));
        let (absent, missed) =
            (Score::Undefined(Undefined::BothEmpty), Score::Undefined(Undefined::EmptyPrediction));
        assert_eq!(mean_of(&[half, one]), Score::Value(0.75));
        assert_eq!(mean_of(&[half, absent, one]), Score::Value(0.75));
        assert_eq!(mean_of(&[half, missed, absent]), missed);
        assert_eq!(mean_of(&[absent, absent]), absent);
    }
}
