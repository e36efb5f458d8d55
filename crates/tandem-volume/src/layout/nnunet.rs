//! nnU-Net's raw data: `imagesTr/CASE_0000.nii.gz` and `labelsTr/CASE.nii.gz`; `imagesTs` are the test scans.
use std::collections::BTreeMap;
use std::path::Path;

use super::dataset_json::{DatasetJson, NAME};
use super::{Fault, Found, ScanFiles, names};
use crate::prepared::Split;
use crate::{Error, Result, stem};

/// Whether a folder with this description is nnU-Net's: version 1 described it as the Decathlon did, and differs in the
/// names of the images.
pub(super) fn fits(folder: &Path, json: &DatasetJson) -> Result<bool> {
    if json.has_channel_names {
        return Ok(true);
    }
    let images = names(&folder.join("imagesTr"))?;
    Ok(!images.is_empty() && images.iter().filter_map(|name| stem(name)).all(|name| numbered(name).is_some()))
}

pub(super) fn find(folder: &Path, json: &DatasetJson) -> Result<Found> {
    let ending = json.file_ending.as_deref().unwrap_or(".nii.gz");
    if stem(&format!("case{ending}")) != Some("case") {
        return Err(Error::file(
            &folder.join(NAME),
            format!(
                "file_ending is {ending:?}, which is no format that is read here; convert the scans to .nii.gz"
            ),
        ));
    }
    let mut found = Found {
        channels: json.channels.clone(),
        labels: json.labels.clone(),
        has_regions: json.has_regions,
        ..Found::default()
    };
    for (images, labels, split) in
        [("imagesTr", "labelsTr", Split::Train), ("imagesTs", "labelsTs", Split::Test)]
    {
        let mut labels: BTreeMap<String, String> = files(folder, labels, ending)?.collect();
        for (id, images) in channels(folder, images, ending, &mut found.faults)? {
            let numbers: Vec<usize> = images.keys().copied().collect();
            let wanted = json.channels.len().max(1);
            if !numbers.iter().copied().eq(0..wanted) {
                found.faults.push(Fault::Channels { id: id.clone(), found: numbers, wanted });
            }
            let images: Vec<String> = images.into_values().collect();
            let scan = ScanFiles { id: id.clone(), label: labels.remove(&id), images: images.clone(), split };
            if let Some(other) = found.scans.insert(id.clone(), scan) {
                found
                    .faults
                    .push(Fault::TwoFiles { id, files: [other.images[0].clone(), images[0].clone()] });
            }
        }
        found.faults.extend(labels.into_values().map(|file| Fault::LabelWithoutImage { file }));
    }
    Ok(found)
}

/// The images of a folder by scan and number of the channel.
fn channels(
    folder: &Path,
    below: &str,
    ending: &str,
    faults: &mut Vec<Fault>,
) -> Result<BTreeMap<String, BTreeMap<usize, String>>> {
    let mut scans: BTreeMap<String, BTreeMap<usize, String>> = BTreeMap::new();
    for (name, file) in files(folder, below, ending)? {
        match numbered(&name) {
            Some((id, number)) => {
                scans.entry(id.to_owned()).or_default().insert(number, file);
            }
            None => faults.push(Fault::NoChannelNumber { file }),
        }
    }
    Ok(scans)
}

/// The files of a folder with this ending: name without it, and path.
fn files<'a>(
    folder: &Path,
    below: &'a str,
    ending: &'a str,
) -> Result<impl Iterator<Item = (String, String)> + 'a> {
    let names = names(&folder.join(below))?.into_iter();
    Ok(names.filter_map(move |name| Some((name.strip_suffix(ending)?.to_owned(), format!("{below}/{name}")))))
}

/// The scan and the number of the channel in `CASE_0000`.
fn numbered(name: &str) -> Option<(&str, usize)> {
    let (id, number) = name.rsplit_once('_')?;
    let sound = !id.is_empty() && number.len() == 4 && number.bytes().all(|byte| byte.is_ascii_digit());
    sound.then(|| number.parse().ok()).flatten().map(|number| (id, number))
}
