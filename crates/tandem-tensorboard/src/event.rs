//! Events: what a record holds.

use crate::protobuf::{Message, varint};
use std::time::SystemTime;

/// What happened at a step: values by tag, in the order in which they were added. Without any it only stands for a line of the log
/// that has none.
#[derive(Clone, Debug, Default)]
pub(crate) struct Values(Vec<u8>);

impl Values {
    pub(crate) fn scalar(&mut self, tag: &str, value: f32) {
        self.add(Message::new().field(1, tag).float(2, value));
    }

    /// A picture as the bytes of a PNG file.
    pub(crate) fn picture(&mut self, tag: &str, [width, height]: [u32; 2], png: &[u8]) {
        const RGB: u64 = 3;
        let image = Message::new().integer(1, height.into()).integer(2, width.into());
        let image = image.integer(3, RGB).field(4, png);
        self.add(Message::new().field(1, tag).field(4, image));
    }

    /// What a plugin of TensorBoard reads, in place of a value.
    pub(crate) fn plugin(&mut self, tag: &str, plugin: &str, content: Message) {
        const FLOAT: u64 = 1;
        // A value must have a tensor; this one has no elements.
        let shape = Message::new().field(2, Message::new());
        let tensor = Message::new().integer(1, FLOAT).field(2, shape);
        let data = Message::new().field(1, plugin).field(2, content);
        let metadata = Message::new().field(1, data);
        self.add(Message::new().field(1, tag).field(8, tensor).field(9, metadata));
    }

    fn add(&mut self, value: Message) {
        self.0.extend(Message::new().field(1, value).bytes());
    }

    /// All of these, then all of `more`.
    pub(crate) fn extend(&mut self, more: Values) {
        self.0.extend(more.0);
    }

    /// The event of these values at a step.
    pub(crate) fn event(&self, wall_time: f64, step: u64) -> Vec<u8> {
        let mut event = head(wall_time, step);
        if !self.0.is_empty() {
            event = event.field(5, &self.0);
        }
        event.bytes()
    }
}

/// The event that every event file begins with.
pub(crate) fn version(wall_time: f64) -> Vec<u8> {
    head(wall_time, 0).field(3, "brain.Event:2").bytes()
}

fn head(wall_time: f64, step: u64) -> Message {
    let head = Message::new().double(1, wall_time);
    if step > 0 { head.integer(2, step) } else { head }
}

/// Seconds since 1970.
pub(crate) fn now() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// When the event of a record happened.
pub(crate) fn wall_time(event: &[u8]) -> Option<f64> {
    let bytes = event.get(1..9)?;
    Some(f64::from_le_bytes(bytes.try_into().ok()?))
}

/// Whether an event begins as `expected` does and has further values at most.
pub(crate) fn continues(event: &[u8], expected: &[u8]) -> bool {
    match (values(event), values(expected)) {
        (Some((head, found)), Some((expected_head, expected))) => {
            head == expected_head && found.starts_with(expected)
        }
        _ => event == expected,
    }
}

/// An event's time and step, and its values.
fn values(event: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut rest = event.get(9..)?;
    if rest.first() == Some(&(2 << 3)) {
        (_, rest) = varint(&rest[1..])?;
    }
    let head = &event[..event.len() - rest.len()];
    if rest.is_empty() {
        return Some((head, rest));
    }
    let (length, found) = varint(rest.strip_prefix(&[5 << 3 | 2])?)?;
    (length == found.len() as u64).then_some((head, found))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::framed;

    fn hexadecimal(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Written by TensorBoard 2.21 (`RecordWriter`, `event_pb2`).
    #[test]
    fn records_have_the_bytes_of_tensorboard() {
        let version = "1800000000000000a37f4b2209000000000000f83f1a0d627261696e2e4576656e743a322a28646c";
        assert_eq!(hexadecimal(&framed(&super::version(1.5))), version);

        let mut scalars = Values::default();
        scalars.scalar("losses/vnet", 0.25);
        scalars.scalar("learning_rate", f32::NAN);
        let expected = concat!(
            "3800000000000000a3797d5709000000000000f83f10ac022a2a0a120a0b6c6f737365732f766e6574150000803e0a140a0d6c",
            "6561726e696e675f72617465150000c07f190e154b"
        );
        assert_eq!(hexadecimal(&framed(&scalars.event(1.5, 300))), expected);

        let mut picture = Values::default();
        picture.picture("validation/a", [3, 2], b"png");
        let expected = concat!(
            "2a00000000000000ae8d91f509000000000000f83f10072a1d0a1b0a0c76616c69646174696f6e2f61220b0802100318032203",
            "706e675c224135"
        );
        assert_eq!(hexadecimal(&framed(&picture.event(1.5, 7))), expected);
    }

    #[test]
    fn an_event_goes_on_with_further_values_and_nothing_else() {
        let event = |names: &[&str], step| {
            let mut values = Values::default();
            names.iter().for_each(|name| values.scalar(name, 1.0));
            values.event(1.5, step)
        };
        assert!(continues(&event(&["a", "b"], 3), &event(&["a"], 3)));
        assert!(continues(&event(&["a"], 0), &event(&["a"], 0)));
        assert!(continues(&event(&[], 3), &event(&[], 3)));
        assert!(continues(&version(1.5), &version(1.5)));
        for other in [event(&["b", "a"], 3), event(&["a"], 4), event(&[], 3), version(1.5), vec![]] {
            assert!(!continues(&other, &event(&["a"], 3)), "{other:?}");
        }
        assert_eq!(wall_time(&event(&["a"], 3)), Some(1.5));
    }
}
