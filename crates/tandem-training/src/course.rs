//! The course of a run's validations, and whether the networks have collapsed.

use crate::{Component, ENSEMBLE, Grid, MEAN, Scores, ValidationRecord, ensemble_dice};
use tandem_metrics::{Score, Undefined};

/// The share of the best mean Dice so far below which a validation is a collapse.
const COLLAPSE: f64 = 0.5;

/// The highest mean Dice of the ensemble in some validations, and the steps after which it was found.
pub(crate) fn best(validations: &[ValidationRecord]) -> Option<(f64, u64)> {
    let found =
        validations.iter().filter_map(|record| Some((ensemble_dice(&record.validation)?, record.steps)));
    found.max_by(|a, b| a.0.total_cmp(&b.0))
}

/// Why the networks seem to have collapsed: no voxel is predicted any more where some should be, or their score is less than half
/// of what it was in an earlier validation.
pub(crate) fn collapse(scores: &Scores, earlier: &[ValidationRecord]) -> Option<String> {
    if all_empty(scores) {
        return Some("the ensemble predicts no foreground in any scan".to_owned());
    }
    let now = ensemble_dice(&scores.summary())?;
    let (best, steps) = best(earlier)?;
    (now < COLLAPSE * best).then(|| {
        format!(
            "the ensemble's mean Dice is {:.2} %, after {steps} steps it was {:.2} %",
            100.0 * now,
            100.0 * best
        )
    })
}

/// Whether the ensemble predicts nothing where there is something, in all scans and classes.
fn all_empty(scores: &Scores) -> bool {
    let ensemble = || {
        scores.rows().iter().filter(|row| {
            (row.grid, row.component) == (Grid::Own, Component::All)
                && row.predictor == ENSEMBLE
                && row.class != MEAN
        })
    };
    let reason = |why| {
        move |row: &&crate::Row| row.measures.iter().any(|measure| measure.score == Score::Undefined(why))
    };
    let missed = ensemble().filter(reason(Undefined::EmptyPrediction)).count();
    missed > 0 && ensemble().count() == missed + ensemble().filter(reason(Undefined::BothEmpty)).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluation::tests::{predicting, sample};

    fn record(steps: u64, scores: &Scores) -> ValidationRecord {
        ValidationRecord { steps, collapse: None, validation: scores.summary(), calibration: None }
    }

    #[test]
    fn nothing_predicted_is_a_collapse_from_the_first_validation_on() {
        assert!(collapse(&sample(), &[]).is_none());
        let why = collapse(&predicting(&[0, 0]), &[]).unwrap();
        assert!(why.contains("no foreground in any scan"), "{why}");
        assert!(collapse(&predicting(&[0, 1]), &[]).is_none());
    }

    #[test]
    fn less_than_half_of_the_best_score_is_a_collapse() {
        let (perfect, poor) = (predicting(&[4, 4]), predicting(&[1, 1]));
        // One plane of four: 2 / 5.
        let earlier = [record(100, &poor), record(200, &perfect), record(300, &poor)];
        let why = collapse(&poor, &earlier).unwrap();
        assert_eq!(why, "the ensemble's mean Dice is 40.00 %, after 200 steps it was 100.00 %");
        assert!(collapse(&poor, &earlier[..1]).is_none());
        assert!(collapse(&predicting(&[2, 2]), &earlier).is_none(), "two planes: 2/3");
    }
}
