//! Reads the next batches while a step runs.

use crate::{Error, Result};
use rayon::ThreadPoolBuilder;
use std::any::Any;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, sync_channel};

/// Batches that wait to be used.
pub(crate) const AHEAD: usize = 2;

/// The batches of a run, in the order of steps.
#[derive(Debug)]
pub struct Batches<B> {
    receiver: Receiver<Result<B>>,
}

impl<B> Batches<B> {
    /// The batch of the next step.
    ///
    /// # Errors
    /// Where it could not be read, or all steps are done.
    pub fn next(&self) -> Result<B> {
        self.receiver.recv().unwrap_or(Err(Error::NoMoreBatches))
    }
}

/// Runs `consume` beside a thread that calls `read` for each of `steps`. What is read must depend on the step alone, so
/// that timing cannot change a run. An error of `read` comes out of [`Batches::next`]; the thread ends with `consume`.
///
/// What `read` does in parallel runs in the one thread of a pool of its own: `consume` may wait for a batch in the only thread
/// of the pool it is called in, and then nobody would be left to read it.
///
/// # Errors
/// The error of `consume`; where the thread that reads cannot be started.
pub fn read_ahead<B: Send, R>(
    steps: Range<u64>,
    read: impl Fn(u64) -> Result<B> + Send,
    consume: impl FnOnce(Batches<B>) -> Result<R>,
) -> Result<R> {
    let (sender, receiver) = sync_channel(AHEAD);
    let send_all = move || {
        for step in steps {
            let batch = guarded(&format!("step {step}"), || read(step));
            let failed = batch.is_err();
            // Nobody listens any more where the run has ended early.
            if sender.send(batch).is_err() || failed {
                break;
            }
        }
    };
    let pool = ThreadPoolBuilder::new().num_threads(1).build().map_err(Error::Threads)?;
    pool.in_place_scope(|scope| {
        scope.spawn(|_| send_all());
        consume(Batches { receiver })
    })
}

/// Reads something; a panic becomes an error that names it.
pub(crate) fn guarded<T>(what: &str, read: impl FnOnce() -> Result<T>) -> Result<T> {
    // What was being read is dropped with the panic: nobody sees it half done.
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|panic| {
        Err(Error::Panicked { what: what.to_owned(), message: message(panic.as_ref()) })
    })
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no reason given".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn a_panic_while_reading_is_the_error_of_the_run_and_names_the_case() {
        let read = |step| {
            guarded("case atrium7", || {
                assert!(step < 3, "index 9 out of range");
                Ok(step)
            })
        };
        let done = Cell::new(0);
        let ended: Result<()> = read_ahead(0..100, read, |batches| {
            loop {
                batches.next()?;
                done.set(done.get() + 1);
            }
        });
        let expected = "case atrium7: reading it failed by a fault of this program (index 9 out of range); leave the scan \
                        out, and report it";
        assert_eq!(ended.unwrap_err().to_string(), expected);
        assert_eq!(done.get(), 3);
    }

    #[test]
    fn batches_end_with_the_steps() {
        let ended = read_ahead(4..5, Ok, |batches| batches.next().and_then(|_| batches.next()));
        let message = ended.unwrap_err().to_string();
        assert_eq!(message, "there are no more batches; the thread that reads them has ended");
    }
}
