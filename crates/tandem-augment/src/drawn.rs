//! Any transform that an augmentation can draw.

use serde::{Deserialize, Serialize};

use crate::{
    Affine, BiasField, Blur, Brightness, Contrast, Elastic, Flip, Gamma, LowResolution, Noise, Patch,
    Transform, Turn,
};

macro_rules! drawn {
    ($($name:ident),*) => {
        /// A transform that was drawn: an entry of the log of what was done to a patch.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "transform", rename_all = "snake_case")]
        pub enum Drawn {
            $(#[doc = concat!("A [`", stringify!($name), "`].")] $name($name)),*
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

        $(impl From<$name> for Drawn {
            fn from(transform: $name) -> Self {
                Drawn::$name(transform)
            }
        })*
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
