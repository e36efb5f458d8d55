//! One scan with its label map.
use crate::geometry::SAME_GRID_MM;
use crate::{Error, Result, Volume};

/// One scan, and its label map where somebody drew one; both lie on one grid.
#[derive(Clone, Debug, PartialEq)]
pub struct Subject {
    id: String,
    image: Volume<f32>,
    label: Option<Volume<u8>>,
}

impl Subject {
    /// A subject named `id`.
    ///
    /// # Errors
    /// Where image and label map differ in shape, or lie farther apart than 0.01 mm at any corner.
    pub fn new(id: impl Into<String>, image: Volume<f32>, label: Option<Volume<u8>>) -> Result<Self> {
        let id = id.into();
        if let Some(label) = &label {
            if label.shape() != image.shape() {
                return Err(Error::Grid(format!(
                    "{id}: the label map has shape {:?}, but the image has {:?}; resample the label map to the image",
                    label.shape(),
                    image.shape()
                )));
            }
            let shift = image.geometry().corner_shift(label.geometry(), image.shape());
            if shift > SAME_GRID_MM {
                return Err(Error::Grid(format!(
                    "{id}: image and label map have the same shape, but their corners lie up to {shift:.3} mm apart in \
                     the patient (at most {SAME_GRID_MM} mm passes); resample the label map to the image"
                )));
            }
        }
        Ok(Subject { id, image, label })
    }

    /// The subject's name.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The scan.
    pub fn image(&self) -> &Volume<f32> {
        &self.image
    }

    /// The label map; `None` for an unlabelled subject.
    pub fn label(&self) -> Option<&Volume<u8>> {
        self.label.as_ref()
    }

    /// Name, image and label map.
    pub fn into_parts(self) -> (String, Volume<f32>, Option<Volume<u8>>) {
        (self.id, self.image, self.label)
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array3;

    use super::*;
    use crate::Geometry;

    #[test]
    fn image_and_label_map_share_one_grid() {
        let grid = Geometry::isotropic(1.0).unwrap();
        let image = Volume::new(Array3::zeros([4, 3, 2]), grid.clone());
        let label =
            |shape: [usize; 3], grid: &Geometry| Some(Volume::new(Array3::zeros(shape), grid.clone()));
        assert!(Subject::new("a", image.clone(), None).unwrap().label().is_none());
        assert!(Subject::new("a", image.clone(), label([4, 3, 2], &grid)).is_ok());
        let shape = Subject::new("a", image.clone(), label([4, 3, 3], &grid)).unwrap_err().to_string();
        assert!(
            shape.starts_with("a: the label map has shape [4, 3, 3], but the image has [4, 3, 2]"),
            "{shape}"
        );
        let moved = grid.starting_at([0.0, 1.0, 0.0]).unwrap();
        let place = Subject::new("a", image, label([4, 3, 2], &moved)).unwrap_err().to_string();
        assert!(place.contains("up to 1.000 mm apart"), "{place}");
    }
}
