//! A grid as it is seen while it works: which run is at what step.

use crate::live::{skipped, tell};
use crate::output::note;
use crate::progress::{NAMES, Pacer, bar_line, per_second, remaining, share};
use crate::screen::{self, Line, Look};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Between two lines a run where there is no terminal.
const PERIOD: Duration = Duration::from_secs(30);

/// What is known of a grid's runs.
pub(super) struct View {
    status: Mutex<Status>,
    /// Whether lines of JSON are written.
    json: bool,
}

struct Status {
    all: usize,
    done: usize,
    failed: usize,
    /// What the runs at work told last, and where they validated.
    working: BTreeMap<String, Working>,
    /// Lines where there is no terminal.
    lines: Option<Pacer>,
}

#[derive(Default)]
struct Working {
    /// Steps done, and all.
    steps: [u64; 2],
    doing: String,
    dice: Option<f64>,
}

/// What `--json` writes of the grid itself; docs/watching-a-run.md describes every field.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum Message<'a> {
    GridStarted { folder: &'a Path, runs: Vec<&'a str>, done: usize },
    Failed { run: &'a str, error: &'a str },
    GridFinished { folder: &'a Path, done: usize, failed: usize, all: usize },
}

impl View {
    /// Of a grid that begins or goes on.
    pub(super) fn new(all: usize, done: usize, json: bool) -> Arc<Self> {
        let lines = (!screen::is_terminal()).then(|| Pacer::new(PERIOD));
        let status = Status { all, done, failed: 0, working: BTreeMap::new(), lines };
        let view = Arc::new(View { status: Mutex::new(status), json });
        if screen::is_terminal() {
            let drawn = Arc::clone(&view);
            screen::show(move |look| drawn.status().drawn(look));
        }
        view
    }

    fn status(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells programs what the grid does.
    pub(super) fn tell(&self, message: &Message) {
        if self.json {
            tell(message);
        }
    }

    pub(super) fn begins(&self, run: &str) {
        self.status().working.insert(run.to_owned(), Working::default());
    }

    /// A run has ended: done, failed, or (neither) stopped.
    pub(super) fn ends(&self, run: &str, done: bool, failed: bool) {
        let mut status = self.status();
        status.working.remove(run);
        status.done += usize::from(done);
        status.failed += usize::from(failed);
    }

    /// Hears a line of JSON of a run.
    pub(super) fn hear(&self, run: &str, line: &str) {
        let Ok(mut told) = serde_json::from_str::<Value>(line) else { return };
        let mut status = self.status();
        if let Some(working) = status.working.get_mut(run) {
            working.hear(&told);
        }
        if status.lines.as_mut().is_some_and(Pacer::is_due) {
            status.working.iter().for_each(|(run, working)| eprintln!("{run}: {}", working.line()));
        }
        drop(status);
        if let Some(warning) = warning(&told) {
            note(format!("{run}: {warning}"));
        }
        // Why a run failed is told once it has ended, as is that of one that could tell nothing.
        if let Some(fields) = told.as_object_mut().filter(|fields| fields["kind"] != "failed") {
            fields.insert("run".to_owned(), run.into());
            if self.json {
                tell(&told);
            }
        }
    }

    /// No lines are drawn any more.
    pub(super) fn end(&self) {
        if self.status().lines.is_none() {
            screen::clear();
        }
    }
}

/// What of a line people should know at once, however many runs are at work.
fn warning(told: &Value) -> Option<String> {
    let text = |field: &str| told[field].as_str();
    match told["kind"].as_str()? {
        "warning" => Some(format!("warning: {}", text("message")?)),
        "skipped" => Some(skipped(text("reason")?, text("folder")?)),
        "validation" => Some(format!("COLLAPSE: {}", text("collapse")?)),
        _ => None,
    }
}

impl Working {
    fn hear(&mut self, told: &Value) {
        let count = |field: &str| told[field].as_u64().unwrap_or(0);
        match told["kind"].as_str() {
            Some("started") => self.steps = [count("steps"), count("iterations")],
            Some("step" | "skipped") => {
                self.steps = [count("step") + 1, count("iterations")];
                let rate = told["rate"].as_f64().map_or_else(String::new, per_second);
                self.doing = format!("{}  {rate}", remaining(told["left"].as_f64())).trim_end().to_owned();
            }
            Some("resampling") => self.doing = format!("resampling {}/{}", count("done"), count("total")),
            Some("validating") => {
                // The scan at work is not done.
                self.doing = format!("validating {}/{}", count("number").saturating_sub(1), count("cases"));
            }
            Some("validation") => {
                self.doing = String::new();
                self.dice = told["dice"].as_f64();
            }
            _ => {}
        }
    }

    fn dice(&self) -> String {
        self.dice.map_or_else(String::new, |dice| format!("Dice {:.2} %", 100.0 * dice))
    }

    fn line(&self) -> String {
        let [done, all] = self.steps;
        let parts = [format!("{done}/{all}"), self.doing.clone(), self.dice()];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("  ")
    }
}

impl Status {
    fn drawn(&self, look: Look) -> Vec<Line> {
        // Whole names where they leave room for their runs.
        let longest = self.working.keys().map(|run| run.chars().count() + 1).max().unwrap_or(0);
        let width = longest.clamp(NAMES, (look.width / 2).max(NAMES));
        let name = |text: &str| {
            let (text, width): (String, _) = (text.chars().take(width - 1).collect(), width - 1);
            format!("{text:<width$}")
        };
        let failed = if self.failed > 0 { format!("{} failed", self.failed) } else { String::new() };
        let ended = (self.done + self.failed) as u64;
        let parts = [format!("{}/{} runs", self.done, self.all), failed];
        let mut lines = vec![bar_line(&name("grid"), share(ended, self.all as u64), &parts, look)];
        lines.extend(self.working.iter().map(|(run, working)| {
            let [done, all] = working.steps;
            let parts = [format!("{done}/{all}"), working.doing.clone(), working.dice()];
            bar_line(&name(run), share(done, all), &parts, look)
        }));
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn working() -> Status {
        let mut runs = ["mcf-s1", "supervised-ensemble-s1"].map(|run| (run.to_owned(), Working::default()));
        let told = [
            r#"{"kind":"started","steps":0,"iterations":40}"#,
            r#"{"kind":"validation","dice":0.5}"#,
            r#"{"kind":"step","step":9,"iterations":40,"rate":2.0,"left":15.0}"#,
        ];
        told.iter().for_each(|line| runs[0].1.hear(&serde_json::from_str(line).unwrap()));
        let validating = r#"{"kind":"validating","case":"a","number":2,"cases":4}"#;
        runs[1].1.hear(&serde_json::from_str(told[0]).unwrap());
        runs[1].1.hear(&serde_json::from_str(validating).unwrap());
        Status { all: 8, done: 2, failed: 1, working: runs.into(), lines: None }
    }

    #[test]
    fn what_people_should_know_is_said_of_each_run() {
        for (line, expected) in [
            (r#"{"kind":"warning","message":"5 GiB are free"}"#, Some("warning: 5 GiB are free")),
            (
                r#"{"kind":"validation","dice":0.1,"collapse":"one class is nowhere"}"#,
                Some("COLLAPSE: one class is nowhere"),
            ),
            (r#"{"kind":"validation","dice":0.9,"collapse":null}"#, None),
            (
                r#"{"kind":"skipped","step":4,"reason":"no number","folder":"here"}"#,
                Some("SKIPPED: no number; its batch and the networks are in here"),
            ),
            (r#"{"kind":"step","step":9,"iterations":40}"#, None),
        ] {
            assert_eq!(warning(&serde_json::from_str(line).unwrap()).as_deref(), expected);
        }
    }

    #[test]
    fn every_run_at_work_has_its_line() {
        let look = Look { width: 80, height: 24, unicode: false, colours: false };
        let lines: Vec<String> = working().drawn(look).iter().map(Line::text).collect();
        let bar = |done: usize, all: usize| "=".repeat(done) + &"-".repeat(all - done);
        let expected = [
            format!("grid                   {}  2/8 runs  1 failed", bar(14, 36)),
            format!("mcf-s1                 {}  10/40  15s left  2.00/s  Dice 50.00 %", bar(4, 17)),
            format!("supervised-ensemble-s1 {}  0/40  validating 1/4", bar(0, 34)),
        ];
        assert_eq!(lines, expected);
        for width in 32..160 {
            for line in working().drawn(Look { width, ..look }) {
                assert!(line.width() < width, "{}", line.text());
            }
        }
        assert_eq!(working().working["mcf-s1"].line(), "10/40  15s left  2.00/s  Dice 50.00 %");
    }
}
