//! V-Net (Milletari, Navab and Ahmadi 2016) as the semi-supervised field uses it: no residual inside stages, skips that
//! add, batch normalisation, dropout of channels at the bottleneck and before the head.

use crate::NetworkConfig;
use crate::decoder::decoder_and_head;
use crate::layers::Builder;
use crate::network::Features;
use candle_core::Result;
use tandem_ops3d::program::Value;

/// Stage names and depths of the encoder, finest first.
const STAGES: [(&str, usize); 5] =
    [("block_one", 1), ("block_two", 2), ("block_three", 3), ("block_four", 3), ("block_five", 3)];

pub(crate) fn vnet(b: &mut Builder, image: Value, config: &NetworkConfig) -> Result<Features> {
    let skips = encoder(b, "", image, config)?;
    Ok(decoder_and_head(b, skips, config)?.features())
}

/// Five scales, finest first; the coarsest after dropout. Parameters are named under the prefix.
pub(crate) fn encoder(
    b: &mut Builder,
    prefix: &str,
    image: Value,
    config: &NetworkConfig,
) -> Result<[Value; 5]> {
    let (mut x, mut skips) = (image, [image; 5]);
    for (index, (name, depth)) in STAGES.iter().enumerate() {
        let name = format!("{prefix}{name}");
        let width = config.filters << index;
        let from = if index == 0 { config.in_channels } else { width };
        x = b.stage(x, &name, *depth, [from, width])?;
        skips[index] = x;
        if index < 4 {
            x = b.down(x, &format!("{name}_dw"), [width, 2 * width])?;
        }
    }
    skips[4] = b.program.dropout(x, config.dropout, "bottleneck");
    Ok(skips)
}
