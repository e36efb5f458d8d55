//! A run as it is seen while it works: on a terminal as lines that are drawn anew, elsewhere as a line every few seconds; for
//! programs as lines of JSON; and as TensorBoard's event file in the run folder.

mod messages;
mod pace;
mod slices;
mod status;
mod trend;
mod view;

pub(crate) use messages::tell;
pub(crate) use slices::drawn;

use crate::output::{note, say};
use crate::progress::{Pacer, duration};
use crate::{screen, sentence, table};
use messages::Message;
use status::{Doing, Status};
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tandem_tensorboard::EventFile;
use tandem_training::{Bytes, Error, Event, Run, Scores, ensemble_dice, host};

/// Between two lines where there is no terminal.
const PERIOD: Duration = Duration::from_secs(5);

/// Who is told of a run.
pub(crate) struct Live {
    started: Instant,
    status: Arc<Mutex<Status>>,
    /// Lines where there is no terminal.
    lines: Option<Pacer>,
    is_drawn: bool,
    /// Whether lines of JSON are written.
    json: bool,
    events: Option<EventFile>,
    folder: PathBuf,
}

impl Live {
    /// Of a run that is about to be opened.
    pub(crate) fn new(json: bool) -> Self {
        let started = Instant::now();
        let lines = (!screen::is_terminal()).then(|| Pacer::new(PERIOD));
        let status = Arc::new(Mutex::new(Status::new(started)));
        Live { started, status, lines, is_drawn: false, json, events: None, folder: PathBuf::new() }
    }

    /// The run is open, and begins or goes on.
    pub(crate) fn begin(&mut self, run: &Run, folder: &Path) {
        let (config, record) = (run.config(), run.record());
        folder.clone_into(&mut self.folder);
        let lists = &record.lists;
        self.status().begin(&config.training, run, lists.validation.len());
        self.tell(&Message::Started {
            folder,
            name: &config.name,
            method: &config.method.name,
            seed: record.seed,
            dataset: &record.dataset,
            iterations: config.training.iterations,
            steps: run.steps(),
            labelled: lists.labelled.len(),
            unlabelled: lists.unlabelled.len(),
            validation: lists.validation.len(),
            kernels: &record.kernels,
            version: &record.version,
        });
        match EventFile::open(folder, drawn) {
            Ok(events) => self.events = Some(events),
            Err(error) => self.without_events(&error),
        }
        self.draw();
    }

    /// Something happened.
    pub(crate) fn show(&mut self, event: Event) {
        let now = Instant::now();
        let case_before = self.case();
        self.status().take(&event, now);
        match event {
            Event::Resampling { done, total } => self.tell(&Message::Resampling { done, total }),
            Event::Step { record, iterations } => {
                // What it takes to ask the system is spared where nobody is told.
                if self.json {
                    self.tell(&Message::Step { record, iterations, moment: self.moment() });
                }
            }
            Event::Damaged { problem } => {
                self.warn(format!("{problem}; the newest checkpoint before it that is whole is used"));
            }
            Event::Validating { case, .. } => {
                let doing = self.status().doing.clone();
                if let Doing::Validating { cases: [before, cases], .. } = doing
                    && case_before.as_deref() != Some(case)
                {
                    self.tell(&Message::Validating { case, number: before + 1, cases });
                }
            }
            Event::Validated { steps, scores, collapse } => {
                let scores = scores.summary();
                say(format!("after {steps} steps: {}", table::headline(&scores)));
                if let Some(why) = collapse {
                    say(format!("COLLAPSE: {why}"));
                }
                let dice = ensemble_dice(&scores);
                self.tell(&Message::Validation { steps, dice, collapse, scores, moment: self.moment() });
            }
            Event::Skipped { breakdown, folder } => {
                say(skipped(breakdown, folder.display()));
                let (step, iterations) = (breakdown.record.step, self.status().iterations);
                self.tell(&Message::Skipped { step, iterations, reason: breakdown.to_string(), folder });
            }
            Event::LowDisk { free } => {
                let free = Bytes(free);
                let message = format!("{free} are free, not enough for three more checkpoints; make room");
                say(format!("LOW DISK: {message}"));
                self.tell(&Message::Warning { message });
            }
            // The newest state is on disk: nothing that people must be told.
            Event::Saved { path, steps } => self.tell(&Message::Checkpoint { steps, file: path }),
        }
        self.follow();
        self.draw();
    }

    /// The run has ended, or there was none.
    pub(crate) fn end(&mut self, ended: &Result<Scores, anyhow::Error>) {
        if self.is_drawn {
            screen::clear();
        }
        let folder = &self.folder;
        match ended {
            Ok(scores) => {
                let (steps, dice) = (self.status().done, ensemble_dice(&scores.summary()));
                self.tell(&Message::Finished { folder, steps, dice, moment: self.moment() });
            }
            Err(error) => match error.downcast_ref() {
                Some(Error::Interrupted { steps, checkpoint }) => {
                    self.tell(&Message::Stopped { folder, steps: *steps, checkpoint: Some(checkpoint) });
                }
                Some(Error::Stopped) => self.tell(&Message::Stopped { folder, steps: 0, checkpoint: None }),
                _ => self.tell(&Message::Failed { error: sentence(error) }),
            },
        }
    }

    /// The run folder; empty where none was opened.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// What a run leaves, and how long it took.
    pub(crate) fn files(&self) -> String {
        let took = duration(self.started.elapsed().as_secs_f64());
        format!(
            "{}: report.html, report.md, metrics.csv, summary.json, predictions ({took})",
            self.folder.display()
        )
    }

    fn status(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, message: &Message) {
        if self.json {
            tell(message);
        }
    }

    /// Something that people should know, and that does not end the run.
    pub(crate) fn warn(&self, message: String) {
        note(format!("warning: {message}"));
        self.tell(&Message::Warning { message });
    }

    /// The case that is being segmented.
    fn case(&self) -> Option<String> {
        match &self.status().doing {
            Doing::Validating { case, .. } => Some(case.clone()),
            _ => None,
        }
    }

    fn moment(&self) -> messages::Moment {
        let (status, now) = (self.status(), Instant::now());
        messages::Moment {
            seconds: self.started.elapsed().as_secs_f64(),
            rate: status.pace.rate(),
            left: status.left(now),
            memory: host::resident_memory(),
            peak_memory: host::peak_memory(),
        }
    }

    /// Draws what is known from now on, or says it in a line where it is time for one.
    fn draw(&mut self) {
        if let Some(lines) = &mut self.lines {
            if lines.is_due() {
                let status = self.status();
                eprintln!("{}", view::line(&status, view_moment(&status, self.started)));
            }
        } else if !self.is_drawn {
            self.is_drawn = true;
            let (status, started) = (Arc::clone(&self.status), self.started);
            screen::show(move |look| {
                let status = status.lock().unwrap_or_else(PoisonError::into_inner);
                view::lines(&status, view_moment(&status, started), look)
            });
        }
    }

    /// Adds the log's new lines to the event file.
    fn follow(&mut self) {
        if let Some(Err(error)) = self.events.as_mut().map(EventFile::follow) {
            self.without_events(&error);
        }
    }

    /// A file that only shows the run must not end it.
    fn without_events(&mut self, error: &tandem_tensorboard::Error) {
        self.events = None;
        let remedy = format!("complete it with: tensorboard {}", self.folder.display());
        self.warn(format!("{error}; the run goes on without its event file; {remedy}"));
    }
}

impl Drop for Live {
    /// Leaves the terminal clean, however the run ended.
    fn drop(&mut self) {
        if self.is_drawn {
            screen::clear();
        }
    }
}

/// What people are told of a step that was left out.
pub(crate) fn skipped(reason: impl Display, folder: impl Display) -> String {
    format!("SKIPPED: {reason}; its batch and the networks are in {folder}")
}

fn view_moment(status: &Status, started: Instant) -> view::Moment {
    view::Moment {
        elapsed: started.elapsed().as_secs_f64(),
        left: status.left(Instant::now()),
        memory: [host::resident_memory(), host::peak_memory()],
    }
}
