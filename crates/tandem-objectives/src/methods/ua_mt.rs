//! Uncertainty-aware mean teacher.

use super::head::{Head, Log};
use super::student::{self, PredictBy, STUDENT, TEACHER};
use crate::losses::{self, DiceForm, Weight, ramp};
use crate::method::{Batch, Forward, Method, Network, Objective, Step};
use crate::scores::Scores;
use candle_core::{Result, Tensor, bail};
use serde::{Deserialize, Serialize};

/// Options of [`UaMt`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UaMtOptions {
    /// Weight of the squared error to the teacher's prediction. The released ramp of 6000 steps of a run of 6000 is that of a
    /// whole run.
    pub lambda_u: Weight,
    /// The largest decay of the teacher's average.
    ///
    /// Range: 0 to 1.
    pub decay: f64,
    /// Standard deviation of the noise on the teacher's input, clipped at twice of it.
    ///
    /// Range: at least 0.
    pub noise: f64,
    /// Passes of the teacher whose mean decides where it is certain.
    ///
    /// Range: at least 1.
    pub passes: usize,
    /// The entropy up to which it is certain, as a share of the largest one that so many classes can have; it grows along the
    /// ramp from here to 1.
    ///
    /// Range: 0 to 1.
    pub certainty: f64,
    /// Who predicts at test time.
    pub predictor: PredictBy,
}

impl Default for UaMtOptions {
    fn default() -> Self {
        UaMtOptions {
            lambda_u: Weight::ramped(0.1),
            decay: 0.99,
            noise: 0.1,
            passes: 8,
            certainty: 0.75,
            predictor: PredictBy::Student,
        }
    }
}

/// UA-MT: a mean teacher that is followed only where it is certain.
///
/// The V-Net minimises `0.5 (CE + Dice)` on labelled patches plus `lambda_u` times the squared error to the teacher's softmax on
/// unlabelled ones, the mean over classes and those voxels where the entropy `H` of the mean of eight passes of the
/// teacher is below `(0.75 + 0.25 ramp) ln K`. The target is that of a ninth pass. Each pass has noise and dropout of its own; the
/// teacher runs in training mode. No voxel is certain: the term is 0.
///
/// Two of the eight passes are run as one batch, as in the released code, so that no call of the teacher needs more memory
/// than the student's. The logarithm is of `p + 1e-10`, there of `p + 1e-6`.
///
/// Terms of the log: `vnet/ce`, `vnet/dice`, `l_u/mean_square`, `certain_share`, `lambda_u`.
///
/// # References
/// Yu et al., "Uncertainty-aware self-ensembling model for semi-supervised 3D left atrium segmentation", MICCAI 2019, and its
/// released code.
#[derive(Clone, Debug)]
pub struct UaMt {
    options: UaMtOptions,
}

impl UaMt {
    /// Checks the options.
    ///
    /// # Errors
    /// Where an option lies outside of its range.
    pub fn new(options: UaMtOptions) -> Result<Self> {
        super::check_weight("lambda_u", options.lambda_u)?;
        super::check_range("decay", options.decay, 0.0..=1.0)?;
        super::check_range("noise", options.noise, 0.0..=f64::MAX)?;
        super::check_range("certainty", options.certainty, 0.0..=1.0)?;
        if options.passes == 0 {
            bail!("option passes is 0; the teacher's certainty is judged by at least one pass");
        }
        Ok(UaMt { options })
    }

    /// The teacher's softmax on copies of some images with noise.
    fn teach(
        &self,
        images: &Tensor,
        copies: usize,
        at: (Step, u64),
        networks: &dyn Forward,
    ) -> Result<Scores> {
        let (step, call) = at;
        let images = images.repeat((copies, 1, 1, 1, 1))?;
        let noisy = student::noisy(&images, self.options.noise, step, call)?;
        Scores::new(&networks.train(TEACHER, &noisy, call)?.logits)
    }

    /// The voxels of some images of which the teacher is certain.
    fn certain(&self, images: &Tensor, step: Step, networks: &dyn Forward) -> Result<Vec<bool>> {
        let (patches, _, d, h, w) = images.dims5()?;
        let (mut mean, mut classes) = (Vec::new(), 0);
        for (call, first) in (0..self.options.passes).step_by(2).enumerate() {
            let copies = 2.min(self.options.passes - first);
            // The target's pass is number 0.
            let scores = self.teach(images, copies, (step, call as u64 + 1), networks)?;
            for copy in 0..copies {
                let said = scores.detached(copy * patches..(copy + 1) * patches);
                classes = said.classes();
                let probabilities = said.probabilities()?;
                mean.resize(probabilities.len(), 0.0);
                mean.iter_mut().zip(probabilities).for_each(|(mean, p)| *mean += p);
            }
        }
        let passes = self.options.passes as f32;
        mean.iter_mut().for_each(|sum| *sum /= passes);
        let grown = self.options.certainty + (1.0 - self.options.certainty) * ramp(step.progress());
        let threshold = grown * (classes as f64).ln();
        let entropies = losses::entropy_of_planes(&mean, classes, d * h * w);
        Ok(entropies.into_iter().map(|entropy| f64::from(entropy) < threshold).collect())
    }
}

impl Method for UaMt {
    fn networks(&self) -> Vec<Network> {
        student::with_teacher(self.options.decay)
    }

    fn predictors(&self) -> Vec<&'static str> {
        self.options.predictor.names()
    }

    fn objective(&mut self, batch: &Batch, step: Step, networks: &dyn Forward) -> Result<Objective> {
        // The teacher first: what its passes needed is free again before the student's begins.
        let images = student::unlabelled(batch)?;
        let certain = self.certain(&images, step, networks)?;
        let teacher = self.teach(&images, 1, (step, 0), networks)?;
        let mut head = Head::new(&networks.train(STUDENT, &batch.images, 0)?.logits)?;
        let mut log = Log::default();
        head.supervise(STUDENT, batch, (0.5, DiceForm::FOREGROUND), &mut log)?;
        let unlabelled = batch.labelled()?..head.scores.patches();
        let lambda = self.options.lambda_u.at(step.progress());
        let target = teacher.detached(0..teacher.patches()).probabilities()?;
        let error = losses::mean_square(&mut head.live(unlabelled), target, Some(&certain), lambda)?;
        head.total += lambda * error;
        let count = certain.iter().filter(|&&certain| certain).count();
        log.value("l_u/mean_square", error);
        log.value("certain_share", count as f64 / certain.len().max(1) as f64);
        log.value("lambda_u", lambda);
        student::objective(head, log)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::Prediction;
    use crate::testing::FixedForward;
    use candle_core::{DType, Device};
    use std::cell::RefCell;

    /// Passes on to given predictions, and keeps who was asked, for how many patches, and by which draw.
    struct Asked(FixedForward, RefCell<Vec<(String, usize, u64)>>, RefCell<Vec<Vec<f64>>>);

    impl Forward for Asked {
        fn train(&self, network: &str, input: &Tensor, draw: u64) -> Result<Prediction> {
            self.1.borrow_mut().push((network.to_owned(), input.dim(0)?, draw));
            self.2.borrow_mut().push(crate::golden::numbers(&input.get(0)?));
            self.0.train(network, input, draw)
        }

        fn evaluate(&self, _: &str, _: &Tensor) -> Result<Prediction> {
            bail!("networks are trained here")
        }
    }

    #[test]
    fn the_teacher_sees_other_noise_in_each_of_nine_passes() {
        let zeros =
            |channels: usize| Tensor::zeros((4, channels, 2, 2, 2), DType::F32, &Device::Cpu).unwrap();
        let labels = Tensor::zeros((2, 2, 2, 2), DType::U8, &Device::Cpu).unwrap();
        let batch = Batch { images: zeros(1), labels, strong: None };
        let forward =
            FixedForward::default().with("vnet", &zeros(2), &zeros(4)).with("teacher", &zeros(2), &zeros(4));
        let asked = Asked(forward, RefCell::default(), RefCell::default());
        let step = Step { index: 3, iterations: 10, seed: 1 };
        let mut method = UaMt::new(UaMtOptions::default()).unwrap();
        method.objective(&batch, step, &asked).unwrap();
        let teacher = |patches, draw| ("teacher".to_owned(), patches, draw);
        let calls = [teacher(4, 1), teacher(4, 2), teacher(4, 3), teacher(4, 4), teacher(2, 0)];
        assert_eq!(asked.1.into_inner(), [&calls[..], &[("vnet".to_owned(), 4, 0)]].concat());
        let inputs = asked.2.into_inner();
        assert!((1..inputs.len()).all(|call| !inputs[..call].contains(&inputs[call])));
        assert!(inputs[5].iter().all(|value| *value == 0.0));
    }
}
