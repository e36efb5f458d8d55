//! How far long work is: a bar on a terminal, one line every few seconds elsewhere.

use crate::screen::{self, Line, Look, Style};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Between two lines where there is no terminal.
const PERIOD: Duration = Duration::from_secs(5);

/// Characters of the shortest bar that is drawn, and of the longest.
const BAR: [usize; 2] = [5, 40];

/// The progress of one piece of work.
pub(crate) struct Progress {
    work: Arc<Mutex<Work>>,
    shown: Shown,
}

struct Work {
    what: String,
    total: u64,
    done: u64,
    started: Instant,
    note: String,
}

enum Shown {
    Bar,
    Lines(Pacer),
}

impl Progress {
    /// Work of `total` steps, called `what`.
    pub(crate) fn new(what: &str, total: u64) -> Self {
        let (what, started, note) = (what.to_owned(), Instant::now(), String::new());
        let work = Arc::new(Mutex::new(Work { what, total, done: 0, started, note }));
        let shown = if screen::is_terminal() {
            let work = Arc::clone(&work);
            screen::show(move |look| {
                let work = work.lock().unwrap_or_else(PoisonError::into_inner);
                let (rate, left) = work.pace();
                let (counted, note) = (format!("{}/{}", work.done, work.total), work.note.as_str());
                let parts = [counted, left, rate, note.to_owned()];
                vec![bar_line(&work.what, share(work.done, work.total), &parts, look)]
            });
            Shown::Bar
        } else {
            Shown::Lines(Pacer::new(PERIOD))
        };
        Progress { work, shown }
    }

    /// `done` steps are there; `note` says how they look.
    pub(crate) fn at(&mut self, done: u64, note: &str) {
        let mut work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        work.done = done;
        note.clone_into(&mut work.note);
        if let Shown::Lines(pacer) = &mut self.shown
            && pacer.is_due()
        {
            let (rate, left) = work.pace();
            let line = format!("{} {done}/{}  {rate}  {left}  {note}", work.what, work.total);
            eprintln!("{}", line.trim_end());
        }
    }
}

impl Drop for Progress {
    /// Leaves the terminal clean, however the work ended.
    fn drop(&mut self) {
        if let Shown::Bar = self.shown {
            screen::clear();
        }
    }
}

impl Work {
    /// Its rate and remaining time.
    fn pace(&self) -> (String, String) {
        let rate = self.done as f64 / self.started.elapsed().as_secs_f64().max(1e-9);
        let left = (rate > 0.0).then(|| self.total.saturating_sub(self.done) as f64 / rate);
        (per_second(rate), remaining(left))
    }
}

/// Lets one line through every so often.
pub(crate) struct Pacer {
    period: Duration,
    last: Instant,
}

impl Pacer {
    /// The first one after the first period.
    pub(crate) fn new(period: Duration) -> Self {
        Pacer { period, last: Instant::now() }
    }

    /// Whether it is time for the next one.
    pub(crate) fn is_due(&mut self) -> bool {
        let due = self.last.elapsed() >= self.period;
        if due {
            self.last = Instant::now();
        }
        due
    }
}

/// The progress of work on cases, each of which is a number of windows.
pub(crate) struct CaseProgress {
    progress: Progress,
    cases: CaseCount,
}

impl CaseProgress {
    /// Work on so many cases.
    pub(crate) fn new(what: &str, cases: usize) -> Self {
        CaseProgress { progress: Progress::new(what, cases as u64), cases: CaseCount::default() }
    }

    /// `done` of the `total` windows of `case` are there.
    pub(crate) fn at(&mut self, case: &str, done: usize, total: usize) {
        self.progress.at(self.cases.before(case), &format!("{case}: window {done} of {total}"));
    }
}

/// Counts cases that are named again and again while they are worked on.
#[derive(Default)]
pub(crate) struct CaseCount {
    current: Option<(String, u64)>,
}

impl CaseCount {
    /// How many there were before `case`.
    pub(crate) fn before(&mut self, case: &str) -> u64 {
        let before = match &self.current {
            Some((current, before)) if current == case => return *before,
            Some((_, before)) => before + 1,
            None => 0,
        };
        self.current = Some((case.to_owned(), before));
        before
    }
}

/// Characters of the names that lines begin with, and of the gap behind them.
pub(crate) const NAMES: usize = 11;

/// What a line begins with.
pub(crate) fn named(name: &str) -> Line {
    let width = NAMES - 1;
    Line::default().then(Style::Faint, format!("{name:<width$} "))
}

/// A line with a bar and, beside it, as many of the parts as there is room for, the first ones first.
pub(crate) fn bar_line(name: &str, share: f64, parts: &[String], look: Look) -> Line {
    let line = named(name);
    let room = look.width.saturating_sub(line.width() + 1);
    let parts: Vec<&str> = parts.iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
    let text = |count: usize| parts[..count].iter().map(|part| format!("  {part}")).collect::<String>();
    let fits = |count: &usize| BAR[0] + text(*count).chars().count() <= room;
    let text = text((1..=parts.len()).rev().find(fits).unwrap_or(parts.len().min(1)));
    let width = room.saturating_sub(text.chars().count()).min(BAR[1]);
    if width < BAR[0] {
        return line.then(Style::Plain, text.trim_start());
    }
    let done = ((share.clamp(0.0, 1.0) * width as f64).round() as usize).min(width);
    let [full, empty] = if look.unicode { ["━", "─"] } else { ["=", "-"] };
    let line = line.then(Style::Done, full.repeat(done)).then(Style::Faint, empty.repeat(width - done));
    line.then(Style::Plain, text)
}

/// How much of `total` is done.
pub(crate) fn share(done: u64, total: u64) -> f64 {
    done as f64 / total.max(1) as f64
}

/// A rate as people say it: what is slow by the seconds that it takes.
pub(crate) fn per_second(rate: f64) -> String {
    if rate > 0.0 && rate < 0.5 { format!("{:.1} s each", rate.recip()) } else { format!("{rate:.2}/s") }
}

/// What of the time is left, as far as that is known.
pub(crate) fn remaining(left: Option<f64>) -> String {
    format!("{} left", left.map_or_else(|| "?".to_owned(), duration))
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
    fn a_line_has_as_many_parts_as_there_is_room_for_and_a_bar_for_the_rest() {
        let parts = ["50/200", "1m 15s left", "2.00/s", "vnet 0.5"].map(str::to_owned);
        let at = |width: usize| {
            let look = Look { width, height: 9, unicode: false, colours: false };
            bar_line("training", 0.25, &parts, look).text()
        };
        let bar = "=======---------------------";
        assert_eq!(at(79), format!("training   {bar}  50/200  1m 15s left  2.00/s  vnet 0.5"));
        assert_eq!(at(40), "training   ==-----  50/200  1m 15s left");
        assert_eq!(at(20), "training   50/200");
        let look = Look { width: 40, height: 9, unicode: false, colours: false };
        assert!(bar_line("making phantoms", 0.0, &[], look).text().starts_with("making phantoms ---"));
        for width in 1..200 {
            assert!(at(width).chars().count() < width.max(18), "{width}: {}", at(width));
        }
    }

    #[test]
    fn a_rate_reads_well() {
        assert_eq!([2.0, 0.5, 0.25, 0.0].map(per_second), ["2.00/s", "0.50/s", "4.0 s each", "0.00/s"]);
        assert_eq!([Some(75.0), None].map(remaining), ["1m 15s left", "? left"]);
    }

    #[test]
    fn durations_read_well() {
        assert_eq!([9.4, 200.0, 3900.0].map(duration), ["9s", "3m 20s", "1h 05m"]);
    }

    #[test]
    fn cases_are_counted_once_however_often_they_are_named() {
        let mut cases = CaseCount::default();
        assert_eq!(["a", "a", "b", "c", "c"].map(|case| cases.before(case)), [0, 0, 1, 2, 2]);
    }
}
