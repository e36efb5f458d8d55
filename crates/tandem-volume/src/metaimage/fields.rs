//! The fields of a MetaImage header by name.
use std::collections::BTreeMap;
use std::path::Path;

use crate::text_header::{self, read_lines, shown};
use crate::{Error, Result};

pub(super) struct Fields<'a> {
    values: BTreeMap<String, String>,
    /// The byte behind the header, where attached voxels begin.
    pub(super) end: u64,
    path: &'a Path,
}

impl<'a> Fields<'a> {
    /// Reads lines up to `ElementDataFile`, which is the last one.
    pub(super) fn read(path: &'a Path) -> Result<Self> {
        let mut values = BTreeMap::new();
        let (end, ended) = read_lines(path, |line| {
            if line.trim().is_empty() {
                return Ok(false);
            }
            let Some((name, value)) = line.split_once('=') else {
                return Err(Error::file(
                    path,
                    format!(
                        "the header line {:?} is not `Field = value`; correct it, or the file's ending where this is \
                         no MetaImage",
                        shown(line)
                    ),
                ));
            };
            let (name, value) = (name.trim(), value.trim());
            values.insert(name.to_owned(), value.to_owned());
            Ok(name == "ElementDataFile")
        })?;
        let fields = Fields { values, end, path };
        if !ended {
            return Err(fields.error(
                "no line `ElementDataFile = ...` ends the MetaImage header; the file is cut short, copy or download it again",
            ));
        }
        Ok(fields)
    }

    /// The first of several names of one field that is there.
    pub(super) fn get(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|&name| self.values.get(name)).map(String::as_str)
    }

    pub(super) fn need(&self, names: &[&str]) -> Result<&str> {
        self.get(names).ok_or_else(|| {
            self.error(format!("the header field `{}` is missing; add it to the header", names[0]))
        })
    }

    /// Exactly `N` numbers.
    pub(super) fn numbers<const N: usize>(&self, names: &[&str]) -> Result<Option<[f64; N]>> {
        let Some(text) = self.get(names) else { return Ok(None) };
        let numbers = text_header::numbers(text).ok_or_else(|| {
            self.error(format!("{} is {text:?}, but {N} numbers are needed; correct the header", names[0]))
        })?;
        Ok(Some(numbers))
    }

    /// `True` or `False`; of these MetaIO looks at the first letter only.
    pub(super) fn flag(&self, names: &[&str]) -> Result<Option<bool>> {
        let Some(text) = self.get(names) else { return Ok(None) };
        match text.chars().next() {
            Some('T' | 't' | '1') => Ok(Some(true)),
            Some('F' | 'f' | '0') => Ok(Some(false)),
            _ => Err(self.error(format!("{} is {text:?}; write True or False", names[0]))),
        }
    }

    pub(super) fn error(&self, message: impl Into<String>) -> Error {
        Error::file(self.path, message)
    }

    pub(super) fn into_claims(self) -> Vec<(String, String)> {
        self.values.into_iter().collect()
    }
}
