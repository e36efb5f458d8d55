//! The program `tandem`: one sub-command a file.
//!
//! It is the only place that parses definitions and talks to people. Results go to standard output and into files,
//! progress and errors to standard error. It exits with 0, with 1 after an error, with 2 where the command line is
//! wrong, with 3 where `predict` failed on some scans and is done with the others, and with 130 or 143 after Ctrl-C or
//! SIGTERM.
#![forbid(unsafe_code)]

mod check_data;
mod check_device;
mod compare;
mod completions;
mod evaluate;
mod experiment;
mod export;
mod import;
mod inspect;
mod man;
mod predict;
mod prepare_data;
mod report;
mod tensorboard;
mod verify;

mod definition;
mod device;
mod grid;
mod help;
mod home;
mod intensities;
mod interrupt;
mod live;
mod needs;
mod orientation;
mod output;
mod progress;
mod run_folder;
mod screen;
mod survey;
mod table;
mod test_list;

use anyhow::Result;
use clap::{FromArgMatches, Parser, Subcommand};
use home::Home;
use std::process::ExitCode;
use tandem_ops3d::check_cpu_path;

/// Tensors of a step die and are born again in the next one: memory that stays with the process spares it a page fault
/// every 4 KiB.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Segments 3-D medical images from few labelled and many unlabelled scans.
#[derive(Parser)]
#[command(name = "tandem", version)]
struct CommandLine {
    #[command(subcommand)]
    verb: Verb,
    /// Reads the command line, and of an experiment its settings, and does nothing: how `cargo xtask docs` checks commands.
    #[arg(long, global = true, hide = true)]
    dry_run: bool,
}

#[derive(Subcommand)]
enum Verb {
    CheckData(check_data::Arguments),
    CheckDevice(check_device::Arguments),
    PrepareData(prepare_data::Arguments),
    Experiment(Box<experiment::Arguments>),
    Compare(compare::Arguments),
    Report(report::Arguments),
    Evaluate(evaluate::Arguments),
    Predict(predict::Arguments),
    Tensorboard(tensorboard::Arguments),
    Export(export::Arguments),
    Import(import::Arguments),
    Verify(verify::Arguments),
    Inspect(inspect::Arguments),
    Completions(completions::Arguments),
    Man(man::Arguments),
}

fn main() -> ExitCode {
    let home = Home::find();
    let parsed = CommandLine::from_arg_matches(&help::command().get_matches());
    let CommandLine { verb, dry_run } = parsed.unwrap_or_else(|error| error.exit());
    // Inside the thread pool, so that this thread works on parallel loops instead of sleeping until they are done.
    let ended = rayon::scope(|_| if dry_run { check(&verb, &home) } else { run(verb, &home) });
    ended.unwrap_or_else(|error| {
        eprintln!("error: {}", sentence(&error));
        ExitCode::FAILURE
    })
}

/// What the program exits with where some scans failed and others are done.
pub(crate) const SOME_FAILED: u8 = 3;

/// An error and its causes; a cause that the error before it has told already is not told again.
pub(crate) fn sentence(error: &anyhow::Error) -> String {
    let mut told = String::new();
    for cause in error.chain().map(ToString::to_string) {
        let cause = without_frames(&cause);
        match told.is_empty() {
            true => told = cause,
            false if told.contains(&cause) => {}
            false => told = format!("{told}: {cause}"),
        }
    }
    told
}

/// A message without the frames that candle's errors have behind them where `RUST_BACKTRACE` is set.
fn without_frames(message: &str) -> String {
    message.split("\n   0: ").next().unwrap_or_default().trim_end().to_owned()
}

/// What can be wrong with a command that is not carried out.
fn check(verb: &Verb, home: &Home) -> Result<ExitCode> {
    if let Verb::Experiment(arguments) = verb {
        experiment::check(arguments, home)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn run(verb: Verb, home: &Home) -> Result<ExitCode> {
    // A forced path that is not there must not pass for one that is.
    check_cpu_path()?;
    match verb {
        Verb::CheckData(arguments) => check_data::run(&arguments),
        Verb::CheckDevice(arguments) => check_device::run(&arguments),
        Verb::PrepareData(arguments) => prepare_data::run(&arguments, home),
        Verb::Experiment(arguments) => experiment::run(&arguments, home),
        Verb::Compare(arguments) => compare::run(&arguments),
        Verb::Report(arguments) => report::run(&arguments),
        Verb::Evaluate(arguments) => evaluate::run(&arguments),
        Verb::Predict(arguments) => predict::run(&arguments),
        Verb::Tensorboard(arguments) => tensorboard::run(&arguments),
        Verb::Export(arguments) => export::run(&arguments),
        Verb::Import(arguments) => import::run(&arguments),
        Verb::Verify(arguments) => verify::run(&arguments),
        Verb::Inspect(arguments) => inspect::run(&arguments),
        Verb::Completions(arguments) => completions::run(&arguments),
        Verb::Man(arguments) => man::run(&arguments),
    }
}

#[cfg(test)]
mod tests {
    use super::sentence;
    use anyhow::{Context, anyhow};

    #[test]
    fn an_error_is_told_with_its_causes_and_each_of_them_once() {
        let cause = || anyhow!("the disk is full");
        let told = |context: &'static str| sentence(&Err::<(), _>(cause()).context(context).unwrap_err());
        assert_eq!(told("log.jsonl"), "log.jsonl: the disk is full");
        let frames = anyhow!(
            "no method \"x\"\n   0: candle_core::error::Error::bt\n             at /src/error.rs:260:25\n   1: main"
        );
        assert_eq!(sentence(&frames), "no method \"x\"");
        assert_eq!(told("log.jsonl: the disk is full; make room"), "log.jsonl: the disk is full; make room");
    }
}
