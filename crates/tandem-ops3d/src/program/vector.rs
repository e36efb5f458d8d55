//! Vectors as long as a network's weights, where the network runs.

use super::on_gpu::GpuVector;
use crate::cpu::rows;
use crate::cpu::scratch::Scratch;
use crate::device::Device;
use candle_core::{Result, bail};
use rayon::prelude::*;
use std::ops::Range;

/// Elements of a unit of parallel work. Sums are of parts that are cut by length alone, and added in order: the same bits for any
/// number of threads.
const CHUNK: usize = 1 << 14;

/// A vector as long as a network's weights, in the memory of the device that the network runs on: the weights, their gradient, a
/// momentum. Its memory serves the next one when it is dropped.
pub struct WeightVector(pub(super) Place);

/// Where a vector lies.
pub(super) enum Place {
    Host(Scratch<f32>),
    Gpu(GpuVector),
}

use Place::{Gpu, Host};

/// One step of gradient descent with momentum, for gradient `g`, weight `p` and momentum `b`:
///
/// ```text
/// d = g + weight_decay * p
/// b = momentum * b + d
/// p = p - rate * b                    (Nesterov: p - rate * (d + momentum * b))
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Descent {
    /// The learning rate.
    pub rate: f64,
    /// The share of the momentum that stays.
    pub momentum: f64,
    /// The L2 penalty.
    pub weight_decay: f64,
    /// Whether it looks ahead, by the share of the momentum.
    pub nesterov: bool,
}

impl WeightVector {
    /// These values, on a device.
    pub(super) fn of(values: &[f32], device: &Device) -> Result<Self> {
        Ok(WeightVector(match device {
            Device::Cpu => {
                let mut copy = Scratch::take(values.len());
                copy.copy_from_slice(values);
                Host(copy)
            }
            Device::Cuda(gpu) => Gpu(GpuVector::of(gpu, values)?),
        }))
    }

    /// How many values it has.
    pub fn len(&self) -> usize {
        match &self.0 {
            Host(values) => values.len(),
            Gpu(vector) => vector.len(),
        }
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Some of its values.
    ///
    /// # Errors
    /// Where the range is not part of it, or the device fails.
    pub fn read(&self, range: Range<usize>) -> Result<Vec<f32>> {
        if range.start > range.end || range.end > self.len() {
            bail!("values {range:?} are not among the {} of a vector of weights", self.len());
        }
        match &self.0 {
            Host(values) => Ok(values[range].to_vec()),
            Gpu(vector) => vector.read(range),
        }
    }

    /// All of its values.
    ///
    /// # Errors
    /// Where the device fails.
    pub fn to_vec(&self) -> Result<Vec<f32>> {
        self.read(0..self.len())
    }

    /// Its Euclidean norm, in f64. It is finite where all its values are.
    ///
    /// # Errors
    /// Where the device fails.
    pub fn norm(&self) -> Result<f64> {
        let parts: Vec<f64> = match &self.0 {
            Host(values) => values.par_chunks(CHUNK).map(sum_of_squares).collect(),
            Gpu(vector) => vector.sums_of_squares()?,
        };
        Ok(parts.iter().sum::<f64>().sqrt())
    }

    /// Multiplies its values.
    ///
    /// # Errors
    /// Where the device fails.
    pub fn scale(&mut self, factor: f32) -> Result<()> {
        match &mut self.0 {
            Host(values) => {
                let chunks = values.par_chunks_mut(CHUNK);
                chunks.for_each(|values| values.iter_mut().for_each(|value| *value *= factor));
                Ok(())
            }
            Gpu(vector) => vector.scale(factor),
        }
    }

    /// Adds another one.
    pub(super) fn add(&mut self, other: &Self) -> Result<()> {
        match (&mut self.0, &other.0) {
            (Host(sum), Host(other)) if sum.len() == other.len() => {
                let chunks = sum.par_chunks_mut(CHUNK).zip(other.par_chunks(CHUNK));
                chunks.for_each(|(sum, other)| rows::add(other, sum));
                Ok(())
            }
            (Gpu(sum), Gpu(other)) if sum.len() == other.len() => sum.add(other),
            _ => self.refuse(other),
        }
    }

    /// Moves weights by their gradient. Where there is no momentum yet, `b = d`.
    pub(super) fn descend(
        &mut self,
        gradient: &Self,
        momentum: &mut Option<WeightVector>,
        step: &Descent,
    ) -> Result<()> {
        let (len, first) = (self.len(), momentum.is_none());
        if gradient.len() != len {
            return self.refuse(gradient);
        }
        let buffer = match momentum {
            Some(buffer) if buffer.len() != len => return self.refuse(buffer),
            Some(buffer) => buffer,
            none => none.insert(self.like()?),
        };
        let stays = if first { 0.0 } else { step.momentum };
        match (&mut self.0, &gradient.0, &mut buffer.0) {
            (Host(weights), Host(gradient), Host(buffer)) => {
                if first {
                    buffer.fill(0.0);
                }
                let (rate, ahead) = (step.rate as f32, step.momentum as f32);
                let (stays, decay) = (stays as f32, step.weight_decay as f32);
                let chunks = weights.par_chunks_mut(CHUNK).zip(buffer.par_chunks_mut(CHUNK));
                chunks.zip(gradient.par_chunks(CHUNK)).for_each(|((weights, buffer), gradient)| {
                    for ((p, b), g) in weights.iter_mut().zip(buffer).zip(gradient) {
                        let d = g + decay * *p;
                        *b = stays * *b + d;
                        *p -= rate * if step.nesterov { d + ahead * *b } else { *b };
                    }
                });
                Ok(())
            }
            (Gpu(weights), Gpu(gradient), Gpu(buffer)) => {
                if first {
                    buffer.clear()?;
                }
                weights.descend(gradient, buffer, stays, step)
            }
            _ => self.refuse(gradient),
        }
    }

    /// `decay * self + (1 - decay) * other`.
    pub(super) fn follow(&mut self, other: &Self, decay: f64) -> Result<()> {
        match (&mut self.0, &other.0) {
            (Host(mean), Host(other)) if mean.len() == other.len() => {
                let (stays, comes) = (decay as f32, (1.0 - decay) as f32);
                let chunks = mean.par_chunks_mut(CHUNK).zip(other.par_chunks(CHUNK));
                chunks.for_each(|(mean, other)| {
                    mean.iter_mut().zip(other).for_each(|(m, x)| *m = *m * stays + x * comes);
                });
                Ok(())
            }
            (Gpu(mean), Gpu(other)) if mean.len() == other.len() => mean.follow(other, decay),
            _ => self.refuse(other),
        }
    }

    /// Another one of these values, beside it.
    pub(super) fn copy(&self) -> Result<Self> {
        let mut copy = self.like()?;
        match (&mut copy.0, &self.0) {
            (Host(to), Host(from)) => to.copy_from_slice(from),
            (Gpu(to), Gpu(from)) => {
                to.clear()?;
                to.add(from)?;
            }
            _ => return self.refuse(&copy),
        }
        Ok(copy)
    }

    /// Another one of this length, of unspecified values, beside it.
    fn like(&self) -> Result<Self> {
        Ok(WeightVector(match &self.0 {
            Host(values) => Host(Scratch::take(values.len())),
            Gpu(vector) => Gpu(vector.like()?),
        }))
    }

    fn refuse<T>(&self, other: &Self) -> Result<T> {
        match (self.len(), other.len()) {
            (own, len) if own == len => bail!("vectors of weights lie on different devices"),
            (own, len) => bail!("{own} weights cannot be combined with a vector of {len} values"),
        }
    }
}

fn sum_of_squares(values: &[f32]) -> f64 {
    let mut sums = [0.0; 16];
    rows::sum_squares(values, &mut sums);
    sums.iter().sum()
}

impl std::fmt::Debug for WeightVector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "WeightVector of {} values", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(len: usize, slot: u64) -> Vec<f32> {
        let mut draws = tandem_random::Draws::new(5, "vectors", 0, slot);
        (0..len).map(|_| draws.normal() as f32).collect()
    }

    fn close(ours: &WeightVector, expected: &[f64]) {
        for (ours, expected) in ours.to_vec().unwrap().iter().zip(expected) {
            assert!(
                (f64::from(*ours) - expected).abs() <= 1e-6 * (1.0 + expected.abs()),
                "{ours} {expected}"
            );
        }
    }

    /// Runs a test on every device that is there, with vectors of lengths that fill no block, one, and more.
    fn on_all(test: impl Fn(&Device, usize)) {
        let (devices, missing) = Device::all();
        missing.iter().for_each(|missing| eprintln!("SKIPPED on a device: {missing}"));
        for device in &devices {
            [1, 255, 256, CHUNK + 5].into_iter().for_each(|len| test(device, len));
        }
    }

    #[test]
    fn steps_are_those_of_plain_arithmetic() {
        on_all(|device, len| {
            for nesterov in [false, true] {
                let step = Descent { rate: 0.1, momentum: 0.9, weight_decay: 0.01, nesterov };
                let (start, gradients) = (random(len, 0), [random(len, 1), random(len, 2)]);
                let mut weights = WeightVector::of(&start, device).unwrap();
                let mut momentum = None;
                let mut p: Vec<f64> = start.iter().map(|p| f64::from(*p)).collect();
                let mut b = vec![0.0; len];
                for (index, gradient) in gradients.iter().enumerate() {
                    let there = WeightVector::of(gradient, device).unwrap();
                    weights.descend(&there, &mut momentum, &step).unwrap();
                    for ((p, b), g) in p.iter_mut().zip(&mut b).zip(gradient) {
                        let d = f64::from(*g) + step.weight_decay * *p;
                        *b = if index == 0 { d } else { step.momentum * *b + d };
                        *p -= step.rate * if nesterov { d + step.momentum * *b } else { *b };
                    }
                    close(&weights, &p);
                    close(momentum.as_ref().unwrap(), &b);
                }
            }
        });
    }

    #[test]
    fn sums_norms_and_averages() {
        on_all(|device, len| {
            let (a, b) = (random(len, 3), random(len, 4));
            let wide = |values: &[f32]| values.iter().map(|value| f64::from(*value)).collect::<Vec<f64>>();
            let (wide_a, wide_b) = (wide(&a), wide(&b));
            let pairs = |f: fn(f64, f64) -> f64| -> Vec<f64> {
                wide_a.iter().zip(&wide_b).map(|(a, b)| f(*a, *b)).collect()
            };
            let [mut sum, mut scaled, mut mean, other] =
                [&a, &a, &a, &b].map(|values| WeightVector::of(values, device).unwrap());
            let norm = wide_a.iter().map(|a| a * a).sum::<f64>().sqrt();
            assert!((sum.norm().unwrap() - norm).abs() < 1e-12 * norm);
            sum.add(&other).unwrap();
            close(&sum, &pairs(|a, b| a + b));
            scaled.scale(-0.25).unwrap();
            close(&scaled, &pairs(|a, _| -0.25 * a));
            mean.follow(&other, 0.75).unwrap();
            close(&mean, &pairs(|a, b| 0.75 * a + 0.25 * b));
            let (from, to) = (len / 3, len - len / 4);
            assert_eq!(other.read(from..to).unwrap(), b[from..to]);
            assert!(other.read(from..len + 1).is_err());
        });
    }

    #[test]
    fn a_norm_is_finite_where_all_values_are() {
        on_all(|device, len| {
            let norm = |value: f32| {
                let mut values = vec![f32::MAX; len];
                values[len / 2] = value;
                WeightVector::of(&values, device).unwrap().norm().unwrap()
            };
            assert!(
                norm(1.0).is_finite() && !norm(f32::NAN).is_finite() && !norm(f32::NEG_INFINITY).is_finite()
            );
        });
    }

    #[test]
    fn the_norm_has_the_same_bits_whatever_the_threads() {
        let vector = WeightVector::of(&random(3 * CHUNK + 5, 6), &Device::Cpu).unwrap();
        let of_threads = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| vector.norm().unwrap())
        };
        assert_eq!(of_threads(1).to_bits(), of_threads(3).to_bits());
    }

    #[test]
    fn vectors_of_other_lengths_are_refused() {
        on_all(|device, len| {
            let [mut own, longer] =
                [len, len + 1].map(|len| WeightVector::of(&random(len, 5), device).unwrap());
            let before = own.to_vec().unwrap();
            let step = Descent { rate: 0.1, momentum: 0.9, weight_decay: 0.0, nesterov: false };
            let refused = [
                own.add(&longer),
                own.follow(&longer, 0.5),
                own.descend(&longer, &mut None, &step),
                own.descend(&WeightVector::of(&before, device).unwrap(), &mut Some(longer), &step),
            ];
            for refused in refused {
                let message = refused.unwrap_err().to_string();
                assert!(message.contains(&format!("{len} weights")), "{message}");
            }
            assert_eq!(own.to_vec().unwrap(), before);
        });
    }
}
