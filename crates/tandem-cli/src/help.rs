//! The command line as `--help`, completions and man pages show it.

use crate::CommandLine;
use clap::{Command, CommandFactory};
use std::fmt::Write;

/// The commands by what they are for. One that is in no group is shown with those of the program itself.
const GROUPS: [(&str, &[&str]); 4] = [
    ("Masks of your scans", &["predict", "inspect"]),
    ("Models that travel", &["export", "import"]),
    ("Training", &["check-data", "prepare-data", "experiment"]),
    ("What came of it", &["report", "evaluate", "compare", "verify", "tensorboard"]),
];

const PROGRAM: &str = "This program";

const AFTER: &str = "Exit codes:
  0 done, 1 an error, 2 the command line is wrong, 3 some scans failed and the others are done (predict),
  130 stopped by Ctrl-C, 143 stopped by SIGTERM

Environment, none of which is needed:
  TANDEM_HOME        the folder with data/ and runs/, for experiments and datasets that are given by name [default: .]
  TANDEM_CPU         portable, avx2, avx512, avx512bf16 or amx instead of the widest code path that the CPU has
  RAYON_NUM_THREADS  how many threads [default: one for each core]

\"tandem COMMAND --help\" explains a command and gives examples.";

/// The command line, its commands grouped.
pub(crate) fn command() -> Command {
    let command = CommandLine::command().after_help(AFTER);
    let template = template(&command);
    command.help_template(template)
}

fn template(command: &Command) -> String {
    let header = command.get_styles().get_header();
    let literal = command.get_styles().get_literal();
    let names: Vec<&str> = command.get_subcommands().map(Command::get_name).collect();
    let width = names.iter().map(|name| name.len()).max().unwrap_or(0);
    let others: Vec<&str> = names
        .iter()
        .copied()
        .filter(|name| !GROUPS.iter().any(|(_, group)| group.contains(name)))
        .chain(["help"])
        .collect();
    let mut text = String::from("{about-with-newline}\n{usage-heading} {usage}\n");
    for (title, group) in GROUPS.iter().copied().chain([(PROGRAM, others.as_slice())]) {
        let _ = writeln!(text, "\n{header}{title}:{header:#}");
        for name in group {
            let about = match command.find_subcommand(name) {
                Some(found) => found.get_about().map(ToString::to_string).unwrap_or_default(),
                None => "Explains a command".to_owned(),
            };
            // One line each: the first sentence, as far as the first pause.
            let end = about.find([':', ';', '.']).unwrap_or(about.len());
            let _ = writeln!(text, "  {literal}{name:<width$}{literal:#}  {}", &about[..end]);
        }
    }
    text + &format!("\n{header}Options:{header:#}\n{{options}}{{after-help}}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[test]
    fn every_command_is_in_the_list_once_with_its_first_sentence() {
        let text = command().render_help().to_string();
        for name in command().get_subcommands().map(Command::get_name).chain(["help"]) {
            let lines = text.lines().filter(|line| line.starts_with(&format!("  {name} ")));
            let lines: Vec<&str> = lines.collect();
            assert!(lines.len() == 1 && lines[0].len() > 20 && lines[0].len() < 100, "{name}: {lines:?}");
        }
        for (title, group) in GROUPS {
            assert!(text.contains(&format!("\n{title}:\n")), "{text}");
            assert!(group.iter().all(|name| command().find_subcommand(name).is_some()), "{group:?}");
        }
    }

    #[test]
    fn every_command_has_examples_and_each_of_them_is_understood() {
        command().debug_assert();
        for verb in command().get_subcommands() {
            let help = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
            let (_, examples) =
                help.split_once("Examples:\n").unwrap_or_else(|| panic!("{}", verb.get_name()));
            for example in examples.lines() {
                let words: Vec<&str> = example.split_whitespace().take_while(|word| *word != ">").collect();
                assert_eq!(words[..2], ["tandem", verb.get_name()]);
                let parsed = CommandLine::try_parse_from(words);
                assert!(
                    parsed.is_ok(),
                    "{example}: {}",
                    parsed.err().map(|e| e.to_string()).unwrap_or_default()
                );
            }
        }
    }
}
