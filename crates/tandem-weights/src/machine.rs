//! A machine that runs pickles and can make tensors and containers only.
//!
//! A value is made once and lies in one list; stack, memo and containers hold its number. So no value is ever copied, a pickle of
//! n bytes makes at most n values, and one that holds itself is no danger.

use crate::Parsed;
use crate::dtype::Dtype;
use crate::opcode::{Opcode, Opcodes};
use std::collections::HashMap;

/// The most bytes of a pickle: that of a large network with its optimiser has a tenth of it. Each may become a value.
pub(crate) const LONGEST: usize = 4 << 20;

/// The number of a value.
pub(crate) type Ref = usize;

/// What a pickle can make.
#[derive(Debug)]
pub(crate) enum Value<'a> {
    /// A number with a fraction, or nothing: no tensor is made of it.
    Other,
    Bool,
    Int(i64),
    Text(&'a str),
    Tuple(Vec<Ref>),
    List(Vec<Ref>),
    /// A dictionary or an OrderedDict.
    Dict(Vec<(Ref, Ref)>),
    Global(Global),
    Storage(Storage<'a>),
    Tensor(Box<Tensor<'a>>),
}

/// What a pickle may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Global {
    OrderedDict,
    RebuildTensor,
    /// Not called, but named by a storage.
    Storage(Dtype),
}

/// Values that lie in an entry of the archive.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Storage<'a> {
    pub(crate) dtype: Dtype,
    /// The entry's name in the folder `data`.
    pub(crate) key: &'a str,
    /// How many values.
    pub(crate) values: usize,
}

/// A view of a storage.
#[derive(Clone, Debug)]
pub(crate) struct Tensor<'a> {
    pub(crate) storage: Storage<'a>,
    /// The first value.
    pub(crate) offset: usize,
    pub(crate) shape: Vec<usize>,
    /// Values from one index of a side to the next.
    pub(crate) strides: Vec<usize>,
}

/// All values that a pickle made; the last one to be left is what it stands for.
#[derive(Debug)]
pub(crate) struct Made<'a> {
    pub(crate) values: Vec<Value<'a>>,
    pub(crate) root: Ref,
}

/// Runs a pickle.
pub(crate) fn run(pickle: &[u8]) -> Parsed<Made<'_>> {
    if pickle.len() > LONGEST {
        return Err(format!("has {} bytes, more than any state dict needs ({LONGEST})", pickle.len()));
    }
    let mut opcodes = Opcodes::of(pickle);
    match opcodes.next()? {
        Opcode::Protocol(2) => {}
        Opcode::Protocol(version) => {
            return Err(format!(
                "has version {version}; torch.save writes version 2 where nothing else is asked of it"
            ));
        }
        _ => return Err("does not begin with its version".to_owned()),
    }
    let mut machine = Machine::default();
    loop {
        match opcodes.next()? {
            Opcode::Stop => break,
            opcode => machine.step(opcode)?,
        }
    }
    let root = machine.pop()?;
    match machine.stack.is_empty() && machine.marks.is_empty() && opcodes.are_over() {
        true => Ok(Made { values: machine.values, root }),
        false => Err("goes on after its end".to_owned()),
    }
}

#[derive(Default)]
struct Machine<'a> {
    values: Vec<Value<'a>>,
    stack: Vec<Ref>,
    /// Lengths of the stack at marks that are still open.
    marks: Vec<usize>,
    memo: HashMap<u32, Ref>,
}

impl<'a> Machine<'a> {
    fn step(&mut self, opcode: Opcode<'a>) -> Parsed<()> {
        match opcode {
            Opcode::Protocol(_) => return Err("says its version twice".to_owned()),
            Opcode::Stop => {}
            Opcode::Mark => self.marks.push(self.stack.len()),
            Opcode::None | Opcode::Float => self.push(Value::Other),
            Opcode::Bool(_) => self.push(Value::Bool),
            Opcode::Int(value) => self.push(Value::Int(value)),
            Opcode::Text(text) => self.push(Value::Text(text)),
            Opcode::EmptyTuple => self.push(Value::Tuple(Vec::new())),
            Opcode::EmptyList => self.push(Value::List(Vec::new())),
            Opcode::EmptyDict => self.push(Value::Dict(Vec::new())),
            Opcode::Tuple => {
                let parts = self.since_mark()?;
                self.push(Value::Tuple(parts));
            }
            Opcode::TupleOf(count) => {
                let from = self.stack.len().checked_sub(count).filter(|from| *from >= self.floor());
                let parts = self.stack.split_off(from.ok_or_else(empty)?);
                self.push(Value::Tuple(parts));
            }
            Opcode::Append => {
                let part = self.pop()?;
                self.append(vec![part])?;
            }
            Opcode::Appends => {
                let parts = self.since_mark()?;
                self.append(parts)?;
            }
            Opcode::SetItem => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.set(&[key, value])?;
            }
            Opcode::SetItems => {
                let parts = self.since_mark()?;
                self.set(&parts)?;
            }
            Opcode::Build => self.build()?,
            Opcode::Reduce => self.call()?,
            Opcode::PersistentId => self.storage()?,
            Opcode::Put(place) => {
                let top = self.top()?;
                self.memo.insert(place, top);
            }
            Opcode::Get(place) => {
                let value = self.memo.get(&place);
                self.stack.push(*value.ok_or("refers to a value that was not made")?);
            }
            Opcode::Global(module, name) => self.push(Value::Global(global(module, name)?)),
        }
        Ok(())
    }

    fn push(&mut self, value: Value<'a>) {
        self.stack.push(self.values.len());
        self.values.push(value);
    }

    /// What lies below is out of reach until the mark is gone.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn top(&self) -> Parsed<Ref> {
        self.stack[self.floor()..].last().copied().ok_or_else(empty)
    }

    fn pop(&mut self) -> Parsed<Ref> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn since_mark(&mut self) -> Parsed<Vec<Ref>> {
        let mark = self.marks.pop().ok_or("closes a mark that was not set")?;
        Ok(self.stack.split_off(mark))
    }

    fn append(&mut self, parts: Vec<Ref>) -> Parsed<()> {
        let top = self.top()?;
        match &mut self.values[top] {
            Value::List(list) => list.extend(parts),
            _ => return Err("appends to what is no list".to_owned()),
        }
        Ok(())
    }

    fn set(&mut self, parts: &[Ref]) -> Parsed<()> {
        let top = self.top()?;
        let (pairs, rest) = parts.as_chunks::<2>();
        match &mut self.values[top] {
            Value::Dict(dict) if rest.is_empty() => {
                dict.extend(pairs.iter().map(|[key, value]| (*key, *value)))
            }
            _ => return Err("sets items of what is no dictionary".to_owned()),
        }
        Ok(())
    }

    /// Attributes of an OrderedDict, such as `_metadata`: looked at, and left.
    fn build(&mut self) -> Parsed<()> {
        let state = self.pop()?;
        let top = self.top()?;
        match (&self.values[top], &self.values[state]) {
            (Value::Dict(_), Value::Dict(_)) => Ok(()),
            _ => Err("gives a state to what is no dictionary".to_owned()),
        }
    }

    fn call(&mut self) -> Parsed<()> {
        let arguments = self.pop()?;
        let called = self.pop()?;
        let Value::Tuple(arguments) = &self.values[arguments] else {
            return Err("calls something with what is no tuple".to_owned());
        };
        let made = match &self.values[called] {
            Value::Global(Global::OrderedDict) if arguments.is_empty() => Value::Dict(Vec::new()),
            Value::Global(Global::RebuildTensor) => Value::Tensor(Box::new(self.tensor(arguments)?)),
            _ => return Err("calls what is neither OrderedDict() nor _rebuild_tensor_v2".to_owned()),
        };
        self.push(made);
        Ok(())
    }

    /// `(storage, offset, shape, strides, requires_grad, hooks)`.
    fn tensor(&self, arguments: &[Ref]) -> Parsed<Tensor<'a>> {
        let [storage, offset, shape, strides, gradient, hooks] = arguments else {
            return Err(format!("makes a tensor of {} parts, not of 6", arguments.len()));
        };
        let of_no_hooks = matches!(&self.values[*hooks], Value::Dict(hooks) if hooks.is_empty());
        match (&self.values[*storage], &self.values[*gradient]) {
            (Value::Storage(storage), Value::Bool) if of_no_hooks => Ok(Tensor {
                storage: *storage,
                offset: self.count(*offset)?,
                shape: self.counts(*shape)?,
                strides: self.counts(*strides)?,
            }),
            _ => Err("makes a tensor of what is no storage, or one with hooks".to_owned()),
        }
    }

    /// `("storage", class, key, device, values)`.
    fn storage(&mut self) -> Parsed<()> {
        let id = self.pop()?;
        let Value::Tuple(parts) = &self.values[id] else {
            return Err("names a storage by what is no tuple".to_owned());
        };
        let parts: Vec<_> = parts.iter().map(|part| &self.values[*part]).collect();
        let [
            Value::Text("storage"),
            Value::Global(Global::Storage(dtype)),
            Value::Text(key),
            Value::Text(_),
            Value::Int(values),
        ] = parts[..]
        else {
            return Err("names a storage in another way than torch.save".to_owned());
        };
        let values = usize::try_from(*values).map_err(|_| "names a storage of less than no values")?;
        let storage = Storage { dtype: *dtype, key, values };
        self.push(Value::Storage(storage));
        Ok(())
    }

    fn count(&self, value: Ref) -> Parsed<usize> {
        match &self.values[value] {
            Value::Int(value) => {
                usize::try_from(*value).map_err(|_| "has a negative size, stride or offset".to_owned())
            }
            _ => Err("has a size, stride or offset that is no whole number".to_owned()),
        }
    }

    fn counts(&self, tuple: Ref) -> Parsed<Vec<usize>> {
        match &self.values[tuple] {
            Value::Tuple(values) => values.iter().map(|value| self.count(*value)).collect(),
            _ => Err("has a shape or strides that are no tuple".to_owned()),
        }
    }
}

fn global(module: &str, name: &str) -> Parsed<Global> {
    let storage = || Dtype::of_storage(name).map(Global::Storage);
    let found = match (module, name) {
        ("collections", "OrderedDict") => Some(Global::OrderedDict),
        ("torch._utils", "_rebuild_tensor_v2") => Some(Global::RebuildTensor),
        ("torch", _) => storage(),
        _ => None,
    };
    found.ok_or_else(|| {
        format!("names {:?}, which is neither a tensor nor a container", format!("{module}.{name}"))
    })
}

fn empty() -> String {
    "takes more from its stack than there is".to_owned()
}
