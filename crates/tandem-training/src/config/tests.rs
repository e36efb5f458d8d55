use super::*;
use tandem_volume::prepared::{Manifest, Names};

/// The smallest config that passes its checks.
pub(crate) fn tiny() -> Config {
    serde_json::from_value(serde_json::json!({
        "version": 1,
        "name": "tiny",
        "method": { "name": "supervised-ensemble" },
        "data": { "dataset": ["phantom"], "labelled": 2, "validation": 1 },
        "network": { "filters": 1 },
        "training": { "iterations": 6, "patch": [16, 16, 16] },
        "inference": { "stride": [8, 8, 8] },
    }))
    .unwrap()
}

#[test]
fn defaults_are_those_of_the_paper() {
    let config = tiny();
    config.check().unwrap();
    let training = &config.training;
    assert_eq!((training.batch_labelled, training.batch_unlabelled), (2, 2));
    assert_eq!((training.learning_rate, training.momentum, training.weight_decay), (0.01, 0.9, 1e-4));
    assert_eq!(training.seed, 1337);
    assert_eq!((config.precision, config.device), (Precision::F32, DeviceChoice::Auto));
}

#[test]
fn json_round_trip_keeps_the_digest_and_a_change_moves_it() {
    let config = tiny();
    let again: Config = serde_json::from_str(&serde_json::to_string(&config).unwrap()).unwrap();
    assert_eq!(config, again);
    assert_eq!(config.digest().unwrap(), again.digest().unwrap());
    // Written before there were such settings.
    let text = serde_json::to_string(&config).unwrap();
    assert!(["non_finite", "labelled_set", "fold"].iter().all(|younger| !text.contains(younger)), "{text}");
    let mut other = again;
    other.training.seed += 1;
    assert_ne!(config.digest().unwrap(), other.digest().unwrap());
}

#[test]
fn unknown_fields_are_refused_at_every_level() {
    for path in ["", "/method", "/data", "/network", "/training", "/inference"] {
        let mut value = serde_json::to_value(tiny()).unwrap();
        value.pointer_mut(path).unwrap()["iteratoins"] = 3.into();
        let message = serde_json::from_value::<Config>(value).unwrap_err().to_string();
        assert!(message.contains("iteratoins"), "{path}: {message}");
    }
}

#[test]
fn a_value_out_of_range_is_named() {
    type Change = fn(&mut Config);
    let wrong: [(&str, Change); 20] = [
        ("version", |c| c.version = 2),
        ("data.dataset", |c| c.data.dataset.clear()),
        ("data.labelled", |c| c.data.labelled = 0),
        ("data.folds", |c| (c.data.folds, c.data.fold) = (1, 1)),
        ("data.fold", |c| (c.data.folds, c.data.fold) = (5, 6)),
        ("data.fold", |c| c.data.fold = 1),
        ("data.channels", |c| c.data.channels = Some(Names::Numbered(0))),
        ("data.classes", |c| c.data.classes = Some(Names::Numbered(1))),
        ("data.classes", |c| c.data.classes = Some(["a", "a"].into())),
        ("data.classes", |c| c.data.classes = Some(["background", "mean"].into())),
        ("data.spacing_mm", |c| c.data.spacing_mm = Some([1.0, f64::NAN, 1.0])),
        ("network.dropout", |c| c.network.dropout = 1.0),
        ("training.iterations", |c| c.training.iterations = 0),
        ("training.patch", |c| c.training.patch = [16, 24, 16]),
        ("training.learning_rate", |c| c.training.learning_rate = f64::INFINITY),
        ("training.momentum", |c| c.training.momentum = 1.0),
        ("training.clip_norm", |c| c.training.clip_norm = Some(0.0)),
        ("training.learning_rate_steps", |c| c.training.learning_rate_steps = vec![0.5, 0.4]),
        ("inference.stride", |c| c.inference.stride = [8, 17, 8]),
        ("inference.batch", |c| c.inference.batch = 0),
    ];
    for (field, change) in wrong {
        let mut config = tiny();
        change(&mut config);
        let message = config.check().unwrap_err().to_string();
        assert!(message.starts_with(field), "{field}: {message}");
    }
}

#[test]
fn what_is_not_said_of_channels_and_classes_comes_from_the_prepared_set() {
    let manifest: Manifest = serde_json::from_value(serde_json::json!({
        "format": 2, "dataset": "d", "description": "", "channels": ["t1", "t2"],
        "classes": ["background", "liver", "tumour"], "cases": [],
    }))
    .unwrap();
    let completed = |classes: Option<Names>| {
        let mut data = DataConfig { classes, ..tiny().data };
        data.complete(&manifest);
        data
    };
    let data = completed(None);
    assert_eq!((data.channel_count(), data.class_count()), (2, 3));
    assert_eq!(completed(Some(Names::Numbered(3))).class_name(2), "tumour");
    assert_eq!(completed(Some(Names::Numbered(2))).class_name(1), "1");
    data.check_prepared(&manifest).unwrap();
    let wrong = tiny().data.check_prepared(&manifest).unwrap_err().to_string();
    assert!(wrong.starts_with("data.channels is 1, but the prepared scans have 2"), "{wrong}");
}

#[test]
fn classes_that_the_prepared_set_does_not_have_are_refused_and_others_names_of_as_many_are_kept() {
    let manifest: Manifest = serde_json::from_value(serde_json::json!({
        "format": 2, "dataset": "d", "description": "", "classes": ["background", "atrium"], "cases": [],
    }))
    .unwrap();
    let checked = |classes: Names| {
        let data = DataConfig { classes: Some(classes), ..tiny().data };
        data.check_prepared(&manifest).map_err(|error| error.to_string())
    };
    checked(Names::Numbered(2)).unwrap();
    checked(["outside", "left atrium"].into()).unwrap();
    let remedy = "but the prepared scans have 2; leave it out, or prepare other scans";
    assert_eq!(checked(Names::Numbered(7)).unwrap_err(), format!("data.classes is 7, {remedy}"));
    assert_eq!(checked(["a", "b", "c"].into()).unwrap_err(), format!("data.classes is 3, {remedy}"));
}
