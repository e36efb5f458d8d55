//! Seconds of one training step of a network, without its optimiser:
//! `cargo run --release -p tandem-networks --example training_step -- vnet 64 64 32 8 4`
//! (architecture, patch, filters, batch).

use candle_core::{Device, Result, Tensor};
use std::time::Instant;
use tandem_networks::{NetworkConfig, Pass, build};
use tandem_random::Draws;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |i: usize, default: usize| arguments.get(i).and_then(|a| a.parse().ok()).unwrap_or(default);
    let architecture = arguments.first().map_or("vnet", String::as_str);
    let patch = [number(1, 64), number(2, 64), number(3, 32)];
    let (filters, batch) = (number(4, 8), number(5, 4));
    let config = NetworkConfig { filters, ..Default::default() };
    let (network, parameters) = build(architecture, &config, 1, &Device::Cpu)?;
    let mut draws = Draws::new(1, "image", 0, 0);
    let values: Vec<f32> =
        (0..batch * patch.iter().product::<usize>()).map(|_| draws.normal() as f32).collect();
    let image = Tensor::from_vec(values, (batch, 1, patch[0], patch[1], patch[2]), &Device::Cpu)?;
    let mut best = [f64::INFINITY; 2];
    for step in 0..number(6, 5) {
        let start = Instant::now();
        let output = network.forward(&image, Pass::Train { dropout: step as u64 })?;
        let forward = start.elapsed().as_secs_f64();
        let loss = output.logits.sqr()?.mean_all()?;
        let grads = loss.backward()?;
        assert!(parameters.weights().all(|(_, var)| grads.get(var).is_some()));
        let whole = start.elapsed().as_secs_f64();
        println!("step {step}: forward {forward:.3} s, forward and backward {whole:.3} s");
        best = [best[0].min(forward), best[1].min(whole)];
    }
    println!(
        "{architecture} {patch:?} f{filters} b{batch}: best forward {:.3} s, best step {:.3} s",
        best[0], best[1]
    );
    Ok(())
}
