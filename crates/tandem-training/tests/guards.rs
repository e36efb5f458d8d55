//! Losses and gradients that are not finite.

use crate::reference::{Plain, tiny};
use crate::run::{RUNNING, prepared, setup};
use candle_core::{Device, Tensor};
use std::fs;
use std::path::Path;
use tandem_objectives::{Batch, Forward, Method, Network, Objective, Step, Term, with_gradient};
use tandem_random::Draws;
use tandem_training::{
    CHECKPOINT_VERSION, Checkpoint, Config, Error, Event, Header, NonFinite, Quantity, Run, Trainer, verify,
};

/// [`Plain`], which at some step returns a sound loss with a gradient that is not.
struct Overflowing {
    plain: Plain,
    at: u64,
}

impl Method for Overflowing {
    fn networks(&self) -> Vec<Network> {
        self.plain.networks()
    }

    fn predictors(&self) -> Vec<&'static str> {
        self.plain.predictors()
    }

    fn objective(
        &mut self,
        batch: &Batch,
        step: Step,
        networks: &dyn Forward,
    ) -> candle_core::Result<Objective> {
        let mut objective = self.plain.objective(batch, step, networks)?;
        if step.index == self.at {
            let (name, loss) = &mut objective.losses[0];
            let logits = networks.train(name, &batch.images, 1)?.logits.get()?;
            let infinite = (logits.ones_like()? * f64::INFINITY)?;
            *loss = (&*loss + with_gradient(0.0, &logits, &infinite)?)?;
        }
        Ok(objective)
    }

    fn state(&self) -> std::collections::BTreeMap<String, Tensor> {
        self.plain.state()
    }

    fn restore(&mut self, state: &std::collections::BTreeMap<String, Tensor>) -> candle_core::Result<()> {
        self.plain.restore(state)
    }
}

fn plain() -> Plain {
    Plain { architecture: "vnet", teacher: Some(0.75), seen: 0.0 }
}

fn trainer(method: Box<dyn Method>, change: impl FnOnce(&mut Config)) -> Trainer {
    let mut config = tiny("supervised-ensemble", 6);
    change(&mut config);
    Trainer::with_method(method, &config, &tandem_networks::Device::Cpu).unwrap()
}

/// Two labelled patches and one that is not; the voxels are as they are, or all infinite.
fn batch(step: u64, sound: bool) -> Batch {
    let mut draws = Draws::new(1, "test batch", step, 0);
    let images: Vec<f32> = (0..3 * 4096).map(|_| draws.normal() as f32).collect();
    let labels: Vec<u8> = images[..2 * 4096].iter().map(|value| u8::from(*value > 0.5)).collect();
    let images = if sound { images } else { vec![f32::INFINITY; images.len()] };
    Batch {
        images: Tensor::from_vec(images, (3, 1, 16, 16, 16), &Device::Cpu).unwrap(),
        labels: Tensor::from_vec(labels, (2, 16, 16, 16), &Device::Cpu).unwrap(),
        strong: None,
    }
}

/// The bytes of all that a trainer holds.
fn bytes(trainer: &Trainer) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("all.safetensors");
    let (config, data) = ("c".to_owned(), "d".to_owned());
    let header = Header { format: CHECKPOINT_VERSION, steps: 6, seed: 5, config, data, log_bytes: 0 };
    trainer.checkpoint(header).unwrap().save(&path).unwrap();
    fs::read(path).unwrap()
}

#[test]
fn a_loss_that_is_not_finite_changes_nothing() {
    let mut trainer = trainer(Box::new(plain()), |_| {});
    trainer.step(0, &batch(0, true)).unwrap();
    let before = bytes(&trainer);
    let Err(Error::NotFinite(breakdown)) = trainer.step(1, &batch(1, false)) else { panic!("no error") };
    assert_eq!((breakdown.quantity, breakdown.record.step), (Quantity::Loss, 1));
    assert!(!breakdown.value.is_finite());
    assert!(bytes(&trainer) == before, "weights, statistics, momentum or the method's state moved");
    trainer.step(2, &batch(2, true)).unwrap();
    assert!(bytes(&trainer) != before);
}

/// Whatever `dual-networks` remembers of a batch, a skipped one leaves it as a run that went on from a checkpoint has it.
#[test]
fn a_skipped_step_decides_no_later_winner() {
    for decay in [0.0, 0.5] {
        let config = || {
            let mut config = tiny("dual-networks", 12);
            config.method.options.insert("winner_decay".to_owned(), decay.into());
            Trainer::new(&config, &tandem_networks::Device::Cpu).unwrap()
        };
        let (mut skipping, mut resumed) = (config(), config());
        let header = |config: &str| Header {
            format: CHECKPOINT_VERSION,
            steps: 1,
            seed: 5,
            config: config.to_owned(),
            data: "d".to_owned(),
            log_bytes: 0,
        };
        skipping.step(0, &batch(0, true)).unwrap();
        resumed.restore(&skipping.checkpoint(header("c")).unwrap()).unwrap();
        assert!(matches!(skipping.step(1, &batch(1, false)), Err(Error::NotFinite(_))));
        let winners: Vec<Term> = (2..10)
            .map(|step| {
                let [ours, expected] = [&mut skipping, &mut resumed]
                    .map(|trainer| trainer.step(step, &batch(step, true)).unwrap());
                assert_eq!(ours, expected, "step {step}, decay {decay}");
                ours.terms.into_iter().find(|(name, _)| name == "winner").unwrap().1
            })
            .collect();
        assert!(
            winners.contains(&Term::Value(0.0)),
            "the V-Net never won, so that nothing was tested: {winners:?}"
        );
    }
}

#[test]
fn a_gradient_that_is_not_finite_changes_nothing_and_its_parameter_is_named() {
    let mut trainer = trainer(Box::new(Overflowing { plain: plain(), at: 1 }), |_| {});
    trainer.step(0, &batch(0, true)).unwrap();
    let before = bytes(&trainer);
    let Err(Error::NotFinite(breakdown)) = trainer.step(1, &batch(1, true)) else { panic!("no error") };
    assert_eq!(breakdown.quantity, Quantity::Gradient);
    assert!(breakdown.place.ends_with(".weight") || breakdown.place.ends_with(".bias"), "{breakdown}");
    assert!(breakdown.record.losses.iter().all(|(_, loss)| loss.is_finite()));
    assert!(bytes(&trainer) == before, "weights, statistics, momentum or the method's state moved");
    // The gradient that broke is not added to the next one.
    trainer.step(2, &batch(2, true)).unwrap();
}

#[test]
fn a_clipped_step_is_as_long_as_the_settings_allow() {
    let moved = |clip: Option<f64>| {
        let mut trainer = trainer(Box::new(plain()), |config| {
            (config.training.clip_norm, config.training.weight_decay) = (clip, 0.0);
        });
        let weights = |trainer: &Trainer| {
            let member = trainer.networks().iter().next().unwrap();
            member.parameters.weights().values().unwrap().to_vec1::<f32>().unwrap()
        };
        let before = weights(&trainer);
        let record = trainer.step(0, &batch(0, true)).unwrap();
        let after = weights(&trainer);
        let length = before.iter().zip(&after).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt();
        (length / record.learning_rate, f64::from(record.gradient_norms[0].1))
    };
    let (length, norm) = moved(None);
    // Weights of f32 take a step up to their rounding.
    assert!((length / norm - 1.0).abs() < 1e-2, "{length} {norm}");
    let (length, unclipped) = moved(Some(norm / 10.0));
    assert_eq!(unclipped, norm, "the log has the norm before clipping");
    assert!((length * 10.0 / norm - 1.0).abs() < 1e-2, "{length} {norm}");
    assert!((moved(Some(norm * 2.0)).0 / norm - 1.0).abs() < 1e-2);
}

/// A training scan without labels becomes NaN after it was checked.
pub(crate) fn spoil(scans: &Path) {
    let path = scans.join("images/ball3.nii");
    let mut file = fs::read(&path).unwrap();
    let voxels = file.len() - 4 * 24 * 20 * 18;
    file[voxels..].chunks_exact_mut(4).for_each(|voxel| voxel.copy_from_slice(&f32::NAN.to_le_bytes()));
    fs::write(&path, file).unwrap();
}

fn config(non_finite: NonFinite, max_skipped: u64) -> Config {
    let mut config = tiny("dual-networks", 6);
    (config.training.non_finite, config.training.max_skipped) = (non_finite, max_skipped);
    config
}

#[test]
fn a_run_keeps_what_broke_and_stops() {
    let folder = tempfile::tempdir().unwrap();
    let (scans, out) = (prepared(folder.path()), folder.path().join("run"));
    let mut run =
        Run::create(setup(config(NonFinite::Stop, 5), &scans, &out), &RUNNING, &mut |_| {}).unwrap();
    spoil(&scans);
    let error = run.train(&RUNNING, &mut |_| {}).unwrap_err();
    let message = error.to_string();
    let Error::Broken { breakdown, folder: kept, cases, skipped: 0 } = error else { panic!("{message}") };
    assert!(
        message.contains("is not finite") && message.contains("ball3") && message.contains("clip_norm"),
        "{message}"
    );
    assert!(kept.starts_with(out.join("failures")) && cases.contains(&"ball3".to_owned()));
    let tensors = candle_core::safetensors::load(kept.join("batch.safetensors"), &Device::Cpu).unwrap();
    assert_eq!(tensors["images"].dims(), [4, 1, 16, 16, 16]);
    let state = Checkpoint::load(&kept.join("state.safetensors"), &Device::Cpu).unwrap();
    assert_eq!(state.header.steps, breakdown.record.step);
    let told: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(kept.join("failure.json")).unwrap()).unwrap();
    assert_eq!((told["quantity"].as_str(), told["value"].as_str()), (Some("loss"), Some("NaN")), "{told}");
    assert_eq!(told["patches"].as_array().unwrap().len(), 4);
    assert!(told["patches"].as_array().unwrap().iter().any(|patch| patch["case"] == "ball3"), "{told}");
}

#[test]
fn a_run_may_skip_so_many_steps_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let (scans, out) = (prepared(folder.path()), folder.path().join("run"));
    let mut run =
        Run::create(setup(config(NonFinite::Skip, 100), &scans, &out), &RUNNING, &mut |_| {}).unwrap();
    spoil(&scans);
    let mut skipped = 0;
    run.train(&RUNNING, &mut |event| skipped += u64::from(matches!(event, Event::Skipped { .. }))).unwrap();
    assert!(skipped > 0, "no batch had the spoilt scan");
    let log = fs::read_to_string(out.join("log.jsonl")).unwrap();
    assert_eq!(log.lines().filter(|line| line.contains("\"skipped\":")).count() as u64, skipped);
    let report = fs::read_to_string(out.join("report.md")).unwrap();
    assert_eq!(report.matches("was skipped**").count() as u64, skipped);
    assert_eq!(fs::read_dir(out.join("failures")).unwrap().count() as u64, skipped);
    for finding in verify(&out).unwrap() {
        assert!(finding.outcome.is_ok(), "{finding:?}");
    }

    let again = folder.path().join("again");
    let mut run =
        Run::create(setup(config(NonFinite::Skip, skipped - 1), &scans, &again), &RUNNING, &mut |_| {})
            .unwrap();
    let error = run.train(&RUNNING, &mut |_| {}).unwrap_err();
    assert!(matches!(error, Error::Broken { skipped: before, .. } if before == skipped - 1), "{error}");
}
