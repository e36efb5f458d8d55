use crate::conv_shape::{Conv3dParams, ConvShape};
use crate::cpu::pad::{Rows, copy_row};
use crate::cpu::winograd;
use crate::reference::{self, check_outputs};
use tandem_random::Draws;
use tandem_reference::relative_error;

fn random(len: usize, slot: u64) -> Vec<f32> {
    let mut draws = Draws::new(23, "winograd tests", 0, slot);
    (0..len).map(|_| draws.normal() as f32).collect()
}

/// Forward, input gradient and weight gradient against plain loops.
fn check(batch: usize, sides: [usize; 3], [ci, co]: [usize; 2], padding: [usize; 3]) {
    let params = Conv3dParams { stride: [1; 3], padding };
    let input = [batch, sides[0], sides[1], sides[2], ci];
    let shape = ConvShape::of_conv(&input, &[co, ci, 3, 3, 3], params).unwrap();
    let image = random(input.iter().product(), 0);
    let response = random(shape.response_dims().iter().product(), 1);
    let weight = random(shape.weight_dims().iter().product(), 2);
    let (image_dims, response_dims) = (shape.image_dims(), shape.response_dims());
    let (read_image, read_response) = (copy_row(&image, image_dims), copy_row(&response, response_dims));
    let image_rows = Rows { dims: image_dims, read: &read_image, whole: None };
    let response_rows = Rows { dims: response_dims, read: &read_response, whole: None };
    let biases = random(ci.max(co), 3);

    let (bias, expected) = (&biases[..co], reference::respond(&shape, &image, &weight));
    let respond =
        |bias: Option<&[f32]>, to: (&mut [f32], _)| winograd::respond(&shape, image_rows, &weight, bias, to);
    check_outputs(&shape, (&expected, 5e-6), bias, respond);
    let (bias, expected) = (&biases[..ci], reference::spread(&shape, &response, &weight));
    let spread = |bias: Option<&[f32]>, to: (&mut [f32], _)| {
        winograd::spread(&shape, response_rows, &weight, bias, to)
    };
    check_outputs(&shape, (&expected, 5e-6), bias, spread);
    let mut ours = vec![f32::NAN; weight.len()];
    winograd::weight_gradient(&shape, image_rows, response_rows, &mut ours);
    let expected = reference::weight_gradient(&shape, &image, &response);
    let error = relative_error(&ours, &expected);
    assert!(error < 5e-6, "weight gradient of {shape:?}: {error}");
}

#[test]
fn every_channel_tail() {
    for channels in 1..=18 {
        check(1, [3, 4, 5], [channels, 19 - channels], [1; 3]);
        check(1, [3, 2, 5], [3, channels + 31], [1; 3]);
        check(1, [3, 2, 4], [channels + 31, 3], [1; 3]);
    }
}

#[test]
fn odd_sides_and_every_padding() {
    for sides in [[3, 3, 3], [4, 5, 6], [7, 4, 9], [1, 2, 1], [5, 3, 12]] {
        for padding in [[1, 1, 1], [2, 2, 2], [2, 1, 1], [1, 2, 1]] {
            check(2, sides, [5, 9], padding);
        }
    }
    check(1, [3, 7, 4], [4, 6], [0, 0, 0]);
    check(1, [5, 4, 9], [16, 16], [0, 1, 2]);
}

#[test]
fn rows_of_several_tasks_parts_and_chunks() {
    check(2, [10, 12, 30], [16, 16], [1; 3]);
    check(1, [4, 6, 50], [40, 33], [1; 3]);
    check(1, [6, 7, 5], [128, 130], [1; 3]);
}

/// Blocks of one to four vectors of outputs, by way of [`super::deep`].
#[test]
fn few_tiles_of_many_channels() {
    for channels in [[65, 129], [150, 70], [33, 170], [20, 330], [9, 200], [40, 64]] {
        check(2, [2, 3, 2], channels, [1; 3]);
    }
}

#[test]
fn what_lies_beside_the_image_cannot_spoil_it() {
    // Work space is used again: it may hold anything.
    let poison = crate::cpu::scratch::Scratch::<f32>::take(1 << 20);
    let mut poison = poison;
    poison.fill(f32::NAN);
    drop(poison);
    check(1, [3, 5, 7], [9, 5], [1; 3]);
}
