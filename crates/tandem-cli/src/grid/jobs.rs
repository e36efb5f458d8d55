//! Runs as processes of their own, some at once.

use super::cell::{Cell, State};
use crate::experiment;
use crate::progress::duration;
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tandem_training::Provenance;

/// How often is looked whether a run has ended.
const PERIOD: Duration = Duration::from_millis(50);

/// What happens to a run.
pub(super) enum Outcome {
    Begins,
    Done,
    /// It was asked to stop; it can go on.
    Stopped,
    /// With the reason.
    Failed(String),
}

/// Who hears what a run tells: its name, and a line of JSON.
pub(super) type Ear = Arc<dyn Fn(&str, &str) + Send + Sync>;

/// A run at work.
struct Working<'a> {
    cell: &'a Cell,
    process: Child,
    /// Hears what it tells.
    ear: JoinHandle<()>,
}

/// What the command lines of all runs share.
pub(super) struct Command<'a> {
    pub(super) definition: &'a Path,
    pub(super) profile: &'a str,
    pub(super) arguments: &'a experiment::Arguments,
    /// Of each run.
    pub(super) threads: usize,
}

/// Starts each run once, `jobs` at a time, and waits for all. After `stop` none is started, and those that work are asked to stop.
///
/// # Errors
/// Where a process cannot be started, or `tell` fails. Then too those that work stop.
pub(super) fn run<'a>(
    cells: &[&'a Cell],
    command: &Command,
    grid: &Path,
    jobs: usize,
    stop: &AtomicBool,
    ear: &Ear,
    tell: &mut dyn FnMut(&'a Cell, Outcome) -> Result<()>,
) -> Result<()> {
    let mut waiting = cells.iter();
    let mut working: Vec<Working> = Vec::new();
    loop {
        if stop.load(Ordering::Relaxed) {
            for run in &mut working {
                // The end of its input is what it stops at. A signal to this process does not reach it.
                drop(run.process.stdin.take());
            }
        }
        let mut at = 0;
        while at < working.len() {
            match working[at].process.try_wait()? {
                None => at += 1,
                Some(status) => {
                    let Working { cell, ear, .. } = working.remove(at);
                    // All that it told is heard before its end is; a panic there has been said.
                    let _ = ear.join();
                    tell(cell, outcome(cell, grid, status))?;
                }
            }
        }
        while working.len() < jobs && !stop.load(Ordering::Relaxed) {
            let Some(cell) = waiting.next() else { break };
            tell(cell, Outcome::Begins)?;
            let mut process = command.start(cell, grid)?;
            let ear = listen(cell, &mut process, ear);
            working.push(Working { cell, process, ear });
        }
        if working.is_empty() {
            return Ok(());
        }
        std::thread::sleep(PERIOD);
    }
}

impl Command<'_> {
    fn start(&self, cell: &Cell, grid: &Path) -> Result<Child> {
        let folder = cell.folder(grid);
        let log = log_file(grid, cell);
        let said = OpenOptions::new().create(true).append(true).open(&log);
        let said = said.with_context(|| format!("cannot write {}", log.display()))?;
        let mut command = std::process::Command::new(this_program()?);
        command.args(["experiment", "--tied", "--json"]);
        if folder.exists() {
            command.arg("--resume").arg(&folder);
        } else {
            command.arg(self.definition).args(["--profile", self.profile, "--method", &cell.method]);
            command.args(["--seed", &cell.config.training.seed.to_string()]);
            if let Some(device) = self.arguments.device {
                command.args(["--device", device.name()]);
            }
            for setting in self.arguments.set.iter().chain(&cell.settings) {
                command.args(["--set", setting]);
            }
            command.arg("--out").arg(&folder);
            if self.arguments.anyway {
                command.arg("--anyway");
            }
        }
        command.env("RAYON_NUM_THREADS", self.threads.to_string());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(said);
        apart(&mut command);
        command.spawn().with_context(|| format!("cannot start {}", cell.name))
    }
}

/// Passes on what a run tells until it ends.
fn listen(cell: &Cell, process: &mut Child, ear: &Ear) -> JoinHandle<()> {
    let (name, told, ear) = (cell.name.clone(), process.stdout.take(), Arc::clone(ear));
    std::thread::spawn(move || {
        for line in told.into_iter().flat_map(|told| BufReader::new(told).lines().map_while(Result::ok)) {
            ear(&name, &line);
        }
    })
}

/// Keeps Ctrl-C of a terminal from a process: the grid passes it on.
fn apart(command: &mut std::process::Command) {
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(command, 0);
    #[cfg(not(unix))]
    let _ = command;
}

/// The program that runs now, even where its file has been replaced since.
fn this_program() -> Result<PathBuf> {
    let running = PathBuf::from("/proc/self/exe");
    if running.exists() { Ok(running) } else { std::env::current_exe().context("where is this program?") }
}

fn log_file(grid: &Path, cell: &Cell) -> PathBuf {
    grid.join("logs").join(format!("{}.txt", cell.name))
}

fn outcome(cell: &Cell, grid: &Path, status: ExitStatus) -> Outcome {
    match status.code() {
        Some(0) => Outcome::Done,
        Some(130 | 143) => Outcome::Stopped,
        _ => Outcome::Failed(reason(&log_file(grid, cell), status)),
    }
}

/// The error that a run ended with, else how it ended.
fn reason(log: &Path, status: ExitStatus) -> String {
    let said = std::fs::read_to_string(log).unwrap_or_default();
    let error = said.lines().last().and_then(|line| line.strip_prefix("error: "));
    match (error, status.code()) {
        (Some(error), Some(_)) => error.to_owned(),
        (_, Some(code)) => format!("it ended with the code {code}; see {}", log.display()),
        (_, None) => format!("it was ended by the system ({status}), as where memory runs out"),
    }
}

/// How long the runs took, and how long those to come will take.
pub(super) struct Progress<'a> {
    grid: &'a Path,
    jobs: usize,
    /// Seconds of the runs that are done, by method.
    took: BTreeMap<&'a str, Vec<f64>>,
    /// How many are to come, by method.
    to_come: BTreeMap<&'a str, usize>,
    done: usize,
    all: usize,
}

impl<'a> Progress<'a> {
    pub(super) fn of(cells: &'a [Cell], states: &[State], grid: &'a Path, jobs: usize) -> Self {
        let mut progress = Progress {
            grid,
            jobs,
            took: BTreeMap::new(),
            to_come: BTreeMap::new(),
            done: 0,
            all: cells.len(),
        };
        for (cell, state) in cells.iter().zip(states) {
            if *state == State::Done {
                progress.done += 1;
                let seconds = progress.seconds(cell);
                progress.took.entry(&cell.method).or_default().extend(seconds);
            } else {
                *progress.to_come.entry(&cell.method).or_default() += 1;
            }
        }
        progress
    }

    /// All pieces of a run.
    fn seconds(&self, cell: &Cell) -> Option<f64> {
        let file = File::open(cell.folder(self.grid).join("provenance.json")).ok()?;
        Some(serde_json::from_reader::<_, Provenance>(file).ok()?.seconds)
    }

    /// A run is done: how long it took, and how long the rest will take.
    pub(super) fn done(&mut self, cell: &'a Cell) -> String {
        self.failed(cell);
        self.done += 1;
        let seconds = self.seconds(cell);
        self.took.entry(&cell.method).or_default().extend(seconds);
        let took = seconds.map_or_else(String::new, |seconds| format!(" in {}", duration(seconds)));
        let left =
            self.left().map_or_else(String::new, |seconds| format!(", about {} left", duration(seconds)));
        format!("{took}: {} of {}{left}", self.done, self.all)
    }

    /// A run will not take any more time.
    pub(super) fn failed(&mut self, cell: &'a Cell) {
        if let Some(count) = self.to_come.get_mut(cell.method.as_str()) {
            *count -= 1;
        }
    }

    /// Runs of a method that has none yet are taken to be as long as those of the others.
    fn left(&self) -> Option<f64> {
        let all: Vec<f64> = self.took.values().flatten().copied().collect();
        let overall = tandem_statistics::mean(&all)?;
        let of = |method: &str| self.took.get(method).and_then(|took| tandem_statistics::mean(took));
        let left = self.to_come.iter().map(|(method, count)| *count as f64 * of(method).unwrap_or(overall));
        let seconds: f64 = left.sum();
        (seconds > 0.0).then(|| seconds / self.jobs as f64)
    }
}
