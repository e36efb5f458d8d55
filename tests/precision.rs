//! The precision of a run and the code path of its kernels.

use crate::experiment;
use crate::program::{Ended, Program};
use serde_json::Value;
use tandem_ops3d::{CpuPath, cpu_path};

const BF16: [&str; 2] = ["--set", "precision=bf16"];

/// The paths that this processor has.
fn paths() -> impl Iterator<Item = CpuPath> {
    CpuPath::ALL.into_iter().filter(|path| *path <= CpuPath::widest())
}

fn read(program: &Program, file: &str) -> String {
    std::fs::read_to_string(program.path(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn json(program: &Program, file: &str) -> Value {
    serde_json::from_str(&read(program, file)).unwrap()
}

fn log(program: &Program, run: &str) -> Vec<Value> {
    let lines = read(program, &format!("{run}/log.jsonl"));
    lines.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

/// The losses of all steps; each must be a number.
fn losses(log: &[Value]) -> Vec<f64> {
    let of_step = |line: &Value| {
        line["losses"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(_, loss)| loss.as_f64().expect("a number"))
            .collect()
    };
    log.iter().flat_map(|line| -> Vec<f64> { of_step(line) }).collect()
}

/// The tiny experiment on a forced path.
fn forced(program: &Program, path: &str, out: &str, more: &[&str]) -> Ended {
    experiment::run_with(program, out, more, &[("TANDEM_CPU", path)])
}

#[test]
fn every_path_trains_in_bf16_and_says_so() {
    let program = Program::with_phantoms();
    let mut first_losses = Vec::new();
    for path in paths().map(CpuPath::name) {
        let ended = forced(&program, path, path, &BF16).succeeded();
        let said = match path {
            "avx512bf16" | "amx" => format!("bf16, kernels {path}"),
            _ => format!("bf16 stored, f32 kernels {path}"),
        };
        assert!(
            ended.stdout.lines().take(3).any(|line| line.contains(&said) && line.contains("threads: ")),
            "{ended:?}"
        );
        assert_eq!(json(&program, &format!("{path}/config.json"))["precision"], "bf16");
        let kernels = serde_json::json!({ "precision": "bf16", "cpu": path });
        let record = json(&program, &format!("{path}/run.json"));
        assert_eq!(record["kernels"], kernels);
        assert!(record["threads"].as_u64().is_some_and(|threads| threads > 0), "{record}");
        let log = log(&program, path);
        assert_eq!(log[0]["kernels"], kernels);
        assert!(read(&program, &format!("{path}/report.md")).contains(&said));
        let losses = losses(&log);
        assert_eq!(losses.len(), 5 * 2);
        first_losses.push(losses[0]);
    }
    // The paths agree to the accuracy of bf16.
    for loss in &first_losses {
        assert!((loss / first_losses[0] - 1.0).abs() < 1e-2, "{first_losses:?}");
    }
}

#[test]
fn bf16_gives_the_same_bytes_again_and_on_any_number_of_threads() {
    let program = Program::with_phantoms();
    let run = |out: &str, precision: &str, threads: &str| {
        let setting = format!("precision={precision}");
        experiment::run_with(&program, out, &["--set", &setting], &[("RAYON_NUM_THREADS", threads)])
            .succeeded();
        ["log.jsonl", "metrics.csv", "report.md"].map(|name| read(&program, &format!("{out}/{name}")))
    };
    let first = run("a", "bf16", "2");
    assert_eq!(first, run("b", "bf16", "2"));
    assert_eq!(first, run("c", "bf16", "1"));
    assert_ne!(first[0], run("d", "f32", "2")[0]);
    assert_eq!(json(&program, "c/run.json")["threads"], 1);
}

#[test]
fn the_quick_profile_takes_bf16_where_the_cpu_multiplies_it() {
    let program = Program::with_phantoms();
    experiment::run(&program, "run", &["--set", "training.iterations=1"]).succeeded();
    let expected = if cpu_path().multiplies_bf16() { "bf16" } else { "f32" };
    assert_eq!(json(&program, "run/config.json")["precision"], expected);
    forced(&program, "portable", "narrow", &["--set", "training.iterations=1"]).succeeded();
    assert_eq!(json(&program, "narrow/config.json")["precision"], "f32");
    let kernels = serde_json::json!({ "precision": "f32", "cpu": "portable" });
    assert_eq!(log(&program, "narrow")[0]["kernels"], kernels);
}

#[test]
fn a_run_that_goes_on_elsewhere_keeps_its_precision_and_names_its_new_kernels() {
    let program = Program::with_phantoms();
    let widest = CpuPath::widest().name();
    forced(&program, widest, "run", &BF16).succeeded();
    let resume = |path: &str| {
        let mut command = program.command(&["experiment", "--resume", "run"]);
        Ended::from(command.env("TANDEM_CPU", path).output().expect("tandem starts")).succeeded()
    };
    let whole = read(&program, "run/log.jsonl");
    resume(widest);
    assert_eq!(read(&program, "run/log.jsonl"), whole);
    let ended = resume("portable");
    let log = log(&program, "run");
    let kernels: Vec<&Value> = log.iter().filter(|line| line.get("kernels").is_some()).collect();
    let last = kernels.last().expect("a line of kernels");
    assert_eq!(last["kernels"], serde_json::json!({ "precision": "bf16", "cpu": "portable" }));
    if widest != "portable" {
        assert_eq!((kernels.len(), &last["steps"]), (2, &Value::from(5)));
        assert!(ended.stdout.contains("it began with bf16"), "{ended:?}");
        assert!(
            read(&program, "run/report.md").contains("; after 5 steps bf16 stored, f32 kernels portable")
        );
    }
}

#[test]
fn what_cannot_be_forced_is_refused() {
    let program = Program::with_phantoms();
    let unknown = forced(&program, "avx1024", "run", &[]);
    unknown.refused(&["TANDEM_CPU is \"avx1024\"", "portable, avx2, avx512, avx512bf16, amx"]);
    for path in CpuPath::ALL.into_iter().filter(|path| *path > CpuPath::widest()) {
        forced(&program, path.name(), "run", &[]).refused(&["TANDEM_CPU", path.name(), "lacks"]);
    }
    experiment::run(&program, "run", &["--set", "precision=f16"]).refused(&["`auto`, `f32`, `bf16`"]);
    assert!(!program.path("run").exists());
}
