//! The scans of a run: crops of them, read without loading a volume.

use crate::reader::guarded;
use crate::{AugmentationConfig, Augmented, Error, Lists, Picks, Result};
use ndarray::{Array3, Array4};
use tandem_augment::{Drawn, RandomCrop, RandomTransform, Transform};
use tandem_random::Draws;
use tandem_volume::prepared::{PreparedCase, PreparedSet};

/// A patch as voxels: an image and, for a labelled case only, its label map.
#[derive(Clone, Debug, PartialEq)]
pub struct Patch {
    /// Intensities, `(C, i, j, k)`.
    pub image: Array4<f32>,
    /// Class indices, `(i, j, k)`; `None` for an unlabelled case.
    pub label: Option<Array3<u8>>,
    /// The same image, its intensities changed at random; `None` where nobody asked for it.
    pub strong: Option<Array4<f32>>,
}

/// The labelled and the unlabelled cases of a run, opened for positioned reads.
#[derive(Debug)]
pub struct Dataset {
    cases: Vec<(String, PreparedCase)>,
    crop: RandomCrop,
    seed: u64,
    augmentation: AugmentationConfig,
    strong_view: bool,
}

impl Dataset {
    /// Opens the cases of both lists: the labelled ones have the first indices, the unlabelled ones those after them. Label maps of
    /// unlabelled cases are not opened.
    ///
    /// # Errors
    /// Where a case is missing or damaged, or the patch has a side of 0.
    pub fn open(set: &PreparedSet, lists: &Lists, patch: [usize; 3], seed: u64) -> Result<Self> {
        let labelled = lists.labelled.iter().map(|id| (id, set.case(id)));
        let unlabelled = lists.unlabelled.iter().map(|id| (id, set.unlabelled_case(id)));
        let opened = |(id, case): (&String, tandem_volume::Result<PreparedCase>)| {
            Ok((id.clone(), case.map_err(Error::case(id))?))
        };
        let cases = labelled.chain(unlabelled).map(opened).collect::<Result<_>>()?;
        let crop =
            RandomCrop::new(patch).map_err(|error| Error::config("training.patch", error.to_string()))?;
        let augmentation = AugmentationConfig::default();
        Ok(Dataset { cases, crop, seed, augmentation, strong_view: false })
    }

    /// Changes patches at random, as settings say that were checked.
    pub fn with_augmentation(self, augmentation: AugmentationConfig) -> Self {
        Dataset { augmentation, ..self }
    }

    /// Whether every patch gets a strong view too.
    pub fn with_strong_view(self, wanted: bool) -> Self {
        Dataset { strong_view: wanted, ..self }
    }

    /// The patches of a step's batch, labelled ones first. All that is random of a patch is keyed by (seed, step, place in the
    /// batch).
    ///
    /// # Errors
    /// Where a file cannot be read or has shrunk, a labelled case has no label map, or there is no such case.
    pub fn patches(&self, step: u64, picks: &Picks) -> Result<Vec<Patch>> {
        if let Some(case) = picks.cases().find(|case| *case >= self.cases.len()) {
            let problem =
                format!("name case {case}, but the dataset has {}, counted from 0", self.cases.len());
            return Err(Error::config("picks", problem));
        }
        let drawn = self.augmentations(step, picks);
        let read = |(slot, (case, drawn))| self.patch(case, slot < picks.labelled.len(), &drawn);
        picks.cases().zip(drawn).enumerate().map(read).collect()
    }

    /// What is drawn for each patch of a step's batch, in its order: the log of [`Self::patches`], made without reading a scan.
    pub fn augmentations(&self, step: u64, picks: &Picks) -> Vec<Augmented> {
        picks.cases().enumerate().map(|(slot, case)| self.draw(case, step, slot as u64)).collect()
    }

    fn draw(&self, case: usize, step: u64, slot: u64) -> Augmented {
        let draws = |purpose| Draws::new(self.seed, purpose, step, slot);
        let ((id, case), size) = (&self.cases[case], self.crop.size());
        let strong_view = || self.augmentation.strong_view().draw(size, &mut draws("strong view"));
        Augmented {
            case: id.clone(),
            crop: self.crop.draw(case.shape(), &mut draws("crop")),
            patch: self.augmentation.patches.draw(size, &mut draws("augment")),
            strong_view: self.strong_view.then(strong_view),
        }
    }

    fn patch(&self, case: usize, labelled: bool, drawn: &Augmented) -> Result<Patch> {
        let (id, case) = &self.cases[case];
        let read = || case.read_patch(drawn.crop.start, drawn.crop.size).map_err(Error::case(id));
        let (image, label) = guarded(&format!("case {id}"), read)?;
        if labelled && label.is_none() {
            return Err(Error::config("data.labelled", format!("reaches case {id}, which has no label map")));
        }
        // Whoever picks a labelled case as an unlabelled one does not see its label either.
        let label = label.filter(|_| labelled);
        let on_grid = |image, label| -> Result<tandem_augment::Patch> {
            Ok(tandem_augment::Patch::new(image, label)?.with_spacing(case.geometry().spacing()))
        };
        let (image, label) = drawn.patch.apply(on_grid(image, label)?).into_parts();
        let view = |drawn: &Vec<Drawn>| -> Result<Array4<f32>> {
            Ok(drawn.apply(on_grid(image.clone(), None)?).into_parts().0)
        };
        let strong = drawn.strong_view.as_ref().map(view).transpose()?;
        Ok(Patch { image, label, strong })
    }
}
