//! Mean teacher.

use super::head::{Head, Log};
use super::student::{self, PredictBy, STUDENT, TEACHER};
use crate::losses::{self, DiceForm, Weight};
use crate::method::{Batch, Forward, Method, Network, Objective, Step};
use crate::scores::Scores;
use candle_core::Result;
use serde::{Deserialize, Serialize};

/// Options of [`MeanTeacher`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeanTeacherOptions {
    /// Weight of the squared error to the teacher's prediction. The released ramp of 30,000 steps of a run of 30,000 is that of
    /// a whole run.
    pub lambda_u: Weight,
    /// The largest decay of the teacher's average.
    ///
    /// Range: 0 to 1.
    pub decay: f64,
    /// Standard deviation of the noise on the teacher's input, clipped at twice of it.
    ///
    /// Range: at least 0.
    pub noise: f64,
    /// Who predicts at test time.
    pub predictor: PredictBy,
}

impl Default for MeanTeacherOptions {
    fn default() -> Self {
        MeanTeacherOptions {
            lambda_u: Weight::ramped(0.1),
            decay: 0.99,
            noise: 0.1,
            predictor: PredictBy::Student,
        }
    }
}

/// Mean teacher: the V-Net follows the prediction of its own average on unlabelled patches.
///
/// It minimises `0.5 (CE + Dice)` on labelled patches, Dice over all classes, plus `lambda_u mean((p - q)^2)` on unlabelled
/// ones, where `q` is the softmax of the teacher on the same patches with noise. The teacher runs in training mode on the
/// unlabelled patches alone, with batch statistics and dropout of its own.
///
/// Terms of the log: `vnet/ce`, `vnet/dice`, `l_u/mean_square`, `lambda_u`.
///
/// # References
/// Tarvainen and Valpola, "Mean teachers are better role models", NIPS 2017; settings of SSL4MIS (Luo et al.).
#[derive(Clone, Debug)]
pub struct MeanTeacher {
    options: MeanTeacherOptions,
}

impl MeanTeacher {
    /// Checks the options.
    ///
    /// # Errors
    /// Where an option lies outside of its range.
    pub fn new(options: MeanTeacherOptions) -> Result<Self> {
        super::check_weight("lambda_u", options.lambda_u)?;
        super::check_range("decay", options.decay, 0.0..=1.0)?;
        super::check_range("noise", options.noise, 0.0..=f64::MAX)?;
        Ok(MeanTeacher { options })
    }
}

impl Method for MeanTeacher {
    fn networks(&self) -> Vec<Network> {
        student::with_teacher(self.options.decay)
    }

    fn predictors(&self) -> Vec<&'static str> {
        self.options.predictor.names()
    }

    fn objective(&mut self, batch: &Batch, step: Step, networks: &dyn Forward) -> Result<Objective> {
        // The teacher first: what its pass needed is free again before the student's begins.
        let noisy = student::noisy(&student::unlabelled(batch)?, self.options.noise, step, 0)?;
        let teacher = Scores::new(&networks.train(TEACHER, &noisy, 0)?.logits)?;
        let mut head = Head::new(&networks.train(STUDENT, &batch.images, 0)?.logits)?;
        let mut log = Log::default();
        head.supervise(STUDENT, batch, (0.5, DiceForm::ALL_CLASSES), &mut log)?;
        let unlabelled = batch.labelled()?..head.scores.patches();
        let lambda = self.options.lambda_u.at(step.progress());
        let target = teacher.detached(0..teacher.patches()).probabilities()?;
        let error = losses::mean_square(&mut head.live(unlabelled), target, None, lambda)?;
        head.total += lambda * error;
        log.value("l_u/mean_square", error);
        log.value("lambda_u", lambda);
        student::objective(head, log)
    }
}
