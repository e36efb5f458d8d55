//! `tandem experiment` and `tandem evaluate`, on phantoms of 4 mm with networks of 2 filters.

use crate::program::{Ended, Program, signalled, workspace};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

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

/// The command line of the tiny experiment in the folder `out`, with further settings.
pub(crate) fn tiny(out: &Path, settings: &[String]) -> Vec<String> {
    let (definition, out) = (definition("la-8pct"), out.display().to_string());
    let more: Vec<&str> = settings.iter().flat_map(|setting| ["--set", setting]).collect();
    arguments(&definition, &out, &more).into_iter().map(str::to_owned).collect()
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

pub(crate) fn read(path: PathBuf) -> String {
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

/// Starts the tiny experiment in the folder `out`, and gives it back once it has logged a few steps, so that a fast machine
/// does not end it first.
fn training(program: &Program, out: &str, more: &[&str]) -> Child {
    let child = program
        .command(&arguments(&definition("la-8pct"), out, more))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("tandem starts");
    let log = program.path(out).join("log.jsonl");
    let logged = || std::fs::read_to_string(&log).map_or(0, |text| text.lines().count());
    let patience = std::time::Instant::now();
    while logged() < 5 && patience.elapsed().as_secs() < 60 {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    child
}

#[test]
fn ctrl_c_and_sigterm_leave_a_checkpoint_from_which_the_run_goes_on_as_if_nothing_had_been() {
    let program = Program::with_phantoms();
    let long = ["--set", "training.iterations=100"];
    run(&program, "whole", &long).succeeded();
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let child = training(&program, signal, &long);
        let ended = Ended::from(signalled(child, signal));
        assert_eq!(ended.code, Some(code), "{ended:#?}");
        assert_eq!(checkpoints(&program.path(signal)), 1);
        let done = steps(&program.path(signal)).len();
        assert!(done < 100, "the run was over before it was stopped");
        assert!(
            ended.stdout.contains(&format!("stopped after {done} steps; the state is in {signal}/")),
            "{ended:#?}"
        );

        program.run(&["experiment", "--resume", signal]).succeeded();
        for name in ["log.jsonl", "metrics.csv"] {
            let [resumed, whole] = [signal, "whole"].map(|run| read(program.path(run).join(name)));
            assert_eq!(resumed, whole, "{name}");
        }
    }
}

#[test]
fn a_run_folder_takes_one_process_and_goes_on_by_the_command_that_began_it() {
    let program = Program::with_phantoms();
    let long = ["--set", "training.iterations=60"];
    let child = training(&program, "run", &long);
    let holder = format!("run: is in use by process {} on ", child.id());
    let remedy = "; wait until that has ended, or choose another run folder";
    program.run(&["experiment", "--resume", "run"]).refused(&[&holder, remedy]);
    run(&program, "run", &long)
        .refused(&["run exists already; choose another folder with --out, or go on with --resume"]);
    assert_eq!(signalled(child, "TERM").status.code(), Some(143));

    run(&program, "run", &[&long[..], &["--resume", "--seed", "9"]].concat()).refused(&[
        "run: training.seed is 9 here and 1337 in the run; leave that out, or go on with the run as it is: experiment --resume run",
    ]);
    let resumed = run(&program, "run", &[&long[..], &["--resume"]].concat()).succeeded();
    assert!(resumed.stdout.starts_with("going on with run on phantom"), "{resumed:#?}");
    assert_eq!(steps(&program.path("run")).len(), 60);
    let absent = program.path("runs/la-8pct-phantom-dual-networks-quick-s1337");
    let absent = format!("error: there is no run {}; begin it without --resume", absent.display());
    program
        .run(&["experiment", &definition("la-8pct"), "--profile", "quick", "--resume"])
        .refused(&[&absent]);
    run(&program, "run", &["--resume", "other"])
        .refused(&["--resume other and --out run name two run folders; give one"]);
    program
        .run(&["experiment", "--resume"])
        .refused(&["say which run goes on: experiment --resume RUN, or experiment NAME --resume"]);
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

/// Networks that were chosen on the validation scans are scored only where they are asked for by name.
#[test]
fn the_best_weights_are_scored_on_request() {
    let program = Program::with_phantoms();
    run(&program, "run", &["--set", "training.validate_every=2"]).succeeded();
    let evaluate = |weights: &str, out: &str| {
        let cases = ["evaluate", "run", "--cases", "data/prepared/phantom"];
        program.run(&[&cases[..], &["--weights", weights, "-o", out]].concat())
    };
    let said = evaluate("best", "best").succeeded().stdout;
    assert!(said.contains("chosen on the validation scans"), "{said}");
    let summary: serde_json::Value =
        serde_json::from_str(&read(program.path("best/summary.json"))).expect("a line of JSON");
    assert_eq!(summary["weights"], "best-on-validation");
    let log = read(program.path("run/log.jsonl"));
    let step = format!("{{\"steps\":{},", summary["steps"]);
    let validation = log.lines().find(|line| line.starts_with(&step) && line.contains("validation"));
    let validation: serde_json::Value = serde_json::from_str(validation.expect("its validation")).unwrap();
    assert_eq!(validation["validation"], summary["scores"]);

    program.run(&["export", "run", "--weights", "best", "-o", "model"]).succeeded();
    let model: serde_json::Value = serde_json::from_str(&read(program.path("model/model.json"))).unwrap();
    assert_eq!(model["origin"]["run"]["weights"], "best-on-validation");
    assert_eq!(
        (&model["origin"]["run"]["steps"], &model["validation"]),
        (&summary["steps"], &serde_json::Value::Null)
    );
    let card = read(program.path("model/README.md"));
    assert!(
        card.contains("did best on its validation scans") && card.contains("No validation scores"),
        "{card}"
    );
    let of_model = ["export", "model", "--weights", "best", "-o", "none"];
    program.run(&of_model).refused(&["model: is a model folder", "one set of weights"]);

    run(&program, "plain", &[]).succeeded();
    let plain = ["evaluate", "plain", "--cases", "data/prepared/phantom", "--weights", "best", "-o", "none"];
    program.run(&plain).refused(&["best.safetensors", "training.validate_every", "final weights"]);
}

#[test]
fn an_experiment_makes_phantoms_only_where_its_definition_allows_them() {
    let program = Program::new();
    run(&program, "run", &["--set", "data.dataset=[\"la\"]"])
        .refused(&["none of la", "prepare-data la --source"]);
    assert!(!program.path("data/prepared").exists());
}
