//! The file `dataset.json` of nnU-Net's and the Decathlon's folders.
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::{Error, Result};

/// The file's name.
pub(super) const NAME: &str = "dataset.json";

/// The largest such file that is read, in bytes: some hundred thousand scans.
const LONGEST: u64 = 64 << 20;

/// What the file says. Fields that only people read are passed over.
pub(super) struct DatasetJson {
    /// Names of the channels in their order.
    pub(super) channels: Vec<String>,
    /// Whether they stand under nnU-Net's name of them.
    pub(super) has_channel_names: bool,
    /// Label values with their names; a value of several regions has the names of all.
    pub(super) labels: BTreeMap<u8, String>,
    /// Whether a name stands for several values: nnU-Net's regions, which overlap.
    pub(super) has_regions: bool,
    /// Ending of all files (nnU-Net).
    pub(super) file_ending: Option<String>,
    /// Pairs of image and label map (Decathlon).
    pub(super) training: Option<Vec<Pair>>,
    /// Images without label map (Decathlon).
    pub(super) test: Vec<String>,
}

/// One scan of the training list.
#[derive(Deserialize)]
pub(super) struct Pair {
    pub(super) image: String,
    #[serde(default)]
    pub(super) label: Option<String>,
}

#[derive(Deserialize)]
struct Fields {
    channel_names: Option<Names>,
    modality: Option<Names>,
    #[serde(default)]
    labels: BTreeMap<String, Value>,
    file_ending: Option<String>,
    training: Option<Vec<Pair>>,
    #[serde(default)]
    test: Vec<TestImage>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Names {
    One(String),
    Numbered(BTreeMap<String, String>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum TestImage {
    File(String),
    Pair(Pair),
}

impl DatasetJson {
    /// Reads the file of a folder; `None` where there is none.
    pub(super) fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(NAME);
        if !path.is_file() {
            return Ok(None);
        }
        let length = fs::metadata(&path).map_err(Error::io(&path))?.len();
        if length > LONGEST {
            return Err(Error::file(
                &path,
                format!("the file has {length} bytes; is this the dataset's description?"),
            ));
        }
        Self::parse(&fs::read(&path).map_err(Error::io(&path))?, &path).map(Some)
    }

    fn parse(bytes: &[u8], path: &Path) -> Result<Self> {
        let wrong = |message: String| Error::file(path, message);
        let fields: Fields = serde_json::from_slice(bytes)
            .map_err(|error| wrong(format!("it is not a dataset's description ({error}); correct it")))?;
        let has_channel_names = fields.channel_names.is_some();
        let channels = match fields.channel_names.or(fields.modality) {
            None => Vec::new(),
            Some(Names::One(name)) => vec![name],
            Some(Names::Numbered(names)) => numbered(names).map_err(wrong)?,
        };
        let test = fields.test.into_iter().map(|image| match image {
            TestImage::File(image) | TestImage::Pair(Pair { image, .. }) => image,
        });
        let several = |value: &Value| value.as_array().is_some_and(|values| values.len() > 1);
        Ok(DatasetJson {
            channels,
            has_channel_names,
            has_regions: fields.labels.values().any(several),
            labels: labels(fields.labels).map_err(wrong)?,
            file_ending: fields.file_ending,
            training: fields.training,
            test: test.collect(),
        })
    }
}

/// Names of channels `0`, `1` ... in this order.
fn numbered(names: BTreeMap<String, String>) -> std::result::Result<Vec<String>, String> {
    let mut channels = vec![None; names.len()];
    for (number, name) in names {
        let place = number.parse().ok().and_then(|number: usize| channels.get_mut(number));
        *place.ok_or_else(|| {
            format!("the channel {number:?} is none of 0, 1, 2 ...; number the channels in order")
        })? = Some(name);
    }
    Ok(channels.into_iter().flatten().collect())
}

/// nnU-Net writes `"liver": 1` or, for regions, `"whole tumour": [1, 2]`; the Decathlon writes `"1": "liver"`.
fn labels(entries: BTreeMap<String, Value>) -> std::result::Result<BTreeMap<u8, String>, String> {
    let mut labels: BTreeMap<u8, String> = BTreeMap::new();
    for (key, value) in entries {
        let (name, values) = match &value {
            Value::String(name) => (name.clone(), vec![key.parse().ok()]),
            Value::Array(values) => (key.clone(), values.iter().map(whole).collect()),
            value => (key.clone(), vec![whole(value)]),
        };
        for value in values {
            let value = value.ok_or_else(|| {
                format!("the label {key:?} is no whole number in 0..=255; correct `labels`")
            })?;
            labels
                .entry(value)
                .and_modify(|names| *names = format!("{names} + {name}"))
                .or_insert(name.clone());
        }
    }
    Ok(labels)
}

fn whole(value: &Value) -> Option<u8> {
    value.as_u64().and_then(|value| u8::try_from(value).ok())
}
