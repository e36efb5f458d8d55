//! A run as the lines of a terminal.

use super::status::{Doing, Status};
use super::trend::trend;
use crate::progress::{NAMES, bar_line, duration, named, per_second, remaining, share};
use crate::screen::{Line, Look, Style};
use tandem_training::Bytes;

/// Lines that terms may take.
const TERM_LINES: usize = 2;

/// Characters of the longest course.
const COURSE: usize = 24;

/// What is not told by events.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moment {
    /// Seconds since the program began.
    pub(super) elapsed: f64,
    /// Seconds that the run will take.
    pub(super) left: Option<f64>,
    /// Bytes that the program holds now, and at most so far.
    pub(super) memory: [Option<u64>; 2],
}

/// The lines of a run, the most important one first. None has more characters than the terminal.
pub(super) fn lines(status: &Status, moment: Moment, look: Look) -> Vec<Line> {
    if let Doing::Resampling([done, total]) = status.doing {
        return vec![bar_line("resampling", share(done, total), &[format!("{done}/{total} scans")], look)];
    }
    let mut lines = vec![training(status, moment, look)];
    if let Doing::Validating { case, cases: [before, cases], windows: [done, all] } = &status.doing {
        let share = (*before as f64 + share(*done as u64, *all as u64)) / (*cases).max(1) as f64;
        let parts = [format!("{before}/{cases} scans"), case.clone()];
        lines.push(bar_line("validating", share, &parts, look));
    }
    lines.push(dice(status, look));
    if !status.losses.is_empty() {
        let losses = status.losses.iter().map(|(name, loss)| (name.as_str(), Some(*loss)));
        lines.extend(listed("loss", losses, 1, &status.loss_course, look));
        let terms = status.terms.iter().map(|(name, value)| (name.as_str(), *value));
        lines.extend(listed("terms", terms, TERM_LINES, &[], look));
    }
    lines.push(machine(status, moment, look));
    if status.skipped > 0 {
        let text = format!("{} steps that were not finite", status.skipped);
        lines.push(named("skipped").then(Style::Strong, text));
    }
    lines
}

/// The same in one line of text.
pub(super) fn line(status: &Status, moment: Moment) -> String {
    match &status.doing {
        Doing::Resampling([done, total]) => format!("resampling {done}/{total}"),
        Doing::Validating { case, cases: [before, cases], windows: [done, all] } => {
            format!("validating {before}/{cases}  {case}: window {done} of {all}")
        }
        Doing::Training => {
            let mut parts = vec![format!("training {}/{}", status.done, status.iterations)];
            parts.extend(status.pace.rate().map(per_second));
            parts.push(remaining(moment.left));
            parts.extend(status.losses.iter().map(|(network, loss)| format!("{network} {loss:.3}")));
            parts.extend(moment.memory[0].map(|bytes| Bytes(bytes).to_string()));
            parts.join("  ")
        }
    }
}

fn training(status: &Status, moment: Moment, look: Look) -> Line {
    let parts = [
        format!("{}/{}", status.done, status.iterations),
        remaining(moment.left),
        status.pace.rate().map_or_else(String::new, per_second),
    ];
    bar_line("training", share(status.done, status.iterations), &parts, look)
}

fn dice(status: &Status, look: Look) -> Line {
    let line = named("Dice");
    let Some([(steps, newest), (best_steps, best)]) = status.dice() else {
        let none = if status.validations.is_empty() { "no validation yet" } else { "undefined" };
        return line.then(Style::Faint, none);
    };
    let percent = |dice: f64| format!("{:.2} %", 100.0 * dice);
    let line = line.then(Style::Strong, percent(newest)).then(Style::Plain, format!(" at {steps}"));
    let best = match best_steps == steps {
        true => ", the best so far".to_owned(),
        false => format!(", best {} at {best_steps}", percent(best)),
    };
    let fits = line.width() + best.chars().count() < look.width;
    let line = if fits { line.then(Style::Plain, best) } else { line };
    let course: Vec<f64> = status.validations.iter().filter_map(|(_, dice)| *dice).collect();
    with_course(line, &course, look)
}

/// Names and their values on so many lines, and the course of the first line's values beside it. What has no room is counted.
fn listed<'a>(
    name: &str,
    values: impl Iterator<Item = (&'a str, Option<f64>)>,
    most: usize,
    course: &[f64],
    look: Look,
) -> Vec<Line> {
    const GAP: &str = "  ";
    let values: Vec<(&str, String)> =
        values.map(|(name, value)| (name, value.map_or_else(|| "-".to_owned(), number))).collect();
    let mut lines = Vec::new();
    let mut line = named(name);
    let (mut shown, mut on_line) = (0, 0);
    while let Some((name, value)) = values.get(shown) {
        let last = lines.len() + 1 == most;
        let more = match values.len() - shown - 1 {
            0 => 0,
            more if last => format!("{GAP}+{more}").len(),
            _ => 0,
        };
        let gap = if on_line == 0 { "" } else { GAP };
        let width = gap.len() + name.chars().count() + 1 + value.len();
        if on_line > 0 && line.width() + width + more >= look.width {
            if last {
                line = line.then(Style::Faint, format!("{GAP}+{}", values.len() - shown));
                break;
            }
            lines.push(std::mem::replace(&mut line, named("")));
            on_line = 0;
            continue;
        }
        line = line.then(Style::Faint, format!("{gap}{name} ")).then(Style::Plain, value.clone());
        shown += 1;
        on_line += 1;
    }
    if on_line > 0 {
        lines.push(line);
    }
    if let Some(first) = lines.first_mut() {
        *first = with_course(std::mem::take(first), course, look);
    }
    lines
}

/// A line and, where there is room, a course behind it.
fn with_course(line: Line, course: &[f64], look: Look) -> Line {
    let room = look.width.saturating_sub(line.width() + 3);
    if !look.unicode || room < COURSE.min(course.len()).min(8) {
        return line;
    }
    let course = trend(course, room.min(COURSE));
    if course.is_empty() { line } else { line.then(Style::Plain, "  ").then(Style::Done, course) }
}

/// Memory, time and learning rate: as many of them as there is room for.
fn machine(status: &Status, moment: Moment, look: Look) -> Line {
    let mut parts = Vec::new();
    match moment.memory {
        [Some(now), Some(most)] => parts.push(format!("{}, at most {}", Bytes(now), Bytes(most))),
        [Some(now), None] => parts.push(Bytes(now).to_string()),
        _ => {}
    }
    parts.push(format!("{} passed", duration(moment.elapsed)));
    parts.extend(status.learning_rate.map(|rate| format!("learning rate {rate}")));
    while NAMES + parts.join("  ").chars().count() >= look.width && parts.len() > 1 {
        parts.pop();
    }
    let name = if moment.memory[0].is_some() { "memory" } else { "time" };
    named(name).then(Style::Plain, parts.join("  "))
}

/// Three digits that matter, as far as four places show them.
fn number(value: f64) -> String {
    match value.abs() {
        _ if !value.is_finite() => value.to_string(),
        size if size >= 1000.0 || (size > 0.0 && size < 0.001) => format!("{value:.1e}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests;
