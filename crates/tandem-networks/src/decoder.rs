//! The V-Net decoder that the networks end in.

use crate::NetworkConfig;
use crate::layers::{Builder, Upsampling};
use crate::network::Features;
use candle_core::Result;
use std::ops::Range;
use tandem_ops3d::program::Value;

/// Name, stage name and depth of each scale, from the coarsest.
const SCALES: [(&str, &str, usize); 4] = [
    ("block_five_up", "block_six", 3),
    ("block_six_up", "block_seven", 3),
    ("block_seven_up", "block_eight", 2),
    ("block_eight_up", "block_nine", 1),
];

/// Values of a decoder that heads read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decoded {
    /// What its scales end in, from the coarsest: an eighth, a quarter, half and all of the resolution.
    pub(crate) scales: [Value; 4],
    /// The last of them after dropout.
    pub(crate) dropped: Value,
}

impl Decoded {
    pub(crate) fn features(self) -> Features {
        Features { kept: self.scales[3], dropped: self.dropped }
    }
}

/// Four times: double the sides, add the skip of that scale (add, not concatenate), convolve. Then dropout.
///
/// Takes the encoder's five scales, finest first. Parameters and dropout are named under the prefix.
pub(crate) fn decoder(
    b: &mut Builder,
    prefix: &str,
    skips: [Value; 5],
    upsampling: Upsampling,
    config: &NetworkConfig,
) -> Result<Decoded> {
    let (mut x, mut scales) = (skips[4], skips);
    for (index, (up, stage, depth)) in SCALES.iter().enumerate() {
        let to = config.filters << (3 - index);
        x = b.up(x, &format!("{prefix}{up}"), [2 * to, to], skips[3 - index], upsampling)?;
        x = b.stage(x, &format!("{prefix}{stage}"), *depth, [to, to])?;
        scales[index] = x;
    }
    let dropped = b.program.dropout(x, config.dropout, &format!("{prefix}before head"));
    Ok(Decoded { scales: [scales[0], scales[1], scales[2], x], dropped })
}

/// The decoder of a network with one head, and that head.
pub(crate) fn decoder_and_head(
    b: &mut Builder,
    skips: [Value; 5],
    config: &NetworkConfig,
) -> Result<Decoded> {
    let decoded = decoder(b, "", skips, Upsampling::Transposed, config)?;
    let [weight, bias] = head(b, "out_conv", [config.filters, config.num_classes])?;
    b.program.head(decoded.dropped, weight, bias);
    Ok(decoded)
}

/// Weight and bias of a head, from so many channels to so many.
pub(crate) fn head(b: &mut Builder, name: &str, [from, to]: [usize; 2]) -> Result<[Range<usize>; 2]> {
    let dims = [to, from, 1, 1, 1];
    Ok([b.init.weight(name, dims)?, b.init.bias(name, to, dims)?])
}
