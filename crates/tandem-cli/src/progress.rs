//! How far long work is: a bar on a terminal, one line every few seconds elsewhere.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Between two lines where there is no terminal.
const PERIOD: Duration = Duration::from_secs(5);

/// The progress of one piece of work.
pub(crate) struct Progress {
    what: String,
    total: u64,
    started: Instant,
    first: u64,
    shown: Shown,
}

enum Shown {
    Bar(ProgressBar),
    Lines { last: Instant },
}

impl Progress {
    /// Work of `total` steps, called `what`.
    pub(crate) fn new(what: &str, total: u64) -> Self {
        let shown = if std::io::stderr().is_terminal() {
            Shown::Bar(bar(what, total))
        } else {
            Shown::Lines { last: Instant::now() }
        };
        Progress { what: what.to_owned(), total, started: Instant::now(), first: 0, shown }
    }

    /// The same, of which `done` steps were there before: they do not count in the rate.
    pub(crate) fn resumed_at(mut self, done: u64) -> Self {
        self.first = done;
        if let Shown::Bar(bar) = &self.shown {
            bar.set_position(done);
            bar.reset_eta();
        }
        self
    }

    /// `done` steps are there; `note` says how they look.
    pub(crate) fn at(&mut self, done: u64, note: &str) {
        match &mut self.shown {
            Shown::Bar(bar) => {
                bar.set_message(note.to_owned());
                bar.set_position(done);
            }
            Shown::Lines { last } if last.elapsed() >= PERIOD => {
                *last = Instant::now();
                let elapsed = self.started.elapsed().as_secs_f64();
                eprintln!("{}", line(&self.what, [self.first, done, self.total], elapsed, note));
            }
            Shown::Lines { .. } => {}
        }
    }
}

/// The progress of work on cases, each of which is a number of windows.
pub(crate) struct CaseProgress {
    progress: Progress,
    /// The case at hand and how many there were before it.
    current: Option<(String, u64)>,
}

impl CaseProgress {
    /// Work on so many cases.
    pub(crate) fn new(what: &str, cases: usize) -> Self {
        CaseProgress { progress: Progress::new(what, cases as u64), current: None }
    }

    /// `done` of the `total` windows of `case` are there.
    pub(crate) fn at(&mut self, case: &str, done: usize, total: usize) {
        let before = match &self.current {
            Some((current, before)) if current == case => *before,
            Some((_, before)) => before + 1,
            None => 0,
        };
        self.current = Some((case.to_owned(), before));
        self.progress.at(before, &format!("{case}: window {done} of {total}"));
    }
}

impl Drop for Progress {
    /// Leaves the terminal clean, however the work ended.
    fn drop(&mut self) {
        if let Shown::Bar(bar) = &self.shown {
            bar.finish_and_clear();
        }
    }
}

fn bar(what: &str, total: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
    let template = "{prefix} [{bar:30}] {pos}/{len} {per_sec} {eta} left  {wide_msg}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_prefix(what.to_owned());
    bar
}

fn line(what: &str, [first, done, total]: [u64; 3], elapsed: f64, note: &str) -> String {
    let rate = done.saturating_sub(first) as f64 / elapsed.max(1e-9);
    let left = total.saturating_sub(done) as f64 / rate.max(1e-9);
    let left = if rate > 0.0 { duration(left) } else { "?".to_owned() };
    format!("{what} {done}/{total}  {rate:.2}/s  {left} left  {note}").trim_end().to_owned()
}

/// Seconds as people say them: `9s`, `3m 20s`, `1h 05m`.
pub(crate) fn duration(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s}s"),
        (0, m, s) => format!("{m}m {s:02}s"),
        (h, m, _) => format!("{h}h {m:02}m"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_rate_and_remaining_time() {
        assert_eq!(
            line("training", [0, 50, 200], 25.0, "loss 0.5"),
            "training 50/200  2.00/s  1m 15s left  loss 0.5"
        );
        assert_eq!(line("training", [40, 50, 200], 10.0, ""), "training 50/200  1.00/s  2m 30s left");
        assert_eq!(line("training", [0, 0, 200], 10.0, ""), "training 0/200  0.00/s  ? left");
    }

    #[test]
    fn durations_read_well() {
        assert_eq!([9.4, 200.0, 3900.0].map(duration), ["9s", "3m 20s", "1h 05m"]);
    }
}
