//! The opcodes of pickles that the machine knows, and how they are read.

use crate::Parsed;

/// One step of a pickle. Texts are parts of the file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Opcode<'a> {
    Protocol(u8),
    Mark,
    Stop,
    None,
    Bool(bool),
    Int(i64),
    Float,
    Text(&'a str),
    EmptyTuple,
    EmptyList,
    EmptyDict,
    /// A tuple of all since the mark.
    Tuple,
    /// A tuple of the last so many.
    TupleOf(usize),
    Append,
    Appends,
    SetItem,
    SetItems,
    Build,
    Reduce,
    PersistentId,
    Put(u32),
    Get(u32),
    /// A module, and a name in it.
    Global(&'a str, &'a str),
}

/// Reads opcodes one after the other.
pub(crate) struct Opcodes<'a> {
    rest: &'a [u8],
}

impl<'a> Opcodes<'a> {
    pub(crate) fn of(bytes: &'a [u8]) -> Self {
        Opcodes { rest: bytes }
    }

    /// Whether all have been read.
    pub(crate) fn are_over(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next one.
    pub(crate) fn next(&mut self) -> Parsed<Opcode<'a>> {
        let [code] = self.take()?;
        Ok(match code {
            0x80 => Opcode::Protocol(u8::from_le_bytes(self.take()?)),
            b'(' => Opcode::Mark,
            b'.' => Opcode::Stop,
            b'N' => Opcode::None,
            0x88 => Opcode::Bool(true),
            0x89 => Opcode::Bool(false),
            b'J' => Opcode::Int(i32::from_le_bytes(self.take()?).into()),
            b'K' => Opcode::Int(u8::from_le_bytes(self.take()?).into()),
            b'M' => Opcode::Int(u16::from_le_bytes(self.take()?).into()),
            0x8a => Opcode::Int(self.long()?),
            b'G' => {
                self.take::<8>()?;
                Opcode::Float
            }
            b'X' => {
                let length = u32::from_le_bytes(self.take()?) as usize;
                Opcode::Text(text(self.bytes(length)?)?)
            }
            b')' => Opcode::EmptyTuple,
            b']' => Opcode::EmptyList,
            b'}' => Opcode::EmptyDict,
            b't' => Opcode::Tuple,
            0x85 => Opcode::TupleOf(1),
            0x86 => Opcode::TupleOf(2),
            0x87 => Opcode::TupleOf(3),
            b'a' => Opcode::Append,
            b'e' => Opcode::Appends,
            b's' => Opcode::SetItem,
            b'u' => Opcode::SetItems,
            b'b' => Opcode::Build,
            b'R' => Opcode::Reduce,
            b'Q' => Opcode::PersistentId,
            b'q' => Opcode::Put(u8::from_le_bytes(self.take()?).into()),
            b'r' => Opcode::Put(u32::from_le_bytes(self.take()?)),
            b'h' => Opcode::Get(u8::from_le_bytes(self.take()?).into()),
            b'j' => Opcode::Get(u32::from_le_bytes(self.take()?)),
            b'c' => Opcode::Global(self.line()?, self.line()?),
            other => return Err(format!("holds the opcode {other:#04x}, which no state dict needs")),
        })
    }

    /// A whole number of up to eight bytes, with its sign.
    fn long(&mut self) -> Parsed<i64> {
        let [length] = self.take()?;
        let bytes = self.bytes(length.into())?;
        let Some(last) = bytes.last() else { return Ok(0) };
        if bytes.len() > 8 {
            return Err("holds a whole number of more than 64 bits".to_owned());
        }
        let mut wide = [if last & 0x80 == 0 { 0 } else { 0xff }; 8];
        wide[..bytes.len()].copy_from_slice(bytes);
        Ok(i64::from_le_bytes(wide))
    }

    /// Text up to the end of a line.
    fn line(&mut self) -> Parsed<&'a str> {
        let length = self.rest.iter().position(|byte| *byte == b'\n').ok_or_else(cut)?;
        let line = self.bytes(length)?;
        self.take::<1>()?;
        text(line)
    }

    fn take<const N: usize>(&mut self) -> Parsed<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or_else(cut)?;
        self.rest = rest;
        Ok(*taken)
    }

    fn bytes(&mut self, length: usize) -> Parsed<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or_else(cut)?;
        self.rest = rest;
        Ok(taken)
    }
}

fn cut() -> String {
    "is cut short".to_owned()
}

fn text(bytes: &[u8]) -> Parsed<&str> {
    std::str::from_utf8(bytes).map_err(|_| "holds text that is no UTF-8".to_owned())
}
