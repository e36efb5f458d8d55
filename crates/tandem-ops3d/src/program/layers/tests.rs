use super::*;
use crate::program::{NormLayer, Sum};
use crate::{Activation, conv3d};
use candle_core::{Device, Tensor};

/// Stem, down, up with a skip, dropout, head: as a small V-Net.
fn program() -> Program {
    let layer = |from: usize, to: usize, kernel: usize, params, transposed| ConvLayer {
        weight: 0..from * to * kernel.pow(3),
        bias: None,
        from,
        to,
        kernel,
        params,
        transposed,
    };
    let norm = |channels: usize| NormLayer {
        scale: 0..channels,
        shift: 0..channels,
        mean: 0..channels,
        variance: 0..channels,
        momentum: 0.1,
        eps: 1e-5,
    };
    let (mut program, image) = Program::new();
    let (same, half) = (Conv3dParams::uniform(1, 1), Conv3dParams::uniform(2, 0));
    let mut unit = |x, layer: ConvLayer, sum| {
        let norm = norm(layer.to);
        program.unit(x, layer, norm, Activation::Relu, sum)
    };
    let stem = unit(image, layer(1, 4, 3, same, false), Sum::Nothing);
    let down = unit(stem, layer(4, 8, 2, half, false), Sum::Nothing);
    let up = unit(down, layer(8, 4, 2, half, true), Sum::After(stem));
    let dropped = program.dropout(up, 0.5, "here");
    program.head(dropped, 0..12, 0..3);
    program
}

#[test]
fn layers_are_listed_with_their_shapes() {
    let layers = program().layers([2, 1, 8, 6, 4]).unwrap();
    let inputs: Vec<_> = layers.iter().map(|layer| layer.input).collect();
    assert_eq!(inputs, [[2, 8, 6, 4, 1], [2, 8, 6, 4, 4], [2, 4, 3, 2, 8], [2, 8, 6, 4, 4]]);
    assert_eq!(layers.iter().map(|layer| layer.to).collect::<Vec<_>>(), [4, 8, 4, 3]);
    assert_eq!(layers.iter().map(|l| l.input_gradient).collect::<Vec<_>>(), [false, true, true, true]);
    assert_eq!(layers.iter().map(|l| (l.transposed, l.head)).filter(|kind| kind.0 || kind.1).count(), 2);
}

#[test]
fn operations_are_two_a_product() {
    let flop: Vec<_> = program()
        .layers([2, 1, 8, 6, 4])
        .unwrap()
        .iter()
        .map(|layer| (layer.forward_flop().unwrap(), layer.training_flop().unwrap()))
        .collect();
    let voxels = 2 * 8 * 6 * 4;
    // Down reads every voxel once, up writes every voxel once.
    let forward =
        [voxels * 4 * 27, voxels * 4 * 8, voxels * 8 * 4, voxels * 4 * 3].map(|products| 2 * products);
    assert_eq!(flop, [0, 1, 2, 3].map(|i| (forward[i], forward[i] * if i == 0 { 2 } else { 3 })));
}

#[test]
fn a_trial_runs_the_layer() {
    for shape in program().layers([1, 1, 8, 6, 4]).unwrap() {
        let trial = Trial::<f32>::new(shape).unwrap();
        let Kept::Image(image) = &trial.tape.kept[0] else { panic!("a trial's image") };
        let image = Tensor::from_slice(image, &shape.input, &Device::Cpu).unwrap();
        if shape.transposed {
            assert!(trial.forward().is_finite() && trial.backward().is_finite());
            continue;
        }
        let (from, k) = (shape.input[4], shape.kernel);
        let weight = Tensor::from_slice(&trial.weights, (shape.to, from, k, k, k), &Device::Cpu).unwrap();
        let weight = candle_core::Var::from_tensor(&weight).unwrap();
        let output = conv3d(&image, &weight, None, shape.params).unwrap();
        let first = output.flatten_all().unwrap().get(0).unwrap().to_scalar::<f32>().unwrap();
        assert!((trial.forward() - first).abs() < 1e-5, "{shape:?}");
        if !shape.head {
            let gradient = Tensor::from_slice(&trial.gradient, output.shape(), &Device::Cpu).unwrap();
            let gradients = (output * gradient).unwrap().sum_all().unwrap().backward().unwrap();
            let of_weight = gradients.get(&weight).unwrap().flatten_all().unwrap();
            let first = of_weight.get(0).unwrap().to_scalar::<f32>().unwrap();
            assert!((trial.backward() - first).abs() < 1e-4 * (1.0 + first.abs()), "{shape:?}");
        }
        let stored = LayerTrial::new(shape, Precision::Bf16).unwrap();
        assert!((stored.forward() - trial.forward()).abs() < 0.05 * (1.0 + first.abs()), "{shape:?}");
    }
}
