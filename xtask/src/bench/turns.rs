//! Programs that measure the same thing in turn, a burst of runs each: where the speed of a machine varies, it varies for all of
//! them alike.
//!
//! A program waits for a line of its standard input before each burst, and prints a line after it. At `end` it prints its result and
//! goes on to its next one, until it has no more.

use super::objects;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// A result is done after so many bursts of each program, or after so much time and the fewest.
const MOST_TURNS: usize = 20;
const FEWEST_TURNS: usize = 10;
const ENOUGH: Duration = Duration::from_secs(20);
/// Threads of the program before may look out for more work for some time.
const BETWEEN: Duration = Duration::from_millis(20);

/// A program that waits for its turn.
pub(super) struct Player {
    shown: String,
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Player {
    pub(super) fn start(mut command: Command) -> Result<Self> {
        let shown = format!("{command:?}");
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().with_context(|| shown.clone())?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let (input, output) = input.zip(output).context("a program without its pipes")?;
        Ok(Player { shown, child, input, output: BufReader::new(output) })
    }

    /// Lets it run once more; false where it has nothing left to measure.
    fn turn(&mut self) -> Result<bool> {
        std::thread::sleep(BETWEEN);
        Ok(self.ask("run")?.is_some())
    }

    /// Its answer to a line, if it has not ended.
    fn ask(&mut self, line: &str) -> Result<Option<String>> {
        let mut answer = String::new();
        if writeln!(self.input, "{line}").is_ok() && self.output.read_line(&mut answer)? > 0 {
            return Ok(Some(answer));
        }
        let status = self.child.wait()?;
        if !status.success() {
            bail!("{}: {status}", self.shown);
        }
        Ok(None)
    }

    fn result(&mut self) -> Result<Value> {
        let answer = self.ask("end")?.with_context(|| format!("{} ended without a result", self.shown))?;
        objects(answer.as_bytes())?.pop().with_context(|| format!("{}: {answer} is no result", self.shown))
    }
}

impl Drop for Player {
    /// After an error it would wait for ever.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// All results of each program, in their order. The programs have the same number of them.
pub(super) fn play(players: &mut [Player]) -> Result<Vec<Vec<Value>>> {
    let mut results = vec![Vec::new(); players.len()];
    loop {
        let started = Instant::now();
        let mut turns = 0;
        while turns < MOST_TURNS && (turns < FEWEST_TURNS || started.elapsed() < ENOUGH) {
            for player in &mut *players {
                if !player.turn()? {
                    return Ok(results);
                }
            }
            turns += 1;
        }
        for (player, results) in players.iter_mut().zip(&mut results) {
            results.push(player.result()?);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A shell that has so many results, and says how many bursts each had.
    fn shell(name: &str, results: usize) -> Player {
        let script = format!(
            "for part in $(seq {results}); do bursts=0; while read line && [ $line = run ]; do bursts=$((bursts + 1)); echo done; done; \
             echo \"{{\\\"program\\\": \\\"{name}\\\", \\\"bursts\\\": $bursts}}\"; done"
        );
        let mut command = Command::new("sh");
        command.args(["-c", &script]);
        Player::start(command).unwrap()
    }

    #[test]
    fn every_program_has_as_many_turns() {
        let results = play(&mut [shell("a", 2), shell("b", 2)]).unwrap();
        let of = |program: &str| json!({ "program": program, "bursts": MOST_TURNS });
        assert_eq!(results, [vec![of("a"), of("a")], vec![of("b"), of("b")]]);
    }

    #[test]
    fn a_program_that_fails_is_named() {
        let mut command = Command::new("sh");
        command.args(["-c", "exit 7"]);
        let error = play(&mut [Player::start(command).unwrap()]).unwrap_err().to_string();
        assert!(error.contains("exit 7") && error.contains("exit status: 7"), "{error}");
    }
}
