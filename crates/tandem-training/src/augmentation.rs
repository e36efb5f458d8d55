//! How the patches of a run are changed at random.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use tandem_augment::{Augmentation, Crop, Drawn};

/// How patches are changed at random: each a table of transforms, or the name of a preset of [`Augmentation`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AugmentationConfig {
    /// What every patch goes through, its image and its label map alike. The paper: nothing but the random crop.
    #[serde(default)]
    pub patches: Augmentation,
    /// What its strong view goes through after that, for a method that asks for one. It may move no voxel. A run of such a method
    /// writes it down when it is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strong_view: Option<Augmentation>,
}

impl AugmentationConfig {
    /// What a strong view goes through: the preset `strong`, where nothing is said.
    pub fn strong_view(&self) -> Augmentation {
        self.strong_view.clone().unwrap_or_else(Augmentation::strong)
    }

    /// # Errors
    /// Where a setting is out of range or does not suit the patch, or the strong view would move voxels.
    pub(crate) fn check(&self, patch: [usize; 3]) -> Result<()> {
        let strong_view = self.strong_view();
        for (field, augmentation) in [("patches", &self.patches), ("strong_view", &strong_view)] {
            let named = |error: tandem_augment::AugmentError| {
                Error::config(format!("augmentation.{field}"), format!("is wrong: {error}"))
            };
            augmentation.check(patch).map_err(named)?;
        }
        if strong_view.is_spatial() {
            let problem = "must leave voxels where they are in the patch: move turn, flip, affine and elastic to \
                           augmentation.patches";
            return Err(Error::config("augmentation.strong_view", problem));
        }
        Ok(())
    }
}

/// What was drawn for a patch of a batch. Applied again, it gives the same bits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Augmented {
    /// The scan's id.
    pub case: String,
    /// What is read of it.
    pub crop: Crop,
    /// What the patch went through, in this order.
    pub patch: Vec<Drawn>,
    /// What its strong view went through after that, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strong_view: Option<Vec<Drawn>>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::config::tests::tiny;

    fn read(augmentation: serde_json::Value) -> Result<Config, String> {
        let mut config = serde_json::to_value(tiny()).unwrap();
        config["augmentation"] = augmentation;
        let config: Config = serde_json::from_value(config).map_err(|error| error.to_string())?;
        config.check().map_err(|error| error.to_string())?;
        Ok(config)
    }

    #[test]
    fn settings_without_it_keep_their_digest_and_those_with_it_keep_every_number() {
        assert!(!serde_json::to_string(&tiny()).unwrap().contains("augment"));
        let named =
            read(serde_json::json!({ "patches": "flips-and-turns", "strong_view": "strong" })).unwrap();
        assert_eq!(named.augmentation.patches, Augmentation::flips_and_turns());
        assert_eq!(named.augmentation.strong_view(), Augmentation::strong());
        assert_ne!(named.digest().unwrap(), tiny().digest().unwrap());
        let written = serde_json::to_string(&named).unwrap();
        assert!(written.contains("\"flip\"") && written.contains("\"exponent\":[0.7,1.5]"), "{written}");
        assert_eq!(serde_json::from_str::<Config>(&written).unwrap(), named);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let message = |augmentation| read(augmentation).unwrap_err();
        let unknown = message(serde_json::json!({ "patches": "mild" }));
        assert!(unknown.contains("\"mild\"") && unknown.contains("flips-and-turns"), "{unknown}");
        assert!(message(serde_json::json!({ "paches": "weak" })).contains("paches"));
        let range =
            message(serde_json::json!({ "patches": { "noise": { "probability": 1, "deviation": [1, 0] } } }));
        assert!(range.starts_with("augmentation.patches is wrong: noise.deviation is [1, 0]"), "{range}");
        let spatial = message(serde_json::json!({ "strong_view": "weak" }));
        assert!(
            spatial.starts_with("augmentation.strong_view must leave voxels where they are"),
            "{spatial}"
        );
        let mut config = read(serde_json::json!({ "patches": "flips-and-turns" })).unwrap();
        config.training.patch = [32, 16, 16];
        let sides = config.check().unwrap_err().to_string();
        assert!(sides.contains("about k") && sides.contains("[32, 16, 16]"), "{sides}");
    }
}
