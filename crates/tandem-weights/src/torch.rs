//! PyTorch's files: a pickle that says which tensors there are, and an entry of the archive for each of their storages.

use crate::file::REMEDY;
use crate::machine::{Made, Ref, Tensor, Value, run};
use crate::zip::Archive;
use crate::{Array, Arrays, Parsed};
use std::collections::{HashMap, HashSet};

/// The entry that holds the pickle, in the one folder that the archive has.
const PICKLE: &str = "/data.pkl";

/// The most containers within each other.
const DEEPEST: usize = 16;

/// The most bytes of a name, with those of all containers it lies in.
const LONGEST_NAME: usize = 1024;

/// The most sides of a tensor.
const MOST_SIDES: usize = 8;

/// All tensors of a file, by name.
pub(crate) fn arrays(bytes: &[u8]) -> Parsed<Arrays> {
    let archive = Archive::of(bytes)?;
    let folder = folder(&archive)?;
    if let Some(order) = archive.content(&format!("{folder}/byteorder"))?
        && order != b"little"
    {
        return Err(format!("was written by a machine with another order of bytes; {REMEDY}"));
    }
    let pickle = archive.content(&format!("{folder}{PICKLE}"))?.unwrap_or_default();
    let in_pickle = |problem: String| format!("is refused: its pickle {problem}; {REMEDY}");
    let made = run(pickle).map_err(in_pickle)?;
    let mut arrays = Arrays::new();
    let mut room = bytes.len();
    // Tensors may share a storage, whose checksum is computed once.
    let mut storages: HashMap<&str, &[u8]> = HashMap::new();
    for (name, tensor) in tensors(&made).map_err(in_pickle)? {
        let wrong = |problem: String| format!("is damaged or forged: tensor {name:?} {problem}; {REMEDY}");
        let entry = format!("{folder}/data/{}", tensor.storage.key);
        let stored = match storages.get(tensor.storage.key) {
            Some(stored) => *stored,
            None => {
                let missing = || wrong(format!("lies in {entry:?}, which is not there"));
                let stored = archive.content(&entry)?.ok_or_else(missing)?;
                storages.insert(tensor.storage.key, stored);
                stored
            }
        };
        let array = array(tensor, stored).map_err(wrong)?;
        let taken = array.values.len() * tensor.storage.dtype.bytes();
        room = room
            .checked_sub(taken)
            .ok_or_else(|| wrong("and those before it take more bytes than the file has".to_owned()))?;
        if arrays.insert(name.clone(), array).is_some() {
            return Err(wrong("is there twice".to_owned()));
        }
    }
    match arrays.is_empty() {
        true => Err(format!("holds no tensor; {REMEDY}")),
        false => Ok(arrays),
    }
}

/// The folder of the archive that holds the pickle.
fn folder(archive: &Archive<'_>) -> Parsed<String> {
    let mut found =
        archive.names().filter_map(|name| name.strip_suffix(PICKLE)).filter(|name| !name.contains('/'));
    let folder = match (found.next(), found.next()) {
        (Some(folder), None) => folder.to_owned(),
        _ => {
            return Err(format!(
                "is a zip archive, but not one of torch.save: it needs one entry NAME{PICKLE}; {REMEDY}"
            ));
        }
    };
    let code = format!("{folder}/code/");
    if archive.names().any(|name| name.starts_with(&code) || name.ends_with("/constants.pkl")) {
        return Err(format!("is a TorchScript program, not a state dict; {REMEDY}"));
    }
    Ok(folder)
}

/// All tensors with their names, in the order in which they lie in their containers; each container is entered once.
fn tensors<'m>(made: &'m Made<'_>) -> Parsed<Vec<(String, &'m Tensor<'m>)>> {
    let mut found = Vec::new();
    let mut entered = HashSet::new();
    let mut left: Vec<(String, usize, Ref)> = vec![(String::new(), 0, made.root)];
    while let Some((name, depth, value)) = left.pop() {
        if depth > DEEPEST {
            return Err(format!("has more than {DEEPEST} containers within each other"));
        }
        let parts: Vec<(String, Ref)> = match &made.values[value] {
            Value::Tensor(tensor) => {
                found.push((name, &**tensor));
                continue;
            }
            Value::Dict(_) | Value::List(_) | Value::Tuple(_) if !entered.insert(value) => continue,
            Value::Dict(pairs) => {
                let named =
                    |(key, value): &(Ref, Ref)| Ok((joined(&name, key_name(&made.values[*key])?)?, *value));
                pairs.iter().map(named).collect::<Parsed<_>>()?
            }
            Value::List(parts) | Value::Tuple(parts) => {
                let named = |(index, value): (usize, &Ref)| Ok((joined(&name, index.to_string())?, *value));
                parts.iter().enumerate().map(named).collect::<Parsed<_>>()?
            }
            _ => continue,
        };
        left.extend(parts.into_iter().rev().map(|(name, value)| (name, depth + 1, value)));
    }
    Ok(found)
}

fn key_name(key: &Value<'_>) -> Parsed<String> {
    match key {
        Value::Text(text) if text.len() <= LONGEST_NAME => Ok((*text).to_owned()),
        Value::Text(_) => Err(format!("has a name of more than {LONGEST_NAME} bytes")),
        Value::Int(number) => Ok(number.to_string()),
        _ => Err("has a dictionary whose keys are neither texts nor whole numbers".to_owned()),
    }
}

fn joined(outer: &str, inner: String) -> Parsed<String> {
    let name = if outer.is_empty() { inner } else { format!("{outer}.{inner}") };
    match name.len() <= LONGEST_NAME {
        true => Ok(name),
        false => Err(format!("has a name of more than {LONGEST_NAME} bytes")),
    }
}

/// The values of a tensor whose storage has these bytes.
fn array(tensor: &Tensor<'_>, stored: &[u8]) -> Parsed<Array> {
    let Tensor { storage, offset, shape, strides } = tensor;
    let width = storage.dtype.bytes();
    if storage.values.checked_mul(width) != Some(stored.len()) {
        return Err(format!(
            "claims a storage of {} values, whose entry has {} bytes",
            storage.values,
            stored.len()
        ));
    }
    if shape.len() != strides.len() || shape.len() > MOST_SIDES {
        return Err(format!("has shape {shape:?} and strides {strides:?}"));
    }
    let overflow = || format!("has a shape or strides beyond all numbers: {shape:?}, {strides:?}");
    let mut count = 1usize;
    let mut last = *offset;
    for (side, stride) in shape.iter().zip(strides) {
        count = count.checked_mul(*side).ok_or_else(overflow)?;
        let reach = side.saturating_sub(1).checked_mul(*stride).ok_or_else(overflow)?;
        last = last.checked_add(reach).ok_or_else(overflow)?;
    }
    if count == 0 {
        return Ok(Array { shape: shape.clone(), values: Vec::new() });
    }
    if last >= storage.values || count > storage.values {
        return Err(format!(
            "has shape {shape:?} and strides {strides:?}, more than its storage of {} values",
            storage.values
        ));
    }
    let is_dense = is_dense(shape, strides);
    let values = match is_dense {
        true => storage.dtype.values(&stored[offset * width..(last + 1) * width]),
        false => gathered(tensor, count, stored),
    };
    Ok(Array { shape: shape.clone(), values })
}

/// Whether the values lie one after the other.
fn is_dense(shape: &[usize], strides: &[usize]) -> bool {
    let mut expected = 1;
    shape.iter().zip(strides).rev().all(|(side, stride)| {
        let fits = *side == 1 || *stride == expected;
        expected *= side;
        fits
    })
}

/// The values one by one, the last side fastest.
fn gathered(tensor: &Tensor<'_>, count: usize, stored: &[u8]) -> Vec<f32> {
    let width = tensor.storage.dtype.bytes();
    let mut index = vec![0usize; tensor.shape.len()];
    let mut bytes = Vec::with_capacity(count * width);
    for _ in 0..count {
        let place: usize = index.iter().zip(&tensor.strides).map(|(index, stride)| index * stride).sum();
        bytes.extend_from_slice(&stored[(tensor.offset + place) * width..][..width]);
        for (index, side) in index.iter_mut().zip(&tensor.shape).rev() {
            *index += 1;
            if *index < *side {
                break;
            }
            *index = 0;
        }
    }
    tensor.storage.dtype.values(&bytes)
}
