//! `tandem verify`, and what else a run folder says of itself.

use crate::experiment::run;
use crate::program::Program;
use serde_json::Value;
use std::fs;

fn json(program: &Program, file: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(program.path(file)).unwrap()).unwrap()
}

#[test]
fn a_folder_agrees_with_itself_until_somebody_changes_it() {
    let program = Program::with_phantoms();
    run(&program, "run", &[]).succeeded();
    let ended = program.run(&["verify", "run"]).succeeded();
    assert!(ended.stdout.contains("run: all is as it should be"), "{ended:?}");
    assert_eq!(ended.stdout.matches("ok   ").count(), 9, "{ended:?}");

    let read = |file: &str| fs::read(program.path("run").join(file)).unwrap();
    let newest = "checkpoints/final.safetensors";
    let changed = |file: &str, from: &str, to: &str| {
        let text = String::from_utf8(read(file)).unwrap();
        assert!(text.contains(from), "{file} has no {from:?}: {text}");
        text.replacen(from, to, 1).into_bytes()
    };
    let bytes = read(newest);
    let tampered: [(&str, &str, Vec<u8>, &str); 9] = [
        (
            "config.json",
            "config.json",
            changed("config.json", "\"seed\": 1337", "\"seed\": 1338"),
            "settings were changed",
        ),
        (
            "run.json",
            "run.json",
            changed("run.json", "\"data_digest\": \"", "\"data_digest\": \"0"),
            "other scans",
        ),
        ("log.jsonl", "log.jsonl", changed("log.jsonl", "\"step\":3", "\"step\":4"), "step 3 is due"),
        (newest, "checkpoints", bytes[..bytes.len() - 9].to_vec(), "is not a whole checkpoint"),
        ("predictions/phantom-005.nii.gz", "predictions", b"not packed".to_vec(), "phantom-005"),
        (
            "metrics.csv",
            "metrics.csv",
            changed("metrics.csv", "phantom-006", "phantom-000"),
            "not on the validation list",
        ),
        (
            "summary.json",
            "summary.json",
            changed("summary.json", "\"n\": 2", "\"n\": 3"),
            "not the summary of metrics.csv",
        ),
        (
            "report.md",
            "report.md",
            changed("report.md", "validation: 2", "validation: 3"),
            "not what the other files give",
        ),
        (
            "provenance.json",
            "provenance.json",
            changed("provenance.json", "\"seconds\": ", "\"seconds\": 1"),
            "do not add up",
        ),
    ];
    for (file, named, content, problem) in tampered {
        let whole = read(file);
        fs::write(program.path("run").join(file), content).unwrap();
        let ended = program.run(&["verify", "run"]);
        assert_eq!(ended.code, Some(1), "{file}: {ended:?}");
        let line = ended.stdout.lines().find(|line| line.starts_with("WRONG") && line.contains(named));
        assert!(line.is_some_and(|line| line.contains(problem)), "{file}: no {problem:?} in {ended:?}");
        fs::write(program.path("run").join(file), whole).unwrap();
    }
    program.run(&["verify", "run"]).succeeded();
    program.run(&["verify", "data"]).refused(&["data is no run folder", "run.json"]);
}

#[test]
fn a_run_that_was_not_ended_is_told_with_the_way_on() {
    let program = Program::with_phantoms();
    run(&program, "run", &[]).succeeded();
    for file in ["metrics.csv", "summary.json", "report.md"] {
        fs::remove_file(program.path("run").join(file)).unwrap();
    }
    let ended = program.run(&["verify", "run"]);
    assert_eq!(ended.code, Some(1));
    assert_eq!(
        ended.stdout.matches("is missing; write it again with: experiment --resume run").count(),
        3,
        "{ended:?}"
    );
    program.run(&["experiment", "--resume", "run"]).succeeded();
    program.run(&["verify", "run"]).succeeded();
}

#[test]
fn a_run_says_by_what_it_was_made() {
    let program = Program::with_phantoms();
    let ended = run(&program, "run", &[]).succeeded();
    assert!(ended.stdout.contains("needs about ") && ended.stdout.contains(" on disk"), "{ended:?}");
    let (record, provenance) = (json(&program, "run/run.json"), json(&program, "run/provenance.json"));
    assert_eq!(record["dependencies"].as_str().unwrap().len(), 64);
    assert_eq!(record["dependencies"], provenance["pieces"][0]["program"]["dependencies"]);
    assert!(record["version"].is_string() && record["kernels"]["cpu"].is_string());
    assert!(provenance["seconds"].as_f64().unwrap() > 0.0);
    if cfg!(target_os = "linux") {
        assert!(provenance["peak_memory"].as_u64().unwrap() > 1 << 20, "{provenance}");
    }
    assert_eq!(json(&program, "run/summary.json")["weights"], "final");
}

#[test]
fn a_run_that_cannot_fit_is_refused_before_data_are_made_unless_it_is_forced() {
    let program = Program::new();
    // 2048 GiB of voxels alone.
    let huge = ["--set", "training.patch=[8192, 8192, 2048]"];
    run(&program, "run", &huge).refused(&["of memory", "are free", "--set training.patch=[", "--anyway"]);
    assert!(!program.path("data").exists() && !program.path("run").exists());
}

#[test]
fn every_look_at_the_test_list_is_written_down() {
    let program = Program::with_phantoms();
    run(&program, "run", &[]).succeeded();
    let evaluate = |split: &str, out: &str| {
        program
            .run(&["evaluate", "run", "--cases", "data/prepared/phantom", "--split", split, "-o", out])
            .succeeded()
    };
    evaluate("validation", "validation");
    let file = program.path("run/test-list.jsonl");
    assert!(!file.exists(), "the validation list is no test list");
    assert!(evaluate("test", "one").stdout.contains("opened now for the first time"));
    assert!(evaluate("all", "two").stdout.contains("was 1 times before"));
    let text = fs::read_to_string(&file).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    for line in &lines {
        assert_eq!(line["checkpoint"], "checkpoints/final.safetensors");
        assert_eq!(line["cases"].as_array().unwrap().len(), 1, "{line}");
        assert_eq!(line["checkpoint_digest"].as_str().unwrap().len(), 64);
    }
    assert_eq!(json(&program, "one/summary.json")["weights"], "final");
    let ended = program.run(&["verify", "run"]).succeeded();
    assert!(ended.stdout.contains("test list: opened 2 times"), "{ended:?}");
}
