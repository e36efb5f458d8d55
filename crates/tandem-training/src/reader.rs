//! Reads the next batches while a step runs.

use crate::dataset::{Dataset, Patch};
use crate::{Error, Result, TwoStreamSampler};
use std::any::Any;
use std::ops::Range;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

/// Batches that wait to be used.
pub(crate) const AHEAD: usize = 2;

/// The batches of a run, in the order of steps.
#[derive(Debug)]
pub struct Batches {
    receiver: Receiver<Result<Vec<Patch>>>,
}

impl Batches {
    /// The patches of the next step.
    ///
    /// # Errors
    /// Where they could not be read, or all steps are done.
    pub fn next(&self) -> Result<Vec<Patch>> {
        self.receiver.recv().unwrap_or_else(|_| Err(Error::Reader("there are no more batches".into())))
    }
}

/// Runs `consume` beside a thread that reads the batches of `steps`. What is read depends on seed and step alone, so
/// that timing cannot change a run. A read error comes out of [`Batches::next`]; the thread ends with `consume`.
///
/// # Errors
/// The error of `consume`, or that of a thread that died.
pub fn read_ahead<R>(
    dataset: &Dataset,
    sampler: &TwoStreamSampler,
    steps: Range<u64>,
    consume: impl FnOnce(Batches) -> Result<R>,
) -> Result<R> {
    let (sender, receiver) = sync_channel(AHEAD);
    thread::scope(|scope| {
        let reader = scope.spawn(move || {
            for step in steps {
                let patches = dataset.patches(step, &sampler.batch(step));
                let failed = patches.is_err();
                // Nobody listens any more where the run has ended early.
                if sender.send(patches).is_err() || failed {
                    break;
                }
            }
        });
        let result = consume(Batches { receiver });
        match reader.join() {
            Ok(()) => result,
            Err(panic) => Err(Error::Reader(message(panic.as_ref()))),
        }
    })
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no reason given".into())
}
