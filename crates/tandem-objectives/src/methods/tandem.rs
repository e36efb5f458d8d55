//! The method of this project: averages of both networks label what both networks learn from.

use super::pair::{self, NAMES, Pair, Supervision};
use super::student;
use crate::losses::{self, Weight};
use crate::method::{Batch, Forward, Method, Network, Objective, Step};
use crate::scores::Scores;
use candle_core::{Result, Tensor};
use serde::{Deserialize, Serialize};
use tandem_ops3d::VoxelBytes;

/// The averages, in the order of the networks that they follow.
const TEACHERS: [&str; 2] = ["vnet-average", "resnet34-average"];

/// Which patches are learnt from their strong view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StrongView {
    /// None.
    Off,
    /// Those whose labels are the averages'.
    Unlabelled,
    /// All.
    All,
}

/// Options of [`Tandem`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TandemOptions {
    /// Weight of pseudo-labelled voxels beside labelled ones.
    pub lambda_u: Weight,
    /// The largest decay of the averages.
    ///
    /// Range: 0 to 1.
    pub decay: f64,
    /// The mean probability below which a pseudo-label does not count; 0 for none.
    ///
    /// Range: 0 to 1.
    pub threshold: f64,
    /// Which patches both networks learn from their strong view; the averages always label the plain one.
    pub strong: StrongView,
    /// Weight of the conflict term beside cross-entropy and Dice of labelled voxels; 0 leaves it out.
    ///
    /// Range: at least 0.
    pub conflict_weight: f64,
    /// The probability from which on a network's class counts in the conflict term; 0 for any.
    ///
    /// Range: 0 to 1.
    pub conflict_threshold: f64,
}

impl Default for TandemOptions {
    fn default() -> Self {
        TandemOptions {
            lambda_u: Weight::ramped(1.0),
            decay: 0.99,
            threshold: 0.0,
            strong: StrongView::Unlabelled,
            conflict_weight: 0.5,
            conflict_threshold: 0.6,
        }
    }
}

/// Two different networks and an average of each. The averages look at the plain unlabelled patches, and the mean of their
/// softmaxes labels them; both networks learn these labels from a strong view of the patches.
///
/// Each network minimises `CE + Dice + conflict_weight * conflict` over labelled voxels and `lambda_u (CE + Dice)` over
/// pseudo-labelled ones.
///
/// # References
/// Averages as teachers: Tarvainen and Valpola, "Mean teachers are better role models", NIPS 2017. Labels of a weak view for
/// a strong one: Sohn et al., "FixMatch", NeurIPS 2020. The conflict term: Wang et al., "MCF: mutual correction framework for
/// semi-supervised medical image segmentation", CVPR 2023. That two networks of different kinds teach each other: Lu et al.,
/// "Semi-supervised medical image segmentation via dual networks", ISBI 2025.
#[derive(Clone, Debug)]
pub struct Tandem {
    options: TandemOptions,
    supervision: Supervision,
}

impl Tandem {
    /// Checks the options.
    ///
    /// # Errors
    /// Where an option lies outside of its range.
    pub fn new(options: TandemOptions) -> Result<Self> {
        super::check_weight("lambda_u", options.lambda_u)?;
        super::check_range("decay", options.decay, 0.0..=1.0)?;
        super::check_range("threshold", options.threshold, 0.0..=1.0)?;
        let supervision = Supervision::new(options.conflict_weight, options.conflict_threshold)?;
        Ok(Tandem { options, supervision })
    }

    /// Labels the unlabelled patches by both averages.
    fn pseudo_labels(&self, images: &Tensor, networks: &dyn Forward) -> Result<VoxelBytes> {
        let said = |name| Scores::new(&networks.train(name, images, 0)?.logits);
        let [vnet, resnet34] = [said(TEACHERS[0])?, said(TEACHERS[1])?];
        let all = 0..vnet.patches();
        losses::pseudo_labels(&[vnet.detached(all.clone()), resnet34.detached(all)], self.options.threshold)
    }
}

impl Method for Tandem {
    fn networks(&self) -> Vec<Network> {
        let averages = TEACHERS.into_iter().zip(NAMES);
        let averages = averages.map(|(name, of)| Network::average(name, of, of, self.options.decay));
        pair::networks().into_iter().chain(averages).collect()
    }

    fn predictors(&self) -> Vec<&'static str> {
        NAMES.to_vec()
    }

    fn wants_strong_view(&self) -> bool {
        self.options.strong != StrongView::Off
    }

    fn objective(&mut self, batch: &Batch, step: Step, networks: &dyn Forward) -> Result<Objective> {
        let plain = student::unlabelled(batch)?;
        let (labelled, unlabelled) = (batch.labelled()?, plain.dim(0)?);
        let pseudo = self.pseudo_labels(&plain, networks)?;
        let strong = batch.strong.as_ref().unwrap_or(&batch.images);
        let images = match self.options.strong {
            StrongView::Off => batch.images.clone(),
            StrongView::Unlabelled => Tensor::cat(
                &[batch.images.narrow(0, 0, labelled)?, strong.narrow(0, labelled, unlabelled)?],
                0,
            )?,
            StrongView::All => strong.clone(),
        };
        let learnt = Batch { images, labels: batch.labels.clone(), strong: None };
        let (mut pair, _) = Pair::supervised(&learnt, networks, self.supervision)?;
        let lambda = self.options.lambda_u.at(step.progress());
        for (head, name) in pair.heads.iter_mut().zip(NAMES) {
            let mut live = head.live(labelled..labelled + unlabelled);
            let cross_entropy = losses::cross_entropy(&mut live, &pseudo, lambda)?;
            let dice = losses::dice(&mut live, &pseudo, lambda)?;
            head.total += lambda * (cross_entropy + dice);
            pair.log.value(format!("{name}/l_u/ce"), cross_entropy);
            pair.log.value(format!("{name}/l_u/dice"), dice);
        }
        let counts = pseudo.counts(1)?;
        let (sure, foreground) = (pseudo.len() - counts.of_none, counts.of_others);
        pair.log.value("l_u/sure", sure as f64 / pseudo.len().max(1) as f64);
        pair.log.value("l_u/foreground", foreground as f64 / sure.max(1) as f64);
        pair.log.value("lambda_u", lambda);
        pair.objective()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::{Vectors, assert_close, numbers};
    use crate::testing::{FixedForward, gradients};
    use candle_core::{DType, Device};

    const STEP: Step = Step { index: 3, iterations: 10, seed: 7 };

    /// Values and gradients of PyTorch in f64: `tests/peers/golden_tandem.py`.
    #[test]
    fn the_objective_is_pytorchs() {
        let file = Vectors::committed("tandem.safetensors");
        for case in file.cases() {
            let vars = NAMES.map(|name| file.var(case, name));
            let dims = vars[0].dims().to_vec();
            let features = Tensor::zeros(1, DType::F32, &Device::Cpu).unwrap();
            let averages = TEACHERS.map(|name| file.tensor(case, name).narrow(0, 0, 2).unwrap());
            let mut forward = FixedForward::default();
            for (name, logits) in
                NAMES.iter().chain(&TEACHERS).zip(vars.iter().map(|v| v.as_tensor()).chain(&averages))
            {
                forward = forward.with(name, logits, &features);
            }
            let images = Tensor::zeros((4, 1, dims[2], dims[3], dims[4]), DType::F32, &Device::Cpu);
            let labels = file.tensor(case, "y").clone();
            let batch = Batch { images: images.unwrap(), labels, strong: None };
            let mut method = Tandem::new(TandemOptions {
                lambda_u: Weight::constant(0.7),
                threshold: file.scalar(case, "threshold"),
                conflict_weight: file.scalar(case, "conflict_weight"),
                ..TandemOptions::default()
            })
            .unwrap();
            let objective = method.objective(&batch, STEP, &forward).unwrap();
            let total: f64 = objective.losses.iter().map(|(_, loss)| numbers(loss)[0]).sum();
            assert_close(case, &[total], &[file.scalar(case, "total")]);
            for (name, gradient) in NAMES.iter().zip(gradients(&objective, &vars).unwrap()) {
                let want = file.numbers(case, &format!("d_{name}"));
                assert_close(&format!("{case}/d_{name}"), &numbers(&gradient), &want);
            }
        }
    }
}
