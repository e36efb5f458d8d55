//! Training that is killed again and again, and each time goes on, ends as training that never was.

use crate::experiment::{read, tiny};
use crate::program::Program;
use crate::watching::events;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};
use tandem_random::Draws;

const METHODS: [&str; 3] = ["dual-networks", "supervised-ensemble", "mcf"];

/// How often a run of each method is killed.
fn kills() -> u64 {
    if std::env::var_os("TANDEM_SOAK").is_some() { 50 } else { 4 }
}

/// Steps of a run: enough that it is not over before its last kill.
fn iterations() -> u64 {
    8 * kills() + 8
}

/// Longest time until something happens that must.
const PATIENCE: Duration = Duration::from_secs(60);

/// Steps of the newest checkpoint, if there is one.
fn newest(checkpoints: &Path) -> Option<u64> {
    let names = std::fs::read_dir(checkpoints).into_iter().flatten().flatten().map(|file| file.file_name());
    let steps = names
        .filter_map(|name| name.to_str()?.strip_prefix("step-")?.strip_suffix(".safetensors")?.parse().ok());
    steps.max()
}

/// Whether a checkpoint is being written.
fn writing(checkpoints: &Path) -> bool {
    let names = std::fs::read_dir(checkpoints).into_iter().flatten().flatten().map(|file| file.file_name());
    names.into_iter().any(|name| name.to_string_lossy().ends_with(".partial"))
}

/// Waits until `happens`, as long as the process runs.
fn wait_until(child: &mut Child, happens: impl Fn() -> bool) {
    let started = Instant::now();
    while !happens() {
        assert!(started.elapsed() < PATIENCE, "nothing happens");
        assert_eq!(child.try_wait().expect("a process"), None, "the run was over before it was killed");
        std::thread::yield_now();
    }
}

/// Kills a run `kills` times at drawn moments, every second time while it writes a checkpoint, and goes on each time.
/// Returns how many kills left a checkpoint half written.
fn kill_again_and_again(program: &Program, method: &str, out: &Path) -> u64 {
    let checkpoints = out.join("checkpoints");
    let mut in_writes = 0;
    for kill in 0..kills() {
        let begins = begin(method, out);
        let resumes = ["experiment", "--resume"].map(str::to_owned).into_iter();
        let arguments = if kill == 0 { begins } else { resumes.chain([out.display().to_string()]).collect() };
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let mut draws = Draws::new(5, method, kill, 0);
        let from = newest(&checkpoints).unwrap_or(0) + 1 + draws.below(3) as u64;
        let later = Duration::from_micros(draws.below(40_000) as u64);

        let null = || Stdio::null();
        let mut child =
            program.command(&arguments).stdout(null()).stderr(null()).spawn().expect("tandem starts");
        wait_until(&mut child, || newest(&checkpoints).is_some_and(|steps| steps >= from));
        if kill % 2 == 0 {
            wait_until(&mut child, || writing(&checkpoints));
        } else {
            std::thread::sleep(later);
        }
        child.kill().expect("a process");
        let ended = child.wait().expect("a process");
        assert_eq!(ended.code(), None, "the run was over before it was killed");
        in_writes += u64::from(writing(&checkpoints));
    }
    in_writes
}

fn begin(method: &str, out: &Path) -> Vec<String> {
    let mut arguments = tiny(
        out,
        &[format!("training.iterations={}", iterations()), "training.checkpoint_every=1".to_owned()],
    );
    arguments.extend(["--method", method].map(str::to_owned));
    arguments
}

#[test]
fn a_run_that_is_killed_again_and_again_ends_as_one_that_never_was() {
    let program = Program::with_phantoms();
    let mut in_writes = 0;
    for method in METHODS {
        let (whole, killed) = (program.path(&format!("{method}-whole")), program.path(method));
        in_writes += kill_again_and_again(&program, method, &killed);
        program.run(&["experiment", "--resume", &killed.display().to_string()]).succeeded();
        let begun = begin(method, &whole);
        program.run(&begun.iter().map(String::as_str).collect::<Vec<_>>()).succeeded();
        for name in ["checkpoints/final.safetensors", "log.jsonl", "metrics.csv", "summary.json", "report.md"]
        {
            let bytes = |run: &Path| std::fs::read(run.join(name)).unwrap();
            assert!(bytes(&whole) == bytes(&killed), "{method}: {name}");
        }
        assert!(events(&whole) == events(&killed), "{method}: log.tfevents");
        let steps = read(killed.join("log.jsonl")).lines().filter(|line| line.contains("\"losses\"")).count();
        assert_eq!(steps as u64, iterations());
        assert!(!writing(&killed.join("checkpoints")));
    }
    let all = kills() * METHODS.len() as u64;
    println!("{all} kills, {in_writes} of them while a checkpoint was written");
    assert!(3 * in_writes >= all, "{in_writes} of {all}");
}
