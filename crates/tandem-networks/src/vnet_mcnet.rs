//! The V-Net of MC-Net+ (Wu et al., Medical Image Analysis 2022): one encoder and three decoders, which double the sides in
//! different ways.

use crate::NetworkConfig;
use crate::decoder::{decoder, head};
use crate::layers::{Builder, Upsampling};
use crate::network::Features;
use crate::vnet::encoder;
use candle_core::Result;
use tandem_ops3d::Resize;
use tandem_ops3d::program::Value;

/// Output and parameters' prefix of the decoders beside that of the logits, and how they double.
const FURTHER: [(&str, &str, Resize); 2] =
    [("trilinear", "decoder2.", Resize::TrilinearAligned), ("nearest", "decoder3.", Resize::Nearest)];

pub(crate) fn vnet_mcnet(b: &mut Builder, image: Value, config: &NetworkConfig) -> Result<Features> {
    let skips = encoder(b, "encoder.", image, config)?;
    let widths = [config.filters, config.num_classes];
    let first = decoder(b, "decoder1.", skips, Upsampling::Transposed, config)?;
    let [weight, bias] = head(b, "decoder1.out_conv", widths)?;
    b.program.head(first.dropped, weight, bias);
    for (output, prefix, mode) in FURTHER {
        let decoded = decoder(b, prefix, skips, Upsampling::Interpolated(mode), config)?;
        let [weight, bias] = head(b, &format!("{prefix}out_conv"), widths)?;
        b.program.further_head(output, decoded.dropped, weight, bias);
    }
    Ok(first.features())
}
