//! Grids: the same experiment with several methods, seeds, labelled sets and folds.
//!
//! ```text
//! GRID/METHOD-sSEED[-setN][-foldF][-kLABELLED]/   a run folder each, as `experiment` makes it
//! GRID/logs/RUN.txt                               what that run said
//! GRID/grid.json                                  which runs there are, and why one failed
//! GRID/comparison.md, .csv, .json, .tex           what `compare` makes of them
//! GRID/.lock                                      locked by the process that fills the grid
//! ```
//!
//! Every run is a process of its own, so that one that crashes or runs out of memory takes no other one with it. The same
//! command again does what is left to do.

mod arguments;
mod cell;
mod jobs;
mod record;
mod view;

pub(crate) use arguments::{Arguments, Axes};
pub(crate) use record::{CellRecord, GRID, GridRecord};

use crate::compare;
use crate::definition::Definition;
use crate::experiment::{self, choose_data};
use crate::home::Home;
use crate::output::say;
use crate::{device, interrupt, prepare_data};
use anyhow::{Context, Result, bail};
use cell::{Cell, State};
use jobs::{Command, Ear, Outcome, Progress};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use tandem_ops3d::Device;
use tandem_training::{Bytes, Estimate, RunLock, host};
use tandem_volume::prepared::PreparedSet;
use view::{Message, View};

/// Fills a grid, or goes on with it, and compares its methods.
pub(crate) fn run(
    arguments: &experiment::Arguments,
    definition: &Definition,
    axes: Axes,
    home: &Home,
) -> Result<ExitCode> {
    let stop = interrupt::watch()?;
    let profile = arguments.profile().name();
    let cells = cells(arguments, definition, &axes)?;
    let first = &cells.first().context("the grid is empty; name a method with --methods")?.config;
    let data = choose_data(first, home)?;
    say(format!("{} on {}; profile {profile}", first.name, data.describe()));
    if !data.is_prepared() && prepare_data::phantoms(&data.name, home, stop)?.is_none() {
        return Ok(interrupt::exit_code());
    }
    let scans = PreparedSet::open(&data.folder)?;
    let cells = cell::possible(cells, scans.manifest())?;

    let folder = arguments.out.clone().unwrap_or_else(|| {
        home.runs().join(format!("grids/{}-{}-{profile}", cells[0].config.name, data.name))
    });
    std::fs::create_dir_all(folder.join("logs"))
        .with_context(|| format!("cannot make {}", folder.display()))?;
    let _lock = RunLock::take(&folder)?;
    let states = cells.iter().map(|cell| cell.state(&folder, scans.digest())).collect::<Result<Vec<_>>>()?;
    let jobs = arguments.grid.jobs;
    let todo: Vec<&Cell> =
        cells.iter().zip(&states).filter(|(_, state)| **state != State::Done).map(|(cell, _)| cell).collect();
    if !arguments.anyway {
        check_needs(&todo, &scans, &folder, jobs)?;
    }
    describe(&cells, &states, jobs, &folder);

    let mut record = GridRecord::new(&cells, &axes, &data.name, profile);
    record.write(&folder)?;
    let command = Command { definition: definition.path(), profile, arguments, threads: threads(jobs) };
    let mut failed = 0;
    let mut progress = Progress::of(&cells, &states, &folder, jobs);
    let view = View::new(cells.len(), cells.len() - todo.len(), arguments.json);
    let runs = cells.iter().map(|cell| cell.name.as_str()).collect();
    view.tell(&Message::GridStarted { folder: &folder, runs, done: cells.len() - todo.len() });
    let ear: Ear = {
        let view = Arc::clone(&view);
        Arc::new(move |run: &str, line: &str| view.hear(run, line))
    };
    let ended = jobs::run(&todo, &command, &folder, jobs, stop, &ear, &mut |cell, outcome| {
        match &outcome {
            Outcome::Begins => {
                view.begins(&cell.name);
                say(format!("{} begins", cell.name));
            }
            Outcome::Done => {
                view.ends(&cell.name, true, false);
                say(format!("{} is done{}", cell.name, progress.done(cell)));
            }
            Outcome::Stopped => {
                view.ends(&cell.name, false, false);
                say(format!("{} stopped", cell.name));
            }
            Outcome::Failed(reason) => {
                failed += 1;
                progress.failed(cell);
                view.ends(&cell.name, false, true);
                view.tell(&Message::Failed { run: &cell.name, error: reason });
                say(format!("{} FAILED: {reason}", cell.name));
                record.fail(&cell.name, reason);
                record.write(&folder)?;
            }
        }
        Ok(())
    });
    view.end();
    ended?;
    let (done, all) = (cells.iter().filter(|cell| cell.is_done(&folder)).count(), cells.len());
    view.tell(&Message::GridFinished { folder: &folder, done, failed, all });
    if interrupt::asked().is_break() {
        say(format!("stopped; {done} of {all} runs are done. To go on, give the same command again"));
        return Ok(interrupt::exit_code());
    }
    if done > 0 {
        compare::write(&folder, axes.control.as_deref(), None)?;
    }
    if failed > 0 {
        bail!(
            "{failed} of {all} runs failed (see {}); the same command tries them again, and leaves the others as they are",
            folder.join("logs").display()
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// Every run of a grid, with its settings, which are checked as far as they can be without data.
pub(crate) fn cells(
    arguments: &experiment::Arguments,
    definition: &Definition,
    axes: &Axes,
) -> Result<Vec<Cell>> {
    cell::all(definition, axes, arguments.profile().name(), &arguments.set, arguments.device)
}

/// What is there, and what will be done.
fn describe(cells: &[Cell], states: &[State], jobs: usize, folder: &Path) {
    let count = |state| states.iter().filter(|known| **known == state).count();
    let at_once = match jobs {
        1 => String::new(),
        jobs => format!("; {jobs} at once, with {} threads each", threads(jobs)),
    };
    say(format!(
        "{}: {} runs: {} are done, {} go on, {} begin{at_once}",
        folder.display(),
        cells.len(),
        count(State::Done),
        count(State::Interrupted),
        count(State::Missing)
    ));
    for (cell, state) in cells.iter().zip(states) {
        say(format!("  {:<12} {}", state.name(), cell.name));
    }
    say(format!("what a run says is in {}", folder.join("logs/RUN.txt").display()));
}

/// Each of the jobs gets its share of the threads.
fn threads(jobs: usize) -> usize {
    (rayon::current_num_threads() / jobs).max(1)
}

/// Refuses a grid that cannot have what it needs.
fn check_needs(todo: &[&Cell], scans: &PreparedSet, folder: &Path, jobs: usize) -> Result<()> {
    let device = match todo.first() {
        Some(cell) => device::open(cell.config.device)?,
        None => return Ok(()),
    };
    let needs = todo.iter().map(|cell| Estimate::of(&cell.config, Some(scans.manifest()), &device));
    let needs = needs.collect::<Result<Vec<_>, _>>()?;
    let gpu = match &device {
        Device::Cpu => None,
        Device::Cuda(gpu) => gpu.free_memory(),
    };
    let largest = |of: fn(&Estimate) -> u64| needs.iter().map(of).max().unwrap_or(0);
    let memories = [
        ("memory", largest(|need| need.memory.total()), host::available_memory()),
        ("the GPU's memory", largest(|need| need.gpu), gpu),
    ];
    for (of, memory, free) in memories {
        let at_once = memory * jobs.min(todo.len()) as u64;
        let Some(free) = free.filter(|free| *free < at_once) else { continue };
        let remedy = match (free / memory.max(1)).min(jobs as u64 - 1) {
            0 => "smaller settings".to_owned(),
            fit => format!("--jobs {fit}"),
        };
        bail!(
            "a run needs about {} of {of}, {jobs} at once {}, and {} are free; give {remedy}, or begin all the same with \
             --anyway",
            Bytes(memory),
            Bytes(at_once),
            Bytes(free)
        );
    }
    let disk = needs.iter().map(|need| need.disk).sum();
    if let Some(free) = host::free_disk(folder).filter(|free| *free < disk) {
        bail!(
            "the {} runs to come need about {} on disk, and {} are free for {}; make room, choose another folder with --out, or \
             begin all the same with --anyway",
            todo.len(),
            Bytes(disk),
            Bytes(free),
            folder.display()
        );
    }
    Ok(())
}
