//! What the program says when it cannot go on: every text in one file, `messages.txt`, to be read aloud.
//!
//! `TANDEM_UPDATE=1 cargo test -p tandem-tests messages` writes the file anew; look at what changed.

use crate::experiment::{definition, read, run};
use crate::program::{Ended, Program, workspace};
use std::fs;

/// All that goes wrong here, one after the other.
struct Book<'a> {
    program: &'a Program,
    text: String,
}

impl Book<'_> {
    /// Writes down what somebody did, and the errors that followed: one, or where 3 says that some scans failed, one for
    /// each and one for all. What was said before is progress.
    fn add(&mut self, what: &str, ended: Ended) {
        assert!([Some(1), Some(3)].contains(&ended.code), "{what}: {ended:#?}");
        let lines: Vec<_> = ended.stderr.lines().filter(|line| line.starts_with("error: ")).collect();
        assert_eq!(lines.len() > 1, ended.code == Some(3), "{what}: {ended:#?}");
        assert_eq!(lines.last().copied(), ended.stderr.lines().last(), "{what}: {ended:#?}");
        let error = lines.join("\n    ");
        let [home, own] = [self.program.path(""), workspace().to_owned()]
            .map(|path| path.display().to_string().trim_end_matches('/').to_owned());
        let text = format!("{what}\n    {error}\n\n");
        self.text += &text.replace(&home, "HOME").replace(&own, "TANDEM");
    }

    /// The tiny experiment with one setting changed.
    fn setting(&mut self, setting: &str) {
        let ended = run(self.program, "other", &["--set", setting]);
        self.add(&format!("experiment --set {setting}"), ended);
    }

    fn command(&mut self, arguments: &[&str]) {
        let ended = self.program.run(arguments);
        self.add(&arguments.join(" "), ended);
    }

    /// Goes on with the run after something happened to a file.
    fn resumed(&mut self, what: &str) {
        let ended = self.program.run(&["experiment", "--resume", "run"]);
        self.add(&format!("experiment --resume run, after {what}"), ended);
    }
}

#[test]
fn every_error_says_what_where_and_what_to_do() {
    let program = Program::with_phantoms();
    let mut book = Book { program: &program, text: String::new() };

    book.command(&["experiment", "la-9pct"]);
    book.command(&["experiment", &definition("la-8pct"), "--device", "cuda"]);
    book.command(&["check-device"]);
    for setting in [
        "training.iterations=0",
        "training.patch=[17, 16, 16]",
        "training.learning_rate=-1",
        "training.batch_labelled=0",
        "training.clip_norm=0",
        "training.nonsense=1",
        "network.filters=0",
        "network.dropout=1.5",
        "data.labelled=100",
        "data.validation=100",
        "data.classes=7",
        "data.spacing_mm=[0, 4, 4]",
        "inference.stride=[0, 16, 16]",
        "method.options.nonsense=1",
        "precision=f16",
    ] {
        book.setting(setting);
    }
    book.command(&["experiment", &definition("la-8pct"), "--method", "nonsense"]);
    let forced = program.command(&["inspect", "scan.nii.gz"]).env("TANDEM_CPU", "sse").output();
    book.add("TANDEM_CPU=sse inspect scan.nii.gz", forced.unwrap().into());

    run(&program, "run", &["--set", "training.validate_every=2"]).succeeded();
    let again = run(&program, "run", &[]);
    book.add("experiment --out run, which is there", again);
    let other = run(&program, "run", &["--resume", "--seed", "9"]);
    book.add("experiment --resume --seed 9, of a run with another", other);
    book.command(&["experiment", "--resume", "nowhere"]);
    let with = |file: &str, change: &dyn Fn(Vec<u8>) -> Vec<u8>, then: &mut dyn FnMut()| {
        let path = program.path(file);
        let whole = fs::read(&path).unwrap();
        fs::write(&path, change(whole.clone())).unwrap();
        then();
        fs::write(&path, whole).unwrap();
    };
    let half = |bytes: Vec<u8>| bytes[..bytes.len() / 2].to_vec();
    // Where half of a text ends depends on the paths in it.
    let first = |_: Vec<u8>| b"{".to_vec();
    let other_seed =
        |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().replace("\"seed\": 1337", "\"seed\": 7").into();
    with("run/config.json", &first, &mut || book.resumed("most of config.json was lost"));
    with("run/config.json", &other_seed, &mut || book.resumed("config.json was changed"));
    with("run/run.json", &first, &mut || book.resumed("most of run.json was lost"));
    with("data/prepared/phantom/manifest.json", &first, &mut || {
        book.resumed("most of the manifest was lost");
    });
    with("data/prepared/phantom/manifest.json", &|bytes| [&bytes[..], b"\n"].concat(), &mut || {
        book.resumed("the scans were prepared anew");
    });
    let evaluate = ["evaluate", "run", "--cases", "data/prepared/phantom", "-o", "scores"];
    with("run/checkpoints/final.safetensors", &half, &mut || book.command(&evaluate));
    with("data/prepared/phantom/images/phantom-005.nii", &half, &mut || book.command(&evaluate));
    book.command(&["evaluate", "run", "--cases", "nowhere"]);
    book.command(&["evaluate", "nowhere", "--cases", "data/prepared/phantom"]);
    book.command(&["verify", "nowhere"]);
    fs::write(program.path("notes.nii.gz"), "no scan").unwrap();
    fs::create_dir(program.path("empty")).unwrap();
    book.command(&["predict", "run", "notes.nii.gz", "-o", "out"]);
    book.command(&["predict", "run", "nowhere.nii.gz", "-o", "out"]);
    for checkpoint in fs::read_dir(program.path("run/checkpoints")).unwrap() {
        let path = checkpoint.unwrap().path();
        fs::write(&path, half(fs::read(&path).unwrap())).unwrap();
    }
    book.resumed("all of its checkpoints were cut");

    book.command(&["inspect", "notes.nii.gz"]);
    book.command(&["inspect", "nowhere.nii.gz"]);
    book.command(&["check-data", "empty"]);
    book.command(&["check-data", "nowhere"]);
    book.command(&["prepare-data", "la", "--source", "nowhere"]);
    book.command(&["prepare-data", "custom", "--source", "empty"]);
    book.command(&["prepare-data", "pancreas", "--source", "empty"]);
    book.command(&["prepare-data", "phantom", "--spacing", "400", "--force"]);

    let file = workspace().join("tests/messages.txt");
    if std::env::var_os("TANDEM_UPDATE").is_some() {
        fs::write(&file, &book.text).unwrap();
    }
    let expected = read(file);
    for (line, (ours, expected)) in book.text.lines().zip(expected.lines()).enumerate() {
        assert_eq!(ours, expected, "messages.txt:{}", line + 1);
    }
    assert_eq!(book.text.lines().count(), expected.lines().count(), "messages.txt has other lines");
}
