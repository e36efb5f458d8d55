//! Every method learns.

use crate::reference::tiny;
use candle_core::{Device, Tensor};
use tandem_networks::Pass;
use tandem_objectives::{Batch, loss_of, losses};
use tandem_random::Draws;
use tandem_training::Trainer;

const SIDE: usize = 16;
const STEPS: u64 = 16;

/// Two labelled and two unlabelled patches with a bright cube in noise.
fn batch(step: u64) -> Batch {
    let mut draws = Draws::new(4, "cubes", step, 0);
    let (mut images, mut labels) = (Vec::new(), Vec::new());
    for _ in 0..4 {
        let corner = [(); 3].map(|()| draws.below(SIDE / 2));
        for voxel in 0..SIDE.pow(3) {
            let at = [voxel / SIDE.pow(2), voxel / SIDE % SIDE, voxel % SIDE];
            let inside = (0..3).all(|axis| (corner[axis]..corner[axis] + SIDE / 2).contains(&at[axis]));
            images.push(f32::from(u8::from(inside)) * 2.0 + 0.3 * draws.normal() as f32);
            labels.push(u8::from(inside));
        }
    }
    labels.truncate(2 * SIDE.pow(3));
    let images = Tensor::from_vec(images, (4, 1, SIDE, SIDE, SIDE), &Device::Cpu).unwrap();
    Batch {
        strong: Some((&images * 1.2).unwrap()),
        images,
        labels: Tensor::from_vec(labels, (2, SIDE, SIDE, SIDE), &Device::Cpu).unwrap(),
    }
}

/// The mean over the method's predictors of the cross-entropy on labelled patches that no step has seen.
fn cross_entropy(trainer: &Trainer) -> f32 {
    let batch = batch(STEPS);
    let images = batch.images.narrow(0, 0, 2).unwrap();
    let of_network = |name: &'static str| {
        let network = &trainer.networks().get(name).unwrap().segmenter;
        // Batch statistics, since running ones need more steps.
        let logits = network.forward(&images, Pass::Train { dropout: 0 }).unwrap().logits.get().unwrap();
        let loss = loss_of(&logits, |scores| losses::cross_entropy(scores, &batch.classes()?, 1.0));
        loss.unwrap().to_scalar::<f32>().unwrap()
    };
    let predictors = trainer.method().predictors();
    let count = predictors.len() as f32;
    predictors.into_iter().map(of_network).sum::<f32>() / count
}

#[test]
fn every_method_learns_in_a_few_steps() {
    for method in tandem_objectives::names() {
        let mut config = tiny(method, STEPS);
        (config.network.filters, config.network.dropout) = (2, 0.0);
        config.training.learning_rate = 0.05;
        let mut trainer = Trainer::new(&config, &tandem_networks::Device::Cpu).unwrap();
        let before = cross_entropy(&trainer);
        (0..STEPS).for_each(|step| drop(trainer.step(step, &batch(step)).unwrap()));
        let after = cross_entropy(&trainer);
        assert!(after < 0.97 * before, "{method}: the cross-entropy goes from {before} to {after}");
    }
}
