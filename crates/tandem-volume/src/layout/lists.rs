//! Which scans of a folder belong to which list, and in which order.
use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use super::{Fault, Found, ScanFiles};
use crate::prepared::Split;
use crate::{Error, Result};

const TRAIN: &str = "train.list";
const TEST: &str = "test.list";

/// Scans with the list that each belongs to, and what is wrong with the lists.
pub type Listed = (Vec<(String, Split)>, Vec<Fault>);

/// The scans of `train.list` and then of `test.list` in `folder`, in the lists' order, of those that `is_there` knows; `None`
/// where there is no list. For scans in a layout of one's own.
///
/// # Errors
/// Where there is a `test.list` alone, or a list cannot be read.
pub fn listed(folder: impl AsRef<Path>, is_there: impl Fn(&str) -> bool) -> Result<Option<Listed>> {
    let folder = folder.as_ref();
    let Some(train) = read(&folder.join(TRAIN))? else {
        if folder.join(TEST).exists() {
            return Err(Error::file(folder, format!("the folder has a {TEST} but no {TRAIN}; add one")));
        }
        return Ok(None);
    };
    let test = read(&folder.join(TEST))?.unwrap_or_default();
    let (mut scans, mut faults) = (Vec::new(), Vec::new());
    let mut seen = BTreeSet::new();
    for (list, split, ids) in [(TRAIN, Split::Train, train), (TEST, Split::Test, test)] {
        for id in ids {
            if !is_there(&id) {
                faults.push(Fault::MissingScan { list, id });
            } else if !seen.insert(id.clone()) {
                faults.push(Fault::ListedTwice { list, id });
            } else {
                scans.push((id, split));
            }
        }
    }
    Ok(Some((scans, faults)))
}

/// The scans of the lists, and the ids that neither names. Where there is no list, all scans by id, those for the test last.
pub(super) fn arrange(folder: &Path, found: &mut Found) -> Result<(Vec<ScanFiles>, Vec<String>)> {
    let mut scans = std::mem::take(&mut found.scans);
    let Some((listed, faults)) = listed(folder, |id| scans.contains_key(id))? else {
        let mut scans: Vec<ScanFiles> = scans.into_values().collect();
        scans.sort_by_key(|scan| scan.split == Split::Test);
        return Ok((scans, Vec::new()));
    };
    found.faults.extend(faults);
    let listed = listed.into_iter().filter_map(|(id, split)| Some(ScanFiles { split, ..scans.remove(&id)? }));
    Ok((listed.collect(), scans.into_keys().collect()))
}

/// One id a line; empty lines do not count. `None` where there is no such list.
fn read(path: &Path) -> Result<Option<Vec<String>>> {
    match fs::read_to_string(path) {
        Ok(text) => {
            Ok(Some(text.lines().map(str::trim).filter(|id| !id.is_empty()).map(str::to_owned).collect()))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io(path)(error)),
    }
}
