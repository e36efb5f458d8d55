//! PyTorch's side: the fastest of its settings.

use super::turns::{Player, play};
use super::{objects, text};
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What an allocator for PyTorch is called, and where systems keep it.
const JEMALLOC: &str = "libjemalloc.so.2";
const FOLDERS: [&str; 6] = [
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
    "/usr/local/lib64",
    "/usr/local/lib",
];
/// With its own defaults it gives large blocks back at once, and PyTorch takes twice the time.
const MALLOC_CONF: &str =
    "oversize_threshold:1,background_thread:true,metadata_thp:auto,dirty_decay_ms:-1,muzzy_decay_ms:-1";

/// Where channels lie in memory: before the voxels, or at each.
const LAYOUTS: [&str; 2] = ["first", "last"];

/// Windows by which the settings of a whole scan are compared.
const PROBE_WINDOWS: usize = 4;

/// A Python with PyTorch.
pub(super) struct Peer {
    python: PathBuf,
    script: PathBuf,
    jemalloc: Option<PathBuf>,
}

impl Peer {
    /// Checks that PyTorch is there, and looks for an allocator for it.
    pub(super) fn new(python: PathBuf, root: &Path) -> Result<Self> {
        let status = Command::new(&python).args(["-c", "import torch"]).status();
        if !status.with_context(|| format!("--peer {}", python.display()))?.success() {
            bail!("--peer {}: cannot import torch", python.display());
        }
        let jemalloc =
            FOLDERS.iter().map(|folder| Path::new(folder).join(JEMALLOC)).find(|path| path.exists());
        if jemalloc.is_none() {
            eprintln!(
                "PyTorch runs with the system's allocator, which makes it slower: there is no {JEMALLOC} (Debian: libjemalloc2)"
            );
        }
        Ok(Peer { python, script: root.join("tests/peers/bench_torch.py"), jemalloc })
    }

    /// The allocator that it runs with.
    pub(super) fn allocator(&self) -> &'static str {
        if self.jemalloc.is_some() { "jemalloc" } else { "the system's allocator" }
    }

    /// For each result of a case that of the fastest setting, which it names.
    pub(super) fn best(&self, case: &Value) -> Result<Vec<Value>> {
        let mut best = Vec::new();
        match text(case, "kind") {
            "inference" => {
                for batch in [json!(1), case["batch"].clone()] {
                    self.try_layouts(case, json!({ "batch": batch, "windows": PROBE_WINDOWS }), &mut best)?;
                }
                self.try_compiled(case, &mut best)?;
                // The whole scan, by the setting that was fastest on some windows.
                for probe in std::mem::take(&mut best) {
                    let mut setting = probe["setting"].clone();
                    setting["windows"] = Value::Null;
                    self.attempt(case, &setting, &mut best)?;
                }
            }
            _ => {
                self.try_layouts(case, json!({}), &mut best)?;
                self.try_compiled(case, &mut best)?;
            }
        }
        Ok(best)
    }

    /// Our results of a case, and for each of them the peer's of its fastest layout, all measured in turn. `ours` is our side of it.
    pub(super) fn in_turn(&self, case: &Value, mut ours: Command) -> Result<(Vec<Value>, Vec<Value>)> {
        ours.arg("in-turn");
        let settings = LAYOUTS.map(|layout| json!({ "layout": layout, "in_turn": true }));
        let commands = settings.iter().map(|setting| self.command(case, setting));
        let mut players =
            [ours].into_iter().chain(commands).map(Player::start).collect::<Result<Vec<_>>>()?;
        let mut results = play(&mut players)?.into_iter();
        let own = results.next().unwrap_or_default();
        let mut best = Vec::new();
        for (setting, results) in settings.iter().zip(results) {
            results.into_iter().for_each(|result| keep(&mut best, result, setting));
        }
        Ok((own, best))
    }

    /// What a GPU can do at most.
    pub(super) fn limits(&self, case: &Value) -> Result<Vec<Value>> {
        let output = self.command(case, &json!({ "layout": "last" })).stderr(Stdio::inherit()).output()?;
        if !output.status.success() {
            bail!("PyTorch cannot measure the GPU (see above)");
        }
        objects(&output.stdout)
    }

    fn try_layouts(&self, case: &Value, mut setting: Value, best: &mut Vec<Value>) -> Result<()> {
        // On a GPU the one that experts take: every start costs seconds of a machine that is lent.
        let layouts: &[&str] = if text(case, "device") == "cuda" { &["last"] } else { &LAYOUTS };
        for layout in layouts {
            setting["layout"] = json!(layout);
            self.attempt(case, &setting, best)?;
        }
        Ok(())
    }

    /// Compiles the networks in the layout that is the fastest without.
    fn try_compiled(&self, case: &Value, best: &mut Vec<Value>) -> Result<()> {
        let Some(mut setting) = best.first().map(|result| result["setting"].clone()) else { return Ok(()) };
        setting["compile"] = json!(true);
        self.attempt(case, &setting, best)
    }

    fn command(&self, case: &Value, setting: &Value) -> Command {
        let mut command = Command::new(&self.python);
        command.arg(&self.script).arg(case.to_string()).arg(setting.to_string());
        if let Some(jemalloc) = &self.jemalloc {
            command.env("LD_PRELOAD", jemalloc).env("MALLOC_CONF", MALLOC_CONF);
        }
        command
    }

    /// Measures a case and keeps each result that is faster than what is there. A setting that fails is passed over.
    fn attempt(&self, case: &Value, setting: &Value, best: &mut Vec<Value>) -> Result<()> {
        let mut command = self.command(case, setting);
        let output = command.stderr(Stdio::piped()).output().with_context(|| format!("{command:?}"))?;
        if !output.status.success() {
            let errors = String::from_utf8_lossy(&output.stderr);
            let last = errors.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
            eprintln!("    PyTorch, {}: {}: {last}", named(setting), output.status);
            return Ok(());
        }
        objects(&output.stdout)?.into_iter().for_each(|result| keep(best, result, setting));
        Ok(())
    }
}

/// Says a result, and keeps it if it is faster than what is there.
fn keep(best: &mut Vec<Value>, mut result: Value, setting: &Value) {
    let seconds = result["seconds"].as_f64().unwrap_or(f64::NAN);
    eprintln!("    {}: PyTorch {seconds:.4} s ({})", text(&result, "case"), named(setting));
    result["setting"] = setting.clone();
    result["peer"] = json!("PyTorch");
    result["setting_name"] = json!(named(setting));
    keep_faster(best, result);
}

pub(super) fn keep_faster(best: &mut Vec<Value>, result: Value) {
    match best.iter_mut().find(|kept| kept["case"] == result["case"] && kept["peer"] == result["peer"]) {
        None => best.push(result),
        Some(kept) if result["seconds"].as_f64() < kept["seconds"].as_f64() => *kept = result,
        Some(_) => {}
    }
}

/// A setting in words.
fn named(setting: &Value) -> String {
    let mut words = vec![format!("channels {}", text(setting, "layout"))];
    if setting["compile"] == true {
        words.push("compiled".to_owned());
    }
    if let Some(batch) = setting["batch"].as_u64() {
        words.push(format!("{batch} at once"));
    }
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fastest_of_each_result_is_kept() {
        let mut best = Vec::new();
        for (case, seconds) in [("a", 3.0), ("b", 1.0), ("a", 2.0), ("b", 4.0)] {
            keep_faster(&mut best, json!({ "case": case, "seconds": seconds }));
        }
        let seconds: Vec<_> = best.iter().map(|result| result["seconds"].as_f64().unwrap()).collect();
        assert_eq!(seconds, [2.0, 1.0]);
    }

    #[test]
    fn settings_have_names() {
        let setting = json!({ "layout": "last", "compile": true, "batch": 4, "windows": null });
        assert_eq!(named(&setting), "channels last, compiled, 4 at once");
    }
}
