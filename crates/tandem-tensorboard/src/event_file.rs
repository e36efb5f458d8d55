//! The event file of a run folder.

use crate::event::{Values, continues, now, version, wall_time};
use crate::log::Line;
use crate::record::{first, framed};
use crate::{Error, Result, hyper_parameters};
use serde_json::Value;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// The event file's name in a run folder. TensorBoard looks for `tfevents` in names.
pub const EVENTS: &str = "log.tfevents";

/// Records before that of the log's first line: the format's version and the hyper-parameters.
const HEADS: usize = 2;

/// Where a PNG file holds its width and height.
const PNG_SIZE: usize = 16;

/// Draws a run folder in which all predictions are: tags, and the bytes of PNG files.
pub type Draw = fn(run: &Path) -> Vec<(String, Vec<u8>)>;

/// The event file of a run, up to the line of the log that was read last.
#[derive(Debug)]
pub struct EventFile {
    run: PathBuf,
    path: PathBuf,
    file: File,
    log: Log,
    draw: Draw,
}

impl EventFile {
    /// Opens the event file of a run folder and brings it up to the log: records that are not those of the log's lines are cut,
    /// those that are missing are written. What is right stays as it is, with its time and pictures. Pictures belong to the validation
    /// that a run ends with, and are drawn when that is written.
    ///
    /// # Errors
    /// Where the folder is no run folder, its log is damaged, or the event file cannot be read or written.
    pub fn open(run: &Path, draw: Draw) -> Result<Self> {
        let settings = settings(run)?;
        let iterations = settings["training"]["iterations"].as_u64().unwrap_or(0);
        let mut log = Log { path: run.join("log.jsonl"), iterations, bytes: 0, lines: 0 };
        let lines = log.new_lines()?;
        let path = run.join(EVENTS);
        let open = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path);
        let mut file = open.map_err(Error::io(&path))?;
        let mut events = Vec::new();
        file.read_to_end(&mut events).map_err(Error::io(&path))?;

        let heads: [&dyn Fn(f64) -> Vec<u8>; HEADS] =
            [&version, &|time| hyper_parameters::begin(&settings, time).event(time, 0)];
        let of_line = |line: &Line, time| line.event(time, Values::default());
        let (mut kept, mut right) = (0, 0);
        while let Some((event, length)) = first(&events[kept..]) {
            let Some(time) = wall_time(event) else { break };
            let expected = match heads.get(right) {
                Some(head) => head(time),
                None => match lines.get(right - HEADS) {
                    Some(line) => of_line(line, time),
                    None => break,
                },
            };
            if !continues(event, &expected) {
                break;
            }
            kept += length;
            right += 1;
        }
        file.set_len(kept as u64).map_err(Error::io(&path))?;
        file.seek(SeekFrom::End(0)).map_err(Error::io(&path))?;
        let mut events = EventFile { run: run.to_owned(), path, file, log, draw };
        for head in heads.iter().skip(right) {
            events.write(&head(now()))?;
        }
        events.add(&lines[right.saturating_sub(HEADS)..])?;
        Ok(events)
    }

    /// Adds what the log says since it was read last.
    ///
    /// # Errors
    /// Where the log or the event file cannot be read or written. Then the next [`Self::open`] mends the file.
    pub fn follow(&mut self) -> Result<()> {
        let lines = self.log.new_lines()?;
        self.add(&lines)
    }

    fn add(&mut self, lines: &[Line]) -> Result<()> {
        for line in lines {
            let pictures = if line.ends_run() { (self.draw)(&self.run) } else { Vec::new() };
            self.write(&line.event(now(), as_values(&pictures)))?;
        }
        Ok(())
    }

    fn write(&mut self, event: &[u8]) -> Result<()> {
        self.file.write_all(&framed(event)).map_err(Error::io(&self.path))
    }
}

/// Pictures as values. What has no size is no picture.
fn as_values(pictures: &[(String, Vec<u8>)]) -> Values {
    let mut values = Values::default();
    for (tag, png) in pictures {
        let side = |at: usize| png.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes);
        if let (Some(width), Some(height)) = (side(PNG_SIZE), side(PNG_SIZE + 4)) {
            values.picture(tag, [width, height], png);
        }
    }
    values
}

/// The settings of a run, and the dataset it was made from.
fn settings(run: &Path) -> Result<Value> {
    let read = |name: &str| {
        let path = run.join(name);
        let text = fs::read(&path).map_err(Error::io(&path))?;
        serde_json::from_slice::<Value>(&text).map_err(|error| {
            let problem = format!("is damaged: {error}; cargo xtask verify says what to do");
            Error::Damaged { path, problem }
        })
    };
    let (mut settings, record) = (read("config.json")?, read("run.json")?);
    if let (Some(settings), Some(dataset)) = (settings.as_object_mut(), record.get("dataset")) {
        settings.insert("dataset".to_owned(), dataset.clone());
    }
    Ok(settings)
}

/// A log that grows.
#[derive(Debug)]
struct Log {
    path: PathBuf,
    /// Steps of the run.
    iterations: u64,
    /// What was read.
    bytes: u64,
    lines: u64,
}

impl Log {
    /// The whole lines that are there since it was read last.
    fn new_lines(&mut self) -> Result<Vec<Line>> {
        let mut text = String::new();
        let read = |text: &mut String| {
            let mut file = File::open(&self.path)?;
            file.seek(SeekFrom::Start(self.bytes))?;
            file.read_to_string(text)
        };
        read(&mut text).map_err(Error::io(&self.path))?;
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        self.bytes += whole as u64;
        let mut lines = Vec::new();
        for line in text[..whole].lines() {
            self.lines += 1;
            lines.push(Line::read(&self.path, self.lines, line, self.iterations)?);
        }
        Ok(lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const KERNELS: &str = "{\"steps\":0,\"kernels\":{}}\n";

    fn step(step: u64, loss: f32) -> String {
        format!("{{\"step\":{step},\"learning_rate\":0.01,\"losses\":{{\"vnet\":{loss}}}}}\n")
    }

    fn validation(steps: u64, dice: f32) -> String {
        let row = format!(
            "{{\"grid\":\"own\",\"predictor\":\"ensemble\",\"component\":\"all\",\"class\":\"1\",\"metric\":\"dice\",\"unit\":\"\",\"mean\":{dice}}}"
        );
        format!("{{\"steps\":{steps},\"validation\":[{row}]}}\n")
    }

    fn run() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("config.json"), "{\"training\":{\"iterations\":4}}").unwrap();
        fs::write(folder.path().join("run.json"), "{\"dataset\":\"phantom\"}").unwrap();
        folder
    }

    fn write_log(run: &Path, lines: &[String]) {
        fs::write(run.join("log.jsonl"), KERNELS.to_owned() + &lines.concat()).unwrap();
    }

    fn add_to_log(run: &Path, text: &str) {
        let mut log = OpenOptions::new().append(true).open(run.join("log.jsonl")).unwrap();
        log.write_all(text.as_bytes()).unwrap();
    }

    /// What the file says of the log's lines, without times; all of its records must be whole.
    fn events(run: &Path) -> Vec<Vec<u8>> {
        let bytes = fs::read(run.join(EVENTS)).unwrap();
        let (mut at, mut events) = (0, Vec::new());
        while let Some((event, length)) = first(&bytes[at..]) {
            at += length;
            events.push(event[9..].to_vec());
        }
        assert_eq!(at, bytes.len(), "what follows record {} is no record", events.len());
        events.split_off(HEADS)
    }

    /// The smallest picture that has a size, and one that has none.
    fn draw(_: &Path) -> Vec<(String, Vec<u8>)> {
        let png = [&[0; PNG_SIZE][..], &3u32.to_be_bytes(), &2u32.to_be_bytes()].concat();
        vec![("slices/a".to_owned(), png), ("slices/b".to_owned(), vec![0; 9])]
    }

    fn open(run: &Path) -> EventFile {
        EventFile::open(run, draw).unwrap()
    }

    fn file(run: &Path) -> Vec<u8> {
        fs::read(run.join(EVENTS)).unwrap()
    }

    #[test]
    fn a_file_that_follows_its_log_is_the_one_that_is_made_from_it_afterwards() {
        let run = run();
        let run = run.path();
        write_log(run, &[]);
        let mut live = open(run);
        for at in 0..4 {
            let line = step(at, at as f32);
            // A line that is not whole yet is left for the next time.
            add_to_log(run, &line[..9]);
            live.follow().unwrap();
            add_to_log(run, &line[9..]);
            live.follow().unwrap();
        }
        assert_eq!(events(run).len(), 1 + 4);
        let followed = events(run);
        let before = file(run);
        drop(open(run));
        assert!(before == file(run), "a file that is right is not touched");
        fs::remove_file(run.join(EVENTS)).unwrap();
        drop(open(run));
        assert_eq!(events(run), followed);
    }

    #[test]
    fn what_a_resumed_run_cuts_from_its_log_goes_from_the_events_too() {
        let run = run();
        let run = run.path();
        write_log(run, &[]);
        let mut live = open(run);
        let end = validation(4, 1.0);
        let steps = [step(0, 0.5), validation(1, 0.25), step(1, 0.75), step(2, 1.0), step(3, 2.0)];
        add_to_log(run, &steps.concat());
        live.follow().unwrap();
        let before = file(run);
        assert!(!String::from_utf8_lossy(&before).contains("slices"), "pictures come at the end");

        // Back to step 1, which on other kernels has another loss.
        write_log(run, &steps[..2]);
        let mut live = open(run);
        add_to_log(run, &step(1, 0.5));
        live.follow().unwrap();
        assert_eq!(events(run).len(), 1 + 3);
        assert!(file(run)[..] != before[..file(run).len()]);

        // The log grew without the file, and to another end.
        write_log(run, &[&steps[..], &[end]].concat());
        drop(open(run));
        let mended = events(run);
        assert_eq!(mended.len(), 1 + 6);
        let last = String::from_utf8_lossy(&mended[6]).into_owned();
        assert!(last.contains("session_end_info") && last.contains("slices/a") && !last.contains("slices/b"));
        let whole = file(run);
        drop(open(run));
        assert!(whole == file(run), "the end is right with its pictures");
        fs::remove_file(run.join(EVENTS)).unwrap();
        drop(open(run));
        // The last one has its time.
        assert_eq!(&events(run)[..6], &mended[..6]);
    }

    #[test]
    fn a_file_that_is_cut_or_damaged_anywhere_is_mended() {
        let run = run();
        let run = run.path();
        write_log(run, &[step(0, 0.5), step(1, 0.25)]);
        drop(open(run));
        let (whole, expected) = (file(run), events(run));
        for at in (0..whole.len()).step_by(5) {
            fs::write(run.join(EVENTS), &whole[..at]).unwrap();
            drop(open(run));
            assert_eq!(events(run), expected, "cut to {at}");
            let mut damaged = whole.clone();
            damaged[at] ^= 4;
            fs::write(run.join(EVENTS), &damaged).unwrap();
            drop(open(run));
            assert_eq!(events(run), expected, "damaged at {at}");
        }
    }

    #[test]
    fn what_is_no_run_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let message = EventFile::open(folder.path(), draw).unwrap_err().to_string();
        assert!(message.contains("config.json"), "{message}");
        let run = run();
        write_log(run.path(), &["nonsense\n".to_owned()]);
        let message = EventFile::open(run.path(), draw).unwrap_err().to_string();
        assert!(message.contains("log.jsonl: line 2 is damaged"), "{message}");
    }
}
