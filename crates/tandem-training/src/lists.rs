//! Which cases are labelled, which are not, and which validate.

use crate::{CaseList, DataConfig, Error, Result};
use serde::{Deserialize, Serialize};
use tandem_random::Draws;
use tandem_volume::prepared::{CaseRecord, Manifest, Split};

/// The cases of a run, by id, in the order of the training list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lists {
    /// So many of those that have a label and do not validate: the first, or drawn.
    pub labelled: Vec<String>,
    /// All others that do not validate; no method sees their labels, where there are any.
    pub unlabelled: Vec<String>,
    /// For scores during and after training.
    pub validation: Vec<String>,
}

impl Lists {
    /// Divides the training list of a prepared set. The test list is not looked at.
    ///
    /// # Errors
    /// Where the list is too short for what is asked, a validation case is not on it, has no label or is named twice, there is no
    /// such fold, or a label is not below `data.classes`.
    pub fn of(manifest: &Manifest, data: &DataConfig) -> Result<Self> {
        let training: Vec<&CaseRecord> =
            manifest.cases.iter().filter(|case| case.split == Split::Train).collect();
        let validation = match data.folds {
            0 => validation_ids(&training, &data.validation)?,
            folds => fold_ids(&training, &manifest.dataset, folds, data.fold)?,
        };
        let rest: Vec<&CaseRecord> =
            training.iter().copied().filter(|case| !validation.contains(&case.id)).collect();
        let with_label: Vec<&CaseRecord> = rest.iter().copied().filter(|case| case.labelled).collect();
        if with_label.len() < data.labelled {
            return Err(Error::config(
                "data.labelled",
                format!(
                    "is {}, but {} of the {} scans to train on have a label ({} more validate)",
                    data.labelled,
                    with_label.len(),
                    rest.len(),
                    validation.len()
                ),
            ));
        }
        let chosen = match (data.labelled_set, data.folds) {
            (0, 0) => (0..data.labelled).collect(),
            _ => drawn_set(with_label.len(), &manifest.dataset, data),
        };
        let labelled: Vec<String> = chosen.into_iter().map(|at| with_label[at].id.clone()).collect();
        let unlabelled =
            rest.iter().filter(|case| !labelled.contains(&case.id)).map(|case| case.id.clone()).collect();
        let lists = Lists { labelled, unlabelled, validation };
        lists.check_classes(&training, data.class_count())?;
        Ok(lists)
    }

    /// The highest label of the labelled cases: no class above it can be learnt, and none at all where it is 0. `None` where the
    /// manifest does not say.
    pub fn highest_label(&self, manifest: &Manifest) -> Option<u8> {
        let of = |id: &String| manifest.case(id)?.highest_label;
        self.labelled.iter().map(of).collect::<Option<Vec<_>>>()?.into_iter().max()
    }

    fn check_classes(&self, training: &[&CaseRecord], classes: usize) -> Result<()> {
        let read =
            |case: &&&CaseRecord| self.labelled.contains(&case.id) || self.validation.contains(&case.id);
        match training
            .iter()
            .filter(read)
            .find(|case| case.highest_label.is_some_and(|l| usize::from(l) >= classes))
        {
            None => Ok(()),
            Some(case) => Err(Error::config(
                "data.classes",
                format!(
                    "is {classes}, but the label map of case {} goes up to {}; classes count from 0",
                    case.id,
                    case.highest_label.unwrap_or_default()
                ),
            )),
        }
    }
}

/// The labelled scans among `count` in the list's order. Whoever asks for more of the same set gets these too.
fn drawn_set(count: usize, dataset: &str, data: &DataConfig) -> Vec<usize> {
    let purpose = format!("labelled-set {dataset} {}", data.folds);
    let mut chosen =
        Draws::new(data.labelled_set, &purpose, 0, data.fold as u64).sample(count, data.labelled);
    chosen.sort_unstable();
    chosen
}

/// The scans of one fold, in the list's order. The sizes of folds differ by one at most.
fn fold_ids(training: &[&CaseRecord], dataset: &str, folds: usize, fold: usize) -> Result<Vec<String>> {
    if !(1..=folds).contains(&fold) {
        let problem = format!("is {fold}, but data.folds is {folds}; give 1 to {folds}");
        return Err(Error::config("data.fold", problem));
    }
    let labelled: Vec<&&CaseRecord> = training.iter().filter(|case| case.labelled).collect();
    if labelled.len() < folds {
        let problem =
            format!("is {folds}, but only {} scans of the training list have a label", labelled.len());
        return Err(Error::config("data.folds", problem));
    }
    let order = Draws::new(0, &format!("folds {dataset}"), folds as u64, 0).permutation(labelled.len());
    let mut chosen: Vec<usize> = order.into_iter().skip(fold - 1).step_by(folds).collect();
    chosen.sort_unstable();
    Ok(chosen.into_iter().map(|at| labelled[at].id.clone()).collect())
}

fn validation_ids(training: &[&CaseRecord], wanted: &CaseList) -> Result<Vec<String>> {
    let labelled: Vec<&str> =
        training.iter().filter(|case| case.labelled).map(|case| case.id.as_str()).collect();
    match wanted {
        CaseList::Last(count) if *count > labelled.len() => Err(Error::config(
            "data.validation",
            format!("is {count}, but only {} scans of the training list have a label", labelled.len()),
        )),
        CaseList::Last(count) => {
            Ok(labelled[labelled.len() - count..].iter().map(|&id| id.to_owned()).collect())
        }
        CaseList::Ids(ids) => {
            if let Some(id) = ids.iter().find(|id| !labelled.contains(&id.as_str())) {
                let problem = format!("names {id:?}, which is not a scan of the training list with a label");
                return Err(Error::config("data.validation", problem));
            }
            // It would count twice in every mean.
            if let Some((_, id)) = ids.iter().enumerate().find(|(at, id)| ids[..*at].contains(id)) {
                let problem = format!("names {id:?} twice; name it once");
                return Err(Error::config("data.validation", problem));
            }
            Ok(ids.clone())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::tiny;
    use tandem_volume::prepared::Names;

    /// Ten cases `a`..`j` of which `c` has no label, and a test case.
    fn manifest() -> Manifest {
        let case = |id: char, split: &str| {
            let labelled = id != 'c';
            serde_json::json!({
                "id": id, "split": split, "labelled": labelled, "shape": [4, 4, 4], "spacing": [1.0, 1.0, 1.0],
                "sources": [], "intensity": [{ "min": 0.0, "max": 1.0, "mean": 0.5, "sd": 0.1 }],
                "foreground_voxels": labelled.then_some(3), "highest_label": labelled.then_some(1),
            })
        };
        let mut cases: Vec<_> = ('a'..='j').map(|id| case(id, "train")).collect();
        cases.push(case('t', "test"));
        let manifest = serde_json::json!({ "format": 2, "dataset": "d", "description": "", "cases": cases });
        serde_json::from_value(manifest).unwrap()
    }

    fn lists(change: impl FnOnce(&mut DataConfig)) -> Result<Lists> {
        let mut data = tiny().data;
        change(&mut data);
        Lists::of(&manifest(), &data)
    }

    #[test]
    fn the_first_are_labelled_the_last_validate_and_the_rest_is_the_pool() {
        let lists = lists(|data| (data.labelled, data.validation) = (3, CaseList::Last(2))).unwrap();
        // `c` cannot be labelled: it has no label.
        assert_eq!(lists.labelled, ["a", "b", "d"]);
        assert_eq!(lists.validation, ["i", "j"]);
        assert_eq!(lists.unlabelled, ["c", "e", "f", "g", "h"]);
    }

    #[test]
    fn validation_cases_can_be_named_and_leave_the_others() {
        let ids = || CaseList::Ids(vec!["h".into(), "a".into()]);
        let lists = lists(|data| (data.labelled, data.validation) = (2, ids())).unwrap();
        assert_eq!(lists.validation, ["h", "a"]);
        assert_eq!(lists.labelled, ["b", "d"]);
    }

    #[test]
    fn a_set_is_drawn_by_its_number_and_the_smaller_is_part_of_the_larger() {
        let set = |number, count| {
            let chosen = lists(|data| (data.labelled_set, data.labelled) = (number, count)).unwrap();
            assert_eq!(chosen.validation, ["j"]);
            assert_eq!(chosen.labelled.len() + chosen.unlabelled.len(), 9);
            assert!(chosen.labelled.is_sorted(), "in the order of the list");
            chosen.labelled
        };
        assert_eq!(set(1, 3), set(1, 3));
        assert!((2..9).any(|number| set(number, 3) != set(1, 3)));
        assert!((1..9).all(|number| set(number, 3).iter().all(|id| set(number, 5).contains(id))));
        assert!((1..9).all(|number| !set(number, 8).contains(&"c".to_owned())));
        // It is part of what runs are compared by: another draw of the same number would be another experiment.
        assert_eq!(set(1, 3), ["d", "h", "i"]);
    }

    #[test]
    fn every_labelled_scan_validates_in_one_fold_and_each_fold_draws_its_own_labelled_ones() {
        let fold = |fold| lists(|data| (data.folds, data.fold, data.labelled) = (4, fold, 3)).unwrap();
        let folds: Vec<Lists> = (1..=4).map(fold).collect();
        let mut all: Vec<&String> = folds.iter().flat_map(|lists| &lists.validation).collect();
        all.sort();
        assert_eq!(all, ["a", "b", "d", "e", "f", "g", "h", "i", "j"]);
        assert!(folds.iter().all(|lists| (2..=3).contains(&lists.validation.len())));
        let first = ["a", "b", "d"];
        assert!(folds.iter().any(|lists| lists.labelled != first
            && lists.validation.iter().all(|id| !first.contains(&id.as_str()))));
        for lists in &folds {
            assert!(lists.labelled.iter().chain(&lists.unlabelled).all(|id| !lists.validation.contains(id)));
            assert_eq!(lists.labelled.len() + lists.unlabelled.len() + lists.validation.len(), 10);
        }
        let message = lists(|data| (data.folds, data.fold) = (10, 1)).unwrap_err().to_string();
        assert!(message.starts_with("data.folds is 10, but only 9 scans"), "{message}");
    }

    #[test]
    fn a_fold_that_is_not_there_is_refused_whoever_asks() {
        for fold in [0, 6] {
            let message = lists(|data| (data.folds, data.fold) = (5, fold)).unwrap_err().to_string();
            assert_eq!(message, format!("data.fold is {fold}, but data.folds is 5; give 1 to 5"));
        }
    }

    #[test]
    fn a_case_that_is_to_validate_twice_is_refused() {
        let ids = |ids: [&str; 3]| CaseList::Ids(ids.map(str::to_owned).to_vec());
        let validating = |names| lists(|data| data.validation = ids(names));
        assert_eq!(validating(["h", "a", "i"]).unwrap().validation, ["h", "a", "i"]);
        let message = validating(["h", "a", "h"]).unwrap_err().to_string();
        assert_eq!(message, "data.validation names \"h\" twice; name it once");
    }

    #[test]
    fn the_highest_label_is_that_of_the_labelled_cases() {
        let mut manifest = manifest();
        let of = |manifest: &Manifest| Lists::of(manifest, &tiny().data).unwrap().highest_label(manifest);
        assert_eq!(of(&manifest), Some(1));
        // The first two are labelled, `c` has no label, and `d` and the rest teach nothing.
        manifest.cases[..2].iter_mut().for_each(|case| case.highest_label = Some(0));
        assert_eq!(of(&manifest), Some(0));
        manifest.cases[1].highest_label = None;
        assert_eq!(of(&manifest), None);
    }

    #[test]
    fn a_list_that_is_too_short_or_a_wrong_name_is_an_error_with_its_field() {
        let message = |change: fn(&mut DataConfig)| lists(change).unwrap_err().to_string();
        assert!(message(|d| d.labelled = 9).starts_with("data.labelled is 9, but 8 of the 9 scans"));
        assert!(message(|d| d.validation = CaseList::Last(10)).starts_with("data.validation is 10"));
        let missing = message(|d| d.validation = CaseList::Ids(vec!["t".into()]));
        assert!(missing.starts_with("data.validation names \"t\""), "{missing}");
        assert!(
            message(|d| d.classes = Some(Names::Numbered(1)))
                .starts_with("data.classes is 1, but the label map of case a goes up to 1")
        );
    }
}
