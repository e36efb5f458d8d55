//! `tandem completions`: what a shell needs to complete the command line.

use crate::help;
use anyhow::Result;
use clap_complete::{Shell, generate};
use std::io::Write;
use std::process::ExitCode;

const EXAMPLES: &str = "Examples:
  tandem completions bash > ~/.local/share/bash-completion/completions/tandem
  tandem completions zsh > ~/.zfunc/_tandem
  tandem completions fish > ~/.config/fish/completions/tandem.fish";

/// Prints the completions of the command line for a shell.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The shell.
    shell: Shell,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let mut text = Vec::new();
    generate(arguments.shell, &mut help::command(), "tandem", &mut text);
    // A reader that has gone away is no error.
    let _ = std::io::stdout().write_all(&text);
    Ok(ExitCode::SUCCESS)
}
