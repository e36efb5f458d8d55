//! The fields of a NRRD header by name.
use std::collections::BTreeMap;
use std::path::Path;

use crate::text_header::{read_lines, shown};
use crate::{Error, Result};

pub(super) struct Fields<'a> {
    values: BTreeMap<String, String>,
    /// The byte behind the header, where attached voxels begin.
    pub(super) end: u64,
    path: &'a Path,
}

impl<'a> Fields<'a> {
    /// Reads lines up to the empty one behind which the voxels begin; a header whose voxels are elsewhere may end with
    /// the file.
    pub(super) fn read(path: &'a Path) -> Result<Self> {
        let mut values = BTreeMap::new();
        let mut first = true;
        let (end, ended) = read_lines(path, |line| {
            if std::mem::take(&mut first) {
                if !line.starts_with("NRRD000") {
                    return Err(Error::file(
                        path,
                        "this is not a NRRD file (it does not begin with NRRD000); convert the file, or correct its \
                         name's ending",
                    ));
                }
            } else if line.is_empty() {
                return Ok(true);
            } else if line.starts_with('#') || line.contains(":=") {
                // A comment, or a key of the user's own.
            } else if let Some((name, value)) = line.split_once(": ") {
                let name = match name.trim().to_lowercase() {
                    // Both spellings are in the definition.
                    name if name == "datafile" => "data file".to_owned(),
                    name if name == "lineskip" => "line skip".to_owned(),
                    name if name == "byteskip" => "byte skip".to_owned(),
                    name => name,
                };
                values.insert(name, value.trim().to_owned());
            } else {
                return Err(Error::file(
                    path,
                    format!("the header line {:?} is not `field: value`; correct it", shown(line)),
                ));
            }
            Ok(false)
        })?;
        if !ended && !values.contains_key("data file") {
            return Err(Error::file(
                path,
                "no empty line ends the NRRD header; the file is cut short, copy or download it again",
            ));
        }
        Ok(Fields { values, end, path })
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    pub(super) fn need(&self, name: &str) -> Result<&str> {
        self.get(name)
            .ok_or_else(|| self.error(format!("the header field `{name}` is missing; add it to the header")))
    }

    pub(super) fn error(&self, message: impl Into<String>) -> Error {
        Error::file(self.path, message)
    }

    pub(super) fn into_claims(self) -> Vec<(String, String)> {
        self.values.into_iter().collect()
    }
}
