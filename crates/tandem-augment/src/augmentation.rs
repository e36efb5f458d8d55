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
    AugmentError, Patch, RandomAffine, RandomBiasField, RandomBlur, RandomBrightness, RandomContrast,
    RandomElastic, RandomFlip, RandomGamma, RandomLowResolution, RandomNoise, RandomTransform, RandomTurn,
    Result, Transform,
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

macro_rules! drawn {
    ($($name:ident),*) => {
        /// A transform that was drawn: a line of the log of what was done to a patch.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "transform", rename_all = "snake_case")]
        pub enum Drawn {
            $(#[doc = concat!("A [`", stringify!($name), "`](crate::", stringify!($name), ").")] $name(crate::$name)),*
        }

        impl Transform for Drawn {
            fn apply(&self, patch: Patch) -> Patch {
                match self {
                    $(Drawn::$name(transform) => transform.apply(patch)),*
                }
            }

            fn is_spatial(&self) -> bool {
                match self {
                    $(Drawn::$name(transform) => transform.is_spatial()),*
                }
            }
        }
    };
}

drawn!(Turn, Flip, Affine, Elastic, BiasField, Brightness, Contrast, Gamma, Blur, LowResolution, Noise);

/// One transform after the other.
impl Transform for Vec<Drawn> {
    fn apply(&self, patch: Patch) -> Patch {
        self.iter().fold(patch, |patch, transform| transform.apply(patch))
    }

    fn is_spatial(&self) -> bool {
        self.iter().any(Transform::is_spatial)
    }
}

impl RandomTransform for Augmentation {
    type Drawn = Vec<Drawn>;

    fn draw(&self, shape: [usize; 3], draws: &mut Draws) -> Vec<Drawn> {
        let of = Key { key: draws.next_u64(), shape };
        let drawn = [
            of.draw(&self.turn, Drawn::Turn),
            of.draw(&self.flip, Drawn::Flip),
            of.draw(&self.affine, Drawn::Affine),
            of.draw(&self.elastic, Drawn::Elastic),
            of.draw(&self.bias_field, Drawn::BiasField),
            of.draw(&self.brightness, Drawn::Brightness),
            of.draw(&self.contrast, Drawn::Contrast),
            of.draw(&self.gamma, Drawn::Gamma),
            of.draw(&self.blur, Drawn::Blur),
            of.draw(&self.low_resolution, Drawn::LowResolution),
            of.draw(&self.noise, Drawn::Noise),
        ];
        drawn.into_iter().flatten().collect()
    }
}

/// What the draws of a patch are keyed by.
struct Key {
    key: u64,
    shape: [usize; 3],
}

impl Key {
    fn draw<S: Setting>(&self, setting: &Option<S>, drawn: fn(S::Drawn) -> Drawn) -> Option<Drawn> {
        let setting = setting.as_ref()?;
        let mut draws = Draws::new(self.key, S::NAME, 0, 0);
        draws.chance(setting.probability()).then(|| drawn(setting.draw(self.shape, &mut draws)))
    }
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
        check(&self.turn)?;
        check(&self.flip)?;
        check(&self.affine)?;
        check(&self.elastic)?;
        check(&self.bias_field)?;
        check(&self.brightness)?;
        check(&self.contrast)?;
        check(&self.gamma)?;
        check(&self.blur)?;
        check(&self.low_resolution)?;
        check(&self.noise)?;
        match self.turn.and_then(|turn| turn.hindered(shape).next()) {
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
