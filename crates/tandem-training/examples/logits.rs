//! What the networks of a run or model folder make of an image: for comparisons with other programs (`tests/peers`).
//!
//! ```text
//! cargo run -p tandem-training --example logits -- MODEL IN.safetensors OUT.safetensors
//! ```
//!
//! `IN` holds tensors `(N, C, D, H, W)`; `OUT` gets `NETWORK/TENSOR` for each network of the model, and `NETWORK/TENSOR/HEAD` for
//! its further heads. With `--shapes ARCHITECTURE` alone it prints the parameters of a small network as JSON.
#![forbid(unsafe_code)]

use candle_core::{Device, Tensor};
use std::collections::HashMap;
use std::error::Error;
use std::path::Path;
use tandem_networks::{NetworkConfig, Pass, shapes};
use tandem_training::Model;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, architecture] = &arguments[..]
        && flag == "--shapes"
    {
        let config = NetworkConfig { in_channels: 2, num_classes: 3, filters: 4, ..NetworkConfig::default() };
        println!("{}", serde_json::to_string(&shapes(architecture, &config)?)?);
        return Ok(());
    }
    let [model, input, output] = &arguments[..] else {
        return Err("usage: logits MODEL IN.safetensors OUT.safetensors".into());
    };
    let model = Model::open(Path::new(model), &tandem_networks::Device::Cpu)?;
    let images = candle_core::safetensors::load(input, &Device::Cpu)?;
    let mut made: HashMap<String, Tensor> = HashMap::new();
    for (network, segmenter) in model.networks() {
        for (name, image) in &images {
            let outputs = segmenter.forward(image, Pass::Evaluate)?;
            let name = format!("{}/{name}", network.name);
            for (head, values) in outputs.extra {
                made.insert(format!("{name}/{head}"), values);
            }
            made.insert(name, outputs.logits.get()?);
        }
    }
    candle_core::safetensors::save(&made, output)?;
    Ok(())
}
