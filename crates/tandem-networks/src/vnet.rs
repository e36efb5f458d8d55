//! V-Net (Milletari, Navab and Ahmadi 2016) as the semi-supervised field uses it: no residual inside stages, skips that
//! add, batch normalisation, dropout of channels at the bottleneck and before the head.

use crate::decoder::{Decoder, drop_channels};
use crate::initialise::Initialiser;
use crate::layers::{Stage, Unit, down};
use crate::segmenter::{Output, Pass, Segmenter};
use crate::{NetworkConfig, layout};
use candle_core::{Result, Tensor};

/// Stage names and depths of the encoder, finest first.
const STAGES: [(&str, usize); 5] =
    [("block_one", 1), ("block_two", 2), ("block_three", 3), ("block_four", 3), ("block_five", 3)];

pub(crate) struct VNet {
    stages: Vec<Stage>,
    downs: Vec<Unit>,
    decoder: Decoder,
    config: NetworkConfig,
}

impl VNet {
    pub(crate) fn new(init: &mut Initialiser, config: &NetworkConfig) -> Result<Self> {
        let (mut stages, mut downs) = (Vec::new(), Vec::new());
        for (index, (name, depth)) in STAGES.iter().enumerate() {
            let width = config.filters << index;
            let from = if index == 0 { config.in_channels } else { width };
            stages.push(Stage::new(init, name, *depth, [from, width])?);
            if index < 4 {
                downs.push(down(init, &format!("{name}_dw"), [width, 2 * width])?);
            }
        }
        Ok(VNet { stages, downs, decoder: Decoder::new(init, config)?, config: config.clone() })
    }
}

impl Segmenter for VNet {
    fn forward(&self, input: &Tensor, pass: Pass) -> Result<Output> {
        let x1 = self.stages[0].forward(&layout::enter(input, &self.config)?, pass)?;
        let x2 = self.stages[1].forward(&self.downs[0].forward(&x1, pass)?, pass)?;
        let x3 = self.stages[2].forward(&self.downs[1].forward(&x2, pass)?, pass)?;
        let x4 = self.stages[3].forward(&self.downs[2].forward(&x3, pass)?, pass)?;
        let x5 = self.stages[4].forward(&self.downs[3].forward(&x4, pass)?, pass)?;
        let x5 = drop_channels(&x5, self.config.dropout, pass, "bottleneck")?;
        self.decoder.forward(&[x1, x2, x3, x4, x5], pass)
    }

    fn in_channels(&self) -> usize {
        self.config.in_channels
    }

    fn num_classes(&self) -> usize {
        self.config.num_classes
    }

    fn size_divisor(&self) -> usize {
        layout::SIZE_DIVISOR
    }
}
