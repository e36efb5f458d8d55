//! What channels and classes are called.
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The channels of scans, or the classes of label maps: how many there are, or what they are called, from 0 on.
///
/// ```
/// use tandem_volume::prepared::Names;
/// let classes: Names = ["background", "left atrium"].into();
/// assert_eq!((classes.count(), classes.name(1).as_str()), (2, "left atrium"));
/// assert_eq!(Names::Numbered(3).name(2), "2");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Names {
    /// So many, without names.
    Numbered(usize),
    /// One name each.
    Named(Vec<String>),
}

impl Names {
    /// How many there are.
    pub fn count(&self) -> usize {
        match self {
            Names::Numbered(count) => *count,
            Names::Named(names) => names.len(),
        }
    }

    /// The name at `index`: the number itself where there is none.
    pub fn name(&self, index: usize) -> String {
        match self {
            Names::Named(names) if index < names.len() => names[index].clone(),
            _ => index.to_string(),
        }
    }

    /// Says what is wrong with names that cannot be told apart in a table.
    ///
    /// # Errors
    /// Where a name is empty or there twice.
    pub fn check(&self) -> Result<()> {
        let Names::Named(names) = self else { return Ok(()) };
        let wrong = |(index, name): &(usize, &String)| name.is_empty() || names[..*index].contains(name);
        match names.iter().enumerate().find(wrong) {
            None => Ok(()),
            Some((index, name)) => Err(Error::Argument(format!(
                "the name {name:?} at place {index} of {names:?} is empty or there twice; give each one its own"
            ))),
        }
    }
}

impl<const N: usize> From<[&str; N]> for Names {
    fn from(names: [&str; N]) -> Self {
        Names::Named(names.map(str::to_owned).to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_or_a_list_of_names_is_read() {
        let read = |text: &str| serde_json::from_str::<Names>(text).unwrap();
        assert_eq!(read("3"), Names::Numbered(3));
        assert_eq!(read(r#"["t1", "flair"]"#), ["t1", "flair"].into());
        assert!(serde_json::from_str::<Names>("-1").is_err());
    }

    #[test]
    fn names_that_are_alike_or_empty_are_refused() {
        assert!(Names::from(["a", "b"]).check().is_ok());
        for names in [["a", "a"], ["", "a"]] {
            assert!(Names::from(names).check().unwrap_err().to_string().contains("give each one its own"));
        }
    }
}
