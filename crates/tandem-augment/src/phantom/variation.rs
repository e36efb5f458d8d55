//! How anatomy varies from scan to scan.

use tandem_random::Draws;

use super::shape::{Point, Shape};

/// A normal number, kept within two standard deviations: anatomy varies, but not without end.
pub(super) fn bounded(draws: &mut Draws) -> f64 {
    draws.normal().clamp(-2.0, 2.0)
}

/// `mean`, times a factor whose logarithm has deviation `spread`.
pub(super) fn about(mean: f64, spread: f64, draws: &mut Draws) -> f32 {
    (mean * (spread * bounded(draws)).exp()) as f32
}

/// `point`, moved by a deviation of `mm` along each axis.
pub(super) fn near(point: Point, mm: f64, draws: &mut Draws) -> Point {
    point.map(|x| x + (mm * bounded(draws)) as f32)
}

/// A straight tube of one radius.
pub(super) fn rod(from: Point, to: Point, radius: f32) -> Shape {
    Shape::tube([(from, radius), (to, radius)])
}
