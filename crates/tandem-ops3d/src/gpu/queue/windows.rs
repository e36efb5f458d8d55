//! What adds up the windows of a prediction.

use super::{Argument, Buffer, Queue, int};
use crate::window_sums::WindowPlace;
use candle_core::Result;

impl Queue {
    /// Adds the softmax of a window's logits, `(classes, window)`, to sums `(classes, window[0], plane)`.
    pub(crate) fn add_window(
        &self,
        logits: u64,
        sums: &Buffer,
        (classes, window): (usize, [usize; 3]),
        plane: [usize; 2],
        place: &WindowPlace,
    ) -> Result<()> {
        let mut arguments = vec![Argument::Pointer(logits), sums.into()];
        let numbers =
            [&[classes][..], &window, &plane, &place.start, &place.mirrored.map(usize::from)].concat();
        for number in numbers {
            arguments.push(Argument::Int(int(number)?));
        }
        self.run_each("add_window", window.iter().product(), &arguments)
    }
}
