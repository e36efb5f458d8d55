//! `tandem experiment` and `tandem evaluate`, on phantoms of 4 mm with networks of 2 filters.

use crate::program::{Ended, Program, workspace};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The published definition `la-8pct`, made tiny.
pub(crate) fn arguments<'a>(definition: &'a str, out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec!["experiment", definition, "--profile", "quick", "--out", out];
    let tiny = [
        "data.labelled=2",
        "data.validation=2",
        "data.spacing_mm=[4, 4, 4]",
        "network.filters=2",
        "training.iterations=5",
        "training.patch=[16, 16, 16]",
        "inference.stride=[16, 16, 16]",
    ];
    arguments.extend(tiny.into_iter().flat_map(|setting| ["--set", setting]));
    arguments.extend(more);
    arguments
}

/// The path of a definition of the workspace.
pub(crate) fn definition(name: &str) -> String {
    workspace().join(format!("data/experiments/{name}.toml")).to_string_lossy().into_owned()
}

/// Runs the tiny experiment in the folder `out`.
pub(crate) fn run(program: &Program, out: &str, more: &[&str]) -> Ended {
    run_with(program, out, more, &[])
}

/// Runs another definition of the workspace, made as tiny.
pub(crate) fn run_definition(program: &Program, name: &str, out: &str, more: &[&str]) -> Ended {
    program.run(&arguments(&definition(name), out, more))
}

/// Runs it with variables set.
pub(crate) fn run_with(program: &Program, out: &str, more: &[&str], variables: &[(&str, &str)]) -> Ended {
    let mut command = program.command(&arguments(&definition("la-8pct"), out, more));
    command.envs(variables.iter().copied()).output().expect("tandem starts").into()
}

fn read(path: PathBuf) -> String {
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The lines of the log that are steps, not validations.
fn steps(run: &Path) -> Vec<serde_json::Value> {
    let log = read(run.join("log.jsonl"));
    let lines =
        log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("a line of JSON"));
    lines.filter(|line| line.get("losses").is_some()).collect()
}

fn checkpoints(run: &Path) -> usize {
    let files = std::fs::read_dir(run.join("checkpoints")).into_iter().flatten().flatten();
    files.filter(|file| file.path().extension().is_some_and(|ending| ending == "safetensors")).count()
}

#[test]
fn a_run_folder_holds_all_that_is_promised() {
    let program = Program::with_phantoms();
    let ended = run(&program, "run", &[]).succeeded();
    let first = ended.stdout.lines().next().unwrap_or_default();
    assert!(first.contains("phantom") && first.contains("synthetic"), "{first}");
    assert!(ended.stdout.contains("do not compare with papers"), "{}", ended.stdout);

    let steps = steps(&program.path("run"));
    assert_eq!(steps.len(), 5);
    assert!(steps.iter().all(|step| step["terms"]["l_reg"].is_number()), "{steps:?}");
    let metrics = read(program.path("run/metrics.csv"));
    assert!(metrics.lines().count() > 2 * 3, "two cases, two networks and their ensemble: {metrics}");
    let summary: serde_json::Value = serde_json::from_str(&read(program.path("run/summary.json"))).unwrap();
    assert!(summary.to_string().contains("ensemble"), "{summary}");
    assert!(read(program.path("run/report.md")).contains("phantom"));
    assert!(checkpoints(&program.path("run")) >= 1);
    let predictions = std::fs::read_dir(program.path("run/predictions")).unwrap().count();
    assert_eq!(predictions, 2);
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let program = Program::with_phantoms();
    let bytes = |out: &str, seed: &str| {
        run(&program, out, &["--seed", seed]).succeeded();
        ["log.jsonl", "metrics.csv"].map(|name| read(program.path(out).join(name)))
    };
    let first = bytes("a", "5");
    assert_eq!(first, bytes("b", "5"));
    assert_ne!(first[0], bytes("c", "6")[0]);
}

#[test]
fn every_method_runs_and_every_definition_is_read() {
    let program = Program::with_phantoms();
    for method in ["supervised-ensemble", "dual-networks-released", "mcf"] {
        run(&program, method, &["--method", method, "--set", "training.iterations=2"]).succeeded();
        assert_eq!(steps(&program.path(method)).len(), 2);
    }
    for name in ["la-16pct", "la-100pct"] {
        run_definition(&program, name, name, &["--set", "training.iterations=1"]).succeeded();
    }
}

#[test]
fn ctrl_c_leaves_a_checkpoint_from_which_the_run_goes_on_as_if_nothing_had_been() {
    let program = Program::with_phantoms();
    let long = ["--set", "training.iterations=200"];
    let path = definition("la-8pct");
    let child = program
        .command(&arguments(&path, "stopped", &long))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("tandem starts");
    // As soon as a few steps are logged, so that a fast machine does not end the run first.
    let log = program.path("stopped").join("log.jsonl");
    let logged = || std::fs::read_to_string(&log).map_or(0, |text| text.lines().count());
    let patience = std::time::Instant::now();
    while logged() < 5 && patience.elapsed().as_secs() < 60 {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill");
    assert!(killed.success(), "the run was over before it could be stopped");
    let ended = child.wait_with_output().expect("tandem ends");
    assert_eq!(ended.status.code(), Some(130), "{}", String::from_utf8_lossy(&ended.stderr));
    assert_eq!(checkpoints(&program.path("stopped")), 1);
    let done = steps(&program.path("stopped")).len();
    assert!(done < 200, "the run was over before it was stopped");

    program.run(&["experiment", "--resume", "stopped"]).succeeded();
    run(&program, "whole", &long).succeeded();
    for name in ["log.jsonl", "metrics.csv"] {
        assert_eq!(
            read(program.path("stopped").join(name)),
            read(program.path("whole").join(name)),
            "{name}"
        );
    }
}

#[test]
fn evaluation_repeats_the_scores_of_the_run() {
    let program = Program::with_phantoms();
    run(&program, "run", &[]).succeeded();
    let before = read(program.path("run/metrics.csv"));
    program.run(&["evaluate", "run", "--cases", "data/prepared/phantom", "-o", "again"]).succeeded();
    assert_eq!(read(program.path("again/metrics.csv")), before);
    let test = program
        .run(&["evaluate", "run", "--cases", "data/prepared/phantom", "--split", "test", "-o", "test"])
        .succeeded();
    assert!(test.stdout.contains("test"), "{test:?}");
    assert_ne!(read(program.path("test/metrics.csv")), before);
}

#[test]
fn an_experiment_makes_phantoms_only_where_its_definition_allows_them() {
    let program = Program::new();
    run(&program, "run", &["--set", "data.dataset=[\"la\"]"])
        .refused(&["none of la", "prepare-data la --source"]);
    assert!(!program.path("data/prepared").exists());
}
