//! 3-D ResNet-34 (He et al. 2016) as an encoder, with the V-Net decoder: a 7x7x7 stem of stride 1 without pooling, then
//! 3, 4, 6 and 3 basic blocks, each group halving the sides.

use crate::decoder::Decoder;
use crate::initialise::Initialiser;
use crate::layers::{Conv, ConvSpec, Norm, Unit};
use crate::segmenter::{Output, Pass, Segmenter};
use crate::{NetworkConfig, layout};
use candle_core::{Result, Tensor};
use tandem_ops3d::{Activation, add_relu};

const DEPTHS: [usize; 4] = [3, 4, 6, 3];

pub(crate) struct ResNet34 {
    stem: Unit,
    layers: Vec<Vec<BasicBlock>>,
    decoder: Decoder,
    config: NetworkConfig,
}

/// Two 3x3x3 convolutions beside a shortcut.
struct BasicBlock {
    first: Unit,
    second: Unit,
    shortcut: Option<Unit>,
}

fn unbiased(from: usize, to: usize, kernel: usize, stride: usize) -> ConvSpec {
    ConvSpec { from, to, kernel, stride, padding: kernel / 2, bias: false }
}

/// A convolution named `CONV` with its normalisation named `NORM`.
fn unit(
    init: &mut Initialiser,
    [conv, norm]: [String; 2],
    spec: ConvSpec,
    activation: Activation,
) -> Result<Unit> {
    Ok(Unit::new(Conv::new(init, &conv, spec)?, Norm::new(init, &norm, spec.to, activation)?))
}

impl BasicBlock {
    fn new(init: &mut Initialiser, name: &str, [from, to]: [usize; 2], stride: usize) -> Result<Self> {
        let names = |conv: &str, norm: &str| [format!("{name}.{conv}"), format!("{name}.{norm}")];
        let first = unit(init, names("conv1", "bn1"), unbiased(from, to, 3, stride), Activation::Relu)?;
        let second = unit(init, names("conv2", "bn2"), unbiased(to, to, 3, 1), Activation::Identity)?;
        let shortcut = if stride != 1 || from != to {
            let names = names("downsample.0", "downsample.1");
            Some(unit(init, names, unbiased(from, to, 1, stride), Activation::Identity)?)
        } else {
            None
        };
        Ok(BasicBlock { first, second, shortcut })
    }

    fn forward(&self, x: &Tensor, pass: Pass) -> Result<Tensor> {
        let y = self.second.forward(&self.first.forward(x, pass)?, pass)?;
        match &self.shortcut {
            Some(shortcut) => add_relu(&y, &shortcut.forward(x, pass)?),
            None => add_relu(&y, x),
        }
    }
}

impl ResNet34 {
    pub(crate) fn new(init: &mut Initialiser, config: &NetworkConfig) -> Result<Self> {
        let names = ["resnet_encoder.conv1", "resnet_encoder.bn1"].map(str::to_owned);
        let stem = unit(init, names, unbiased(config.in_channels, config.filters, 7, 1), Activation::Relu)?;
        let mut layers = Vec::new();
        for (index, depth) in DEPTHS.iter().enumerate() {
            let to = config.filters << (index + 1);
            let block = |block: usize| {
                let name = format!("resnet_encoder.layer{}.{block}", index + 1);
                let (from, stride) = if block == 0 { (to / 2, 2) } else { (to, 1) };
                BasicBlock::new(init, &name, [from, to], stride)
            };
            layers.push((0..*depth).map(block).collect::<Result<Vec<_>>>()?);
        }
        Ok(ResNet34 { stem, layers, decoder: Decoder::new(init, config)?, config: config.clone() })
    }

    fn layer(&self, index: usize, x: &Tensor, pass: Pass) -> Result<Tensor> {
        self.layers[index].iter().try_fold(x.clone(), |x, block| block.forward(&x, pass))
    }
}

impl Segmenter for ResNet34 {
    fn forward(&self, input: &Tensor, pass: Pass) -> Result<Output> {
        let x1 = self.stem.forward(&layout::enter(input, &self.config)?, pass)?;
        let x2 = self.layer(0, &x1, pass)?;
        let x3 = self.layer(1, &x2, pass)?;
        let x4 = self.layer(2, &x3, pass)?;
        let x5 = self.layer(3, &x4, pass)?;
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
