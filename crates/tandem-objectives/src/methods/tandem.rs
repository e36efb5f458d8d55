//! The method of this project: averages of both networks label what both networks learn from.

use super::block::Block;
use super::head::{Head, Log};
use super::pair::{self, NAMES};
use super::student;
use crate::losses::{self, IGNORE, Weight};
use crate::method::{Batch, Forward, Method, Network, Objective, Step};
use crate::scores::Scores;
use candle_core::{Result, Tensor, bail};
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
    /// Whether blocks change places between labelled and unlabelled patches.
    pub mix: bool,
    /// Sides of such a block, as a share of the patch's.
    ///
    /// Range: 0 to 1.
    pub mix_share: f64,
}

impl Default for TandemOptions {
    fn default() -> Self {
        TandemOptions {
            lambda_u: Weight::ramped(1.0),
            decay: 0.99,
            threshold: 0.0,
            strong: StrongView::Unlabelled,
            conflict_weight: 0.0,
            conflict_threshold: 0.6,
            mix: false,
            mix_share: 2.0 / 3.0,
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
/// a strong one: Sohn et al., "FixMatch", NeurIPS 2020. Blocks that change places: Bai et al., "Bidirectional copy-paste for
/// semi-supervised medical image segmentation", CVPR 2023. That two networks of different kinds teach each other: Lu et al.,
/// "Semi-supervised medical image segmentation via dual networks", ISBI 2025.
#[derive(Clone, Debug)]
pub struct Tandem {
    options: TandemOptions,
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
        super::check_range("conflict_weight", options.conflict_weight, 0.0..=f64::MAX)?;
        super::check_range("conflict_threshold", options.conflict_threshold, 0.0..=1.0)?;
        if options.mix && options.conflict_weight > 0.0 {
            bail!("option conflict_weight looks at whole labelled patches: it needs mix = false");
        }
        super::check_range("mix_share", options.mix_share, 0.0..=1.0)?;
        Ok(Tandem { options })
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
        let labelled = batch.labelled()?;
        let plain = student::unlabelled(batch)?;
        let unlabelled = plain.dim(0)?;
        let pseudo = self.pseudo_labels(&plain, networks)?;
        let strong = batch.strong.as_ref().unwrap_or(&batch.images);
        let mut images = match self.options.strong {
            StrongView::Off => batch.images.clone(),
            StrongView::Unlabelled => Tensor::cat(
                &[batch.images.narrow(0, 0, labelled)?, strong.narrow(0, labelled, unlabelled)?],
                0,
            )?,
            StrongView::All => strong.clone(),
        };

        // What is known of each voxel: by its label, or by the averages. IGNORE elsewhere.
        let (known, taught) = (batch.classes()?, pseudo);
        let labels = known.clone();
        let [no_pseudo, no_label] = [&known, &taught].map(|bytes| vec![IGNORE; bytes.len()]);
        let mut known = [known.values()?, &no_label].concat();
        let mut taught = [&no_pseudo, taught.values()?].concat();
        if self.options.mix {
            let (_, _, d, h, w) = images.dims5()?;
            let block = Block::draw([d, h, w], self.options.mix_share, step);
            let values = mixed(&images.flatten_all()?.to_vec1::<f32>()?, labelled, unlabelled, block)?;
            images = Tensor::from_vec(values, images.shape(), images.device())?;
            known = mixed(&known, labelled, unlabelled, block)?;
            taught = mixed(&taught, labelled, unlabelled, block)?;
        }

        let [known, taught] = [known, taught].map(VoxelBytes::from);
        let lambda = self.options.lambda_u.at(step.progress());
        let mut log = Log::default();
        let mut losses = Vec::with_capacity(NAMES.len());
        let head = |name| Head::new(&networks.train(name, &images, 0)?.logits);
        let heads = [head(NAMES[0])?, head(NAMES[1])?];
        let conflict_weight = self.options.conflict_weight;
        let mask = match conflict_weight > 0.0 {
            true => {
                let [a, b] = heads.each_ref().map(|head| head.detached(0..labelled));
                losses::conflict_mask(a, b, self.options.conflict_threshold)?
            }
            false => VoxelBytes::default(),
        };
        for (name, mut head) in NAMES.into_iter().zip(heads) {
            if conflict_weight > 0.0 {
                let value = losses::conflict(&mut head.live(0..labelled), &labels, &mask, conflict_weight)?;
                head.total += conflict_weight * value;
                log.value(format!("{name}/conflict"), value);
            }
            for (targets, weight, [ce, dice]) in
                [(&known, 1.0, ["ce", "dice"]), (&taught, lambda, ["l_u/ce", "l_u/dice"])]
            {
                let mut live = head.live(0..labelled + unlabelled);
                let values = [
                    losses::cross_entropy(&mut live, targets, weight)?,
                    losses::dice(&mut live, targets, weight)?,
                ];
                head.total += weight * (values[0] + values[1]);
                log.value(format!("{name}/{ce}"), values[0]);
                log.value(format!("{name}/{dice}"), values[1]);
            }
            losses.push((name, head.loss()?));
        }
        let counts = taught.counts(1)?;
        let (sure, foreground) = (taught.len() - counts.of_none, counts.of_others);
        log.value("l_u/sure", sure as f64 / taught.len().max(1) as f64);
        log.value("l_u/foreground", foreground as f64 / sure.max(1) as f64);
        log.value("lambda_u", lambda);
        Ok(Objective { losses, terms: log.0 })
    }
}

/// Labelled patches with a block of unlabelled ones in them, then the other way round.
fn mixed<T: Copy>(values: &[T], labelled: usize, unlabelled: usize, block: Block) -> Result<Vec<T>> {
    if labelled != unlabelled {
        bail!(
            "option mix pairs patches: a batch needs as many unlabelled ones as labelled ones, not {unlabelled} and {labelled} \
             (training.batch_unlabelled and training.batch_labelled)"
        );
    }
    let (first, second) = values.split_at(values.len() / 2);
    Ok([block.paste(first, second), block.paste(second, first)].concat())
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

    #[test]
    fn blocks_change_places_between_both_halves() {
        let values: Vec<u32> = (0..4 * 6 * 4 * 8).collect();
        let block = Block::draw([6, 4, 8], 0.5, STEP);
        let mix = |values: &[u32]| mixed(values, 2, 2, block).unwrap();
        let moved = mix(&values).iter().zip(&values).filter(|(a, b)| a != b).count();
        assert_eq!(moved, 4 * 3 * 2 * 4);
        let half = values.len() as u32 / 2;
        let fits = |(mixed, value): (&u32, &u32)| mixed == value || mixed.abs_diff(*value) == half;
        assert!(mix(&values).iter().zip(&values).all(fits));
        assert_eq!(mix(&mix(&values)), values);
        assert!(mixed(&values, 2, 1, block).unwrap_err().to_string().contains("batch_unlabelled"));
    }
}
