//! A network of this crate: a program, its parameters, and which of its values are features.

use crate::NetworkConfig;
use crate::parameters::Parameters;
use crate::segmenter::{Output, Pass, Segmenter};
use candle_core::{Result, Tensor, bail};
use std::collections::BTreeMap;
use std::sync::Arc;
use tandem_ops3d::Resize;
use tandem_ops3d::channels_first::resize3d;
use tandem_ops3d::program::{Program, Value};

/// What sides of an image must be multiples of, in voxels: networks halve them four times.
pub const SIZE_DIVISOR: usize = 16;

/// The values of a program that are a network's features.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Features {
    /// The input of the head before its dropout.
    pub(crate) kept: Value,
    /// The same after dropout.
    pub(crate) dropped: Value,
}

pub(crate) struct Network {
    pub(crate) program: Arc<Program>,
    pub(crate) parameters: Parameters,
    pub(crate) config: NetworkConfig,
    pub(crate) features: Features,
}

impl Segmenter for Network {
    fn forward(&self, input: &Tensor, pass: Pass) -> Result<Output> {
        let &[_, channels, d, h, w] = input.dims() else {
            bail!("the network takes (N, C, D, H, W), got {:?}", input.dims())
        };
        if channels != self.config.in_channels {
            bail!("the network takes {} input channels, got {channels}", self.config.in_channels)
        }
        if [d, h, w].iter().any(|side| *side == 0 || side % SIZE_DIVISOR != 0) {
            bail!("each side of the input must be a multiple of {SIZE_DIVISOR}, got {d} x {h} x {w}")
        }
        let (weights, statistics) = (self.parameters.weights(), self.parameters.statistics());
        let outputs = self.program.run(input, weights, statistics, (pass, self.config.precision))?;
        let mut extra = BTreeMap::new();
        for (name, made) in &outputs.heads {
            let coarse = made.dims()[2..] != [d, h, w];
            let made = if coarse { resize3d(made, [d, h, w], Resize::Trilinear)? } else { made.clone() };
            extra.insert(name.clone(), made);
        }
        Ok(Output {
            features: outputs.value(self.features.kept),
            features_dropped: outputs.value(self.features.dropped),
            logits: outputs.logits,
            extra,
        })
    }

    fn in_channels(&self) -> usize {
        self.config.in_channels
    }

    fn num_classes(&self) -> usize {
        self.config.num_classes
    }

    fn size_divisor(&self) -> usize {
        SIZE_DIVISOR
    }
}
