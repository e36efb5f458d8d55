//! The V-Net of URPC (Luo et al., MICCAI 2021): a head on each scale of the decoder.
//!
//! The released code has these heads on a U-Net with dropout at every scale; here the dropouts are the V-Net's.

use crate::NetworkConfig;
use crate::decoder::{decoder_and_head, head};
use crate::layers::Builder;
use crate::network::Features;
use crate::vnet::encoder;
use candle_core::Result;
use tandem_ops3d::program::Value;

/// Output, parameters (as the released network calls them) and filters' factor of the heads beside the logits, from the coarsest.
const HEADS: [(&str, &str, usize); 3] =
    [("eighth", "dsv4.dsv.0", 8), ("quarter", "dsv3.dsv.0", 4), ("half", "dsv2.dsv.0", 2)];

pub(crate) fn vnet_urpc(b: &mut Builder, image: Value, config: &NetworkConfig) -> Result<Features> {
    let skips = encoder(b, "", image, config)?;
    let decoded = decoder_and_head(b, skips, config)?;
    for ((output, name, factor), scale) in HEADS.into_iter().zip(decoded.scales) {
        let [weight, bias] = head(b, name, [factor * config.filters, config.num_classes])?;
        b.program.further_head(output, scale, weight, bias);
    }
    Ok(decoded.features())
}
