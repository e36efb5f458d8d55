//! Bidirectional copy-paste.

use super::block::Block;
use super::head::{Head, Log};
use super::student::{self, PredictBy, STUDENT, TEACHER};
use crate::losses::{self, DiceForm, IGNORE};
use crate::method::{Batch, Forward, Method, Network, Objective, Step};
use crate::scores::Scores;
use candle_core::{Result, Tensor, bail};
use ndarray::ArrayView3;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use tandem_metrics::largest_component;
use tandem_ops3d::VoxelBytes;

/// Options of [`Bcp`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BcpOptions {
    /// The share of the run that learns from labelled patches alone. Released: 2000 of 17,000 steps.
    ///
    /// Range: 0 to 1.
    pub pretraining: f64,
    /// The sides of the block that is pasted, as a share of the patch's.
    ///
    /// Range: 0 to 1.
    pub block: f64,
    /// Weight of what is learnt from pseudo-labels; what is learnt from labels has 1.
    ///
    /// Range: at least 0.
    pub unlabelled_weight: f64,
    /// The largest decay of the teacher's average.
    ///
    /// Range: 0 to 1.
    pub decay: f64,
    /// Who predicts at test time.
    pub predictor: PredictBy,
}

impl Default for BcpOptions {
    fn default() -> Self {
        BcpOptions {
            pretraining: 2.0 / 17.0,
            block: 2.0 / 3.0,
            unlabelled_weight: 0.5,
            decay: 0.99,
            predictor: PredictBy::Student,
        }
    }
}

/// BCP: the V-Net sees patches into which a block of another one is pasted, labelled into unlabelled and the reverse.
///
/// Labelled patches come in two halves A and B, unlabelled ones in C and D; one block is drawn for a step. At first A and B are
/// pasted into each other, and the loss is `0.5 (CE + Dice)` on all voxels. Then C is pasted into A, and B into D. Each mix
/// adds `0.5 (CE + Dice)` of its labelled voxels and half of that of its unlabelled ones, each a mean over its own voxels. The
/// labels of C and D are the likeliest classes of the teacher, which runs in training mode; of each foreground
/// class the largest connected component is kept (26 neighbours) and the rest is background. Dice is the mean over patches and
/// over all classes, with a plain denominator.
///
/// The released code has batches of 4 and 4 patches, pastes B into A only at first, and runs the two mixes one by one. Here
/// both directions are one batch, so that with 2 and 2 patches batch normalisation sees two, as there. Its second
/// stage starts with a teacher equal to the student that did best on the test scans; here the teacher is the average from the
/// first step on.
///
/// Terms of the log: `pretraining` (1 or 0), `vnet/ce`, `vnet/dice`, `vnet/pseudo_ce`, `vnet/pseudo_dice`: means of both mixes.
///
/// # References
/// Bai et al., "Bidirectional copy-paste for semi-supervised medical image segmentation", CVPR 2023, and its released code.
#[derive(Clone, Debug)]
pub struct Bcp {
    options: BcpOptions,
}

impl Bcp {
    /// Checks the options.
    ///
    /// # Errors
    /// Where an option lies outside of its range.
    pub fn new(options: BcpOptions) -> Result<Self> {
        super::check_range("pretraining", options.pretraining, 0.0..=1.0)?;
        super::check_range("block", options.block, 0.0..=1.0)?;
        super::check_range("unlabelled_weight", options.unlabelled_weight, 0.0..=f64::MAX)?;
        super::check_range("decay", options.decay, 0.0..=1.0)?;
        Ok(Bcp { options })
    }

    /// The objective with the block chosen by the caller.
    pub(super) fn objective_with(
        &self,
        batch: &Batch,
        progress: f64,
        networks: &dyn Forward,
        block: Block,
    ) -> Result<Objective> {
        let half = half(batch)?;
        let labels = batch.classes()?.values()?.to_vec();
        let images: Vec<f32> = batch.images.flatten_all()?.to_vec1()?;
        let [a, b, c, d] = quarter(&images);
        let pretraining = progress < self.options.pretraining;
        let pseudo = if pretraining { labels.clone() } else { pseudo_labels(batch, networks)? };
        let ([labels_a, labels_b], [labels_c, labels_d]) = (halves(&labels), halves(&pseudo));
        // Each mix as the patch outside and the one inside of the block.
        let (mixes, of_mixes) = if pretraining {
            ([(a, b), (b, a)], [(labels_a, labels_b), (labels_b, labels_a)])
        } else {
            ([(a, c), (d, b)], [(labels_a, labels_c), (labels_d, labels_b)])
        };
        let mixed = mixes.map(|(outside, inside)| block.paste(outside, inside)).concat();
        let (_, channels, i, j, k) = batch.images.dims5()?;
        let mixed = Tensor::from_vec(mixed, (2 * half, channels, i, j, k), batch.images.device())?;
        let mut head = Head::new(&networks.train(STUDENT, &mixed, 0)?.logits)?;
        let (mut of_labels, mut of_pseudo) = ([0.0; 2], [0.0; 2]);
        for (mix, (outside, inside)) in of_mixes.into_iter().enumerate() {
            let patches = mix * half..(mix + 1) * half;
            if pretraining {
                // The mean of both mixes; later on it is their sum.
                add(&mut of_labels, learn(&mut head, patches, block.paste(outside, inside), 0.25)?);
                continue;
            }
            let nothing = vec![IGNORE; outside.len()];
            let regions = [block.paste(outside, &nothing), block.paste(&nothing, inside)];
            let [first, second] = regions;
            let (labelled, unlabelled) = if mix == 0 { (first, second) } else { (second, first) };
            add(&mut of_labels, learn(&mut head, patches.clone(), labelled, 0.5)?);
            let weight = 0.5 * self.options.unlabelled_weight;
            add(&mut of_pseudo, learn(&mut head, patches, unlabelled, weight)?);
        }
        student::objective(head, log(pretraining, of_labels, of_pseudo))
    }
}

impl Method for Bcp {
    fn networks(&self) -> Vec<Network> {
        student::with_teacher(self.options.decay)
    }

    fn predictors(&self) -> Vec<&'static str> {
        self.options.predictor.names()
    }

    fn objective(&mut self, batch: &Batch, step: Step, networks: &dyn Forward) -> Result<Objective> {
        let (_, _, i, j, k) = batch.images.dims5()?;
        let block = Block::draw([i, j, k], self.options.block, step);
        self.objective_with(batch, step.progress(), networks, block)
    }
}

/// How many patches are half of the labelled ones, and of the unlabelled ones.
fn half(batch: &Batch) -> Result<usize> {
    let labelled = batch.labelled()?;
    let unlabelled = batch.images.dim(0)?.saturating_sub(labelled);
    if labelled == 0 || labelled % 2 == 1 || unlabelled != labelled {
        bail!(
            "bcp mixes patches in pairs: a batch needs an even number of labelled ones and as many unlabelled ones, not \
             {labelled} and {unlabelled} (training.batch_labelled and training.batch_unlabelled)"
        );
    }
    Ok(labelled / 2)
}

fn halves<T>(values: &[T]) -> [&[T]; 2] {
    values.split_at(values.len() / 2).into()
}

fn quarter<T>(values: &[T]) -> [&[T]; 4] {
    let [first, last] = halves(values);
    let ([a, b], [c, d]) = (halves(first), halves(last));
    [a, b, c, d]
}

/// The teacher's likeliest classes on the unlabelled patches, of each foreground class the largest component.
fn pseudo_labels(batch: &Batch, networks: &dyn Forward) -> Result<Vec<u8>> {
    let (_, _, i, j, k) = batch.images.dims5()?;
    let teacher = Scores::new(&networks.train(TEACHER, &student::unlabelled(batch)?, 0)?.logits)?;
    let said = teacher.detached(0..teacher.patches());
    let mut labels = said.labels()?.values()?.to_vec();
    for patch in labels.chunks_exact_mut((i * j * k).max(1)) {
        let whole = patch.to_vec();
        patch.fill(0);
        for class in (1..=u8::MAX).take(said.classes() - 1) {
            let mask: Vec<bool> = whole.iter().map(|&label| label == class).collect();
            let mask = ArrayView3::from_shape((i, j, k), &mask).map_err(candle_core::Error::wrap)?;
            let kept = largest_component(mask);
            patch.iter_mut().zip(&kept).filter(|(_, kept)| **kept).for_each(|(label, _)| *label = class);
        }
    }
    Ok(labels)
}

/// Adds `weight * (CE + Dice)` of some patches; gives both.
fn learn(head: &mut Head, patches: Range<usize>, targets: Vec<u8>, weight: f64) -> Result<[f64; 2]> {
    let whole = VoxelBytes::from(targets);
    let cross_entropy = losses::cross_entropy(&mut head.live(patches.clone()), &whole, weight)?;
    let count = patches.len() as f64;
    let (mut dice, targets) = (0.0, whole.values()?);
    for (patch, targets) in patches.clone().zip(targets.chunks_exact(targets.len() / patches.len())) {
        let mut live = head.live(patch..patch + 1);
        dice +=
            losses::dice_of(&mut live, &targets.to_vec().into(), DiceForm::PLAIN, weight / count)? / count;
    }
    head.total += weight * (cross_entropy + dice);
    Ok([cross_entropy, dice])
}

fn add(sums: &mut [f64; 2], values: [f64; 2]) {
    sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
}

fn log(pretraining: bool, of_labels: [f64; 2], of_pseudo: [f64; 2]) -> Log {
    let mut log = Log::default();
    log.value("pretraining", f64::from(u8::from(pretraining)));
    for (name, sum) in ["ce", "dice"].into_iter().zip(of_labels) {
        log.value(format!("{STUDENT}/{name}"), sum / 2.0);
    }
    for (name, sum) in ["pseudo_ce", "pseudo_dice"].into_iter().zip(of_pseudo) {
        let value = if pretraining { f64::NAN } else { sum / 2.0 };
        log.value_or(format!("{STUDENT}/{name}"), value, "only labelled patches are mixed at first");
    }
    log
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::FixedForward;
    use candle_core::{DType, Device};

    #[test]
    fn a_block_has_two_thirds_of_each_side_and_lies_anywhere_inside() {
        let mut seen = [[false; 3]; 2];
        for index in 0..200 {
            let step = Step { index, iterations: 1000, seed: 1 };
            let block = Block::draw([112, 9, 3], 2.0 / 3.0, step);
            assert_eq!(block.sides, [74, 6, 2]);
            for (axis, start) in block.start.into_iter().enumerate() {
                assert!(start + block.sides[axis] <= block.patch[axis]);
                seen[0][axis] |= start == 0;
                seen[1][axis] |= start + block.sides[axis] == block.patch[axis];
            }
        }
        assert_eq!(seen, [[true; 3]; 2]);
    }

    #[test]
    fn a_block_is_pasted_into_every_plane() {
        let block = Block { patch: [2, 2, 3], start: [1, 0, 1], sides: [1, 2, 2] };
        let mixed = block.paste(&[0; 24], &(0..24).collect::<Vec<i32>>());
        let plane =
            |first: i32| (0..12).map(move |v| if [7, 8, 10, 11].contains(&v) { first + v } else { 0 });
        assert_eq!(mixed, plane(0).chain(plane(12)).collect::<Vec<_>>());
    }

    /// Labels of four patches of 1 x 1 x 7 voxels, two classes beside the background.
    fn batch(labelled: usize) -> Batch {
        let images = Tensor::zeros((4, 1, 1, 1, 7), DType::F32, &Device::Cpu).unwrap();
        Batch {
            images,
            labels: Tensor::zeros((labelled, 1, 1, 7), DType::U8, &Device::Cpu).unwrap(),
            strong: None,
        }
    }

    fn logits(classes: &[u8]) -> Tensor {
        let hit = |class: u8| classes.iter().map(move |c| if *c == class { 5f32 } else { 0.0 });
        let patch: Vec<f32> = (0..3).flat_map(hit).collect();
        Tensor::from_vec(patch, (1, 3, 1, 1, 7), &Device::Cpu).unwrap().repeat((4, 1, 1, 1, 1)).unwrap()
    }

    #[test]
    fn pseudo_labels_keep_the_largest_component_of_each_class() {
        let features = Tensor::zeros((4, 2, 1, 1, 7), DType::F32, &Device::Cpu).unwrap();
        let teacher = FixedForward::default().with("teacher", &logits(&[1, 0, 1, 1, 2, 0, 2]), &features);
        assert_eq!(pseudo_labels(&batch(2), &teacher).unwrap(), [0, 0, 1, 1, 2, 0, 0].repeat(2));
    }

    #[test]
    fn the_teacher_is_asked_only_after_the_pretraining() {
        let features = Tensor::zeros((4, 2, 1, 1, 7), DType::F32, &Device::Cpu).unwrap();
        let student = FixedForward::default().with("vnet", &logits(&[0; 7]), &features);
        let mut method = Bcp::new(BcpOptions::default()).unwrap();
        let mut at = |index| method.objective(&batch(2), Step { index, iterations: 17, seed: 1 }, &student);
        assert!(at(0).is_ok() && at(1).is_ok());
        assert!(at(2).unwrap_err().to_string().contains("teacher"));
    }

    #[test]
    fn an_odd_or_uneven_batch_is_refused() {
        for labelled in [1, 3, 4] {
            let error = half(&batch(labelled)).unwrap_err().to_string();
            assert!(error.contains("training.batch_labelled"), "{error}");
        }
        assert_eq!(half(&batch(2)).unwrap(), 1);
    }
}
