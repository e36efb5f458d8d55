//! A log read back: whatever of it can be read.

use crate::{Error, KernelsRecord, Result, SkippedRecord, ValidationRecord};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;
use std::path::Path;

/// What the log of a run says. Lines that are cut or that another version wrote are counted and left out: who looks at a run wants to
/// see the rest.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// Which kernels computed, in order.
    pub kernels: Vec<KernelsRecord>,
    /// The steps, in order.
    pub steps: Vec<LoggedStep>,
    /// The steps that were left out.
    pub skipped: Vec<SkippedRecord>,
    /// The validations, in order.
    pub validations: Vec<ValidationRecord>,
    /// Numbers of the lines, from 1, that could not be read.
    pub unread: Vec<usize>,
}

/// A line of a log that is a step (see [`StepRecord`](crate::StepRecord)).
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct LoggedStep {
    /// The step, counted from 0.
    pub step: u64,
    /// Learning rate of the step.
    pub learning_rate: f64,
    /// The loss of each trained network.
    #[serde(deserialize_with = "in_order")]
    pub losses: Vec<(String, Logged)>,
    /// The norm of each gradient; none in logs of older versions.
    #[serde(default, deserialize_with = "in_order")]
    pub gradient_norms: Vec<(String, Logged)>,
    /// The method's terms, in its order.
    #[serde(deserialize_with = "in_order")]
    pub terms: Vec<(String, Logged)>,
}

/// A number of a log, or why there is none.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Logged {
    /// A finite number.
    Value(f64),
    /// `NaN` or `inf`.
    NotFinite(String),
    /// A term without a value.
    Undefined {
        /// Why.
        undefined: String,
    },
}

impl Logged {
    /// The number, where there is one.
    pub fn value(&self) -> Option<f64> {
        if let Logged::Value(value) = self { Some(*value) } else { None }
    }

    /// Why there is none, where there is none.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Logged::Value(_) => None,
            Logged::NotFinite(reason) | Logged::Undefined { undefined: reason } => Some(reason),
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Kernels(KernelsRecord),
    Validation(ValidationRecord),
    Skipped(SkippedRecord),
    Step(LoggedStep),
}

impl History {
    /// Reads `log.jsonl`.
    ///
    /// # Errors
    /// Where the file cannot be read at all.
    pub fn read(log: &Path) -> Result<Self> {
        let bytes = std::fs::read(log).map_err(Error::io(log))?;
        let mut history = History::default();
        for (at, line) in bytes.split(|byte| *byte == b'\n').enumerate().filter(|(_, line)| !line.is_empty())
        {
            match serde_json::from_slice(line) {
                Ok(Line::Kernels(record)) => history.kernels.push(record),
                Ok(Line::Validation(record)) => history.validations.push(record),
                Ok(Line::Skipped(record)) => history.skipped.push(record),
                Ok(Line::Step(record)) => history.steps.push(record),
                Err(_) => history.unread.push(at + 1),
            }
        }
        Ok(history)
    }
}

/// A map as pairs in the order of the text.
fn in_order<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Vec<(String, Logged)>, D::Error> {
    struct Pairs;
    impl<'de> Visitor<'de> for Pairs {
        type Value = Vec<(String, Logged)>;

        fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
            formatter.write_str("names with numbers")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Self::Value, A::Error> {
            let mut pairs = Vec::new();
            while let Some(pair) = map.next_entry()? {
                pairs.push(pair);
            }
            Ok(pairs)
        }
    }
    deserializer.deserialize_map(Pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_read_is_read_in_order_and_the_rest_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log.jsonl");
        let text = concat!(
            r#"{"steps":0,"kernels":{"precision":"f32","cpu":"avx2"}}"#,
            "\n",
            r#"{"step":0,"learning_rate":0.01,"losses":{"vnet":1.5,"resnet34":"NaN"},"gradient_norms":{"vnet":2.0},"#,
            r#""terms":{"vnet/ce":0.25,"l_c/pull":{"undefined":"no candidate"}}}"#,
            "\n",
            r#"{"step":1,"learning_rate":0.01,"losses":{"vnet":1.0},"terms":{}}"#,
            "\n",
            r#"{"step":2,"skipped":"the loss of vnet is not finite"}"#,
            "\n",
            r#"{"steps":3,"validation":[]}"#,
            "\n",
            r#"{"what":"a later version says"}"#,
            "\n",
            r#"{"step":3,"learn"#,
        );
        std::fs::write(&log, [text.as_bytes(), b"\xff"].concat()).unwrap();
        let history = History::read(&log).unwrap();
        assert_eq!((history.kernels.len(), history.skipped.len(), history.validations.len()), (1, 1, 1));
        assert_eq!(history.unread, [6, 7]);
        let [first, second] = &history.steps[..] else { panic!("{history:?}") };
        let names: Vec<&str> = first.losses.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["vnet", "resnet34"], "not by their letters");
        assert_eq!((first.losses[0].1.value(), first.losses[1].1.reason()), (Some(1.5), Some("NaN")));
        assert_eq!(first.terms[1].1.reason(), Some("no candidate"));
        assert!(second.gradient_norms.is_empty(), "a log of an older version");
        assert!(History::read(&folder.path().join("none")).is_err());
    }
}
