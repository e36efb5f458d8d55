//! What losses want of class scores, against the formulas in f64.

use super::{compare, machines, random, wide};
use crate::UncertaintyShares;
use crate::gpu::{Buffer, Part, Queue};
use crate::program::Precision;

const PATCHES: usize = 3;
/// A block and some threads of the next one.
const VOXELS: usize = 300;
/// Two of the patches are looked at.
const FIRST: usize = 1;
const COUNT: usize = 2 * VOXELS;

/// Scores of a network on the machine, and its probabilities in f64.
struct Sample {
    queue: Queue,
    classes: usize,
    planes: [Buffer; 2],
    /// Of the patches that are looked at: `(voxel, class)`.
    p: Vec<Vec<f64>>,
    /// The gradient of all patches, and what is expected there.
    gradient: Buffer,
    expected: Vec<f64>,
}

impl Sample {
    fn new(queue: &Queue, classes: usize, slot: u64) -> Self {
        let mut logits: Vec<f32> = random(PATCHES * classes * VOXELS, slot).iter().map(|z| 3.0 * z).collect();
        // One that is certain, and one that hesitates.
        let at = FIRST * classes * VOXELS;
        (logits[at], logits[at + VOXELS]) = (90.0, -90.0);
        (0..classes).for_each(|class| logits[at + 1 + class * VOXELS] = 0.5);
        let planes = [(); 2].map(|()| queue.f32s(logits.len()).unwrap());
        let whole = part(&planes, classes, 0, PATCHES);
        queue.softmax(&queue.copy(&logits).unwrap(), whole).unwrap();
        let p: Vec<Vec<f64>> = (0..COUNT)
            .map(|v| {
                let z: Vec<f64> = (0..classes).map(|c| f64::from(logits[place(v, c, classes)])).collect();
                let largest = z.iter().copied().fold(f64::MIN, f64::max);
                let total: f64 = z.iter().map(|z| (z - largest).exp()).sum();
                z.iter().map(|z| (z - largest).exp() / total).collect()
            })
            .collect();
        let start = random(logits.len(), slot + 10);
        let (gradient, expected) = (queue.copy(&start).unwrap(), wide(&start));
        Sample { queue: queue.clone(), classes, planes, p, gradient, expected }
    }

    fn part(&self) -> Part {
        part(&self.planes, self.classes, FIRST, 2)
    }

    fn to(&self) -> u64 {
        self.gradient.at(FIRST * self.classes * VOXELS)
    }

    fn likeliest(&self, v: usize) -> usize {
        (0..self.classes).rev().max_by(|a, b| self.p[v][*a].total_cmp(&self.p[v][*b])).unwrap()
    }

    /// Adds the gradient of a voxel from the derivatives by its probabilities.
    fn expect_slopes(&mut self, v: usize, slopes: &[f64]) {
        let mean: f64 = self.p[v].iter().zip(slopes).map(|(p, slope)| p * slope).sum();
        for c in 0..self.classes {
            self.expected[place(v, c, self.classes)] += self.p[v][c] * (slopes[c] - mean);
        }
    }

    fn check(&self, what: &str) {
        self.queue.expect_f32(&self.gradient, &self.expected, 3e-6, what);
    }
}

fn part([p, log_p]: &[Buffer; 2], classes: usize, first: usize, patches: usize) -> Part {
    let at = first * classes * VOXELS;
    Part { p: p.at(at), log_p: log_p.at(at), count: patches * VOXELS, voxels: VOXELS, classes }
}

/// Where a class of a voxel that is looked at lies among all planes.
fn place(v: usize, class: usize, classes: usize) -> usize {
    ((FIRST + v / VOXELS) * classes + class) * VOXELS + v % VOXELS
}

/// Every class, some that do not count.
fn targets(classes: usize) -> Vec<u8> {
    (0..COUNT).map(|v| if v % 7 == 3 { 255 } else { (v / 2 % classes) as u8 }).collect()
}

fn mask() -> Vec<u8> {
    (0..COUNT).map(|v| u8::from(v % 3 != 1)).collect()
}

fn near(ours: f64, expected: f64) {
    assert!((ours - expected).abs() <= 2e-6 * expected.abs().max(1.0), "{ours} is not {expected}");
}

/// Runs a test on every machine with samples of two, three and five classes.
fn on_all(test: impl Fn(&Queue, usize)) {
    for machine in machines() {
        let queue = Queue { machine, precision: Precision::F32 };
        [2, 3, 5].into_iter().for_each(|classes| test(&queue, classes));
    }
}

#[test]
fn softmaxes_labels_and_entropies() {
    on_all(|queue, classes| {
        let sample = Sample::new(queue, classes, 0);
        let [mut p, mut log_p] = [(); 2].map(|()| vec![0.0f32; PATCHES * classes * VOXELS]);
        sample.planes[0].download(&mut p).unwrap();
        sample.planes[1].download(&mut log_p).unwrap();
        for v in 0..COUNT {
            let of =
                |planes: &[f32]| -> Vec<f32> { (0..classes).map(|c| planes[place(v, c, classes)]).collect() };
            compare(&of(&p), &sample.p[v], 1e-6, "softmax");
            let logs: Vec<f64> = sample.p[v].iter().map(|p| p.ln()).collect();
            compare(&of(&log_p), &logs, 1e-6, "log-softmax");
        }
        let labels: Vec<u8> = queue.likeliest(sample.part()).unwrap().values(COUNT).unwrap();
        let expected: Vec<u8> = (0..COUNT).map(|v| sample.likeliest(v) as u8).collect();
        assert_eq!(labels, expected);
        assert_eq!(labels[1], 0, "the lowest of several");
        let entropy = |p: &Vec<f64>| -p.iter().map(|p| p * (p + 1e-10).ln()).sum::<f64>();
        let expected: Vec<f64> = sample.p.iter().map(entropy).collect();
        let entropies: Vec<f32> = queue.entropies(sample.part()).unwrap().values(COUNT).unwrap();
        compare(&entropies, &expected, 1e-6, "entropies");
    });
}

#[test]
fn pseudo_labels_of_one_network_and_of_two() {
    on_all(|queue, classes| {
        let (a, b) = (Sample::new(queue, classes, 0), Sample::new(queue, classes, 1));
        for (second, threshold) in [(None, 0.0), (Some(&b), 0.0), (Some(&b), 0.7)] {
            let mean =
                |v: usize, c: usize| second.map_or(a.p[v][c], |b: &Sample| 0.5 * (a.p[v][c] + b.p[v][c]));
            let expected = |v: usize| {
                let best = (0..classes).rev().max_by(|x, y| mean(v, *x).total_cmp(&mean(v, *y))).unwrap();
                if mean(v, best) < threshold { 255 } else { best as u8 }
            };
            let found = queue.pseudo_labels(a.part(), second.map(Sample::part), threshold).unwrap();
            let found: Vec<u8> = found.values(COUNT).unwrap();
            assert_eq!(found, (0..COUNT).map(expected).collect::<Vec<u8>>());
            assert_eq!(found.contains(&255), threshold > 0.5);
        }
    });
}

#[test]
fn cross_entropies() {
    on_all(|queue, classes| {
        let (mut sample, targets) = (Sample::new(queue, classes, 0), targets(classes));
        let found = queue.cross_entropy(sample.part(), &queue.bytes(&targets), 0.3, sample.to()).unwrap();
        let mut sum = 0.0;
        for v in (0..COUNT).filter(|v| targets[*v] != 255) {
            let target = usize::from(targets[v]);
            sum -= sample.p[v][target].ln();
            for c in 0..classes {
                let hit = if c == target { 1.0 } else { 0.0 };
                sample.expected[place(v, c, classes)] += 0.3 * (sample.p[v][c] - hit);
            }
        }
        near(found, sum);
        sample.check("cross-entropy");
    });
}

#[test]
fn dice_losses() {
    on_all(|queue, classes| {
        for squared in [true, false] {
            let (mut sample, targets) = (Sample::new(queue, classes, 0), targets(classes));
            let there = queue.bytes(&targets);
            let counted = || (0..COUNT).filter(|v| targets[*v] != 255);
            for (class, found) in queue.overlaps(sample.part(), &there, squared).unwrap().iter().enumerate() {
                let p = |v: usize| sample.p[v][class];
                let hits = counted().filter(|v| usize::from(targets[*v]) == class);
                near(found[0], hits.map(p).sum());
                near(found[1], counted().map(|v| if squared { p(v) * p(v) } else { p(v) }).sum());
            }
            let [by_size, by_overlap] = [4u64, 5].map(|slot| random(classes, slot));
            queue.add_dice(sample.part(), &there, [&by_size, &by_overlap], squared, sample.to()).unwrap();
            for v in counted() {
                let slope = |c: usize| {
                    let size = f64::from(by_size[c]) * if squared { sample.p[v][c] } else { 1.0 };
                    size - if usize::from(targets[v]) == c { f64::from(by_overlap[c]) } else { 0.0 }
                };
                let slopes: Vec<f64> = (0..classes).map(slope).collect();
                sample.expect_slopes(v, &slopes);
            }
            sample.check("Dice");
        }
    });
}

#[test]
fn conflicts_and_their_errors() {
    on_all(|queue, classes| {
        let (mut a, b) = (Sample::new(queue, classes, 0), Sample::new(queue, classes, 1));
        for threshold in [0.0, 0.6] {
            let found: Vec<u8> =
                queue.conflicts(a.part(), b.part(), threshold).unwrap().values(COUNT).unwrap();
            let says = |sample: &Sample, v: usize| {
                let class = sample.likeliest(v);
                if sample.p[v][class] >= threshold { class } else { 0 }
            };
            let expected: Vec<u8> = (0..COUNT).map(|v| u8::from(says(&a, v) != says(&b, v))).collect();
            assert_eq!(found, expected);
            assert!(found.contains(&0) && found.contains(&1));
        }
        let (targets, mask) = (targets(classes), mask());
        let bytes = [&targets, &mask].map(|bytes| queue.bytes(bytes));
        let found = queue.conflict(a.part(), bytes.each_ref(), 0.7, a.to()).unwrap();
        let mut sum = 0.0;
        for v in (0..COUNT).filter(|v| mask[*v] != 0) {
            let hit = |c: usize| if usize::from(targets[v]) == c { 1.0 } else { 0.0 };
            let error = |c: usize| if c == 0 { 0.0 } else { a.p[v][c] - hit(c) };
            sum += (0..classes).map(|c| error(c).powi(2)).sum::<f64>();
            let slopes: Vec<f64> = (0..classes).map(|c| 0.7 * error(c)).collect();
            a.expect_slopes(v, &slopes);
        }
        near(found, sum);
        a.check("conflict");
    });
}

#[test]
fn cosines_of_two_networks() {
    on_all(|queue, classes| {
        let (mut a, mut b) = (Sample::new(queue, classes, 0), Sample::new(queue, classes, 1));
        let found = queue.cosine(a.part(), b.part(), 0.5, [a.to(), b.to()]).unwrap();
        let mut sum = 0.0;
        for v in 0..COUNT {
            let length = |p: &[f64]| p.iter().map(|p| p * p).sum::<f64>().sqrt();
            let (of_a, of_b) = (length(&a.p[v]), length(&b.p[v]));
            let cosine = a.p[v].iter().zip(&b.p[v]).map(|(a, b)| a * b).sum::<f64>() / (of_a * of_b);
            sum += 1.0 - cosine;
            let slopes = |own: &[f64], other: &[f64], own_length: f64, other_length: f64| -> Vec<f64> {
                let unit = |c: usize| own[c] / own_length;
                (0..classes)
                    .map(|c| 0.5 * (cosine * unit(c) - other[c] / other_length) / own_length)
                    .collect()
            };
            let [by_a, by_b] = [slopes(&a.p[v], &b.p[v], of_a, of_b), slopes(&b.p[v], &a.p[v], of_b, of_a)];
            a.expect_slopes(v, &by_a);
            b.expect_slopes(v, &by_b);
        }
        near(found, sum);
        a.check("cosine, the first");
        b.check("cosine, the second");
    });
}

#[test]
fn uncertainties() {
    on_all(|queue, classes| {
        let teacher = Sample::new(queue, classes, 1);
        let (labels, reliable) = (targets(classes), mask());
        for (masked, unweighted, live, of_reliable) in [
            (false, false, true, false),
            (true, false, true, true),
            (true, false, false, false),
            (true, true, false, true),
        ] {
            let mut sample = Sample::new(queue, classes, 0);
            let shares =
                UncertaintyShares { by_entropy: 0.4, by_divergence: 0.2, unweighted, live, of_reliable };
            let parts = [sample.part(), teacher.part()];
            let mask = masked.then(|| queue.bytes(&reliable));
            let found =
                queue.uncertainty(parts, &queue.bytes(&labels), mask.as_ref(), shares, sample.to()).unwrap();
            let mut sums = [0.0; 2];
            for v in 0..COUNT {
                let (p, taught) = (sample.p[v].clone(), &teacher.p[v]);
                let divergence: f64 = (0..classes)
                    .map(|c| if taught[c] > 0.0 { taught[c] * (taught[c].ln() - p[c].ln()) } else { 0.0 })
                    .sum();
                let label = usize::from(labels[v]);
                let entropy = p.get(label).map_or(0.0, |p| -p.ln());
                let counts = if masked && reliable[v] == 0 { 0.0 } else { 1.0 };
                let share = counts * if unweighted { 1.0 } else { (-divergence).exp() };
                let diverging = if of_reliable { counts } else { 1.0 };
                sums[0] += share * entropy;
                sums[1] += diverging * divergence;
                let by_divergence = 0.2 * diverging - if live { 0.4 * share * entropy } else { 0.0 };
                for c in 0..classes {
                    let hit = if c == label { 1.0 } else { 0.0 };
                    sample.expected[place(v, c, classes)] +=
                        0.4 * share * (p[c] - hit) + by_divergence * (p[c] - taught[c]);
                }
            }
            near(found[0], sums[0]);
            near(found[1], sums[1]);
            sample.check("uncertainty");
        }
    });
}
