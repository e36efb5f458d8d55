use crate::conv_shape::{Conv3dParams, ConvShape};
use crate::cpu::bf16 as kernels;
use crate::cpu::element::Element;
use crate::cpu::pad::Padded;
use crate::cpu::path::cpu_path;
use crate::reference::{self, check_outputs};
use half::bf16;
use tandem_random::Draws;
use tandem_reference::relative_error;

/// Random values that bf16 holds.
fn random(len: usize, slot: u64) -> Vec<f32> {
    let mut draws = Draws::new(17, "amx tests", 0, slot);
    (0..len).map(|_| Element::to_f32(<bf16 as Element>::from_f32(draws.normal() as f32))).collect()
}

fn rounded(values: &[f32]) -> Vec<bf16> {
    values.iter().map(|value| Element::from_f32(*value)).collect()
}

/// Forward, input gradient and weight gradient against plain loops on the same values. Outputs are rounded to eight bits.
fn check(input: [usize; 5], co: usize, kernel: [usize; 3], params: Conv3dParams) {
    if !cpu_path().multiplies_bf16() {
        eprintln!("path {}, without products of bf16: {input:?} -> {co} is not tested", cpu_path().name());
        return;
    }
    let shape = ConvShape::of_conv(&input, &[co, input[4], kernel[0], kernel[1], kernel[2]], params).unwrap();
    let image = random(input.iter().product(), 0);
    let response = random(shape.response_dims().iter().product(), 1);
    let weight = random(shape.weight_dims().iter().product(), 2);
    let framed_image = Padded::copy(&rounded(&image), shape.image_dims(), shape.image_frame());
    let framed_response = Padded::copy(&rounded(&response), shape.response_dims(), shape.response_frame());
    let biases = random(co.max(input[4]), 3);

    let (bias, expected) = (&biases[..co], reference::respond(&shape, &image, &weight));
    let respond = |bias: Option<&[f32]>, to: (&mut [bf16], _)| {
        kernels::respond(&shape, &framed_image, &weight, bias, to)
    };
    check_outputs(&shape, (&expected, 1e-2), bias, respond);
    let (bias, expected) = (&biases[..input[4]], reference::spread(&shape, &response, &weight));
    let spread = |bias: Option<&[f32]>, to: (&mut [bf16], _)| {
        kernels::spread(&shape, &framed_response, &weight, bias, to)
    };
    check_outputs(&shape, (&expected, 1e-2), bias, spread);

    let mut ours = vec![f32::NAN; weight.len()];
    kernels::weight_gradient(&shape, &framed_image, &framed_response, &mut ours);
    let expected = reference::weight_gradient(&shape, &image, &response);
    let error = relative_error(&ours, &expected);
    assert!(error < 1e-5, "weight gradient of {shape:?}: {error}");
}

#[test]
fn every_channel_tail() {
    for channels in 1..=18 {
        check([1, 3, 4, 5, channels], 19 - channels, [3; 3], Conv3dParams::uniform(1, 1));
        check([1, 3, 2, 5, 3], channels + 31, [3; 3], Conv3dParams::uniform(1, 1));
        check([1, 3, 2, 4, channels + 31], 3, [3; 3], Conv3dParams::uniform(1, 1));
        check([1, 5, 4, 6, channels], channels, [3; 3], Conv3dParams::uniform(2, 1));
    }
}

#[test]
fn odd_sides_kernels_strides_and_paddings() {
    for (kernel, stride, padding) in [
        ([1, 1, 1], 1, 0),
        ([1, 1, 1], 2, 0),
        ([2, 2, 2], 2, 0),
        ([3, 3, 3], 2, 1),
        ([7, 7, 7], 1, 3),
        ([2, 3, 1], 3, 2),
        ([5, 4, 3], 2, 0),
        ([3, 3, 3], 1, 2),
    ] {
        for sides in [[7, 5, 9], [8, 6, 4], [5, 7, 13]] {
            for channels in [1, 2, 3, 4, 16] {
                let params = Conv3dParams::uniform(stride, padding);
                check([2, sides[0], sides[1], sides[2], channels], 5, kernel, params);
            }
        }
    }
}

#[test]
fn unequal_strides_and_paddings_per_axis() {
    let params = Conv3dParams { stride: [1, 2, 3], padding: [2, 0, 1] };
    check([1, 6, 7, 8, 4], 9, [3, 2, 4], params);
    check([2, 6, 7, 9, 1], 16, [3, 2, 4], params);
}

/// Taps along W in place of the one channel: fewer than a tile has, as many, more; one; strides along each axis; two blocks.
#[test]
fn one_channel() {
    for taps in [1, 2, 5, 15, 16, 17, 33] {
        for stride in [[1, 1, 1], [1, 1, 2], [2, 3, 1]] {
            let params = Conv3dParams { stride, padding: [1, 1, taps / 2] };
            check([2, 5, 4, 35, 1], 7, [3, 2, taps], params);
        }
    }
    check([2, 40, 20, 24, 1], 16, [3, 2, 3], Conv3dParams::uniform(1, 1));
}

/// The forms of the networks' layers, on few voxels.
#[test]
fn layers_of_the_networks() {
    for channels in [8, 16, 32, 64] {
        for sides in [[9, 10, 12], [5, 3, 5], [4, 17, 40]] {
            let [d, h, w] = if channels == 64 { [3, 4, 5] } else { sides };
            check([2, d, h, w, channels], channels, [3; 3], Conv3dParams::uniform(1, 1));
            check([1, d, h, w, channels], 2 * channels, [2; 3], Conv3dParams::uniform(2, 0));
            check([1, d, h, w, channels], 2 * channels, [3; 3], Conv3dParams::uniform(2, 1));
            check([1, d, h, w, channels], 2 * channels, [1; 3], Conv3dParams::uniform(2, 0));
        }
    }
    check([2, 6, 12, 34, 1], 16, [3; 3], Conv3dParams::uniform(1, 1));
    check([1, 8, 9, 22, 1], 16, [7; 3], Conv3dParams::uniform(1, 3));
    check([2, 4, 5, 6, 16], 2, [1; 3], Conv3dParams::uniform(1, 0));
    // Planes of fewer voxels than a tile has rows.
    check([2, 3, 2, 3, 128], 96, [3; 3], Conv3dParams::uniform(1, 1));
    check([4, 3, 3, 2, 256], 224, [3; 3], Conv3dParams::uniform(1, 1));
    check([2, 5, 6, 4, 128], 128, [3; 3], Conv3dParams::uniform(1, 1));
    check([3, 5, 3, 3, 96], 160, [3; 3], Conv3dParams::uniform(2, 1));
    // Channels that fill whole tiles, with taps of other numbers.
    check([1, 4, 5, 6, 32], 48, [5, 4, 3], Conv3dParams::uniform(1, 2));
    check([1, 3, 4, 5, 96], 32, [3, 2, 3], Conv3dParams::uniform(1, 1));
}
