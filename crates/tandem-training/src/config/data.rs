//! Which scans, and what is known of them.

use super::{is_default, require};
use crate::evaluation::MEAN;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use tandem_volume::prepared::{Manifest, Names};

/// Which scans, and what is known of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// Names of prepared sets in order of preference; a run uses the first that is prepared.
    pub dataset: Vec<String>,
    /// How many scans are labelled, of those of the training list that have a label and do not validate.
    ///
    /// Unit: scans. Range: at least 1.
    pub labelled: usize,
    /// Which scans are labelled: 0 for the first of the list, as in the benchmarks, else the number of a draw among the scans that have a label
    /// and do not validate. A draw depends on nothing else but dataset, fold and these scans, so that all methods and seeds share it; of the
    /// same number, fewer scans are among the more, and other validation scans make another draw.
    ///
    /// Range: at least 0.
    #[serde(default, skip_serializing_if = "is_default")]
    pub labelled_set: u64,
    /// Which scans of the training list validate: the last so many that have a label, or these, by id. They leave the unlabelled pool.
    pub validation: CaseList,
    /// Into how many folds the labelled scans of the training list are divided by a draw, for cross-validation; 0 for none. Then
    /// one fold validates in place of `validation`, and the labelled scans are drawn for each fold, of set 0 too.
    ///
    /// Range: 0, or at least 2.
    #[serde(default, skip_serializing_if = "is_default")]
    pub folds: usize,
    /// The fold that validates, from 1; 0 where there are none.
    ///
    /// Range: 1 to `folds`; 0 where there are none.
    #[serde(default, skip_serializing_if = "is_default")]
    pub fold: usize,
    /// The test list, where it is not the prepared set's own. A run never opens it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<Vec<String>>,
    /// Spacing of the working grid along i, j, k, where it is not the scans' own.
    ///
    /// Unit: mm. Range: above 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spacing_mm: Option<[f64; 3]>,
    /// Channels of the scans: how many, or their names. A run takes them from its prepared set where nothing is said, and refuses
    /// another number than the set's.
    ///
    /// Range: at least 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels: Option<Names>,
    /// Classes of the label maps, background included: how many, or their names. A run takes them from its prepared set
    /// where nothing is said, and refuses another number than the set's.
    ///
    /// Range: 2 to 254.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<Names>,
}

impl DataConfig {
    /// The channels of a scan: one where nobody said.
    pub fn channel_names(&self) -> Names {
        self.channels.clone().unwrap_or(Names::Numbered(1))
    }

    /// The classes, background included: two where nobody said.
    pub fn class_names(&self) -> Names {
        self.classes.clone().unwrap_or(Names::Numbered(2))
    }

    /// How many channels a scan has: one where nobody said.
    pub fn channel_count(&self) -> usize {
        self.channels.as_ref().map_or(1, Names::count)
    }

    /// How many classes there are, background included: two where nobody said.
    pub fn class_count(&self) -> usize {
        self.classes.as_ref().map_or(2, Names::count)
    }

    /// What a class is called: by its number, where it has no name.
    pub fn class_name(&self, class: usize) -> String {
        self.classes.as_ref().map_or_else(|| class.to_string(), |names| names.name(class))
    }

    /// Which scans are labelled: `the first 8 scans`, or `8 scans (set 2)`.
    pub fn describe_labelled(&self) -> String {
        match (self.labelled_set, self.folds) {
            (0, 0) => format!("the first {} scans", self.labelled),
            (set, _) => format!("{} scans (set {set})", self.labelled),
        }
    }

    /// Takes channels and classes from a prepared set where nothing is said of them, and their names where nothing but the
    /// same number is.
    pub(crate) fn complete(&mut self, manifest: &Manifest) {
        let of_set = [&manifest.channels, &manifest.classes];
        for (own, names) in [&mut self.channels, &mut self.classes].into_iter().zip(of_set) {
            if own.as_ref().is_none_or(|own| *own == Names::Numbered(names.count())) {
                *own = Some(names.clone());
            }
        }
    }

    /// # Errors
    /// Where the scans of a prepared set have another number of channels, or its label maps another number of classes: an output
    /// of the networks would stand for nothing, or a class would be scored as background.
    pub(crate) fn check_prepared(&self, manifest: &Manifest) -> Result<()> {
        let counts = [
            ("data.channels", self.channel_count(), manifest.channels.count()),
            ("data.classes", self.class_count(), manifest.classes.count()),
        ];
        let Some((field, own, found)) = counts.into_iter().find(|(_, own, found)| own != found) else {
            return Ok(());
        };
        let problem =
            format!("is {own}, but the prepared scans have {found}; leave it out, or prepare other scans");
        Err(Error::config(field, problem))
    }

    /// Checks what can be checked without the data.
    ///
    /// # Errors
    /// Names the first field that is out of range, and says what would do.
    pub(super) fn check(&self) -> Result<()> {
        require(
            !self.dataset.is_empty(),
            "data.dataset",
            "is empty; name a prepared set, such as \"phantom\"",
        )?;
        require(self.labelled > 0, "data.labelled", "must be at least 1")?;
        require(self.folds != 1, "data.folds", "must be 0 for none, or at least 2")?;
        let fold = if self.folds == 0 { self.fold == 0 } else { (1..=self.folds).contains(&self.fold) };
        require(fold, "data.fold", "must be 1 to data.folds, or 0 where that is 0")?;
        require(self.channel_count() > 0, "data.channels", "must be at least 1")?;
        // The losses keep a byte for voxels that do not count.
        let classes = (2..=254).contains(&self.class_count());
        require(classes, "data.classes", "must be 2 to 254, background included")?;
        for (field, names) in [("data.channels", &self.channels), ("data.classes", &self.classes)] {
            let checked = names.as_ref().map_or(Ok(()), Names::check);
            checked.map_err(|error| Error::config(field, format!("is wrong: {error}")))?;
        }
        let mean = (0..self.class_count()).any(|class| self.class_name(class) == MEAN);
        require(
            !mean,
            "data.classes",
            "must not call a class `mean`, as the mean over all classes is called",
        )?;
        let spacing = self.spacing_mm.iter().flatten().all(|mm| mm.is_finite() && *mm > 0.0);
        require(spacing, "data.spacing_mm", "needs three positive numbers of millimetres")
    }
}

/// Some scans of the training list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum CaseList {
    /// The last so many that have a label.
    Last(usize),
    /// These, by id.
    Ids(Vec<String>),
}
