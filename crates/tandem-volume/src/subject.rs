//! One scan with its label map.
use crate::{Error, Image, Result, Volume};

/// One scan, and its label map where somebody drew one; both lie on one grid.
#[derive(Clone, Debug, PartialEq)]
pub struct Subject {
    id: String,
    image: Image,
    label: Option<Volume<u8>>,
}

impl Subject {
    /// A subject named `id`. A scan of one channel may be given as its volume.
    ///
    /// # Errors
    /// Where image and label map differ in shape, or lie farther apart than 0.01 mm at any corner.
    pub fn new(id: impl Into<String>, image: impl Into<Image>, label: Option<Volume<u8>>) -> Result<Self> {
        let (id, image) = (id.into(), image.into());
        if let Some(label) = &label {
            let checked = image.check_grid("the label map", label);
            checked.map_err(|reason| Error::Grid(format!("{id}: {reason}")))?;
        }
        Ok(Subject { id, image, label })
    }

    /// The subject's name.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The scan, with all its channels.
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// The label map; `None` for an unlabelled subject.
    pub fn label(&self) -> Option<&Volume<u8>> {
        self.label.as_ref()
    }

    /// Name, image and label map.
    pub fn into_parts(self) -> (String, Image, Option<Volume<u8>>) {
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
