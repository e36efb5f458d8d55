//! nibabel's and SimpleITK's side of reading scans: for each, the fastest of its settings.

use super::{objects, peer::keep_faster, text};
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Readers, and the ways that each has to z-scores in f32.
const WAYS: [(&str, &str); 4] =
    [("nibabel", "get_fdata"), ("nibabel", "unscaled"), ("SimpleITK", "numpy"), ("SimpleITK", "Normalize")];

/// A Python with both.
pub(super) struct Readers {
    python: PathBuf,
    script: PathBuf,
}

impl Readers {
    /// Checks that both are there.
    pub(super) fn new(python: PathBuf, root: &Path) -> Result<Self> {
        let status = Command::new(&python).args(["-c", "import nibabel, SimpleITK"]).status();
        if !status.with_context(|| format!("--readers {}", python.display()))?.success() {
            bail!("--readers {}: cannot import nibabel and SimpleITK", python.display());
        }
        Ok(Readers { python, script: root.join("tests/peers/bench_read.py") })
    }

    /// For each reader the result of its fastest setting, which it names.
    pub(super) fn best(&self, case: &Value) -> Result<Vec<Value>> {
        let mut best = Vec::new();
        for (reader, how) in WAYS {
            for share in ["processes", "threads"] {
                let setting = json!({ "reader": reader, "how": how, "share": share });
                let mut command = Command::new(&self.python);
                command.arg(&self.script).arg(case.to_string()).arg(setting.to_string());
                let output = command.output().with_context(|| format!("{command:?}"))?;
                if !output.status.success() {
                    let errors = String::from_utf8_lossy(&output.stderr);
                    eprintln!("    {reader}, {how}, {share}: {}: {errors}", output.status);
                    continue;
                }
                for mut result in objects(&output.stdout)? {
                    let version = text(&result, "version");
                    let name = format!("{reader} {version}, {how}, {share}");
                    eprintln!("    {}: {name}: {} s", text(&result, "case"), result["seconds"]);
                    result["peer"] = json!(reader);
                    result["setting_name"] = json!(name);
                    keep_faster(&mut best, result);
                }
            }
        }
        Ok(best)
    }
}
