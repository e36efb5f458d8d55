//! Metrics of a pair of masks that is like a left atrium and its prediction.

use crate::measure::Report;
use anyhow::Result;
use ndarray::Array3;
use std::hint::black_box;
use tandem_metrics::{Comparison, Nsd, largest_component, metrics};

/// Scores a prediction with every metric, at 0.625 mm.
pub(crate) fn all(sides: [usize; 3], report: &Report) -> Result<()> {
    let (prediction, reference) = (atrium(sides, 0.06, true), atrium(sides, 0.0, false));
    let nsd = Nsd::new(1.0)?;
    report.of(|| {
        let comparison = Comparison::new(prediction.view(), reference.view(), [0.625; 3])?;
        black_box(metrics(&nsd).map(|metric| metric.measure(&comparison)));
        Ok(())
    })
}

/// Finds the largest component of a prediction.
pub(crate) fn component(sides: [usize; 3], report: &Report) -> Result<()> {
    let prediction = atrium(sides, 0.06, true);
    report.of(|| {
        black_box(largest_component(prediction.view()));
        Ok(())
    })
}

/// An ellipsoid as large in its scan as an atrium is in its, with waves on its surface and, if wanted, an island.
fn atrium(sides: [usize; 3], waves: f64, island: bool) -> Array3<bool> {
    Array3::from_shape_fn(sides, |(i, j, k)| {
        let at = [i, j, k].map(|index| index as f64);
        let centred =
            [0, 1, 2].map(|axis| (2.0 * at[axis] / sides[axis] as f64 - 1.0) / [0.86, 0.65, 0.66][axis]);
        let radius = centred.iter().map(|place| place * place).sum::<f64>().sqrt();
        let wave = waves * (at[0] / 5.0).sin() * (at[1] / 6.0).cos() * (at[2] / 4.0).sin();
        radius < 0.8 + wave || (island && i.max(j).max(k) < 16 && i.min(j).min(k) >= 12)
    })
}
