//! Every `cargo xtask VERB`.
//!
//! `bench`, `ci`, `cuda-build`, `docs`, `soak` and `tidy` are its own; any other verb is one of `tandem`, which is built in release mode and then
//! takes this process over, so that signals such as Ctrl-C reach the run itself. It depends on no crate of the workspace
//! and so builds in seconds.
#![forbid(unsafe_code)]

mod bench;
mod ci;
mod cuda;
mod docs;
mod markdown;
mod soak;
mod tandem;
mod tidy;

use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const OWN_VERBS: &str = "\
Verbs of xtask itself:
  ci          every gate, cheapest first: format, tidy, clippy, docs, each crate alone, tests, what of CUDA needs no GPU
  bench       times and memory beside PyTorch's: bench [--peer PYTHON] [--only REGEX] [--device cuda]; --help says more
  cuda-build  the programs for NVIDIA's GPUs, target/tandem-cuda and target/tandem-bench-cuda, to be carried to a machine that has one
  docs        whether the pages are true: links, commands, settings, and the tutorial, which it runs
              docs --renew writes docs/settings.md anew
  tidy        the rules of the house: who may import whom, file sizes and names
  soak        the long version of a test: soak NAME, of hostile, steps, kill, faults, kernels; soak alone says what each does

Every other verb is one of tandem:
";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let root = workspace_root()?;
    match arguments.first().map(String::as_str) {
        Some("bench") => bench::run(&root, &arguments[1..]),
        Some("ci") => ci::run(&root),
        Some("cuda-build") => cuda::build(&root),
        Some("docs") => docs::run(&root, &arguments[1..]),
        Some("tidy") => tidy::run(&root),
        Some("soak") => soak::run(&root, &arguments[1..]),
        None | Some("help" | "--help" | "-h") => {
            print!("{OWN_VERBS}");
            tandem::become_it(&root, &["--help".to_owned()])
        }
        Some(_) => tandem::become_it(&root, &arguments),
    }
}

/// Says why the arguments of one of xtask's own verbs are wrong; none where it is not one of them.
fn check_own(verb: &str, arguments: &[String]) -> Option<Result<()>> {
    Some(match verb {
        "bench" => bench::check(arguments),
        "docs" => docs::check(arguments),
        "soak" => soak::check(arguments),
        "ci" | "cuda-build" | "tidy" | "help" => Ok(()),
        _ => return None,
    })
}

/// The folder of the workspace: that of this crate's manifest, one up.
fn workspace_root() -> Result<PathBuf> {
    let manifest =
        std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let root = Path::new(&manifest).parent().context("xtask has no parent folder")?;
    Ok(root.to_owned())
}

/// The cargo that runs this program, or the one on the path.
fn cargo() -> std::process::Command {
    std::process::Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}
