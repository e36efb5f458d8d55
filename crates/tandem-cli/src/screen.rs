//! The last lines of the terminal, drawn anew while work goes on; and what is written above them.
//!
//! A thread of its own draws them several times a second, each time as the terminal is then: so they follow its size, and a clock
//! in them goes on while a step takes long. Without a terminal nothing is drawn.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::time::Duration;

/// Between two drawings.
const PERIOD: Duration = Duration::from_millis(200);

/// What the terminal can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    /// Characters of a line.
    pub(crate) width: usize,
    /// Lines.
    pub(crate) height: usize,
    /// Whether it draws more than ASCII.
    pub(crate) unicode: bool,
    /// Whether colours are wanted.
    pub(crate) colours: bool,
}

/// How a part of a line is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    /// What only names what stands beside it.
    Faint,
    /// What is looked for first.
    Strong,
    /// What is done.
    Done,
}

/// A line of parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Line(Vec<(Style, String)>);

impl Line {
    /// The same line, and then `text`.
    pub(crate) fn then(mut self, style: Style, text: impl Into<String>) -> Self {
        self.0.push((style, text.into()));
        self
    }

    /// How many characters it has.
    pub(crate) fn width(&self) -> usize {
        self.0.iter().map(|(_, text)| text.chars().count()).sum()
    }

    /// Its beginning, where it has more characters than `width`.
    fn cut(self, width: usize) -> Self {
        let mut left = width;
        let keep = |(style, text): (Style, String)| {
            let text: String = text.chars().take(left).collect();
            left -= text.chars().count();
            (style, text)
        };
        Line(self.0.into_iter().map(keep).collect())
    }

    fn drawn(&self, colours: bool) -> String {
        let part = |(style, text): &(Style, String)| {
            let code = match style {
                Style::Faint => "2",
                Style::Strong => "1",
                Style::Done => "32",
                Style::Plain => return text.clone(),
            };
            if colours && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.clone() }
        };
        self.0.iter().map(part).collect()
    }
}

#[cfg(test)]
impl Line {
    /// Its characters.
    pub(crate) fn text(&self) -> String {
        self.drawn(false)
    }
}

/// Makes the lines, as the terminal looks now.
type Painter = Box<dyn Fn(Look) -> Vec<Line> + Send>;

struct Screen {
    painter: Option<Painter>,
    /// The widths of the lines that are drawn.
    drawn: Vec<usize>,
}

static SCREEN: Mutex<Screen> = Mutex::new(Screen { painter: None, drawn: Vec::new() });
static CLOCK: Once = Once::new();

/// Whether standard error is a terminal on which lines can be drawn anew.
pub(crate) fn is_terminal() -> bool {
    let named = std::env::var("TERM").is_ok_and(|name| !name.is_empty() && name != "dumb");
    cfg!(unix) && named && std::io::stderr().is_terminal()
}

/// From now on these lines are the last ones of the terminal, in place of those that were.
pub(crate) fn show(painter: impl Fn(Look) -> Vec<Line> + Send + 'static) {
    let mut screen = screen();
    screen.painter = Some(Box::new(painter));
    screen.draw();
    CLOCK.call_once(|| {
        // Where there is no thread to be had, the lines stay as they were drawn first.
        let _ = std::thread::Builder::new().name("screen".to_owned()).spawn(|| {
            loop {
                std::thread::sleep(PERIOD);
                self::screen().draw();
            }
        });
    });
}

/// No lines are drawn any more.
pub(crate) fn clear() {
    let mut screen = screen();
    screen.painter = None;
    screen.erase();
}

/// Lets `write` write to the terminal, above the lines.
pub(crate) fn above(write: impl FnOnce()) {
    let mut screen = screen();
    screen.erase();
    write();
    screen.draw();
}

fn screen() -> MutexGuard<'static, Screen> {
    SCREEN.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Screen {
    fn draw(&mut self) {
        let Some(painter) = &self.painter else { return };
        let look = look();
        // A character in the last column would make some terminals wrap, the last row is the cursor's.
        let fit = |line: Line| line.cut(look.width.saturating_sub(1));
        let lines: Vec<Line> =
            painter(look).into_iter().map(fit).take(look.height.saturating_sub(1)).collect();
        put(&frame(&self.drawn, &lines, look));
        self.drawn = lines.iter().map(Line::width).collect();
    }

    fn erase(&mut self) {
        if !self.drawn.is_empty() {
            put(&frame(&self.drawn, &[], look()));
            self.drawn.clear();
        }
    }
}

/// Draws in one write, so that nobody sees half of it. A terminal that has gone away is no error.
fn put(frame: &str) {
    let _ = std::io::stderr().write_all(frame.as_bytes());
}

/// What draws `lines` over those of such widths, and leaves the cursor below. Since these were drawn the terminal may have become
/// narrower, and have wrapped them.
fn frame(drawn: &[usize], lines: &[Line], look: Look) -> String {
    let rows: usize = drawn.iter().map(|width| width.div_ceil(look.width.max(1)).max(1)).sum();
    let mut frame = "\r".to_owned();
    if rows > 0 {
        let _ = write!(frame, "\x1b[{rows}A");
    }
    for line in lines {
        // Over what was there, and then nothing: cleared lines would flicker.
        let _ = write!(frame, "{}\x1b[K\r\n", line.drawn(look.colours));
    }
    frame + "\x1b[J"
}

fn look() -> Look {
    let (width, height) = size().unwrap_or((80, 24));
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let locale = set("LC_ALL").or_else(|| set("LC_CTYPE")).or_else(|| set("LANG")).unwrap_or_default();
    let unicode = locale.to_lowercase().replace('-', "").contains("utf8");
    Look { width, height, unicode, colours: set("NO_COLOR").is_none() }
}

#[cfg(unix)]
fn size() -> Option<(usize, usize)> {
    let size = rustix::termios::tcgetwinsize(std::io::stderr()).ok()?;
    (size.ws_col > 0 && size.ws_row > 0).then(|| (size.ws_col.into(), size.ws_row.into()))
}

#[cfg(not(unix))]
fn size() -> Option<(usize, usize)> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOK: Look = Look { width: 20, height: 5, unicode: true, colours: true };

    fn line(text: &str) -> Line {
        Line::default().then(Style::Plain, text)
    }

    #[test]
    fn lines_are_drawn_over_those_that_were_there() {
        let lines = [line("one"), line("two").then(Style::Strong, "!")];
        assert_eq!(frame(&[], &lines, LOOK), "\rone\x1b[K\r\ntwo\x1b[1m!\x1b[0m\x1b[K\r\n\x1b[J");
        assert_eq!(frame(&[3, 4], &lines[..1], LOOK), "\r\x1b[2Aone\x1b[K\r\n\x1b[J");
        assert_eq!(frame(&[3, 4], &[], LOOK), "\r\x1b[2A\x1b[J");
        let plain = Look { colours: false, ..LOOK };
        assert!(!frame(&[], &lines, plain).contains("[1m"));
    }

    #[test]
    fn a_narrower_terminal_has_wrapped_what_was_drawn() {
        // 19, 9 and no characters in lines of 8 are three rows, two and one.
        let narrow = Look { width: 8, ..LOOK };
        assert!(frame(&[19, 9, 0], &[], narrow).starts_with("\r\x1b[6A"));
    }

    #[test]
    fn a_line_is_cut_between_characters() {
        let cut = line("päd").then(Style::Faint, "┃x").cut(4);
        assert_eq!((cut.text(), cut.width()), ("päd┃".to_owned(), 4));
    }
}
