//! The V-Net of DTC (Luo et al., AAAI 2021): beside the classes, a signed distance map of each class but the background.

use crate::NetworkConfig;
use crate::decoder::{decoder, head};
use crate::layers::{Builder, Upsampling};
use crate::network::Features;
use crate::vnet::encoder;
use candle_core::Result;
use tandem_ops3d::program::Value;

/// The output `distance`, `(N, K - 1, D, H, W)`, is that before the tanh, as logits are before the softmax. Parameters have the
/// released names, where `out_conv` is the head of the distances and `out_conv2` that of the classes; the released network
/// has one logit for two classes, this one K for K.
pub(crate) fn vnet_dtc(b: &mut Builder, image: Value, config: &NetworkConfig) -> Result<Features> {
    let skips = encoder(b, "", image, config)?;
    let decoded = decoder(b, "", skips, Upsampling::Transposed, config)?;
    let [weight, bias] = head(b, "out_conv", [config.filters, config.num_classes - 1])?;
    b.program.further_head("distance", decoded.dropped, weight, bias);
    let [weight, bias] = head(b, "out_conv2", [config.filters, config.num_classes])?;
    b.program.head(decoded.dropped, weight, bias);
    Ok(decoded.features())
}
