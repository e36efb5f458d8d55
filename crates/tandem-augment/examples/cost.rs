//! What each transform of a patch costs on one core.
//!
//! `cargo run --release -p tandem-augment --example cost [I J K [CHANNELS]]` prints the best of 15 in ms.

use ndarray::{Array3, Array4};
use std::time::Instant;
use tandem_augment::{Augmentation, Patch, RandomTransform, Transform};
use tandem_random::Draws;

/// Every transform, always.
const ALL: &str = r#"{
    "turn": { "probability": [0, 0, 1] },
    "flip": { "probability": [1, 1, 1] },
    "affine": { "probability": 1, "rotation_degrees": [15, 15, 15], "scale": [0.8, 1.25], "shift_mm": [5, 5, 5] },
    "elastic": { "probability": 1, "knots_mm": 24, "displacement_mm": [4, 8] },
    "bias_field": { "probability": 1, "coefficient": 0.3 },
    "brightness": { "probability": 1, "factor": [0.75, 1.25], "offset": [-0.2, 0.2] },
    "contrast": { "probability": 1, "factor": [0.75, 1.25] },
    "gamma": { "probability": 1, "exponent": [0.7, 1.5], "inverted": 0.5 },
    "blur": { "probability": 1, "sigma_voxels": [0.5, 1] },
    "low_resolution": { "probability": 1, "zoom": [0.5, 1] },
    "noise": { "probability": 1, "deviation": [0.1, 0.3] }
}"#;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<usize> = std::env::args().skip(1).map(|a| a.parse()).collect::<Result<_, _>>()?;
    let number = |at: usize, otherwise: usize| arguments.get(at).copied().unwrap_or(otherwise);
    let shape @ [i, j, k] = [number(0, 112), number(1, 112), number(2, 80)];
    let mut draws = Draws::new(1, "cost", 0, 0);
    let image = Array4::from_shape_simple_fn((number(3, 1), i, j, k), || draws.normal() as f32);
    let patch = Patch::new(image, Some(Array3::from_shape_fn(shape, |(i, _, _)| (i % 3) as u8)))?;

    let all: Augmentation = serde_json::from_str(ALL)?;
    all.check(shape)?;
    let drawn = all.draw(shape, &mut Draws::new(1, "cost", 0, 1));
    let one = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    println!("patch {shape:?}, {} channels", number(3, 1));
    for transform in &drawn {
        let name = serde_json::to_value(transform)?["transform"].clone();
        println!(
            "{:>16} {:7.2} ms",
            name.as_str().unwrap_or_default(),
            one.install(|| cost(transform, &patch))
        );
    }
    let (spatial, intensity): (Vec<_>, Vec<_>) = drawn.iter().cloned().partition(Transform::is_spatial);
    for (name, drawn) in [("all spatial", spatial), ("all intensity", intensity), ("all", drawn)] {
        println!("{name:>16} {:7.2} ms", one.install(|| cost(&drawn, &patch)));
    }
    Ok(())
}

/// The best of 15 applications, in ms.
fn cost(transform: &impl Transform, patch: &Patch) -> f64 {
    let once = || {
        let patch = patch.clone();
        let start = Instant::now();
        let changed = transform.apply(patch);
        let taken = start.elapsed().as_secs_f64() * 1e3;
        std::hint::black_box(changed);
        taken
    };
    (0..15).map(|_| once()).fold(f64::INFINITY, f64::min)
}
