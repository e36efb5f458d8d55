//! The V-Net decoder that both networks end in.

use crate::NetworkConfig;
use crate::initialise::Initialiser;
use crate::layers::{Conv, ConvSpec, Stage, Unit, up};
use crate::segmenter::{Output, Pass};
use candle_core::{Result, Tensor};
use std::collections::BTreeMap;
use tandem_ops3d::{dropout3d, to_channels_first};
use tandem_random::Draws;

/// Four times: double the sides, add the skip of that scale (add, not concatenate), convolve. Then dropout and the head.
pub(crate) struct Decoder {
    scales: Vec<(Unit, Stage)>,
    head: Conv,
    dropout: f64,
}

/// Name, stage name and depth of each scale, from the coarsest.
const SCALES: [(&str, &str, usize); 4] = [
    ("block_five_up", "block_six", 3),
    ("block_six_up", "block_seven", 3),
    ("block_seven_up", "block_eight", 2),
    ("block_eight_up", "block_nine", 1),
];

impl Decoder {
    pub(crate) fn new(init: &mut Initialiser, config: &NetworkConfig) -> Result<Self> {
        let filters = config.filters;
        let scales = SCALES.iter().enumerate().map(|(index, (up_name, stage_name, depth))| {
            let to = filters << (3 - index);
            Ok((up(init, up_name, [2 * to, to])?, Stage::new(init, stage_name, *depth, [to, to])?))
        });
        let scales = scales.collect::<Result<_>>()?;
        let to = config.num_classes;
        let spec = ConvSpec { from: filters, to, kernel: 1, stride: 1, padding: 0, bias: true };
        Ok(Decoder { scales, head: Conv::new(init, "out_conv", spec)?, dropout: config.dropout })
    }

    /// From the encoder's five scales, finest first.
    pub(crate) fn forward(&self, skips: &[Tensor; 5], pass: Pass) -> Result<Output> {
        let mut x = skips[4].clone();
        for ((up, stage), skip) in self.scales.iter().zip(skips[..4].iter().rev()) {
            x = stage.forward(&(up.forward(&x, pass)? + skip)?, pass)?;
        }
        let dropped = drop_channels(&x, self.dropout, pass, "before head")?;
        Ok(Output {
            logits: to_channels_first(&self.head.forward(&dropped, pass)?)?,
            features: to_channels_first(&x)?,
            features_dropped: to_channels_first(&dropped)?,
            extra: BTreeMap::new(),
        })
    }
}

/// Dropout in training, nothing in evaluation. `place` tells apart the dropouts of one network.
pub(crate) fn drop_channels(x: &Tensor, probability: f64, pass: Pass, place: &str) -> Result<Tensor> {
    match pass {
        Pass::Train { dropout } if probability > 0.0 => {
            dropout3d(x, probability, &mut Draws::new(dropout, &format!("dropout {place}"), 0, 0))
        }
        _ => Ok(x.clone()),
    }
}
