//! Training with a single thread. In a program of its own: how many threads there are is settled once for all of it.

use rayon::prelude::*;
use std::sync::mpsc::channel;
use std::time::Duration;
use tandem_training::read_ahead;

#[test]
fn what_is_read_in_parallel_needs_no_thread_that_waits_for_it() {
    rayon::ThreadPoolBuilder::new().num_threads(1).build_global().unwrap();
    let (tell, told) = channel();
    // Whoever waits for ever does so beside the test.
    std::thread::spawn(move || {
        let read = |step| {
            (0..step).into_par_iter().for_each(|_| {});
            Ok(step)
        };
        let ended = rayon::scope(|_| read_ahead(8..9, read, |batches| batches.next()));
        tell.send(ended).unwrap();
    });
    let batch = told.recv_timeout(Duration::from_secs(60));
    assert_eq!(batch.expect("the thread that waits is the one that should read").unwrap(), 8);
}
