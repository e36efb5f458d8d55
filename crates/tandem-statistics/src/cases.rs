//! Values by case, averaged over runs.

use std::collections::BTreeMap;

/// The mean of each case over its runs, in the order of the cases' ids.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CaseMeans {
    /// One value a case, over the runs in which it has one.
    pub means: Vec<f64>,
    /// Values that are undefined: of a case in a run.
    pub undefined: usize,
    /// Cases that are undefined in every run. They have no mean.
    pub left_out: usize,
}

impl CaseMeans {
    /// From the value of each case in each run, or of each pair of values the difference.
    pub fn of<'a>(values: impl IntoIterator<Item = (&'a str, Option<f64>)>) -> Self {
        let mut by_case: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        let mut undefined = 0;
        for (case, value) in values {
            undefined += usize::from(value.is_none());
            by_case.entry(case).or_default().extend(value);
        }
        let means: Vec<f64> = by_case.values().filter_map(|values| crate::mean(values)).collect();
        CaseMeans { left_out: by_case.len() - means.len(), means, undefined }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_is_averaged_over_its_runs_and_what_is_undefined_is_counted() {
        let values =
            [("b", Some(1.0)), ("a", Some(4.0)), ("c", None), ("b", Some(3.0)), ("a", None), ("c", None)];
        assert_eq!(CaseMeans::of(values), CaseMeans { means: vec![4.0, 2.0], undefined: 3, left_out: 1 });
    }
}
