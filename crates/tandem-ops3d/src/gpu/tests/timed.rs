//! What a GPU that is timed remembers.

use super::random;
use crate::gpu::emulator::emulator;
use crate::gpu::{Gpu, Queue};
use crate::program::Precision;

#[test]
fn pieces_of_work_are_counted_by_their_names() {
    let machine = match emulator() {
        Ok(machine) => machine,
        Err(reason) => {
            eprintln!("SKIPPED: a timed GPU, for there is {reason}");
            return;
        }
    };
    let (gpu, stopwatch) = Gpu::of_machine(machine).timed();
    let queue = Queue { machine: gpu.machine.clone(), precision: Precision::F32 };
    let counts = || {
        let mut found: Vec<_> = stopwatch.work().into_iter().map(|work| (work.what, work.times)).collect();
        found.sort();
        found
    };
    let work = |what: &str, times: u64| (what.to_owned(), times);

    let (values, x) = queue.given(&random(32, 0));
    assert_eq!(counts(), [work("copies to the GPU", 1), work("enter", 1)]);
    stopwatch.reset();
    let (_, y) = queue.given(&[0.0; 32]);
    queue.add(&x, &y, 32).unwrap();
    queue.add(&x, &y, 32).unwrap();
    let sums: Vec<f32> = y.values(32).unwrap();
    assert!(sums.iter().zip(values).all(|(sum, value)| *sum == value + value));
    let expected =
        [work("add_wide", 2), work("copies from the GPU", 1), work("copies to the GPU", 1), work("enter", 1)];
    assert_eq!(counts(), expected);
    assert!(stopwatch.work().windows(2).all(|pair| pair[0].seconds >= pair[1].seconds));
}
