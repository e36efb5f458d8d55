//! Messages of Protocol Buffers, as far as ONNX files need them.
//!
//! # References
//! <https://protobuf.dev/programming-guides/encoding/>

/// How a field's value is written.
const VARINT: u64 = 0;
const LENGTH: u64 = 2;
const FIXED_32: u64 = 5;

/// A message under construction. The fields are numbered as in its definition.
#[derive(Debug, Default)]
pub(super) struct Message(Vec<u8>);

impl Message {
    /// A whole number.
    pub(super) fn int(&mut self, field: u64, value: i64) {
        self.key(field, VARINT);
        // Negative numbers take ten bytes.
        self.varint(value as u64);
    }

    /// A number of single precision.
    pub(super) fn float(&mut self, field: u64, value: f32) {
        self.key(field, FIXED_32);
        self.0.extend(value.to_le_bytes());
    }

    /// Text.
    pub(super) fn text(&mut self, field: u64, text: &str) {
        self.bytes(field, text.as_bytes());
    }

    /// Bytes.
    pub(super) fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.key(field, LENGTH);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    /// A message within this one.
    pub(super) fn message(&mut self, field: u64, message: Message) {
        self.bytes(field, &message.0);
    }

    /// All bytes.
    pub(super) fn finish(self) -> Vec<u8> {
        self.0
    }

    fn key(&mut self, field: u64, kind: u64) {
        self.varint(field << 3 | kind);
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of the encoding's own description.
    #[test]
    fn the_examples_of_the_description_come_out() {
        let mut message = Message::default();
        message.int(1, 150);
        assert_eq!(message.finish(), [0x08, 0x96, 0x01]);
        let mut message = Message::default();
        message.text(2, "testing");
        assert_eq!(message.finish(), [0x12, 0x07, 0x74, 0x65, 0x73, 0x74, 0x69, 0x6e, 0x67]);
        let (mut outer, mut inner) = (Message::default(), Message::default());
        inner.int(1, 150);
        outer.message(3, inner);
        assert_eq!(outer.finish(), [0x1a, 0x03, 0x08, 0x96, 0x01]);
        let mut message = Message::default();
        message.int(1, -2);
        assert_eq!(message.finish(), [8, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]);
        let mut message = Message::default();
        message.float(2, 1.0);
        assert_eq!(message.finish(), [0x15, 0, 0, 0x80, 0x3f]);
    }
}
