//! The V-Net decoder that both networks end in.

use crate::NetworkConfig;
use crate::layers::Builder;
use crate::network::Features;
use candle_core::Result;
use tandem_ops3d::program::Value;

/// Name, stage name and depth of each scale, from the coarsest.
const SCALES: [(&str, &str, usize); 4] = [
    ("block_five_up", "block_six", 3),
    ("block_six_up", "block_seven", 3),
    ("block_seven_up", "block_eight", 2),
    ("block_eight_up", "block_nine", 1),
];

/// Four times: double the sides, add the skip of that scale (add, not concatenate), convolve. Then dropout and the head.
///
/// Takes the encoder's five scales, finest first.
pub(crate) fn decoder(b: &mut Builder, skips: [Value; 5], config: &NetworkConfig) -> Result<Features> {
    let mut x = skips[4];
    for (index, (up, stage, depth)) in SCALES.iter().enumerate() {
        let to = config.filters << (3 - index);
        x = b.up(x, up, [2 * to, to], skips[3 - index])?;
        x = b.stage(x, stage, *depth, [to, to])?;
    }
    let dropped = b.program.dropout(x, config.dropout, "before head");
    let dims = [config.num_classes, config.filters, 1, 1, 1];
    let weight = b.init.weight("out_conv", dims)?;
    let bias = b.init.bias("out_conv", config.num_classes, dims)?;
    b.program.head(dropped, weight, bias);
    Ok(Features { kept: x, dropped })
}
