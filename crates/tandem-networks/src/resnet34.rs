//! 3-D ResNet-34 (He et al. 2016) as an encoder, with the V-Net decoder: a 7x7x7 stem of stride 1 without pooling, then
//! 3, 4, 6 and 3 basic blocks, each group halving the sides.

use crate::NetworkConfig;
use crate::decoder::decoder_and_head;
use crate::layers::{Builder, ConvSpec};
use crate::network::Features;
use candle_core::Result;
use tandem_ops3d::Activation;
use tandem_ops3d::program::{Sum, Value};

const DEPTHS: [usize; 4] = [3, 4, 6, 3];

pub(crate) fn resnet34(b: &mut Builder, image: Value, config: &NetworkConfig) -> Result<Features> {
    let stem = unbiased(config.in_channels, config.filters, 7, 1);
    let names = ["resnet_encoder.conv1", "resnet_encoder.bn1"];
    let mut x = b.unit(image, names, stem, Activation::Relu, Sum::Nothing)?;
    let mut scales = [x; 5];
    for (index, depth) in DEPTHS.iter().enumerate() {
        let to = config.filters << (index + 1);
        for block in 0..*depth {
            let name = format!("resnet_encoder.layer{}.{block}", index + 1);
            let (from, stride) = if block == 0 { (to / 2, 2) } else { (to, 1) };
            x = basic_block(b, x, &name, [from, to], stride)?;
        }
        scales[index + 1] = x;
    }
    Ok(decoder_and_head(b, scales, config)?.features())
}

/// Two 3x3x3 convolutions beside a shortcut.
fn basic_block(
    b: &mut Builder,
    x: Value,
    name: &str,
    [from, to]: [usize; 2],
    stride: usize,
) -> Result<Value> {
    let names = |conv: &str, norm: &str| [format!("{name}.{conv}"), format!("{name}.{norm}")];
    let mut unit = |x: Value, [conv, norm]: [String; 2], spec, activation, sum| {
        b.unit(x, [&conv, &norm], spec, activation, sum)
    };
    let shortcut = if stride != 1 || from != to {
        let names = names("downsample.0", "downsample.1");
        unit(x, names, unbiased(from, to, 1, stride), Activation::Identity, Sum::Nothing)?
    } else {
        x
    };
    let first =
        unit(x, names("conv1", "bn1"), unbiased(from, to, 3, stride), Activation::Relu, Sum::Nothing)?;
    unit(first, names("conv2", "bn2"), unbiased(to, to, 3, 1), Activation::Relu, Sum::Before(shortcut))
}

fn unbiased(from: usize, to: usize, kernel: usize, stride: usize) -> ConvSpec {
    ConvSpec { from, to, kernel, stride, padding: kernel / 2, bias: false, transposed: false }
}
