//! What is kept of a scan's planes: the label map, and on request maps of what the networks are unsure of.

use super::cases::Case;
use super::record::Settings;
use anyhow::Result;
use ndarray::{Array3, Axis, Zip};
use std::path::{Path, PathBuf};
use tandem_inference::{On, Plane, disagreement, entropy};
use tandem_metrics::largest_component;
use tandem_training::Predictor;
use tandem_volume::{Geometry, ImagePlanes, Volume};

/// The maps that are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Map {
    Entropy,
    Disagreement,
    Probability(usize),
}

impl Map {
    /// Of networks so many, with so many classes.
    fn wanted(settings: &Settings, networks: usize, classes: usize) -> Vec<Map> {
        let mut maps = Vec::new();
        if settings.uncertainty {
            maps.push(Map::Entropy);
            // One network has nobody to disagree with.
            maps.extend((networks > 1).then_some(Map::Disagreement));
        }
        if settings.probabilities {
            maps.extend((0..classes).map(Map::Probability));
        }
        maps
    }

    fn name(self) -> String {
        match self {
            Map::Entropy => "entropy".to_owned(),
            Map::Disagreement => "disagreement".to_owned(),
            Map::Probability(class) => format!("probability_{class}"),
        }
    }
}

/// The files that are made of a case: the label map, the preview, and the maps.
pub(super) fn outputs(
    case: &Case,
    folder: &Path,
    settings: &Settings,
    predictor: &Predictor,
) -> Vec<PathBuf> {
    let maps = Map::wanted(settings, predictor.names().len(), predictor.classes());
    let maps = maps.into_iter().map(|map| case.map(folder, &map.name()));
    [case.label(folder), case.preview(folder)].into_iter().chain(maps).collect()
}

/// The planes so far.
pub(super) struct Maps {
    label: Array3<u8>,
    geometry: Geometry,
    maps: Vec<(Map, ImagePlanes)>,
}

impl Maps {
    /// Begins the maps of a case, on its own grid.
    ///
    /// # Errors
    /// Where a file cannot be begun.
    pub(super) fn begin(
        case: &Case,
        folder: &Path,
        settings: &Settings,
        predictor: &Predictor,
        (shape, geometry): ([usize; 3], &Geometry),
    ) -> Result<Self> {
        let begun = |map: Map| {
            let path = case.map(folder, &map.name());
            Ok((map, ImagePlanes::create_of(&case.files[0], path, shape, geometry)?))
        };
        let wanted = Map::wanted(settings, predictor.names().len(), predictor.classes());
        let maps = wanted.into_iter().map(begun).collect::<Result<_>>()?;
        Ok(Maps { label: Array3::zeros(shape), geometry: geometry.clone(), maps })
    }

    /// Keeps what is wanted of a plane.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub(super) fn put(&mut self, plane: &Plane) -> Result<()> {
        if plane.on == On::Working {
            return Ok(());
        }
        self.label.index_axis_mut(Axis(0), plane.index).assign(&plane.label());
        for (map, file) in &mut self.maps {
            match *map {
                Map::Entropy => file.put(plane.index, &entropy(&plane.ensemble))?,
                Map::Disagreement => {
                    if let Some(disagreement) = disagreement(&plane.networks) {
                        file.put(plane.index, &disagreement)?;
                    }
                }
                Map::Probability(class) => {
                    file.put(plane.index, &plane.ensemble.index_axis(Axis(0), class).to_owned())?;
                }
            }
        }
        Ok(())
    }

    /// Writes all maps but the label map, which is returned: of each class the largest component alone, where that is wanted.
    ///
    /// # Errors
    /// Where a file cannot be written.
    pub(super) fn finish(self, settings: &Settings, classes: usize) -> Result<Volume<u8>> {
        for (_, file) in self.maps {
            file.finish()?;
        }
        let mut label = self.label;
        if settings.largest_component {
            (1..=u8::MAX).take(classes.saturating_sub(1)).for_each(|class| keep_largest(&mut label, class));
        }
        Ok(Volume::new(label, self.geometry))
    }
}

/// Makes background of all of a class but its largest connected component.
fn keep_largest(label: &mut Array3<u8>, class: u8) {
    let largest = largest_component(label.mapv(|value| value == class).view());
    Zip::from(label).and(&largest).for_each(|value, &kept| {
        if *value == class && !kept {
            *value = 0;
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_and_can_be_said_is_made() {
        let settings = |uncertainty, probabilities| Settings {
            intensities: String::new(),
            uncertainty,
            probabilities,
            largest_component: false,
            tta: String::new(),
        };
        let names = |settings: &Settings, networks| -> Vec<String> {
            Map::wanted(settings, networks, 3).into_iter().map(Map::name).collect()
        };
        assert!(names(&settings(false, false), 2).is_empty());
        assert_eq!(names(&settings(true, false), 2), ["entropy", "disagreement"]);
        assert_eq!(names(&settings(true, false), 1), ["entropy"]);
        assert_eq!(names(&settings(false, true), 2), ["probability_0", "probability_1", "probability_2"]);
    }

    #[test]
    fn the_largest_component_of_a_class_stays_and_other_classes_do() {
        let row = |values: &[u8]| Array3::from_shape_vec((1, 1, values.len()), values.to_vec()).unwrap();
        let mut label = row(&[1, 0, 2, 1, 1, 0, 2, 2, 2, 0, 1]);
        keep_largest(&mut label, 1);
        assert_eq!(label, row(&[0, 0, 2, 1, 1, 0, 2, 2, 2, 0, 0]));
        keep_largest(&mut label, 2);
        assert_eq!(label, row(&[0, 0, 0, 1, 1, 0, 2, 2, 2, 0, 0]));
        keep_largest(&mut label, 3);
        assert_eq!(label, row(&[0, 0, 0, 1, 1, 0, 2, 2, 2, 0, 0]));
    }
}
