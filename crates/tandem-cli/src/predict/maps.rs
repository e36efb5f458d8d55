//! What is kept of a scan's planes: the label map, and on request maps of what the networks are unsure of.

use super::cases::Case;
use super::record::Settings;
use anyhow::Result;
use ndarray::{Array3, Axis, Zip};
use std::path::{Path, PathBuf};
use tandem_inference::{On, Plane, disagreement, entropy};
use tandem_metrics::largest_component;
use tandem_training::Predictor;
use tandem_volume::{Geometry, Image, ImagePlanes, Orientation, Volume, read_image};

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

/// A scan's grid.
#[derive(Clone, Debug)]
pub(super) struct Grid {
    shape: [usize; 3],
    geometry: Geometry,
}

impl Grid {
    pub(super) fn of(image: &Image) -> Self {
        Grid { shape: image.shape(), geometry: image.geometry().clone() }
    }

    /// The same voxels, with axes that run as they do here, on exactly this grid.
    fn take_back<T: Clone>(&self, turned: Volume<T>) -> tandem_volume::Result<Volume<T>> {
        let (array, _) = turned.reoriented(Orientation::of(&self.geometry))?.into_parts();
        Ok(Volume::new(array, self.geometry.clone()))
    }
}

/// The planes so far, on the grid that the networks see.
pub(super) struct Maps {
    /// What decides on the version of NIfTI.
    scan: PathBuf,
    /// The scan's own grid, where the networks see one with other axes.
    own: Option<Grid>,
    seen: Grid,
    label: Array3<u8>,
    maps: Vec<(Map, PathBuf, ImagePlanes)>,
}

impl Maps {
    /// Begins the maps of a case with the grid that the networks see, which may be the scan's own with other axes.
    ///
    /// # Errors
    /// Where a file cannot be begun.
    pub(super) fn begin(
        case: &Case,
        folder: &Path,
        settings: &Settings,
        predictor: &Predictor,
        (own, seen): (Grid, Grid),
    ) -> Result<Self> {
        let scan = case.files[0].clone();
        let begun = |map: Map| {
            let path = case.map(folder, &map.name());
            let file = ImagePlanes::create_of(&scan, &path, seen.shape, &seen.geometry)?;
            Ok((map, path, file))
        };
        let wanted = Map::wanted(settings, predictor.names().len(), predictor.classes());
        let maps = wanted.into_iter().map(begun).collect::<Result<_>>()?;
        let own = (Orientation::of(&own.geometry) != Orientation::of(&seen.geometry)).then_some(own);
        Ok(Maps { label: Array3::zeros(seen.shape), scan, own, seen, maps })
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
        for (map, _, file) in &mut self.maps {
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

    /// Writes all maps but the label map, which is returned, on the scan's own grid: of each class the largest component alone, where
    /// that is wanted.
    ///
    /// # Errors
    /// Where a file cannot be written.
    pub(super) fn finish(self, settings: &Settings, classes: usize) -> Result<Volume<u8>> {
        for (_, path, file) in self.maps {
            file.finish()?;
            if let Some(own) = &self.own {
                take_back(&self.scan, &path, own)?;
            }
        }
        let mut label = self.label;
        if settings.largest_component {
            (1..=u8::MAX).take(classes.saturating_sub(1)).for_each(|class| keep_largest(&mut label, class));
        }
        let label = Volume::new(label, self.seen.geometry);
        Ok(match &self.own {
            None => label,
            Some(own) => own.take_back(label)?,
        })
    }
}

/// Writes a map anew on the grid of its scan, of which it lies on one with other axes: planes of the two are not the same, so that it
/// has to be there before it can be turned.
fn take_back(scan: &Path, path: &Path, own: &Grid) -> tandem_volume::Result<()> {
    let map = own.take_back(read_image(path)?)?;
    let mut file = ImagePlanes::create_of(scan, path, own.shape, &own.geometry)?;
    for (i, plane) in map.array().outer_iter().enumerate() {
        file.put(i, &plane.to_owned())?;
    }
    file.finish()
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
