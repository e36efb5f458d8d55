//! The Medical Segmentation Decathlon's folders: `dataset.json` lists pairs and test images. An image may hold several
//! channels in its fourth dimension.
use std::path::{Component, Path};

use super::dataset_json::{DatasetJson, NAME};
use super::{Fault, Found, ScanFiles};
use crate::prepared::Split;
use crate::{Error, Result, stem};

pub(super) fn find(folder: &Path, json: &DatasetJson) -> Result<Found> {
    let mut found =
        Found { channels: json.channels.clone(), labels: json.labels.clone(), ..Found::default() };
    let training = json.training.iter().flatten();
    let training = training.map(|pair| (pair.image.as_str(), pair.label.as_deref(), Split::Train));
    let test = json.test.iter().map(|image| (image.as_str(), None, Split::Test));
    for (image, label, split) in training.chain(test) {
        let image = inside(image, folder)?;
        let label = label.map(|label| inside(label, folder)).transpose()?;
        let name = image.rsplit('/').next().unwrap_or_default();
        let id = stem(name).unwrap_or(name).to_owned();
        // What is missing is no part of a scan: the others can still be looked at.
        let there = |file: &String| folder.join(file).exists();
        let missing = [Some(&image), label.as_ref()].into_iter().flatten().filter(|file| !there(file));
        found.faults.extend(missing.map(|file| Fault::MissingFile { file: file.clone() }));
        if !there(&image) {
            continue;
        }
        let scan =
            ScanFiles { id: id.clone(), images: vec![image.clone()], label: label.filter(there), split };
        if let Some(other) = found.scans.insert(id.clone(), scan) {
            found.faults.push(Fault::TwoFiles { id, files: [other.images[0].clone(), image] });
        }
    }
    Ok(found)
}

/// A path of the description without its `./`; it must not lead out of the folder.
fn inside(file: &str, folder: &Path) -> Result<String> {
    let mut parts = Vec::new();
    for part in Path::new(file).components() {
        match part {
            Component::CurDir => {}
            Component::Normal(part) => parts.push(part.to_string_lossy()),
            _ => {
                return Err(Error::file(
                    &folder.join(NAME),
                    format!(
                        "it names {file:?}, which lies outside of the folder; move the file and correct its path"
                    ),
                ));
            }
        }
    }
    Ok(parts.join("/"))
}
