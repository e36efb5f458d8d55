//! Convolutions on every machine against plain loops.

use super::{on_all, random};
use crate::conv_shape::{Conv3dParams, ConvShape};
use crate::gpu::{Kind, Operands};
use crate::reference;

/// Response, spreading and weight gradient; over memory that was never written, and added to what is there.
fn check(input: [usize; 5], co: usize, kernel: [usize; 3], params: Conv3dParams) {
    let [kd, kh, kw] = kernel;
    let shape = ConvShape::of_conv(&input, &[co, input[4], kd, kh, kw], params).unwrap();
    on_all(|queue| {
        let len = |dims: [usize; 5]| dims.iter().product::<usize>();
        let (image, image_there) = queue.given(&random(len(shape.image_dims()), 0));
        let (response, response_there) = queue.given(&random(len(shape.response_dims()), 1));
        let (weight, _) = queue.given(&random(len(shape.weight_dims()), 2));
        let weight_there = queue.copy(&weight).unwrap();

        let expected = [
            (Kind::Respond, &image_there, reference::respond(&shape, &image, &weight)),
            (Kind::Spread, &response_there, reference::spread(&shape, &response, &weight)),
        ];
        for (kind, from, product) in expected {
            let to = queue.stored(product.len()).unwrap();
            let operands = Operands { from, weight: weight_there.address(), to: &to, add: false };
            queue.convolve(kind, &shape, &operands).unwrap();
            queue.expect(&to, &product, &format!("{kind:?} of {shape:?}"));
            queue.convolve(kind, &shape, &Operands { add: true, ..operands }).unwrap();
            let both: Vec<f64> = product.iter().map(|product| 2.0 * product).collect();
            queue.expect_after(2, &to, &both, &format!("added {kind:?} of {shape:?}"));
        }

        let found = queue.f32s(weight.len()).unwrap();
        queue.filter(&shape, &image_there, &response_there, found.address()).unwrap();
        let expected = reference::weight_gradient(&shape, &image, &response);
        // A library may round the gradient to the precision that it is stored in.
        queue.expect_f32(&found, &expected, queue.tolerance(), &format!("weight gradient of {shape:?}"));
    });
}

#[test]
fn channels_of_every_tail() {
    for channels in [1, 2, 3, 15, 16, 17] {
        check([1, 3, 4, 5, channels], 18 - channels, [3; 3], Conv3dParams::uniform(1, 1));
        check([1, 4, 6, 5, channels], 17, [2; 3], Conv3dParams::uniform(2, 0));
    }
    check([2, 3, 2, 5, 65], 70, [3; 3], Conv3dParams::uniform(1, 1));
    check([1, 5, 4, 3, 33], 63, [1; 3], Conv3dParams::uniform(1, 0));
}

/// Each form of the kernels, with channels that are moved several at once.
#[test]
fn channels_that_lie_in_pieces() {
    for (ci, co) in [(8, 16), (16, 32), (32, 8), (24, 40), (40, 72), (128, 136)] {
        check([1, 3, 5, 4, ci], co, [3; 3], Conv3dParams::uniform(1, 1));
        check([2, 4, 5, 6, ci], co, [2; 3], Conv3dParams::uniform(2, 0));
        check([1, 5, 3, 6, ci], co, [3; 3], Conv3dParams::uniform(2, 1));
    }
}

#[test]
fn odd_sides_kernels_strides_and_paddings() {
    for (kernel, stride, padding) in [
        ([1, 1, 1], 2, 0),
        ([2, 2, 2], 2, 0),
        ([3, 3, 3], 2, 1),
        ([5, 5, 5], 1, 2),
        ([2, 3, 1], 3, 2),
        ([5, 4, 3], 2, 0),
        ([3, 3, 3], 1, 2),
    ] {
        for sides in [[7, 5, 9], [8, 6, 4]] {
            check([2, sides[0], sides[1], sides[2], 3], 5, kernel, Conv3dParams::uniform(stride, padding));
        }
    }
    let params = Conv3dParams { stride: [1, 2, 3], padding: [2, 0, 1] };
    check([1, 6, 7, 8, 4], 9, [3, 2, 4], params);
}

#[test]
fn volumes_of_many_blocks() {
    check([2, 9, 11, 13, 8], 16, [3; 3], Conv3dParams::uniform(1, 1));
    check([1, 10, 12, 10, 2], 33, [3; 3], Conv3dParams::uniform(2, 1));
}
