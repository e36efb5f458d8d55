//! The method of this project: averages of both networks label what both networks learn from.

use super::head::{Head, Log};
use super::pair::{self, NAMES};
use crate::losses::{self, IGNORE, Weight};
use crate::method::{Batch, Forward, Method, Network, Objective, Role, Step};
use candle_core::{Result, Tensor};
use serde::{Deserialize, Serialize};
use tandem_random::Draws;

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
    pub decay: f64,
    /// The mean probability below which a pseudo-label does not count; 0 for none.
    pub threshold: f64,
    /// Which patches both networks learn from their strong view; the averages always label the plain one.
    pub strong: StrongView,
    /// Whether boxes change places between labelled and unlabelled patches.
    pub mix: bool,
    /// Sides of such a box, as a share of the patch's.
    pub mix_share: f64,
}

impl Default for TandemOptions {
    fn default() -> Self {
        TandemOptions {
            lambda_u: Weight::ramped(1.0),
            decay: 0.99,
            threshold: 0.0,
            strong: StrongView::Unlabelled,
            mix: false,
            mix_share: 2.0 / 3.0,
        }
    }
}

/// Two different networks and an average of each. The averages look at the plain unlabelled patches, and the mean of their
/// softmaxes labels them; both networks learn these labels from a strong view of the patches.
///
/// Each network minimises `CE + Dice` over labelled voxels `+ lambda_u (CE + Dice)` over pseudo-labelled ones.
///
/// # References
/// Averages as teachers: Tarvainen and Valpola, "Mean teachers are better role models", NIPS 2017. Labels of a weak view for
/// a strong one: Sohn et al., "FixMatch", NeurIPS 2020. Boxes that change places: Bai et al., "Bidirectional copy-paste for
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
        super::check_range("lambda_u.peak", options.lambda_u.peak, 0.0..=f64::MAX)?;
        super::check_range("decay", options.decay, 0.0..=1.0)?;
        super::check_range("threshold", options.threshold, 0.0..=1.0)?;
        super::check_range("mix_share", options.mix_share, 0.0..=1.0)?;
        Ok(Tandem { options })
    }

    /// Labels the unlabelled patches by both averages.
    fn pseudo_labels(&self, images: &Tensor, networks: &dyn Forward) -> Result<Vec<u8>> {
        let heads = [
            Head::new(&networks.train(TEACHERS[0], images, 0)?.logits)?,
            Head::new(&networks.train(TEACHERS[1], images, 0)?.logits)?,
        ];
        let scores = heads.each_ref().map(|head| head.detached(0..head.scores.patches()));
        losses::pseudo_labels(&scores, self.options.threshold)
    }
}

impl Method for Tandem {
    fn networks(&self) -> Vec<Network> {
        let average = |(name, of): (&'static str, &'static str)| Network {
            name,
            architecture: of,
            role: Role::AverageOf { network: of.to_owned(), decay: self.options.decay },
        };
        pair::networks().into_iter().chain(TEACHERS.into_iter().zip(NAMES).map(average)).collect()
    }

    fn predictors(&self) -> Vec<&'static str> {
        NAMES.to_vec()
    }

    fn wants_strong_view(&self) -> bool {
        self.options.strong != StrongView::Off
    }

    fn objective(&mut self, batch: &Batch, step: Step, networks: &dyn Forward) -> Result<Objective> {
        let labelled = batch.labelled()?;
        let unlabelled = batch.images.dim(0)? - labelled;
        let plain = batch.images.narrow(0, labelled, unlabelled)?;
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
        let mut known = [batch.classes()?, vec![IGNORE; pseudo.len()]].concat();
        let mut taught = [vec![IGNORE; known.len() - pseudo.len()], pseudo].concat();
        if self.options.mix {
            let boxed = boxed(&images, self.options.mix_share, step)?;
            images = swapped(&images, &boxed, labelled)?;
            for targets in [&mut known, &mut taught] {
                swap(targets, &boxed, labelled * boxed.len());
            }
        }

        let lambda = self.options.lambda_u.at(step.progress());
        let mut log = Log::default();
        let mut losses = Vec::with_capacity(NAMES.len());
        for name in NAMES {
            let mut head = Head::new(&networks.train(name, &images, 0)?.logits)?;
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
        let count =
            |wanted: &dyn Fn(u8) -> bool| taught.iter().filter(|&&label| wanted(label)).count() as f64;
        let sure = count(&|label| label != IGNORE);
        log.value("l_u/sure", sure / taught.len().max(1) as f64);
        log.value("l_u/foreground", count(&|label| label != IGNORE && label > 0) / sure.max(1.0));
        log.value("lambda_u", lambda);
        Ok(Objective { losses, terms: log.0 })
    }
}

/// Which voxels of a patch lie in the step's box.
fn boxed(images: &Tensor, share: f64, step: Step) -> Result<Vec<bool>> {
    let (_, _, d, h, w) = images.dims5()?;
    let mut draws = Draws::new(step.seed, "tandem box", step.index, 0);
    let sides = [d, h, w].map(|side| ((side as f64 * share).round() as usize).min(side));
    let [i, j, k] = [0, 1, 2].map(|axis| {
        let start = draws.below([d, h, w][axis] - sides[axis] + 1);
        start..start + sides[axis]
    });
    let mut inside = Vec::with_capacity(d * h * w);
    for a in 0..d {
        for b in 0..h {
            inside.extend((0..w).map(|c| i.contains(&a) && j.contains(&b) && k.contains(&c)));
        }
    }
    Ok(inside)
}

/// Images of which patch `n` and patch `n + half` have changed boxes.
fn swapped(images: &Tensor, inside: &[bool], half: usize) -> Result<Tensor> {
    let mut values = images.flatten_all()?.to_vec1::<f32>()?;
    let channels = images.dim(1)?;
    let inside = inside.repeat(channels);
    swap(&mut values, &inside, half * inside.len());
    Tensor::from_vec(values, images.shape(), images.device())
}

fn swap<T>(values: &mut [T], inside: &[bool], half: usize) {
    let (first, second) = values.split_at_mut(half);
    let pairs = first.iter_mut().zip(second).zip(inside.iter().cycle());
    pairs.filter(|(_, inside)| **inside).for_each(|((a, b), _)| std::mem::swap(a, b));
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
            let threshold = file.scalar(case, "threshold");
            let lambda_u = Weight::constant(0.7);
            let mut method =
                Tandem::new(TandemOptions { lambda_u, threshold, ..TandemOptions::default() }).unwrap();
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
    fn boxes_change_places_in_images_and_targets_alike() {
        let values: Vec<f32> = (0..4 * 2 * 6 * 4 * 8).map(|v| v as f32).collect();
        let images = Tensor::from_vec(values.clone(), (4, 2, 6, 4, 8), &Device::Cpu).unwrap();
        let inside = boxed(&images, 0.5, STEP).unwrap();
        assert_eq!(inside.iter().filter(|inside| **inside).count(), 3 * 2 * 4);
        let mixed = swapped(&images, &inside, 2).unwrap();
        let again = swapped(&mixed, &inside, 2).unwrap();
        assert_eq!(again.flatten_all().unwrap().to_vec1::<f32>().unwrap(), values);
        // Both channels of a voxel, and its target, go to the patch that is half a batch away.
        let mixed = mixed.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let mut targets: Vec<u8> = (0..4 * inside.len()).map(|voxel| (voxel / inside.len()) as u8).collect();
        swap(&mut targets, &inside, 2 * inside.len());
        for (voxel, target) in targets.iter().enumerate() {
            let (patch, place) = (voxel / inside.len(), voxel % inside.len());
            assert_eq!(usize::from(*target), if inside[place] { (patch + 2) % 4 } else { patch });
            for channel in 0..2 {
                let index = |patch: usize| (patch * 2 + channel) * inside.len() + place;
                assert_eq!(mixed[index(patch)], values[index(usize::from(*target))]);
            }
        }
    }
}
