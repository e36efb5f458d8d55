//! V-Net (Milletari, Navab and Ahmadi 2016) as the semi-supervised field uses it: no residual inside stages, skips that
//! add, batch normalisation, dropout of channels at the bottleneck and before the head.

use crate::NetworkConfig;
use crate::decoder::decoder;
use crate::layers::Builder;
use crate::network::Features;
use candle_core::Result;
use tandem_ops3d::program::Value;

/// Stage names and depths of the encoder, finest first.
const STAGES: [(&str, usize); 5] =
    [("block_one", 1), ("block_two", 2), ("block_three", 3), ("block_four", 3), ("block_five", 3)];

pub(crate) fn vnet(b: &mut Builder, image: Value, config: &NetworkConfig) -> Result<Features> {
    let (mut x, mut skips) = (image, Vec::new());
    for (index, (name, depth)) in STAGES.iter().enumerate() {
        let width = config.filters << index;
        let from = if index == 0 { config.in_channels } else { width };
        x = b.stage(x, name, *depth, [from, width])?;
        if index < 4 {
            skips.push(x);
            x = b.down(x, &format!("{name}_dw"), [width, 2 * width])?;
        }
    }
    let bottom = b.program.dropout(x, config.dropout, "bottleneck");
    decoder(b, [skips[0], skips[1], skips[2], skips[3], bottom], config)
}
