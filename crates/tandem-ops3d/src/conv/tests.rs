use crate::conv_shape::{Conv3dParams, ConvShape};
use crate::cpu;
use crate::cpu::pad::{Rows, copy_row};
use crate::reference::{self, check_outputs};
use tandem_random::Draws;
use tandem_reference::relative_error;

fn random(len: usize, slot: u64) -> Vec<f32> {
    let mut draws = Draws::new(11, "conv tests", 0, slot);
    (0..len).map(|_| draws.normal() as f32).collect()
}

/// Forward, input gradient and weight gradient against plain loops. f32 sums of up to 2,000 products: 1e-5.
fn check(input: [usize; 5], co: usize, kernel: [usize; 3], params: Conv3dParams) {
    let shape = ConvShape::of_conv(&input, &[co, input[4], kernel[0], kernel[1], kernel[2]], params).unwrap();
    let image = random(input.iter().product(), 0);
    let response = random(shape.response_dims().iter().product(), 1);
    let weight = random(shape.weight_dims().iter().product(), 2);
    let biases = random(co.max(input[4]), 3);
    let (image_dims, response_dims) = (shape.image_dims(), shape.response_dims());
    let (read_image, read_response) = (copy_row(&image, image_dims), copy_row(&response, response_dims));
    let expected = [
        reference::respond(&shape, &image, &weight),
        reference::spread(&shape, &response, &weight),
        reference::weight_gradient(&shape, &image, &response),
    ];
    // Images that are read by rows only, and such that also lie in memory.
    for lent in [false, true] {
        let image = Rows { dims: image_dims, read: &read_image, whole: lent.then_some(&image[..]) };
        let response =
            Rows { dims: response_dims, read: &read_response, whole: lent.then_some(&response[..]) };
        let [responded, spread, gradient] = &expected;
        let respond =
            |bias: Option<&[f32]>, to: (&mut [f32], _)| cpu::conv::respond(&shape, image, &weight, bias, to);
        check_outputs(&shape, (responded, 1e-5), &biases[..co], respond);
        let back = |bias: Option<&[f32]>, to: (&mut [f32], _)| {
            cpu::conv::spread(&shape, response, &weight, bias, to)
        };
        check_outputs(&shape, (spread, 1e-5), &biases[..input[4]], back);
        let mut ours = vec![f32::NAN; weight.len()];
        cpu::filter::weight_gradient(&shape, image, response, &mut ours);
        assert!(relative_error(&ours, gradient) < 1e-5, "weight gradient of {shape:?}");
    }
}

#[test]
fn every_channel_tail() {
    for channels in 1..=18 {
        check([1, 3, 4, 5, channels], 19 - channels, [3; 3], Conv3dParams::uniform(1, 1));
        check([1, 3, 2, 5, 3], channels + 31, [3; 3], Conv3dParams::uniform(1, 1));
        check([1, 5, 4, 7, channels + 16], channels, [3; 3], Conv3dParams::uniform(2, 1));
        check([1, 4, 6, 5, channels], 17, [2; 3], Conv3dParams::uniform(2, 0));
    }
    // Blocks of up to four vectors.
    for channels in [63, 64, 65, 79, 97, 112, 150] {
        check([1, 3, 4, 5, 3], channels, [3; 3], Conv3dParams::uniform(2, 1));
        check([2, 3, 2, 5, channels], 5, [2, 3, 1], Conv3dParams::uniform(1, 1));
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
            for channels in 1..=4 {
                let input = [2, sides[0], sides[1], sides[2], channels];
                check(input, 5, kernel, Conv3dParams::uniform(stride, padding));
            }
        }
    }
}

/// By minimal filtering along W where there are many registers: tiles of four voxels, in blocks of ten and of four.
#[test]
fn rows_of_five_to_eight_taps_in_images_of_one_channel() {
    for (taps, channels) in [(5, 3), (6, 16), (7, 33), (8, 9)] {
        for sides in [[3, 4, 37], [2, 3, 40], [4, 5, 83], [1, 2, 3]] {
            let input = [2, sides[0], sides[1], sides[2], 1];
            check(input, channels, [3, 2, taps], Conv3dParams { stride: [1; 3], padding: [1, 1, taps / 2] });
            check(
                input,
                channels,
                [1, 3, taps],
                Conv3dParams { stride: [2, 1, 1], padding: [0, 2, taps - 1] },
            );
        }
    }
    // The stem of the residual network, by tasks of several planes.
    check([1, 12, 14, 48, 1], 16, [7; 3], Conv3dParams::uniform(1, 3));
}

#[test]
fn unequal_strides_and_paddings_per_axis() {
    let params = Conv3dParams { stride: [1, 2, 3], padding: [2, 0, 1] };
    check([1, 6, 7, 8, 4], 9, [3, 2, 4], params);
}

#[test]
fn volumes_larger_than_a_task() {
    check([2, 9, 11, 13, 8], 16, [3; 3], Conv3dParams::uniform(1, 1));
    check([1, 16, 12, 10, 2], 33, [3; 3], Conv3dParams::uniform(2, 1));
}

/// More than a mebibyte of weights: all voxels of an image pass by a block of channels, and taps beyond the image are left out.
#[test]
fn weights_larger_than_the_cache() {
    for (sides, kernel, stride, padding) in [
        ([7, 6, 5], [3, 3, 3], 2, 1),
        ([4, 3, 5], [3, 3, 3], 1, 1),
        ([1, 2, 1], [3, 3, 3], 1, 1),
        ([3, 4, 2], [4, 5, 3], 1, 3),
        ([2, 3, 4], [3, 3, 3], 3, 2),
    ] {
        check([2, sides[0], sides[1], sides[2], 81], 133, kernel, Conv3dParams::uniform(stride, padding));
    }
}

/// From 128 KiB of weights on, taps beyond the image are left out, by tasks of some rows each.
#[test]
fn weights_that_stay_in_the_cache_without_taps_beyond_the_image() {
    for (sides, kernel, stride, padding) in [
        ([19, 23, 9], [3, 3, 3], 2, 1),
        ([9, 3, 31], [3, 3, 3], 1, 1),
        ([1, 2, 1], [3, 3, 3], 2, 1),
        ([5, 14, 6], [4, 5, 3], 1, 3),
        ([12, 7, 8], [3, 3, 3], 3, 2),
    ] {
        check([2, sides[0], sides[1], sides[2], 37], 65, kernel, Conv3dParams::uniform(stride, padding));
    }
}
