//! Uncommitted: times kernels.
use crate::conv_shape::{Conv3dParams, ConvShape};
use crate::cpu::gather::Store;
use crate::cpu::pad::Padded;
use crate::cpu::{conv, filter, winograd};
use std::time::Instant;

fn best(mut f: impl FnMut()) -> f64 {
    f();
    let n: usize = std::env::var("N").ok().and_then(|n| n.parse().ok()).unwrap_or(5);
    (0..n)
        .map(|_| {
            let t = Instant::now();
            f();
            t.elapsed().as_secs_f64()
        })
        .fold(f64::INFINITY, f64::min)
}

#[test]
fn tune() {
    let only = std::env::var("ONLY").unwrap_or_default();
    let batch: usize = std::env::var("BATCH").ok().and_then(|n| n.parse().ok()).unwrap_or(2);
    let layers = [
        ("c16", 16, 16, 3, 1, 1, [112, 112, 80]),
        ("c32", 32, 32, 3, 1, 1, [56, 56, 40]),
        ("c64", 64, 64, 3, 1, 1, [28, 28, 20]),
        ("c128", 128, 128, 3, 1, 1, [14, 14, 10]),
        ("c256", 256, 256, 3, 1, 1, [7, 7, 5]),
        ("first", 1, 16, 3, 1, 1, [112, 112, 80]),
        ("stem", 1, 16, 7, 1, 3, [112, 112, 80]),
        ("down16", 16, 32, 2, 2, 0, [112, 112, 80]),
        ("down32", 32, 64, 2, 2, 0, [56, 56, 40]),
        ("down64", 64, 128, 2, 2, 0, [28, 28, 20]),
        ("down128", 128, 256, 2, 2, 0, [14, 14, 10]),
        ("s2_16", 16, 32, 3, 2, 1, [112, 112, 80]),
        ("s2_32", 32, 64, 3, 2, 1, [56, 56, 40]),
        ("s2_64", 64, 128, 3, 2, 1, [28, 28, 20]),
        ("s2_128", 128, 256, 3, 2, 1, [14, 14, 10]),
        ("sc16", 16, 32, 1, 2, 0, [112, 112, 80]),
        ("sc32", 32, 64, 1, 2, 0, [56, 56, 40]),
        ("sc64", 64, 128, 1, 2, 0, [28, 28, 20]),
        ("sc128", 128, 256, 1, 2, 0, [14, 14, 10]),
        ("c8", 8, 8, 3, 1, 1, [64, 64, 32]),
        ("c16s", 16, 16, 3, 1, 1, [32, 32, 16]),
        ("c32s", 32, 32, 3, 1, 1, [16, 16, 8]),
        ("c64s", 64, 64, 3, 1, 1, [8, 8, 4]),
        ("c128s", 128, 128, 3, 1, 1, [4, 4, 2]),
        ("head", 16, 2, 1, 1, 0, [112, 112, 80]),
    ];
    for (name, ci, co, k, s, p, [d, h, w]) in layers {
        if !only.is_empty() && !only.split(',').any(|o| o == name) {
            continue;
        }
        let shape =
            ConvShape::of_conv(&[batch, d, h, w, ci], &[co, ci, k, k, k], Conv3dParams::uniform(s, p))
                .unwrap();
        let image: Vec<f32> =
            (0..batch * d * h * w * ci).map(|i| ((i * 7919) % 1013) as f32 / 500.0 - 1.0).collect();
        let response: Vec<f32> = (0..shape.response_dims().iter().product())
            .map(|i: usize| ((i * 7919) % 1013) as f32 / 500.0 - 1.0)
            .collect();
        let weight: Vec<f32> =
            (0..co * ci * k * k * k).map(|i| ((i * 7919) % 1013) as f32 / 500.0 - 1.0).collect();
        let fi = Padded::copy(&image, shape.image_dims(), shape.image_frame());
        let fr = Padded::copy(&response, shape.response_dims(), shape.response_frame());
        let flop = 2.0 * (response.len() * ci * k * k * k) as f64 / 1e9;
        let (mut to, mut back) = (response.clone(), image.clone());
        let mut line = format!("{name:8} {flop:6.2} GFLOP ");
        let mut add = |what: &str, t: f64| line += &format!(" {what} {:7.2} ms {:5.0} |", t * 1e3, flop / t);
        add("fwd", best(|| conv::respond(&shape, &fi, &weight, None, (&mut to, Store::Write))));
        if winograd::pays(&shape) {
            add("W", best(|| winograd::respond(&shape, &fi, &weight, None, (&mut to, Store::Write))));
        }
        if ci > 1 {
            add("dx", best(|| conv::spread(&shape, &fr, &weight, None, (&mut back, Store::Write))));
            if winograd::pays(&shape) {
                add("W", best(|| winograd::spread(&shape, &fr, &weight, None, (&mut back, Store::Write))));
            }
        }
        add(
            "dw",
            best(|| {
                filter::weight_gradient(&shape, &fi, &fr);
            }),
        );
        if winograd::pays(&shape) {
            add(
                "W",
                best(|| {
                    winograd::weight_gradient(&shape, &fi, &fr);
                }),
            );
        }
        println!("{line}");
    }
}
