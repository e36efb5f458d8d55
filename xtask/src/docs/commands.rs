//! The commands on the pages: those of `cargo xtask` and `tandem`.

use super::Page;
use crate::markdown::{blocks, prose, spans};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};
use std::time::Instant;

/// What pages write for a number that the reader chooses, and a number to try in its place.
const NUMBERS: [(&str, &str); 3] = [("N", "1"), ("K", "2"), ("MM", "1.25")];

/// An experiment that is there, to try in place of one that the reader has made.
const EXPERIMENT: &str = "la-8pct";

/// A command as a page states it.
#[derive(Debug, PartialEq)]
pub(super) struct Command {
    /// The page and the line.
    place: String,
    /// The words behind `cargo xtask` or `tandem`.
    words: Vec<String>,
    /// Whether it stands in running text, where words may be missing: then only its verb is looked at.
    in_text: bool,
}

/// All commands of the pages.
pub(super) fn of(pages: &[Page]) -> Vec<Command> {
    pages.iter().flat_map(of_page).collect()
}

fn of_page(page: &Page) -> Vec<Command> {
    let place = |line: usize| format!("{}:{line}", page.path.display());
    let shell = |language: &str| ["", "sh", "console"].contains(&language);
    let mut found = Vec::new();
    for block in blocks(&page.text).into_iter().filter(|block| shell(block.language)) {
        for (line, text) in joined(&block.lines) {
            for words in commands(&text) {
                found.push(Command { place: place(block.line + line), words, in_text: false });
            }
        }
    }
    for (line, text) in prose(&page.text) {
        // `VERB` stands for any.
        for words in spans(text).flat_map(commands).filter(|words| words[0] != "VERB") {
            found.push(Command { place: place(line), words, in_text: true });
        }
    }
    let made: Vec<String> = found.iter().filter_map(|command| command.value("--name")).collect();
    for command in &mut found {
        command.fill_in(&made);
    }
    found
}

/// Lines of a shell, those that end with a backslash joined with the next one; numbered from 0.
fn joined(lines: &[&str]) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        match found.last_mut().filter(|(_, last)| last.ends_with('\\')) {
            Some((_, last)) => {
                last.pop();
                last.push_str(line);
            }
            None => found.push((index, (*line).to_owned())),
        }
    }
    found
}

/// The commands of a line: what stands behind `cargo xtask` or `tandem`.
fn commands(line: &str) -> Vec<Vec<String>> {
    let words = words(line);
    let parts = words.split(|word| [";", "&&", "|"].contains(&word.as_str()));
    let ours = |part: &[String]| {
        // Settings of the environment stand before the program.
        let start = part.iter().position(|word| !word.contains('=')).unwrap_or(part.len());
        match part.get(start..)?.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["cargo", "xtask", rest @ ..] | ["tandem", rest @ ..] if !rest.is_empty() => {
                Some(rest.iter().map(|word| (*word).to_owned()).collect())
            }
            _ => None,
        }
    };
    parts.filter_map(ours).collect()
}

/// The words of a line as a shell takes them: quotes hold words together, `#` begins a comment.
fn words(line: &str) -> Vec<String> {
    let (mut found, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in line.chars() {
        match (quote, c) {
            (Some(open), c) if open == c => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '#') if word.is_none() => break,
            (None, ';') => {
                found.extend(word.take());
                found.push(";".to_owned());
            }
            (None, c) if c.is_whitespace() => found.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    found.extend(word);
    found
}

impl Command {
    fn value(&self, option: &str) -> Option<String> {
        let at = self.words.iter().position(|word| word == option)?;
        self.words.get(at + 1).cloned()
    }

    /// Puts something in the places that a reader fills in: numbers, and the experiments that the page makes.
    fn fill_in(&mut self, made: &[String]) {
        for word in &mut self.words {
            if let Some((_, number)) = NUMBERS.iter().find(|(name, _)| name == word) {
                *word = (*number).to_owned();
            }
        }
        if let [verb, name, ..] = self.words.as_mut_slice()
            && verb == "experiment"
            && made.contains(name)
        {
            *name = EXPERIMENT.to_owned();
        }
    }
}

/// Commands that the program does not understand, or whose settings are wrong.
pub(super) fn complaints(root: &Path, program: &Path, commands: &[Command]) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for command in commands {
        let [verb, arguments @ ..] = command.words.as_slice() else { continue };
        let problem = match (crate::check_own(verb, arguments), command.in_text) {
            (Some(_), true) => None,
            (Some(checked), false) => checked.err().map(|error| format!("{error:#}")),
            (None, true) => refusal(root, program, &[verb.clone(), "--help".to_owned()])?,
            (None, false) => {
                refusal(root, program, &[&["--dry-run".to_owned()], command.words.as_slice()].concat())?
            }
        };
        if let Some(problem) = problem {
            found.push(format!("{}: {}: {problem}", command.place, command.words.join(" ")));
        }
    }
    Ok(found)
}

/// Why `tandem` refuses its arguments: the first line of what it says.
fn refusal(root: &Path, program: &Path, arguments: &[String]) -> Result<Option<String>> {
    let output = Process::new(program).args(arguments).env("TANDEM_HOME", root).stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("cannot start {}", program.display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    Ok((!output.status.success()).then(|| said.lines().next().unwrap_or("fails").to_owned()))
}

/// Carries out every block of a page, one after the other, as one script of a shell in a folder of its own that holds the experiments of
/// the repository. `cargo xtask` stands for `tandem` there.
pub(super) fn carry_out(root: &Path, program: &Path, text: &str) -> Result<()> {
    let home = folder(program)?;
    let experiments = home.join("data/experiments");
    std::fs::create_dir_all(&experiments)?;
    for entry in std::fs::read_dir(root.join("data/experiments"))? {
        let entry = entry?;
        std::fs::copy(entry.path(), experiments.join(entry.file_name()))?;
    }
    let mut script = format!("set -e\ncargo() {{ shift; '{}' \"$@\"; }}\n", program.display());
    for block in blocks(text).into_iter().filter(|block| ["", "sh"].contains(&block.language)) {
        script.extend(block.lines.iter().flat_map(|line| [*line, "\n"]));
    }
    let started = Instant::now();
    let shell =
        Process::new("sh").args(["-c", &script]).current_dir(&home).env("TANDEM_HOME", &home).status();
    let status = shell.context("cannot start sh")?;
    if !status.success() {
        bail!("a command failed (see above); what the ones before it made is in {}", home.display());
    }
    std::fs::remove_dir_all(&home)?;
    println!("docs: every command of the tutorial runs, {:.0} s", started.elapsed().as_secs_f64());
    Ok(())
}

/// An empty folder beside what is built.
fn folder(program: &Path) -> Result<PathBuf> {
    let target = program.ancestors().nth(2).context("the program lies in no target folder")?;
    let folder = target.join("tutorial");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(String, String, bool)> {
        let page = Page { path: "x.md".into(), text: text.to_owned() };
        let commands = of(&[page]).into_iter();
        commands.map(|command| (command.place, command.words.join(" "), command.in_text)).collect()
    }

    #[test]
    fn commands_are_found_in_blocks_and_in_text() {
        let text = "Say `cargo xtask verify RUN`, or `ls`.\n```\nls; A=1 cargo xtask predict \\\n  RUN 'a b' # all\ntandem inspect x && cargo test\n```\n\
                    ```rust\ncargo xtask not\n```\n";
        let expected = [
            ("x.md:3", "predict RUN a b", false),
            ("x.md:5", "inspect x", false),
            ("x.md:1", "verify RUN", true),
        ];
        assert_eq!(
            found(text),
            expected.map(|(place, words, text)| (place.to_owned(), words.to_owned(), text))
        );
    }

    #[test]
    fn what_the_reader_chooses_is_filled_in() {
        let text =
            "```\ncargo xtask prepare-data custom --name hearts\ncargo xtask experiment hearts --seed N\n```";
        assert_eq!(found(text)[1].1, "experiment la-8pct --seed 1");
    }

    #[test]
    fn quotes_hold_words_together() {
        assert_eq!(words("a 'b=[\"c d\"]' \"\" e#f"), ["a", "b=[\"c d\"]", "", "e#f"]);
    }
}
