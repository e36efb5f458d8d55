use super::*;
use crate::testing::{block, check_laws, extent, numbered};
use crate::{Affine, Drawn, Flip, Patch, Transform, Turn};

/// Everything on, always.
fn everything() -> Augmentation {
    serde_json::from_value(serde_json::json!({
        "turn": { "probability": [1, 1, 1] },
        "flip": { "probability": [0.5, 0.5, 0.5] },
        "affine": { "probability": 1, "rotation_degrees": [20, 20, 20], "scale": [0.8, 1.25], "shift_mm": [2, 2, 2] },
        "elastic": { "probability": 1, "knots_mm": 12, "displacement_mm": [2, 4] },
        "bias_field": { "probability": 1, "coefficient": 0.3 },
        "brightness": { "probability": 1, "factor": [0.8, 1.2], "offset": [-0.2, 0.2] },
        "contrast": { "probability": 1, "factor": [0.8, 1.2] },
        "gamma": { "probability": 1, "exponent": [0.7, 1.5], "inverted": 0.5 },
        "blur": { "probability": 1, "sigma_voxels": [0.5, 1] },
        "low_resolution": { "probability": 1, "zoom": [0.5, 1] },
        "noise": { "probability": 1, "deviation": [0, 0.2] },
    }))
    .unwrap()
}

fn draws(slot: u64) -> Draws {
    Draws::new(3, "augment", 0, slot)
}

#[test]
fn the_laws_hold_for_everything_and_every_preset() {
    check_laws(&everything());
    Augmentation::NAMES.iter().for_each(|name| check_laws(&Augmentation::named(name).unwrap()));
}

#[test]
fn by_default_nothing_is_drawn_and_everything_draws_all() {
    assert_eq!(Augmentation::named("none"), Some(Augmentation::default()));
    assert!(Augmentation::default().draw([8; 3], &mut draws(0)).is_empty());
    assert_eq!(everything().draw([8; 3], &mut draws(0)).len(), 11);
}

#[test]
fn turning_one_on_changes_no_draw_of_another() {
    let all = everything().draw([8; 3], &mut draws(1));
    for at in 0..all.len() {
        let mut one_less = serde_json::to_value(everything()).unwrap();
        let name = serde_json::to_value(&all[at]).unwrap()["transform"].as_str().unwrap().to_owned();
        one_less.as_object_mut().unwrap().remove(&name).unwrap();
        let one_less: Augmentation = serde_json::from_value(one_less).unwrap();
        let mut expected = all.clone();
        expected.remove(at);
        assert_eq!(one_less.draw([8; 3], &mut draws(1)), expected, "{name}");
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    let patch = numbered([24, 24, 20]);
    let drawn = everything().draw(patch.shape(), &mut draws(2));
    let alone = drawn.apply(patch.clone());
    for threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert_eq!(pool.install(|| drawn.apply(patch.clone())), alone);
    }
    let (drawn, patch, alone) = (&drawn, &patch, &alone);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(move || assert_eq!(&drawn.apply(patch.clone()), alone));
        }
    });
}

#[test]
fn a_label_moves_with_its_image_whatever_is_drawn() {
    let spatial = Augmentation {
        turn: everything().turn,
        flip: everything().flip,
        affine: everything().affine,
        elastic: everything().elastic,
        ..Augmentation::default()
    };
    assert!(spatial.is_spatial());
    let patch = block([24, 24, 24], [6..16, 8..17, 5..13]);
    for slot in 0..10 {
        let moved = spatial.draw(patch.shape(), &mut draws(slot)).apply(patch.clone());
        // Image and label are 1 in the block and 0 outside. Two interpolations blur its faces, but leave none elsewhere.
        let (image, label) = (moved.image(), moved.label().unwrap());
        let inside = label.iter().filter(|class| **class == 1).count();
        let agreeing =
            image.iter().zip(label).filter(|(value, class)| (**value > 0.5) == (**class == 1)).count();
        assert!(inside > 200 && label.len() - agreeing < inside / 5, "{inside} {agreeing}");
        assert_ne!(extent(&moved), extent(&patch));
    }
}

#[test]
fn flips_and_turns_draw_all_mirror_images_and_no_other() {
    let random = Augmentation::flips_and_turns();
    let patch = numbered([4, 4, 3]);
    let mut seen: Vec<Patch> = Vec::new();
    for slot in 0..64 {
        let changed = random.draw([4, 4, 3], &mut draws(slot)).apply(patch.clone());
        if !seen.contains(&changed) {
            seen.push(changed);
        }
    }
    assert_eq!(seen.len(), 4);
    let flipped = |along| Flip { along }.apply(patch.clone());
    assert!(seen.contains(&flipped([true, false, false])) && seen.contains(&flipped([false, true, false])));
    assert!(!seen.contains(&patch) && !seen.contains(&Turn { quarters: [0, 0, 1] }.apply(patch)));
}

#[test]
fn the_strong_preset_moves_nothing() {
    assert!(!Augmentation::strong().is_spatial());
    assert!(Augmentation::weak().is_spatial() && Augmentation::flips_and_turns().is_spatial());
}

#[test]
fn a_log_names_each_transform() {
    let affine = Affine { rotation_degrees: [1.5, 0.0, 0.0], scale: 1.25, shift_mm: [0.0; 3] };
    let log = vec![Drawn::Affine(affine), Drawn::Flip(Flip { along: [true, false, false] })];
    let written = r#"[{"transform":"affine","rotation_degrees":[1.5,0.0,0.0],"scale":1.25,"shift_mm":[0.0,0.0,0.0]},{"transform":"flip","along":[true,false,false]}]"#;
    assert_eq!(serde_json::to_string(&log).unwrap(), written);
    assert_eq!(serde_json::from_str::<Vec<Drawn>>(written).unwrap(), log);
}

#[test]
fn settings_are_a_name_or_a_table_and_come_back_as_they_were() {
    for name in Augmentation::NAMES {
        let named: Augmentation = serde_json::from_value(name.into()).unwrap();
        named.check([64, 64, 32]).unwrap();
        assert_eq!(named, Augmentation::named(name).unwrap());
        let written = serde_json::to_string(&named).unwrap();
        assert_eq!(serde_json::from_str::<Augmentation>(&written).unwrap(), named, "{written}");
        assert_eq!(named.to_string(), name);
    }
    let own = Augmentation { noise: Augmentation::strong().noise, ..Augmentation::flips_and_turns() };
    assert_eq!(own.to_string(), "turn, flip, noise");
    assert_eq!(serde_json::to_string(&Augmentation::default()).unwrap(), "{}");
}

#[test]
fn what_is_wrong_is_a_sentence() {
    let read = |settings: serde_json::Value| {
        let augmentation =
            serde_json::from_value::<Augmentation>(settings).map_err(|error| error.to_string())?;
        augmentation.check([64, 64, 32]).map_err(|error| error.to_string())
    };
    let message = |settings| read(settings).unwrap_err();
    let gamma = |low: f64, high: f64| serde_json::json!({ "gamma": { "probability": 0.3, "exponent": [low, high], "inverted": 0 } });
    read(gamma(0.7, 1.5)).unwrap();
    assert_eq!(
        message(gamma(1.5, 0.7)),
        "gamma.exponent is [1.5, 0.7]; give a lower and a higher number between 0.1 and 10"
    );
    assert!(message(gamma(-1.0, 2.0)).starts_with("gamma.exponent is [-1, 2]"));
    let message_of_name = message("medium".into());
    assert!(
        message_of_name.contains("\"medium\"") && message_of_name.contains("flips-and-turns"),
        "{message_of_name}"
    );
    assert!(message(serde_json::json!({ "gama": {} })).contains("gama"));
    assert!(message(serde_json::json!({ "blur": { "probability": 1.0 } })).contains("sigma_voxels"));
    assert_eq!(
        message(serde_json::json!({ "noise": { "probability": 1.5, "deviation": [0, 1] } })),
        "noise.probability is 1.5; it must lie between 0 and 1"
    );
    assert_eq!(
        message(serde_json::json!({ "turn": { "probability": [0, 0.5, 0] } })),
        "turn.probability asks for quarter turns about j, but the other two sides of a patch of [64, 64, 32] voxels differ; \
         make them equal, or put 0 there"
    );
    assert!(
        message(3.into()).contains("a table of transforms, or one of none, flips-and-turns, weak, strong")
    );
}
