//! What the methods on one V-Net share: the network, its averaged teacher, the noise on the teacher's input.

use super::head::{Head, Log};
use crate::method::{Batch, Network, Objective, Prediction, Step};
use candle_core::{Result, Tensor, bail};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use tandem_random::Draws;

/// The name of the network that is trained.
pub(super) const STUDENT: &str = "vnet";
/// The name of its average.
pub(super) const TEACHER: &str = "teacher";

/// Which of student and teacher predicts at test time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PredictBy {
    /// The trained network, as in the released codes.
    Student,
    /// Its average, with batch statistics of its own.
    Teacher,
}

impl PredictBy {
    pub(super) fn names(self) -> Vec<&'static str> {
        vec![match self {
            PredictBy::Student => STUDENT,
            PredictBy::Teacher => TEACHER,
        }]
    }
}

/// The V-Net alone.
pub(super) fn alone() -> Network {
    Network::trained(STUDENT, "vnet")
}

/// The V-Net and its exponential moving average.
pub(super) fn with_teacher(decay: f64) -> Vec<Network> {
    vec![alone(), Network::average(TEACHER, "vnet", STUDENT, decay)]
}

/// The images of the unlabelled patches.
pub(super) fn unlabelled(batch: &Batch) -> Result<Tensor> {
    let labelled = batch.labelled()?;
    match batch.images.dim(0)?.checked_sub(labelled) {
        None | Some(0) => {
            bail!(
                "the method learns from unlabelled patches, but the batch has none: see training.batch_unlabelled"
            )
        }
        Some(count) => batch.images.narrow(0, labelled, count),
    }
}

/// Voxels that share a key of their noise.
const CHUNK: usize = 1 << 14;

/// Images with normal noise of this standard deviation, clipped at twice of it: other noise for each pass of a step.
pub(super) fn noisy(images: &Tensor, deviation: f64, step: Step, pass: u64) -> Result<Tensor> {
    let mut values: Vec<f32> = images.flatten_all()?.to_vec1()?;
    values.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, values)| {
        let mut draws = Draws::new(step.seed, "teacher-noise", step.index, pass << 32 | chunk as u64);
        values.iter_mut().for_each(|value| *value += (deviation * draws.normal().clamp(-2.0, 2.0)) as f32);
    });
    Tensor::from_vec(values, images.shape(), images.device())
}

/// The student's loss.
pub(super) fn objective(head: Head, log: Log) -> Result<Objective> {
    objective_of(vec![head], log)
}

/// The logits and what further heads make of the class scores, in this order.
pub(super) fn heads(prediction: &Prediction, further: &[&str]) -> Result<Vec<Head>> {
    let mut heads = vec![Head::new(&prediction.logits)?];
    for name in further {
        match prediction.extra.get(*name) {
            Some(made) => heads.push(Head::new(made)?),
            None => bail!("the network has no head {name:?}"),
        }
    }
    Ok(heads)
}

/// The student's loss where it has several heads.
pub(super) fn objective_of(heads: Vec<Head>, log: Log) -> Result<Objective> {
    let losses = heads.into_iter().map(Head::loss);
    let total =
        losses.reduce(|total, loss| total? + loss?).unwrap_or_else(|| bail!("the method has no heads"))?;
    Ok(Objective { losses: vec![(STUDENT, total)], terms: log.0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};

    #[test]
    fn noise_is_clipped_and_belongs_to_its_seed_step_and_pass() {
        let images = Tensor::ones((2, 1, 32, 32, 10), DType::F32, &Device::Cpu).unwrap();
        let noise = |seed, index, pass| -> Vec<f64> {
            let step = Step { index, iterations: 10, seed };
            let noisy = noisy(&images, 0.1, step, pass).unwrap();
            crate::golden::numbers(&noisy).into_iter().map(|value| value - 1.0).collect()
        };
        let values = noise(1, 2, 3);
        assert_eq!(values, noise(1, 2, 3));
        for other in [noise(9, 2, 3), noise(1, 9, 3), noise(1, 2, 9)] {
            assert_ne!(values, other);
        }
        // A normal variable clipped at two standard deviations has the variance 0.9205.
        let count = values.len() as f64;
        let [mean, square] = [1, 2].map(|power| values.iter().map(|v| v.powi(power)).sum::<f64>() / count);
        assert!(mean.abs() < 4.0 * 0.096 / count.sqrt(), "{mean}");
        assert!((square / 0.01 - 0.9205).abs() < 0.03, "{square}");
        assert!(values.iter().all(|value| value.abs() < 0.2 + 1e-6));
    }

    #[test]
    fn a_batch_without_unlabelled_patches_is_refused() {
        let images = Tensor::zeros((2, 1, 2, 2, 2), DType::F32, &Device::Cpu).unwrap();
        let labels = Tensor::zeros((2, 2, 2, 2), DType::U8, &Device::Cpu).unwrap();
        let error = unlabelled(&Batch { images, labels, strong: None }).unwrap_err().to_string();
        assert!(error.contains("training.batch_unlabelled"), "{error}");
    }
}
