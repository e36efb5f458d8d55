//! The scans of a run: crops of them, read without loading a volume.

use crate::reader::guarded;
use crate::{Error, Lists, Picks, Result};
use ndarray::{Array3, Array4};
use tandem_augment::{Crop, RandomCrop, RandomNoise, RandomTransform, Transform};
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

/// The strong view: noise of a tenth of a scan's standard deviation.
const STRONG: RandomNoise = RandomNoise { probability: 1.0, deviation: [0.1, 0.1] };

/// The labelled and the unlabelled cases of a run, opened for positioned reads.
#[derive(Debug)]
pub struct Dataset {
    cases: Vec<(String, PreparedCase)>,
    crop: RandomCrop,
    seed: u64,
    strong: Option<RandomNoise>,
}

impl Dataset {
    /// Opens the cases of both lists: the labelled ones have the first indices, the unlabelled ones those after them.
    ///
    /// # Errors
    /// Where a case is missing or damaged, or the patch has a side of 0.
    pub fn open(set: &PreparedSet, lists: &Lists, patch: [usize; 3], seed: u64) -> Result<Self> {
        let open = |id: &String| Ok((id.clone(), set.case(id).map_err(Error::case(id))?));
        let cases = lists.labelled.iter().chain(&lists.unlabelled).map(open).collect::<Result<_>>()?;
        let crop =
            RandomCrop::new(patch).map_err(|error| Error::config("training.patch", error.to_string()))?;
        Ok(Dataset { cases, crop, seed, strong: None })
    }

    /// Whether every patch gets a strong view too.
    pub fn with_strong_view(self, wanted: bool) -> Self {
        Dataset { strong: wanted.then_some(STRONG), ..self }
    }

    /// The patches of a step's batch, labelled ones first. All that is random of a patch is keyed by (seed, step, place in the
    /// batch).
    ///
    /// # Errors
    /// Where a file cannot be read or has shrunk, or a labelled case has no label map.
    pub fn patches(&self, step: u64, picks: &Picks) -> Result<Vec<Patch>> {
        let labelled = picks.labelled.iter().map(|&case| (case, true));
        let unlabelled = picks.unlabelled.iter().map(|&case| (case, false));
        let read = |(slot, (case, labelled))| {
            let patch = self.patch(case, labelled, self.draw(case, step, slot as u64))?;
            Ok(Patch { strong: self.strong_view(&patch.image, step, slot as u64)?, ..patch })
        };
        labelled.chain(unlabelled).enumerate().map(read).collect()
    }

    /// The ids of the cases of a batch, in its order.
    pub fn ids(&self, picks: &Picks) -> Vec<String> {
        picks.labelled.iter().chain(&picks.unlabelled).map(|&case| self.cases[case].0.clone()).collect()
    }

    fn draw(&self, case: usize, step: u64, slot: u64) -> Crop {
        let mut draws = Draws::new(self.seed, "crop", step, slot);
        self.crop.draw(self.cases[case].1.shape(), &mut draws)
    }

    fn strong_view(&self, image: &Array4<f32>, step: u64, slot: u64) -> Result<Option<Array4<f32>>> {
        let changed = |random: &RandomNoise| {
            let patch = tandem_augment::Patch::new(image.clone(), None)
                .map_err(|error| Error::config("training.patch", error.to_string()))?;
            let drawn = random.draw(patch.shape(), &mut Draws::new(self.seed, "strong view", step, slot));
            Ok(drawn.apply(patch).into_parts().0)
        };
        self.strong.as_ref().map(changed).transpose()
    }

    fn patch(&self, case: usize, labelled: bool, crop: Crop) -> Result<Patch> {
        let (id, case) = &self.cases[case];
        let read = || case.read_patch(crop.start, crop.size).map_err(Error::case(id));
        let (image, label) = guarded(&format!("case {id}"), read)?;
        match (labelled, label) {
            (true, None) => {
                Err(Error::config("data.labelled", format!("reaches case {id}, which has no label map")))
            }
            (true, label) => Ok(Patch { image, label, strong: None }),
            // The label of an unlabelled case goes no further, even where there is one.
            (false, _) => Ok(Patch { image, label: None, strong: None }),
        }
    }
}
