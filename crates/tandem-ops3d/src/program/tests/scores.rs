//! Losses of logits where they lie.

use super::*;
use crate::VoxelBytes;

/// The same loss of logits, once through a tensor of them and once where they lie.
#[test]
fn a_loss_of_logits_on_a_gpu_is_the_loss_of_the_tensor() {
    for device in devices() {
        let sample = sample_on(&device);
        let mode = (Mode::Train { dropout: KEY }, Precision::F32);
        let run = || sample.program.run(&image(), &sample.weights, &sample.statistics, mode).unwrap();
        let outputs = run();
        let Some(scores) = outputs.logits.class_scores().unwrap() else {
            assert!(matches!(device, crate::Device::Cpu));
            continue;
        };
        let logits = outputs.logits.get().unwrap();
        let [n, classes, d, h, w] = outputs.logits.dims().unwrap();
        assert_eq!(logits.dims(), [n, classes, d, h, w]);
        let voxels = d * h * w;
        let targets: Vec<u8> = (0..n * voxels).map(|voxel| (voxel % classes) as u8).collect();
        let [mut slopes, mut log_p] = [(); 2].map(|()| vec![0.0; n * classes * voxels]);
        scores.to_host(&mut slopes, &mut log_p).unwrap();
        for (voxel, target) in targets.iter().enumerate() {
            slopes[(voxel / voxels * classes + usize::from(*target)) * voxels + voxel % voxels] -= 1.0;
        }
        let slopes = Tensor::from_vec(slopes, logits.dims(), &Device::Cpu).unwrap();
        (&logits * &slopes).unwrap().sum_all().unwrap().backward().unwrap();
        let expected = gradient(&sample.weights);

        // Three times, and once more through the tensor: a head may have several gradients.
        let outputs = run();
        let scores = outputs.logits.class_scores().unwrap().unwrap();
        let mut of_logits = scores.gradient().unwrap();
        let value = scores.cross_entropy(0..n, &targets.clone().into(), 1.0, &mut of_logits).unwrap();
        let loss = scores.loss(value, of_logits).unwrap();
        assert!((f64::from(loss.to_scalar::<f32>().unwrap()) - value).abs() < 1e-3);
        let through = (outputs.logits.get().unwrap() * &slopes).unwrap().sum_all().unwrap();
        ((loss * 3.0).unwrap() + through).unwrap().backward().unwrap();
        let found = (gradient(&sample.weights) / 4.0).unwrap();
        assert!(error(&found, &expected) < 1e-5, "{}", error(&found, &expected));

        // A constant has a loss and no gradient.
        let outputs = run();
        let scores = outputs.logits.detach().class_scores().unwrap().unwrap();
        let loss = scores.loss(2.5, scores.gradient().unwrap()).unwrap();
        assert_eq!(loss.to_scalar::<f32>().unwrap(), 2.5);
        loss.backward().unwrap();
        assert!(sample.weights.take_gradient().is_none());
    }
}

/// What does not fit is refused, before a kernel sees it.
#[test]
fn scores_refuse_what_does_not_fit() {
    for device in devices() {
        let sample = sample_on(&device);
        let mode = (Mode::Evaluate, Precision::F32);
        let outputs = sample.program.run(&image(), &sample.weights, &sample.statistics, mode).unwrap();
        let Some(scores) = outputs.logits.class_scores().unwrap() else { continue };
        let [n, _, d, h, w] = outputs.logits.dims().unwrap();
        let mut gradient = scores.gradient().unwrap();
        let count = n * d * h * w;
        let [bytes, too_few, no_class] =
            [vec![0; count], vec![0; count - 1], vec![200; count]].map(VoxelBytes::from);
        assert!(scores.labels(0..n + 1).is_err() && scores.entropies(n + 1..n + 1).is_err());
        assert!(scores.cross_entropy(0..n, &too_few, 1.0, &mut gradient).is_err());
        assert!(scores.conflict(0..n, [&bytes, &too_few], 1.0, &mut gradient).is_err());
        assert!(scores.dice(0..n, &bytes, true, |_| (0.0, [vec![], vec![]]), &mut gradient).is_err());
        assert!(gradient.add(&[1.0]).is_err());
        // A target that is no class reads and writes nothing.
        assert_eq!(scores.cross_entropy(0..n, &no_class, 1.0, &mut gradient).unwrap(), 0.0);
        assert!(scores.labels(1..1).unwrap().is_empty());
    }
}
