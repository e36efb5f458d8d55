//! All transforms of a patch together, as settings.

mod presets;
#[cfg(test)]
mod tests;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use tandem_random::Draws;

use crate::setting::{Setting, in_range};
use crate::{
    AugmentError, Drawn, RandomAffine, RandomBiasField, RandomBlur, RandomBrightness, RandomContrast,
    RandomElastic, RandomFlip, RandomGamma, RandomLowResolution, RandomNoise, RandomTransform, RandomTurn,
    Result,
};

/// Which random transforms patches go through. What is `None` is off; by default everything is.
///
/// They are applied in the order of the fields: first those that move voxels, then intensities, in the order in which a scanner
/// changes them, noise last. Each draws from a stream of its own, so that turning one on changes no draw of another.
///
/// In settings it is a table of transforms with their probabilities and ranges, or the name of a preset:
///
/// ```
/// use tandem_augment::Augmentation;
/// let named: Augmentation = serde_json::from_str(r#""flips-and-turns""#)?;
/// let table: Augmentation = serde_json::from_str(
///     r#"{ "turn": { "probability": [0, 0, 1] }, "flip": { "probability": [1, 0, 0] } }"#,
/// )?;
/// assert_eq!(named, table);
/// table.check([64, 64, 32])?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self", default, deny_unknown_fields)]
pub struct Augmentation {
    /// Quarter turns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub turn: Option<RandomTurn>,
    /// Flips.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flip: Option<RandomFlip>,
    /// Small rotations, scalings and shifts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub affine: Option<RandomAffine>,
    /// Smooth deformations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub elastic: Option<RandomElastic>,
    /// The bias field of magnetic resonance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bias_field: Option<RandomBiasField>,
    /// Brightness.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub brightness: Option<RandomBrightness>,
    /// Contrast.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contrast: Option<RandomContrast>,
    /// A curve of intensities.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gamma: Option<RandomGamma>,
    /// Blur.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blur: Option<RandomBlur>,
    /// Simulated low resolution.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub low_resolution: Option<RandomLowResolution>,
    /// Noise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noise: Option<RandomNoise>,
}

/// What a function makes of every setting, in the order in which transforms are applied.
macro_rules! each {
    ($settings:ident, $function:ident $(, $argument:expr)*) => {
        [
            $function(&$settings.turn $(, $argument)*),
            $function(&$settings.flip $(, $argument)*),
            $function(&$settings.affine $(, $argument)*),
            $function(&$settings.elastic $(, $argument)*),
            $function(&$settings.bias_field $(, $argument)*),
            $function(&$settings.brightness $(, $argument)*),
            $function(&$settings.contrast $(, $argument)*),
            $function(&$settings.gamma $(, $argument)*),
            $function(&$settings.blur $(, $argument)*),
            $function(&$settings.low_resolution $(, $argument)*),
            $function(&$settings.noise $(, $argument)*),
        ]
    };
}

impl Augmentation {
    /// Whether any of the transforms may move voxels.
    pub fn is_spatial(&self) -> bool {
        self.turn.is_some() || self.flip.is_some() || self.affine.is_some() || self.elastic.is_some()
    }

    /// Checks the settings for patches of a shape.
    ///
    /// # Errors
    /// Names the first number that is out of range, or a turn that would change the shape of the patch.
    pub fn check(&self, shape: [usize; 3]) -> Result<()> {
        each!(self, check).into_iter().collect::<Result<()>>()?;
        match self.turn.and_then(|turn| turn.hindered(shape)) {
            None => Ok(()),
            Some(axis) => Err(AugmentError::Setting {
                field: "turn.probability".into(),
                problem: format!(
                    "asks for quarter turns about {}, but the other two sides of a patch of {shape:?} voxels differ; make them \
                     equal, or put 0 there",
                    ["i", "j", "k"][axis]
                ),
            }),
        }
    }
}

fn check<S: Setting>(setting: &Option<S>) -> Result<()> {
    let Some(setting) = setting else { return Ok(()) };
    in_range(&format!("{}.probability", S::NAME), setting.probability(), 0.0, 1.0)?;
    setting.check()
}

impl RandomTransform for Augmentation {
    type Drawn = Vec<Drawn>;

    fn draw(&self, shape: [usize; 3], draws: &mut Draws) -> Vec<Drawn> {
        let key = draws.next_u64();
        each!(self, draw, shape, key).into_iter().flatten().collect()
    }
}

fn draw<S: Setting>(setting: &Option<S>, shape: [usize; 3], key: u64) -> Option<Drawn> {
    let setting = setting.as_ref()?;
    let mut draws = Draws::new(key, S::NAME, 0, 0);
    draws.chance(setting.probability()).then(|| setting.draw(shape, &mut draws).into())
}

/// The name of the preset that it is, or those of its transforms.
impl fmt::Display for Augmentation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Self::NAMES.into_iter().find(|name| Self::named(name).as_ref() == Some(self)) {
            Some(name) => f.write_str(name),
            None => f.write_str(&each!(self, name).into_iter().flatten().collect::<Vec<_>>().join(", ")),
        }
    }
}

fn name<S: Setting>(setting: &Option<S>) -> Option<&'static str> {
    setting.as_ref().map(|_| S::NAME)
}

impl Serialize for Augmentation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Augmentation::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for Augmentation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NameOrTable)
    }
}

struct NameOrTable;

impl<'de> Visitor<'de> for NameOrTable {
    type Value = Augmentation;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a table of transforms, or one of {}", Augmentation::NAMES.join(", "))
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Augmentation, E> {
        Augmentation::named(name).ok_or_else(|| {
            let names = Augmentation::NAMES.join(", ");
            E::custom(format!(
                "there is no augmentation {name:?}; choose one of {names}, or give a table of transforms"
            ))
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Augmentation, A::Error> {
        Augmentation::deserialize(MapAccessDeserializer::new(map))
    }
}
