//! A trainer that is stopped and restored goes on with the same bits.

use crate::reference::{Plain, tiny};
use candle_core::{Device, Tensor};
use tandem_objectives::{Batch, Method};
use tandem_random::Draws;
use tandem_training::{CHECKPOINT_VERSION, Checkpoint, Header, StepRecord, Trainer, average};

fn method() -> Box<dyn Method> {
    Box::new(Plain { architecture: "vnet", teacher: Some(0.75), seen: 0.0 })
}

fn trainer() -> Trainer {
    Trainer::with_method(method(), &tiny("supervised-ensemble", 6), &tandem_networks::Device::Cpu).unwrap()
}

/// Two labelled patches and one that is not.
fn batch(step: u64) -> Batch {
    let mut draws = Draws::new(1, "test batch", step, 0);
    let images: Vec<f32> = (0..3 * 4096).map(|_| draws.normal() as f32).collect();
    let labels: Vec<u8> = images[..2 * 4096].iter().map(|value| u8::from(*value > 0.5)).collect();
    Batch {
        images: Tensor::from_vec(images, (3, 1, 16, 16, 16), &Device::Cpu).unwrap(),
        labels: Tensor::from_vec(labels, (2, 16, 16, 16), &Device::Cpu).unwrap(),
        strong: None,
    }
}

fn steps(trainer: &mut Trainer, range: std::ops::Range<u64>) -> Vec<String> {
    let line = |record: StepRecord| serde_json::to_string(&record).unwrap();
    range.map(|step| line(trainer.step(step, &batch(step)).unwrap())).collect()
}

fn header(steps: u64) -> Header {
    let (config, data) = ("c".to_owned(), "d".to_owned());
    Header { format: CHECKPOINT_VERSION, steps, seed: 5, config, data, log_bytes: 0 }
}

/// The bytes of a trainer's checkpoint: weights, statistics, the teacher, momentum, the method's state.
fn bytes(trainer: &Trainer) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("all.safetensors");
    trainer.checkpoint(header(6)).unwrap().save(&path).unwrap();
    std::fs::read(path).unwrap()
}

#[test]
fn six_steps_are_three_and_three_bit_for_bit() {
    let mut straight = trainer();
    let lines = steps(&mut straight, 0..6);

    let mut first = trainer();
    let mut both = steps(&mut first, 0..3);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("step.safetensors");
    first.checkpoint(header(3)).unwrap().save(&path).unwrap();
    let mut second = trainer();
    second.restore(&Checkpoint::load(&path, &Device::Cpu).unwrap()).unwrap();
    both.extend(steps(&mut second, 3..6));

    assert_eq!(lines, both);
    assert!(bytes(&straight) == bytes(&second), "the states differ");
    // The comparison means something: a step without momentum, teacher or statistics is another one.
    assert!(bytes(&straight) != bytes(&first));
}

#[test]
fn the_teacher_starts_as_the_student_and_follows_it() {
    let mut trainer = trainer();
    let weight = |trainer: &Trainer, network: &str| {
        let member = trainer.networks().get(network).unwrap();
        let weight = member.parameters.get("block_one.conv.0.weight").unwrap().unwrap();
        weight.flatten_all().unwrap().to_vec1::<f32>().unwrap()
    };
    let before = weight(&trainer, "teacher");
    assert_eq!(before, weight(&trainer, "student"));
    steps(&mut trainer, 0..1);
    let (student, teacher) = (weight(&trainer, "student"), weight(&trainer, "teacher"));
    assert_ne!(student, before);
    let decay = average::decay(0, 0.75) as f32;
    for ((teacher, before), student) in teacher.iter().zip(&before).zip(&student) {
        assert!((teacher - (decay * before + (1.0 - decay) * student)).abs() < 1e-6);
    }
}

#[test]
fn a_checkpoint_of_another_network_is_refused() {
    let mut trainer = trainer();
    let mut checkpoint = trainer.checkpoint(header(0)).unwrap();
    checkpoint.networks.get_mut("student").unwrap().remove("out_conv.weight");
    assert!(trainer.restore(&checkpoint).unwrap_err().to_string().contains("out_conv.weight"));
    checkpoint.networks.remove("student");
    assert!(trainer.restore(&checkpoint).unwrap_err().to_string().contains("no network \"student\""));
}
