//! Which scans of a folder belong to which list, and in which order.

use anyhow::{Context, Result, bail};
use std::collections::BTreeSet;
use std::path::Path;
use tandem_volume::prepared::Split;

/// The ids of `train.list` and then of `test.list` in `folder`, in the lists' order; where there is no list, all ids
/// found, sorted, for training.
pub(super) fn splits(folder: &Path, found: &BTreeSet<String>) -> Result<Vec<(String, Split)>> {
    let train = read(&folder.join("train.list"))?;
    let test = read(&folder.join("test.list"))?;
    let mut listed = Vec::new();
    match (&train, &test) {
        (None, Some(_)) => bail!("{} has a test.list but no train.list; add one", folder.display()),
        (None, None) => listed.extend(found.iter().map(|id| (id.clone(), Split::Train))),
        (Some(train), test) => {
            listed.extend(train.iter().map(|id| (id.clone(), Split::Train)));
            listed.extend(test.iter().flatten().map(|id| (id.clone(), Split::Test)));
        }
    }
    let mut seen = BTreeSet::new();
    for (id, _) in &listed {
        if !found.contains(id) {
            bail!(
                "{}: the lists name {id}, but there is no such scan; add it or strike it off",
                folder.display()
            );
        }
        if !seen.insert(id) {
            bail!("{}: the lists name {id} twice; strike one off", folder.display());
        }
    }
    Ok(listed)
}

/// One id a line; empty lines do not count.
fn read(path: &Path) -> Result<Option<Vec<String>>> {
    match std::fs::read_to_string(path) {
        Ok(text) => {
            Ok(Some(text.lines().map(str::trim).filter(|id| !id.is_empty()).map(str::to_owned).collect()))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(lists: &[(&str, &str)]) -> Result<Vec<(String, Split)>> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in lists {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        splits(folder.path(), &["a", "b", "c"].map(str::to_owned).into())
    }

    fn ids(listed: &[(String, Split)], split: Split) -> Vec<&str> {
        listed.iter().filter(|(_, s)| *s == split).map(|(id, _)| id.as_str()).collect()
    }

    #[test]
    fn lists_keep_their_order() {
        let listed = check(&[("train.list", "c\n\na \n"), ("test.list", "b\n")]).unwrap();
        assert_eq!(ids(&listed, Split::Train), ["c", "a"]);
        assert_eq!(ids(&listed, Split::Test), ["b"]);
    }

    #[test]
    fn without_lists_all_scans_train_in_the_order_of_their_ids() {
        assert_eq!(ids(&check(&[]).unwrap(), Split::Train), ["a", "b", "c"]);
    }

    #[test]
    fn wrong_lists_are_refused() {
        for (lists, message) in [
            (vec![("train.list", "a\nx\n")], "no such scan"),
            (vec![("train.list", "a\n"), ("test.list", "a\n")], "twice"),
            (vec![("test.list", "a\n")], "no train.list"),
        ] {
            let error = check(&lists).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }
}
