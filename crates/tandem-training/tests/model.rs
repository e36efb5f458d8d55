//! Model folders: of a run, and of weights that PyTorch saved.

use crate::run::{coarse, prepared, train};
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use tandem_inference::Segmentation;
use tandem_networks::Device;
use tandem_networks::Pass;
use tandem_training::{Import, Model, Origin, Precision, Predictor, Selection, TrainedRun};
use tandem_volume::Image;
use tandem_volume::prepared::{Names, Normalisation, PreparedSet};

/// A run, its model folder, and a scan.
struct Exported {
    folder: tempfile::TempDir,
    scan: Image,
}

impl Exported {
    fn new(iterations: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let scans = prepared(folder.path());
        let mut config = coarse(iterations);
        config.precision = Precision::F32;
        train(config, &scans, &folder.path().join("run"));
        let scan = PreparedSet::open(&scans).unwrap().subject("ball5").unwrap().image().clone();
        let exported = Exported { folder, scan };
        Model::open(&exported.path("run"), &Device::Cpu)
            .unwrap()
            .write(&exported.path("model"), true)
            .unwrap();
        exported
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn open(&self, name: &str) -> Model {
        Model::open(&self.path(name), &Device::Cpu).unwrap()
    }

    /// What opening the model folder says.
    fn refused(&self) -> String {
        Model::open(&self.path("model"), &Device::Cpu).err().expect("an error").to_string()
    }
}

fn segment(predictor: &Predictor<'_>, scan: &Image) -> Segmentation {
    predictor.segment("a", scan, &mut |_, _| ControlFlow::Continue(())).unwrap()
}

/// Every probability of every network on both grids, and their mean.
fn bits(segmentation: &Segmentation) -> Vec<u32> {
    let grids = [&segmentation.own, segmentation.working.as_ref().expect("a working grid")];
    let of = grids.into_iter().flat_map(|grid| grid.networks.iter().chain([&grid.ensemble]));
    of.flatten().map(|value| value.to_bits()).collect()
}

#[test]
fn a_model_folder_is_its_run_bit_for_bit() {
    let exported = Exported::new(2);
    let trained = TrainedRun::open(&exported.path("run"), &Device::Cpu).unwrap();
    let expected = bits(&segment(&trained.predictor().unwrap(), &exported.scan));
    let [run, model] = ["run", "model"].map(|name| exported.open(name));
    for model in [&run, &model] {
        let predictor = model.predictor().unwrap();
        assert_eq!(bits(&segment(&predictor, &exported.scan)), expected);
        assert_eq!((predictor.names(), predictor.spacing()), (&["vnet", "resnet34"][..], Some([2.0; 3])));
    }
    let record = model.record();
    let Origin::Run(origin) = &record.origin else { panic!("{record:?}") };
    assert_eq!((origin.steps, origin.weights, origin.labelled), (2, Selection::Final, 2));
    let validation = record.validation.as_ref().unwrap();
    let dice: Vec<_> = validation.scores.iter().filter(|score| score.metric == "dice").collect();
    assert_eq!((validation.cases, dice.len()), (1, 3), "{validation:?}");
    assert!(dice.iter().all(|score| score.n + score.undefined == 1));

    // All but the ONNX files is known of the run already; and a folder that is exported again is the same.
    let mut without = record.clone();
    without.networks.iter_mut().for_each(|network| assert!(network.onnx.take().is_some()));
    assert_eq!(run.record(), &without);
    model.write(&exported.path("again"), true).unwrap();
    let mut names: Vec<_> = fs::read_dir(exported.path("again"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let files = [
        "LICENSE",
        "README.md",
        "model.json",
        "resnet34.onnx",
        "resnet34.safetensors",
        "vnet.onnx",
        "vnet.safetensors",
    ];
    assert_eq!(names, files);
    for file in files {
        let [first, again] = ["model", "again"].map(|name| fs::read(exported.path(name).join(file)).unwrap());
        assert!(first == again, "{file}");
    }
    let readme = fs::read_to_string(exported.path("model/README.md")).unwrap();
    assert!(
        readme.contains("2 labelled and 3 unlabelled scans of balls") && readme.contains("| dice |"),
        "{readme}"
    );
    let exists = model.write(&exported.path("again"), false).unwrap_err().to_string();
    assert!(exists.contains("again: the folder exists already; remove it or choose another one"), "{exists}");
}

#[test]
fn a_damaged_model_folder_is_named_file_field_and_remedy() {
    let exported = Exported::new(1);
    let path = exported.path("model/model.json");
    let whole = fs::read_to_string(&path).unwrap();
    let changed = |change: &dyn Fn(&mut serde_json::Value), words: &[&str]| {
        let mut value = serde_json::from_str(&whole).unwrap();
        change(&mut value);
        fs::write(&path, value.to_string()).unwrap();
        let message = exported.refused();
        for word in words {
            assert!(message.contains(word), "no {word:?} in {message:?}");
        }
        fs::write(&path, &whole).unwrap();
    };
    let remedy = "export the model again";
    let set = |pointer: &'static str, to: serde_json::Value| {
        move |value: &mut serde_json::Value| *value.pointer_mut(pointer).unwrap() = to.clone()
    };
    let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    changed(
        &set("/format", json("2")),
        &["model.json: format is 2, but this program reads format 1", remedy],
    );
    for (field, wrong) in [
        ("patch", "[17, 16, 16]"),
        ("patch", "[0, 16, 16]"),
        ("stride", "[0, 1, 1]"),
        ("stride", "[1024, 1, 1]"),
        ("batch", "0"),
        ("channels", "0"),
        ("channels", "[\"a\", \"a\"]"),
        ("classes", "1"),
        ("classes", "257"),
        ("spacing_mm", "[1.0, -1.0, 1.0]"),
        ("normalisation", "[\"z-score\", \"z-score\"]"),
        ("normalisation", "[{\"window\": {\"low\": 3.0, \"high\": 3.0}}]"),
        ("networks", "[]"),
    ] {
        let set = set(format!("/{field}").leak(), json(wrong));
        changed(&set, &[&format!("model.json: {field} "), remedy]);
    }
    changed(&set("/network/filters", json("0")), &["model.json: network.filters must be 1 to 1024", remedy]);
    changed(&set("/network/filters", json("1000")), &["too short for", "network.filters", remedy]);
    changed(&set("/network/dropout", json("1.0")), &["model.json: network.dropout", remedy]);
    changed(
        &set("/networks/0/architecture", json("\"unet\"")),
        &["networks[0].architecture must be one of vnet", remedy],
    );
    changed(
        &set("/networks/1/name", json("\"vnet\"")),
        &["networks[1].name must be a name of its own", remedy],
    );
    for file in ["../vnet.safetensors", "/etc/passwd", "a/b", "", ".", "c:x", "..\\x"] {
        changed(
            &set("/networks/0/file", json(&format!("{file:?}"))),
            &["networks[0].file must be the name of a file", remedy],
        );
    }
    changed(
        &set("/networks/0/file", json("\"gone\"")),
        &["model/gone: cannot be read", "networks[0].file", remedy],
    );
    changed(
        &set("/networks/0/sha256", json("\"00\"")),
        &["vnet.safetensors: is damaged", "networks[0].sha256", remedy],
    );
    // The right checksum of the wrong network.
    let swapped = |value: &mut serde_json::Value| {
        let file = value["networks"][1].clone();
        value["networks"][0]["file"] = file["file"].clone();
        value["networks"][0]["sha256"] = file["sha256"].clone();
    };
    changed(
        &swapped,
        &["resnet34.safetensors: does not hold the network", "networks[0].architecture", remedy],
    );
    for pointer in [
        "",
        "/network",
        "/networks/0",
        "/networks/0/onnx",
        "/origin/run",
        "/validation",
        "/validation/scores/0",
        "/program",
    ] {
        let unknown =
            |value: &mut serde_json::Value| value.pointer_mut(pointer).unwrap()["colour"] = 3.into();
        changed(&unknown, &["model.json: does not read as expected: unknown field `colour`", remedy]);
    }
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    assert!(
        exported.refused().contains("model.json: does not read as expected: EOF"),
        "{}",
        exported.refused()
    );
    fs::write(&path, &whole).unwrap();

    let weights = exported.path("model/vnet.safetensors");
    let bytes = fs::read(&weights).unwrap();
    let mut flipped = bytes.clone();
    flipped[bytes.len() / 2] ^= 1;
    fs::write(&weights, flipped).unwrap();
    assert!(exported.refused().contains("is damaged or was changed"), "{}", exported.refused());
    fs::remove_file(&weights).unwrap();
    let message = exported.refused();
    assert!(
        message.contains("vnet.safetensors: cannot be read")
            && message.contains("copy the model folder anew"),
        "{message}"
    );
    fs::remove_file(&path).unwrap();
    assert!(exported.refused().contains("is no run folder and no model folder"), "{}", exported.refused());
}

/// A V-Net of one filter that PyTorch 2 saved in half precision (`tests/peers/import.py --fixtures`).
fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/import").join(name)
}

fn settings(architecture: &str) -> Import {
    Import {
        name: "imported".into(),
        architecture: architecture.into(),
        prefix: None,
        channels: None,
        classes: Some(vec!["background".into(), "atrium".into()]),
        spacing_mm: None,
        normalisation: Normalisation::ZScore,
        patch: [16; 3],
        stride: [8; 3],
    }
}

#[test]
fn weights_that_pytorch_saved_predict_what_they_predict_there() {
    let folder = tempfile::tempdir().unwrap();
    let imported = Model::import(&golden("vnet.pth"), &settings("vnet"), &Device::Cpu).unwrap();
    imported.write(&folder.path().join("model"), false).unwrap();
    let model = Model::open(&folder.path().join("model"), &Device::Cpu).unwrap();
    assert_eq!(model.record(), imported.record());
    assert_eq!(
        (model.record().network.filters, &model.record().classes),
        (1, &Names::from(["background", "atrium"]))
    );
    let Origin::Import(origin) = &model.record().origin else { panic!("{:?}", model.record()) };
    assert_eq!((origin.file.as_str(), origin.prefix.as_str()), ("vnet.pth", ""));
    let expected =
        candle_core::safetensors::load(golden("vnet.safetensors"), &candle_core::Device::Cpu).unwrap();
    let image = expected["image"].to_dtype(candle_core::DType::F32).unwrap();
    let (_, network) = model.networks().next().unwrap();
    let logits = network.forward(&image, Pass::Infer).unwrap().logits.get().unwrap();
    let exponentials = logits.broadcast_sub(&logits.max_keepdim(1).unwrap()).unwrap().exp().unwrap();
    let ours = exponentials.broadcast_div(&exponentials.sum_keepdim(1).unwrap()).unwrap();
    let flat = |tensor: &candle_core::Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let pairs = flat(&ours).into_iter().zip(flat(&expected["probabilities"]));
    let (apart, range) = pairs
        .fold((0f32, 0f32), |(apart, range), (a, b)| (apart.max((a - b).abs()), range.max((b - 0.5).abs())));
    assert!(apart < 1e-5, "{apart}");
    assert!(range > 0.05, "probabilities that are all the same would show nothing");
}

#[test]
fn what_is_no_such_network_is_refused_with_a_reason() {
    let refused = |settings: &Import, words: &[&str]| {
        let message =
            Model::import(&golden("vnet.pth"), settings, &Device::Cpu).err().expect("an error").to_string();
        for word in words {
            assert!(message.contains(word), "no {word:?} in {message:?}");
        }
    };
    refused(
        &settings("resnet34"),
        &["vnet.pth: is not a resnet34: it has no \"resnet_encoder.conv1.weight\"", "--network"],
    );
    refused(&settings("vnet-dtc"), &["is not a vnet-dtc: 2 of its", "\"out_conv2.bias\"", "--network"]);
    refused(&settings("unet"), &["unknown architecture \"unet\"; known are vnet"]);
    let three = Import { classes: Some(["a", "b", "c"].map(str::to_owned).to_vec()), ..settings("vnet") };
    refused(&three, &["has a network of 2 classes, but 3 are named"]);
    refused(&Import { patch: [20; 3], ..settings("vnet") }, &["patch needs three multiples of 16"]);
    refused(
        &Import { prefix: Some("net.".into()), ..settings("vnet") },
        &["parameters are missing", "--prefix"],
    );
}
