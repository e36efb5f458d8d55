//! The same prediction on the device and on the CPU: windows that overlap, leave the scan, and are seen in all mirror images.

use super::{Rounding, Verdict, larger};
use anyhow::Result;
use candle_core::Device as Host;
use ndarray::{Array3, Array4};
use std::ops::ControlFlow;
use tandem_inference::{SlidingWindow, predict};
use tandem_networks::{NetworkConfig, build};
use tandem_ops3d::Device;
use tandem_random::Draws;

/// Sides of the scan: shorter than a window along one axis.
const SIDES: [usize; 3] = [21, 14, 19];

pub(super) fn check(device: &Device, rounding: Rounding) -> Result<Verdict> {
    let (ours, expected) = (probabilities(device)?, probabilities(&Device::Cpu)?);
    let pairs = ours.iter().zip(&expected);
    let worst = pairs.map(|(a, b)| f64::from((a - b).abs())).fold(0.0, larger);
    Ok(Verdict::of_difference(worst, if rounding == Rounding::F32 { 1e-5 } else { 1e-2 }, ours.len()))
}

fn probabilities(device: &Device) -> Result<Array4<f32>> {
    let config = NetworkConfig { num_classes: 3, filters: 2, ..NetworkConfig::default() };
    let (network, _) = build("vnet", &config, 6, device)?;
    let mut draws = Draws::new(7, "check device scan", 0, 0);
    let scan = Array3::from_shape_simple_fn(SIDES, || draws.normal() as f32);
    let window = SlidingWindow { patch: [16; 3], stride: [16, 16, 8], batch: 3, mirror: true };
    let go_on = &mut |_, _| ControlFlow::Continue(());
    let mut found = predict(&[network.as_ref()], &[&scan], &window, &Host::Cpu, go_on)?;
    Ok(found.swap_remove(0))
}
