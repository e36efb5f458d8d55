//! What is done to the vectors of a network's weights.

use super::{Argument, Buffer, Queue, long, summing};
use candle_core::Result;

impl Queue {
    /// A step of gradient descent: moves weights and momentum. The numbers are rate, weight decay, the share of the momentum that
    /// stays, and by how much of the gradient and of the momentum it moves.
    pub(crate) fn descend(
        &self,
        [weights, gradient, momentum]: [&Buffer; 3],
        count: usize,
        numbers: [f64; 5],
    ) -> Result<()> {
        let mut arguments = vec![weights.into(), gradient.into(), momentum.into(), long(count)];
        arguments.extend(numbers.map(Argument::Double));
        self.run_each("descend", count, &arguments)
    }

    /// `decay * mean + (1 - decay) * x` into `mean`.
    pub(crate) fn follow(&self, mean: &Buffer, x: &Buffer, count: usize, decay: f64) -> Result<()> {
        let shares = [decay, 1.0 - decay].map(Argument::Double);
        let arguments = [mean.into(), x.into(), long(count), shares[0], shares[1]];
        self.run_each("follow", count, &arguments)
    }

    /// Multiplies f32 values.
    pub(crate) fn multiply(&self, x: &Buffer, count: usize, factor: f32) -> Result<()> {
        let arguments = [x.into(), long(count), Argument::Double(factor.into())];
        self.run_each("multiply_f32", count, &arguments)
    }

    /// The sums of squares of parts of f32 values, cut by their number alone.
    pub(crate) fn sums_of_squares(&self, x: &Buffer, count: usize) -> Result<Vec<f64>> {
        let blocks = summing(count, 1);
        let partials = self.f64s(2 * blocks)?;
        self.run("squares", [blocks, 1, 1], &[x.into(), (&partials).into(), long(count)])?;
        let found: Vec<f64> = partials.values(2 * blocks)?;
        Ok(found.into_iter().step_by(2).collect())
    }
}
