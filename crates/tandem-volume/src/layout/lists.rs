//! Which scans of a folder belong to which list, and in which order.
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use super::{Fault, Found, ScanFiles};
use crate::prepared::Split;
use crate::{Error, Result};

const TRAIN: &str = "train.list";
const TEST: &str = "test.list";

/// The scans of `train.list` and then of `test.list` in `folder`, in the lists' order, and those that neither names.
/// Where there is no list, all scans by id, those for the test last.
pub(super) fn arrange(folder: &Path, found: &mut Found) -> Result<(Vec<ScanFiles>, Vec<ScanFiles>)> {
    let Some(train) = read(&folder.join(TRAIN))? else {
        if folder.join(TEST).exists() {
            return Err(Error::file(folder, format!("the folder has a {TEST} but no {TRAIN}; add one")));
        }
        let mut scans: Vec<ScanFiles> = std::mem::take(&mut found.scans).into_values().collect();
        scans.sort_by_key(|scan| scan.split == Split::Test);
        return Ok((scans, Vec::new()));
    };
    let test = read(&folder.join(TEST))?.unwrap_or_default();
    let lists = [(TRAIN, Split::Train, train), (TEST, Split::Test, test)];
    let mut scans: Vec<ScanFiles> = Vec::new();
    for (list, split, ids) in lists {
        for id in ids {
            match found.scans.remove(&id) {
                Some(scan) => scans.push(ScanFiles { split, ..scan }),
                None => found.faults.push(match scans.iter().find(|scan| scan.id == id) {
                    Some(before) => Fault::ListedTwice { list, first: name(before.split), id },
                    None => Fault::MissingScan { list, id },
                }),
            }
        }
    }
    Ok((scans, std::mem::take(&mut found.scans).into_values().collect()))
}

fn name(split: Split) -> &'static str {
    match split {
        Split::Train => TRAIN,
        Split::Test => TEST,
    }
}

/// One id a line; empty lines do not count, and neither does the byte-order mark that some editors put first. `None` where
/// there is no such list.
fn read(path: &Path) -> Result<Option<Vec<String>>> {
    match fs::read_to_string(path) {
        Ok(text) => {
            let text = text.trim_start_matches('\u{feff}');
            Ok(Some(text.lines().map(str::trim).filter(|id| !id.is_empty()).map(str::to_owned).collect()))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io(path)(error)),
    }
}
