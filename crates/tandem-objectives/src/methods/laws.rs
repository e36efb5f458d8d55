//! What the methods must hold to on random predictions.

use super::*;
use crate::method::{Objective, Term};
use crate::testing::{Situation, check_method, gradients};
use serde_json::json;

const HALF: usize = 2;

/// Sums of absolute gradients by network: of its logits on labelled patches, on unlabelled ones, of its features.
fn reach(name: &str, options: Value) -> (Objective, [[f32; 3]; 2]) {
    let mut method = build(name, &options).unwrap();
    let situation = Situation::random(11, &*method).unwrap();
    let objective = situation.objective(&mut *method).unwrap();
    let sum =
        |tensor: &candle_core::Tensor| tensor.abs().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap();
    let by_logits = gradients(&objective, &situation.logits).unwrap();
    let by_features = gradients(&objective, &situation.features).unwrap();
    let reached = [0, 1].map(|i| {
        let part = |start| sum(&by_logits[i].narrow(0, start, HALF).unwrap());
        [part(0), part(HALF), sum(&by_features[i])]
    });
    (objective, reached)
}

fn winner(objective: &Objective) -> usize {
    match objective.terms.iter().find(|(name, _)| name == "winner") {
        Some((_, Term::Value(winner))) => *winner as usize,
        other => panic!("{other:?}"),
    }
}

fn undefined(objective: &Objective) -> Vec<&str> {
    objective
        .terms
        .iter()
        .filter(|(_, t)| matches!(t, Term::Undefined(_)))
        .map(|(name, _)| name.as_str())
        .collect()
}

#[test]
fn all_methods_keep_the_laws() {
    for name in names() {
        check_method(&|| build(name, &Value::Null)).unwrap();
    }
    let everything = json!({
        "winner_decay": 0.9, "reliable_per_class": true, "reliable_rule": "both", "detach_uncertainty": true,
        "uncertainty_region": "unlabelled", "pseudo_labels": "either-foreground", "pseudo_cross_entropy": "live",
        "features": "after-dropout", "live_prototypes": true, "candidates": "foreground-leads", "candidates_one_in": 10,
        "consistency_spares_winner": true,
    });
    check_method(&|| build("dual-networks", &everything)).unwrap();
}

#[test]
fn the_control_and_mcf_teach_whom_they_should() {
    let (_, control) = reach("supervised-ensemble", Value::Null);
    assert!(
        control
            .iter()
            .all(|[labelled, unlabelled, features]| *labelled > 0. && *unlabelled == 0. && *features == 0.)
    );
    let (objective, mcf) = reach("mcf", Value::Null);
    let (winner, loser) = (mcf[winner(&objective)], mcf[1 - winner(&objective)]);
    assert!(winner[1] == 0. && loser[1] > 0., "{mcf:?}");
}

/// The weights among a method's options, by their paths: tables with a peak, and numbers that are called so.
fn weights(options: &Value, path: &str) -> Vec<String> {
    let Value::Object(options) = options else { return vec![] };
    let of = |(name, value): (&String, &Value)| {
        let path = format!("{path}/{name}");
        match value {
            Value::Number(_) if name == "peak" || name.ends_with("weight") => vec![path],
            value => weights(value, &path),
        }
    };
    options.iter().flat_map(of).collect()
}

/// No term without effect: a term that is turned off, or on where the preset has it off, changes the gradient.
#[test]
fn every_weight_changes_the_gradient() {
    // The preset leaves the pseudo-labels' own cross-entropy out; the released code detaches it and the contrast.
    let known = |name: &str, weight: &str| match name {
        "dual-networks" => weight == "/lambda_pseudo/peak",
        "dual-networks-released" => ["/lambda_pseudo/peak", "/lambda_c/peak"].contains(&weight),
        _ => false,
    };
    for name in names() {
        let preset = preset(name).unwrap();
        let sums = |options: &Value| {
            let mut method = build(name, options).unwrap();
            let situation = Situation::random(11, &*method).unwrap();
            let objective = situation.objective(&mut *method).unwrap();
            let all = gradients(&objective, &situation.vars()).unwrap();
            all.iter().flat_map(crate::golden::numbers).collect::<Vec<f64>>()
        };
        let before = sums(&preset);
        for weight in weights(&preset, "") {
            let mut options = preset.clone();
            let value = options.pointer_mut(&weight).unwrap();
            *value = json!(if value.as_f64() == Some(0.0) { 1.0 } else { 0.0 });
            assert_eq!(sums(&options) == before, known(name, &weight), "{name}: {weight}");
        }
    }
}

/// Each weight alone, the others zero: where its gradient arrives in the preset.
#[test]
fn each_term_of_the_preset_reaches_its_networks() {
    let off = json!({ "peak": 0.0 });
    let alone = |term: Option<&str>| {
        let mut options = json!({ "lambda_reg": off, "lambda_u": off, "lambda_c": off });
        if let Some(term) = term {
            options[term] = json!({ "peak": 1.0, "ramp": 0.0 });
        }
        let (objective, reached) = reach("dual-networks", options);
        assert_eq!(undefined(&objective), Vec::<&str>::new());
        let winner = winner(&objective);
        (reached[winner].map(|sum| sum > 0.), reached[1 - winner].map(|sum| sum > 0.))
    };
    // Labelled logits, unlabelled logits, features; of the winner, of the loser.
    assert_eq!(alone(None), ([true, false, false], [true, false, false]));
    assert_eq!(alone(Some("lambda_reg")), ([true, true, false], [true, true, false]));
    assert_eq!(alone(Some("lambda_u")), ([true, false, false], [true, true, false]));
    assert_eq!(alone(Some("lambda_c")), ([true, false, false], [true, false, true]));
}

/// The released code: no gradient from pseudo-labels to the V-Net, none to the features, an undefined contrast.
#[test]
fn the_released_terms_without_gradient_are_the_known_ones() {
    let (objective, reached) = reach("dual-networks-released", json!({ "lambda_reg": { "peak": 0.0 } }));
    assert_eq!(undefined(&objective), ["tau", "l_c/pull"]);
    let [vnet, resnet34] = reached.map(|sums| sums.map(|sum| sum > 0.));
    assert_eq!((vnet, resnet34), ([true, false, false], [true, true, false]));
    let (_, with_consistency) = reach("dual-networks-released", Value::Null);
    assert!(with_consistency[0][1] > 0.);
}

/// The released code: whoever wins a batch, the gradients are the same. In the preset they are not.
#[test]
fn the_winner_changes_nothing_of_the_released_gradients() {
    let by_winner = |name: &str| {
        [[0.0, 9.0], [9.0, 0.0]].map(|criterion| {
            let options = json!({ "winner_decay": 0.999 });
            let mut method = build(name, &options).unwrap();
            let criterion = candle_core::Tensor::new(&criterion, &candle_core::Device::Cpu).unwrap();
            method.restore(&[("winner_criterion".to_owned(), criterion)].into()).unwrap();
            let situation = Situation::random(11, &*method).unwrap();
            let objective = situation.objective(&mut *method).unwrap();
            let all = [&situation.logits, &situation.features];
            let all = all.map(|vars| gradients(&objective, vars).unwrap()).concat();
            (winner(&objective), all.iter().flat_map(crate::golden::numbers).collect::<Vec<f64>>())
        })
    };
    let [first, second] = by_winner("dual-networks-released");
    assert_eq!((first.0, second.0), (0, 1));
    assert_eq!(first.1, second.1);
    let [first, second] = by_winner("dual-networks");
    assert_eq!((first.0, second.0), (0, 1));
    assert_ne!(first.1, second.1);
}

/// A method gets no labels but those of the labelled half; these must fit the images and name known classes.
#[test]
fn wrong_labels_are_refused() {
    for name in names() {
        let mut method = build(name, &Value::Null).unwrap();
        let random = || Situation::random(3, &*build(name, &Value::Null).unwrap()).unwrap();
        let mut situation = random();
        situation.batch.labels = situation.batch.labels.narrow(1, 0, 6).unwrap();
        assert!(situation.objective(&mut *method).is_err(), "{name}");
        let mut situation = random();
        situation.batch.labels = (situation.batch.labels + 3.).unwrap();
        let error = situation.objective(&mut *method).unwrap_err().to_string();
        assert!(error.contains("class"), "{name}: {error}");
    }
}

#[test]
fn the_averaged_criterion_survives_a_checkpoint() {
    let options = json!({ "winner_decay": 0.9 });
    let mut method = build("dual-networks", &options).unwrap();
    let mut fresh = build("dual-networks", &options).unwrap();
    fresh.restore(&method.state()).unwrap();
    Situation::random(1, &*method).unwrap().objective(&mut *method).unwrap();
    fresh.restore(&method.state()).unwrap();
    let kept = |method: &dyn Method| method.state()["winner_criterion"].to_vec1::<f64>().unwrap();
    assert_eq!(kept(&*method), kept(&*fresh));
    assert_eq!(kept(&*method).len(), 2);
    assert!(fresh.restore(&Default::default()).is_err());
}

/// The batch spans several chunks of voxels.
#[test]
fn the_number_of_threads_does_not_change_a_bit() {
    let situation = Situation::random(5, &*build("dual-networks", &Value::Null).unwrap()).unwrap();
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let objective = situation.objective(&mut *build("dual-networks", &Value::Null).unwrap()).unwrap();
            let gradients = gradients(&objective, &situation.logits).unwrap();
            (objective.terms, gradients.iter().map(crate::golden::numbers).collect::<Vec<_>>())
        })
    };
    assert_eq!(run(1), run(3));
}
