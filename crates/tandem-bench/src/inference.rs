//! Both networks' sliding window over a whole scan.

use crate::cases::{NETWORKS, Precision, Scan};
use crate::measure::Report;
use crate::networks::noise;
use anyhow::Result;
use candle_core::Device;
use ndarray::Array3;
use std::ops::ControlFlow;
use tandem_inference::{SlidingWindow, ensemble, label_map, predict};
use tandem_networks::{NetworkConfig, Segmenter, build};

pub(crate) fn run(scan: &Scan, precision: Precision, report: &Report) -> Result<()> {
    let device = Device::Cpu;
    let config =
        NetworkConfig { filters: scan.filters, precision: precision.of_networks(), ..Default::default() };
    let networks: Vec<Box<dyn Segmenter>> = NETWORKS
        .iter()
        .map(|architecture| Ok(build(architecture, &config, 1, report.device)?.0))
        .collect::<Result<_>>()?;
    let networks: Vec<&dyn Segmenter> = networks.iter().map(AsRef::as_ref).collect();
    let image = Array3::from_shape_vec(scan.scan, noise(scan.scan.iter().product()))?;
    let window = SlidingWindow { patch: scan.patch, stride: scan.stride, batch: scan.batch, mirror: false };
    report.once(|| {
        let probabilities =
            predict(&networks, &[&image], &window, &device, &mut |_, _| ControlFlow::Continue(()))?;
        label_map(&ensemble(&probabilities)?);
        Ok(())
    })
}
