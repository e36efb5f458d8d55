//! From a name and a configuration to a network.

use crate::initialise::Initialiser;
use crate::layers::Builder;
use crate::network::{Features, Network};
use crate::parameters::{Declared, Parameters};
use crate::resnet34::resnet34;
use crate::segmenter::Segmenter;
use crate::vnet::vnet;
use crate::vnet_dtc::vnet_dtc;
use crate::vnet_mcnet::vnet_mcnet;
use crate::vnet_urpc::vnet_urpc;
use candle_core::{Result, bail};
use std::collections::BTreeMap;
use std::sync::Arc;
use tandem_ops3d::Device;
use tandem_ops3d::program::{Footprint, LayerShape, Precision, Program, Value};

/// What a network's size depends on.
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkConfig {
    /// Channels of the scan, at least 1: 1 for CT or one MRI contrast.
    pub in_channels: usize,
    /// Classes, at least 2, background included.
    pub num_classes: usize,
    /// Channels at full resolution, at least 1; doubled with every halving. 16 in the published networks.
    pub filters: usize,
    /// Share of channels dropped in training, from 0 to below 1; 0.5 in the published networks.
    pub dropout: f64,
    /// How activations and their gradients are stored.
    pub precision: Precision,
}

impl Default for NetworkConfig {
    /// The published networks: one channel, two classes, 16 filters, dropout 0.5, f32.
    fn default() -> Self {
        NetworkConfig { in_channels: 1, num_classes: 2, filters: 16, dropout: 0.5, precision: Precision::F32 }
    }
}

/// Adds a network's layers to what reads the image.
type Declare = fn(&mut Builder, Value, &NetworkConfig) -> Result<Features>;

/// All networks, by name.
const ARCHITECTURES: &[(&str, Declare)] = &[
    ("vnet", vnet),
    ("resnet34", resnet34),
    ("vnet-dtc", vnet_dtc),
    ("vnet-mcnet", vnet_mcnet),
    ("vnet-urpc", vnet_urpc),
];

/// The names that [`build`] knows.
///
/// | Name | Network | Further heads |
/// |---|---|---|
/// | `vnet` | V-Net (Milletari, Navab and Ahmadi, 3DV 2016) with batch normalisation and added skips | - |
/// | `resnet34` | 3-D ResNet-34 (He et al., CVPR 2016) with the V-Net's decoder | - |
/// | `vnet-dtc` | V-Net of DTC (Luo et al., AAAI 2021) | `distance` |
/// | `vnet-mcnet` | V-Net of MC-Net+ (Wu et al., Medical Image Analysis 2022) | `trilinear`, `nearest` |
/// | `vnet-urpc` | V-Net of URPC (Luo et al., MICCAI 2021) | `half`, `quarter`, `eighth` |
pub fn architectures() -> impl Iterator<Item = &'static str> {
    ARCHITECTURES.iter().map(|(name, _)| *name)
}

/// Builds a network that runs on a device, with initial weights drawn from `seed`: convolutions by Kaiming's normal distribution, as in the published
/// networks. An example is on the [front page](crate).
///
/// # Errors
/// Where the architecture is unknown or a size is 0.
pub fn build(
    architecture: &str,
    config: &NetworkConfig,
    seed: u64,
    device: &Device,
) -> Result<(Box<dyn Segmenter>, Parameters)> {
    let (program, declared, features) = declare(architecture, config, seed)?;
    let parameters = declared.finish(device)?;
    let program = Arc::new(program);
    let network = Network { program, parameters: parameters.clone(), config: config.clone(), features };
    Ok((Box::new(network), parameters))
}

/// The convolutions of a network in the order in which they run, for `images` patches of these sides.
///
/// # Errors
/// As [`build`], and where a side is too small to be halved four times.
pub fn layers(
    architecture: &str,
    config: &NetworkConfig,
    images: usize,
    [d, h, w]: [usize; 3],
) -> Result<Vec<LayerShape>> {
    let (program, ..) = declare(architecture, config, 0)?;
    program.layers([images, config.in_channels, d, h, w])
}

/// The layers of a network, to be looked at.
///
/// # Errors
/// As [`build`].
pub fn program(architecture: &str, config: &NetworkConfig) -> Result<Program> {
    Ok(declare(architecture, config, 0)?.0)
}

/// Name and shape of every parameter of a network, running statistics included, sorted by name; no memory is taken for
/// their values.
///
/// # Errors
/// As [`build`].
pub fn shapes(architecture: &str, config: &NetworkConfig) -> Result<BTreeMap<String, Vec<usize>>> {
    Ok(declare(architecture, config, 0)?.1.shapes())
}

/// How large a network is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Numbers that the optimiser moves.
    pub weights: usize,
    /// Channels that its further heads make beside the logits.
    pub further_channels: usize,
    /// Bytes that its passes hold.
    pub passes: Footprint,
}

/// The size of a network that runs on `images` patches of these sides on a device, by shapes alone.
///
/// # Errors
/// As [`layers`].
pub fn size(
    architecture: &str,
    config: &NetworkConfig,
    (images, [d, h, w]): (usize, [usize; 3]),
    device: &Device,
) -> Result<Size> {
    let (program, declared, _) = declare(architecture, config, 0)?;
    let passes = program.footprint([images, config.in_channels, d, h, w], config.precision, device)?;
    Ok(Size { weights: declared.count(), further_channels: program.further_channels(), passes })
}

/// The layers of a network, and their parameters with initial values.
fn declare(architecture: &str, config: &NetworkConfig, seed: u64) -> Result<(Program, Declared, Features)> {
    if config.in_channels == 0 || config.num_classes < 2 || config.filters == 0 {
        bail!("a network needs an input channel, two classes and a filter at least, got {config:?}")
    }
    let Some((_, network)) = ARCHITECTURES.iter().find(|(name, _)| *name == architecture) else {
        let known: Vec<_> = architectures().collect();
        bail!("unknown architecture {architecture:?}; known are {}", known.join(", "))
    };
    let mut declared = Declared::default();
    let (program, image) = Program::new();
    let init = Initialiser { parameters: &mut declared, architecture, seed };
    let mut builder = Builder { program, init };
    let features = network(&mut builder, image, config)?;
    Ok((builder.program, declared, features))
}
