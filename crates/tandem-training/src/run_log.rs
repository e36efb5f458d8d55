//! The run log: one line of JSON a step, the same bytes for the same seed.

use crate::{Calibration, Error, Kernels, Result, SummaryRow};
use serde::de::DeserializeOwned;
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Seek, Write};
use std::path::{Path, PathBuf};
use tandem_objectives::Term;

/// What a step did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StepRecord {
    /// The step, counted from 0.
    pub step: u64,
    /// Learning rate of the step.
    pub learning_rate: f64,
    /// The loss of each trained network.
    #[serde(serialize_with = "as_map")]
    pub losses: Vec<(String, f32)>,
    /// The Euclidean norm of the gradient of each trained network that has one, before it is clipped.
    #[serde(serialize_with = "as_map")]
    pub gradient_norms: Vec<(String, f32)>,
    /// The method's terms, in its order. A term without a value is `{"undefined": reason}`.
    #[serde(serialize_with = "terms_as_map")]
    pub terms: Vec<(String, Term)>,
}

/// Which kernels compute from here on: the first line of a log, and another one where a run goes on with others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KernelsRecord {
    /// Steps done before.
    pub steps: u64,
    /// The kernels.
    pub kernels: Kernels,
}

/// A step that was left out, because something of it is not finite: in the log in place of its [`StepRecord`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SkippedRecord {
    /// The step, counted from 0.
    pub step: u64,
    /// What is not finite.
    pub skipped: String,
}

/// What a validation found: a line of the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValidationRecord {
    /// Steps done.
    pub steps: u64,
    /// Why the networks seem to have collapsed since an earlier validation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collapse: Option<String>,
    /// The scores.
    pub validation: Vec<SummaryRow>,
    /// Whether the ensemble was as often right as it was sure; none in logs of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Calibration>,
}

/// Writes lines of JSON to one file. It holds no wall-clock time, so that the same seed gives the same bytes.
#[derive(Debug)]
pub struct RunLog {
    path: PathBuf,
    file: BufWriter<File>,
    bytes: u64,
}

impl RunLog {
    /// Opens the log, and cuts what comes after its first `bytes` bytes (0 starts anew).
    ///
    /// # Errors
    /// Where the file cannot be opened or is shorter.
    pub fn open(path: &Path, bytes: u64) -> Result<Self> {
        let io = |source| Error::Io { path: path.to_owned(), source };
        let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(path).map_err(io)?;
        let length = file.metadata().map_err(io)?.len();
        if length < bytes {
            let problem = format!(
                "has {length} bytes, but the checkpoint was written after {bytes}; restore the log, or start the run anew"
            );
            return Err(Error::run_file(path, problem));
        }
        file.set_len(bytes).map_err(io)?;
        file.seek(std::io::SeekFrom::End(0)).map_err(io)?;
        Ok(RunLog { path: path.to_owned(), file: BufWriter::new(file), bytes })
    }

    /// Adds a line and hands it to the operating system, so that a reader can follow the run.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn write(&mut self, record: &impl Serialize) -> Result<()> {
        let mut line =
            serde_json::to_vec(record).map_err(|error| Error::run_file(&self.path, error.to_string()))?;
        line.push(b'\n');
        self.file.write_all(&line).and_then(|()| self.file.flush()).map_err(Error::io(&self.path))?;
        self.bytes += line.len() as u64;
        Ok(())
    }

    /// Says which kernels compute from here on, unless the log says so already.
    ///
    /// # Errors
    /// Where the file cannot be read or written.
    pub fn write_kernels(&mut self, record: &KernelsRecord) -> Result<()> {
        let known = self.kernels()?.last().is_some_and(|last| last.kernels == record.kernels);
        if known { Ok(()) } else { self.write(record) }
    }

    /// Which kernels computed the log's steps, in order.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn kernels(&self) -> Result<Vec<KernelsRecord>> {
        records(&self.path)
    }

    /// The steps that were left out, in order.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn skipped(&self) -> Result<Vec<SkippedRecord>> {
        records(&self.path)
    }

    /// The validations, in order.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn validations(&self) -> Result<Vec<ValidationRecord>> {
        records(&self.path)
    }

    /// Bytes written so far, those of before a resume included. Syncs them to the disk first.
    ///
    /// # Errors
    /// Where the file cannot be synced.
    pub fn synced_bytes(&mut self) -> Result<u64> {
        self.file.get_ref().sync_data().map_err(Error::io(&self.path))?;
        Ok(self.bytes)
    }
}

/// The lines of one kind of a log.
pub(crate) fn records<R: DeserializeOwned>(log: &Path) -> Result<Vec<R>> {
    let text = fs::read_to_string(log).map_err(Error::io(log))?;
    Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
}

fn as_map<S: Serializer>(pairs: &[(String, f32)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(pairs.iter().map(|(name, value)| (name, Number(*value))))
}

/// A number; where it is not finite, its name: JSON has no NaN, and it must not turn up as a silent null.
pub(crate) fn number<S: Serializer>(value: &f32, serializer: S) -> Result<S::Ok, S::Error> {
    if value.is_finite() {
        serializer.serialize_f32(*value)
    } else {
        serializer.serialize_str(&value.to_string())
    }
}

struct Number(f32);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        number(&self.0, serializer)
    }
}

fn terms_as_map<S: Serializer>(terms: &[(String, Term)], serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Undefined<'a> {
        undefined: &'a str,
    }
    let mut map = serializer.serialize_map(Some(terms.len()))?;
    for (name, term) in terms {
        match *term {
            Term::Value(value) if value.is_finite() => map.serialize_entry(name, &value)?,
            Term::Value(_) => map.serialize_entry(name, &Undefined { undefined: "not a finite number" })?,
            Term::Undefined(reason) => map.serialize_entry(name, &Undefined { undefined: reason })?,
        }
    }
    map.end()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Precision;

    fn record(step: u64) -> StepRecord {
        StepRecord {
            step,
            learning_rate: 0.01,
            losses: vec![("vnet".into(), 1.5), ("resnet34".into(), 0.1)],
            gradient_norms: vec![("vnet".into(), 2.0), ("resnet34".into(), f32::NAN)],
            terms: vec![
                ("vnet/ce".into(), Term::Value(0.25)),
                ("l_c/pull".into(), Term::Undefined("no candidate")),
                ("tau".into(), Term::Value(f64::NAN)),
            ],
        }
    }

    #[test]
    fn a_line_keeps_the_order_of_terms_and_says_what_is_undefined() {
        let line = serde_json::to_string(&record(3)).unwrap();
        let expected = concat!(
            r#"{"step":3,"learning_rate":0.01,"losses":{"vnet":1.5,"resnet34":0.1},"#,
            r#""gradient_norms":{"vnet":2.0,"resnet34":"NaN"},"#,
            r#""terms":{"vnet/ce":0.25,"l_c/pull":{"undefined":"no candidate"},"#,
            r#""tau":{"undefined":"not a finite number"}}}"#
        );
        assert_eq!(line, expected);
    }

    #[test]
    fn a_resumed_log_has_the_bytes_of_an_unbroken_one() {
        let folder = tempfile::tempdir().unwrap();
        let (straight, resumed) = (folder.path().join("straight"), folder.path().join("resumed"));
        let mut log = RunLog::open(&straight, 0).unwrap();
        (0..4).for_each(|step| log.write(&record(step)).unwrap());
        let mut log = RunLog::open(&resumed, 0).unwrap();
        (0..2).for_each(|step| log.write(&record(step)).unwrap());
        let bytes = log.synced_bytes().unwrap();
        // Steps after the checkpoint, lost with the process and done again.
        log.write(&record(2)).unwrap();
        let mut log = RunLog::open(&resumed, bytes).unwrap();
        (2..4).for_each(|step| log.write(&record(step)).unwrap());
        assert_eq!(fs::read(&straight).unwrap(), fs::read(&resumed).unwrap());
        assert_eq!(log.synced_bytes().unwrap(), fs::metadata(&straight).unwrap().len());
        assert!(RunLog::open(&resumed, 1 << 20).is_err());
    }
    #[test]
    fn kernels_are_said_where_they_change() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let on = |steps, precision, cpu: &str| KernelsRecord {
            steps,
            kernels: Kernels { precision, cpu: cpu.to_owned(), gpu: None },
        };
        let (tiles, without) = (on(0, Precision::Bf16, "amx"), on(2, Precision::Bf16, "avx512"));
        let mut log = RunLog::open(&path, 0).unwrap();
        log.write_kernels(&tiles).unwrap();
        (0..2).for_each(|step| log.write(&record(step)).unwrap());
        let bytes = log.synced_bytes().unwrap();
        // Gone on with the same kernels, then with others.
        let mut log = RunLog::open(&path, bytes).unwrap();
        log.write_kernels(&on(2, Precision::Bf16, "amx")).unwrap();
        assert_eq!(log.synced_bytes().unwrap(), bytes);
        log.write_kernels(&without).unwrap();
        log.write(&record(2)).unwrap();
        assert_eq!(log.kernels().unwrap(), [tiles, without]);
        let text = fs::read_to_string(&path).unwrap();
        assert!(
            text.starts_with("{\"steps\":0,\"kernels\":{\"precision\":\"bf16\",\"cpu\":\"amx\"}}\n"),
            "{text}"
        );
    }
}
