//! The distinct convolutions of both networks, and their times.

use crate::cases::{NETWORKS, Precision, sides_name};
use crate::measure::Report;
use anyhow::Result;
use serde::Serialize;
use std::hint::black_box;
use tandem_networks::{LayerShape, LayerTrial, NetworkConfig, layers};

/// A convolution as the peer is told of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Layer {
    /// As in `conv3s2-16-32-112x112x80`: kernel, stride where it is not 1, channels, sides of the input.
    #[serde(skip)]
    pub(crate) name: String,
    batch: usize,
    sides: [usize; 3],
    from: usize,
    to: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
    transposed: bool,
    input_gradient: bool,
    #[serde(skip)]
    shape: LayerShape,
}

/// Every layer shape of both networks once, in the order in which they first run.
pub(crate) fn distinct(sides: [usize; 3], filters: usize, batch: usize) -> Result<Vec<Layer>> {
    let config = NetworkConfig { filters, ..Default::default() };
    let mut found: Vec<LayerShape> = Vec::new();
    for network in NETWORKS {
        for layer in layers(network, &config, batch, sides)? {
            if !found.contains(&layer) {
                found.push(layer);
            }
        }
    }
    Ok(found.into_iter().map(Layer::new).collect())
}

impl Layer {
    fn new(shape: LayerShape) -> Self {
        let [batch, d, h, w, from] = shape.input;
        let LayerShape { to, kernel, params, transposed, input_gradient, .. } = shape;
        // Along all axes the same in these networks.
        let (stride, padding) = (params.stride[0], params.padding[0]);
        let sides = [d, h, w];
        let kind = match (transposed, stride) {
            (true, _) => format!("up{kernel}"),
            (false, 1) => format!("conv{kernel}"),
            (false, stride) => format!("conv{kernel}s{stride}"),
        };
        let name = format!("{kind}-{from}-{to}-{}", sides_name(sides));
        Layer { name, batch, sides, from, to, kernel, stride, padding, transposed, input_gradient, shape }
    }
}

/// Forward, and forward and backward.
pub(crate) fn run(layer: &Layer, precision: Precision, report: &Report) -> Result<()> {
    let trial = LayerTrial::new(layer.shape, precision.of_networks())?;
    report.part("forward", layer.shape.forward_flop()?, || {
        black_box(trial.forward());
        Ok(())
    })?;
    report.part("both", layer.shape.training_flop()?, || {
        black_box(trial.forward() + trial.backward());
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_networks_have_24_layer_shapes() {
        let layers = distinct([32, 32, 32], 4, 1).unwrap();
        assert_eq!(layers.len(), 24);
        let without_gradient: Vec<_> =
            layers.iter().filter(|l| !l.input_gradient).map(|l| l.name.as_str()).collect();
        assert_eq!(without_gradient, ["conv3-1-4-32x32x32", "conv7-1-4-32x32x32"]);
    }
}
