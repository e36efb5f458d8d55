//! Times and peak memory of Tandem and PyTorch, and of readers of scans, case by case in turn.
//!
//! The cases and our side of each are the program `tandem-bench`, PyTorch's side is `tests/peers/bench_torch.py`, that of
//! nibabel and SimpleITK `tests/peers/bench_read.py`; each measurement is a process of its own. Results go to
//! `target/bench/bench.json` and, where everything was measured, into docs/performance.md.

mod machine;
mod peer;
mod readers;
mod record;
mod tables;
mod turns;

use anyhow::{Context, Result, bail};
use peer::Peer;
use readers::Readers;
use regex_lite::Regex;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

const USAGE: &str = "\
usage: cargo xtask bench [--peer PYTHON] [--readers PYTHON] [--only REGEX] [--device cuda] [--program FILE]
  --peer PYTHON     measure PyTorch too, by this interpreter
  --readers PYTHON  measure nibabel and SimpleITK too, by this interpreter
  --only REGEX      only the cases whose `CASE PRECISION` matches, such as '^dual-48.* f32'; the table is printed, and
                    docs/performance.md stays as it is
  --device cuda     the cases that run on a GPU, PyTorch's on the same one; the table is printed
  --program FILE    a tandem-bench that was built elsewhere, as target/tandem-bench-cuda of cuda-build is
";

#[derive(Debug, Default)]
struct Options {
    peer: Option<PathBuf>,
    readers: Option<PathBuf>,
    only: Option<Regex>,
    cuda: bool,
    program: Option<PathBuf>,
}

pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<()> {
    let Some(options) = Options::parse(arguments)? else {
        print!("{USAGE}");
        return Ok(());
    };
    let peer = options.peer.map(|python| Peer::new(python, root)).transpose()?;
    let readers = options.readers.map(|python| Readers::new(python, root)).transpose()?;
    let device = if options.cuda { "cuda" } else { "cpu" };
    let features = if options.cuda { Some("cuda") } else { None };
    let (program, folder) = match options.program {
        Some(program) => (program, root.join("target/bench")),
        None => {
            let program = crate::tandem::build(root, "tandem-bench", "tandem-bench", features)?;
            let target = program.ancestors().nth(2).context("the program lies in no target folder")?;
            let folder = target.join("bench");
            (program, folder)
        }
    };
    std::fs::create_dir_all(&folder).with_context(|| format!("{}", folder.display()))?;
    let ours = || {
        let mut command = Command::new(&program);
        command.args(["--device", device]);
        command
    };

    let cases = lines(&mut ours())?;
    let (limits, cases): (Vec<_>, Vec<_>) = cases.into_iter().partition(|case| case["kind"] == "limits");
    let limits = limits.first().context("tandem-bench lists no limits")?;
    let mut machine = machine::describe(lines(ours().args(arguments_of(limits)?))?);
    if let (true, Some(peer)) = (options.cuda, &peer) {
        for limits in peer.limits(limits)? {
            machine::add(&mut machine, &limits);
        }
    }
    let cases: Vec<&Value> = cases.iter().filter(|case| is_wanted(case, options.only.as_ref())).collect();
    if cases.is_empty() {
        bail!("--only matches no case; `tandem-bench` lists them");
    }

    let started = Instant::now();
    let file = folder.join(if options.cuda { "bench-cuda.json" } else { "bench.json" });
    let earlier = if options.only.is_some() { read_json(&file)? } else { Vec::new() };
    let mut measured = Vec::new();
    for (index, case) in cases.iter().enumerate() {
        let mut own = ours();
        own.args(arguments_of(case)?).envs(threads(case));
        let (own, theirs) = match (&peer, &readers) {
            (_, Some(readers)) if case["kind"] == "scans" => (lines(&mut own)?, readers.best(case)?),
            (Some(peer), _) if case["kind"] == "layer" => peer.in_turn(case, own)?,
            (Some(peer), _) if case["peer"] == true => (lines(&mut own)?, peer.best(case)?),
            _ => (lines(&mut own)?, Vec::new()),
        };
        for result in own {
            let mut same: Vec<Option<&Value>> =
                theirs.iter().filter(|theirs| theirs["case"] == result["case"]).map(Some).collect();
            if same.is_empty() {
                same.push(None);
            }
            for theirs in same {
                if let Some(version) = theirs.and_then(|theirs| theirs.get("torch")) {
                    machine["torch"] = version.clone();
                }
                let record = record::new(case, &result, theirs, &machine);
                let minutes = started.elapsed().as_secs() / 60;
                println!("[{}/{}, {minutes} min] {}", index + 1, cases.len(), record::summary(&record));
                measured.push(record);
            }
        }
        // After every case, so that a run that is broken off leaves what it has.
        write_json(&file, &Value::Array(record::merged(earlier.clone(), measured.clone())))?;
    }
    if let Some(peer) = &peer {
        machine["allocator"] = json!(peer.allocator());
    }
    let table = tables::markdown(&machine, &measured);
    write_json(&folder.join("machine.json"), &machine)?;
    if options.only.is_some() || options.cuda {
        println!("\n{table}");
    } else {
        let page = root.join("docs/performance.md");
        let text = std::fs::read_to_string(&page).with_context(|| format!("{}", page.display()))?;
        std::fs::write(&page, tables::replaced(&text, &table)?)?;
        println!("docs/performance.md has the new table");
    }
    println!("{}", file.display());
    Ok(())
}

/// Says why the arguments are wrong.
pub(crate) fn check(arguments: &[String]) -> Result<()> {
    Options::parse(arguments).map(drop)
}

impl Options {
    /// None where help is asked for.
    fn parse(arguments: &[String]) -> Result<Option<Self>> {
        let mut options = Options::default();
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().with_context(|| format!("{argument} needs a value\n{USAGE}"));
            match argument.as_str() {
                "--peer" => options.peer = Some(value()?.into()),
                "--readers" => options.readers = Some(value()?.into()),
                "--only" => options.only = Some(Regex::new(value()?).context("--only")?),
                "--device" => match value()?.as_str() {
                    "cpu" => options.cuda = false,
                    "cuda" => options.cuda = true,
                    other => bail!("--device {other}: it is cpu or cuda\n{USAGE}"),
                },
                "--program" => options.program = Some(value()?.into()),
                "--help" | "-h" => return Ok(None),
                other => bail!("unknown argument {other}\n{USAGE}"),
            }
        }
        Ok(Some(options))
    }
}

/// Whether a case, or one of the results that a layer has, matches.
fn is_wanted(case: &Value, only: Option<&Regex>) -> bool {
    let (name, precision) = (text(case, "case"), text(case, "precision"));
    let parts: &[&str] = if case["kind"] == "layer" { &["", "-forward", "-both"] } else { &[""] };
    only.is_none_or(|only| parts.iter().any(|part| only.is_match(&format!("{name}{part} {precision}"))))
}

fn arguments_of(case: &Value) -> Result<[&str; 2]> {
    let name = case["case"].as_str().context("a case without a name")?;
    Ok([name, case["precision"].as_str().context("a case without a precision")?])
}

/// What makes our side take fewer threads.
fn threads(case: &Value) -> Option<(&'static str, String)> {
    Some(("RAYON_NUM_THREADS", case["threads"].as_u64()?.to_string()))
}

/// Runs a program that prints a JSON object a line.
fn lines(command: &mut Command) -> Result<Vec<Value>> {
    let shown = format!("{command:?}");
    let output = command.stderr(std::process::Stdio::inherit()).output().with_context(|| shown.clone())?;
    if !output.status.success() {
        bail!("{shown}: {}", output.status);
    }
    objects(&output.stdout).with_context(|| shown)
}

fn objects(output: &[u8]) -> Result<Vec<Value>> {
    let text = String::from_utf8_lossy(output);
    text.lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).with_context(|| line.to_owned()))
        .collect()
}

fn read_json(path: &Path) -> Result<Vec<Value>> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    serde_json::from_slice(&std::fs::read(path)?).with_context(|| format!("{}", path.display()))
}

fn write_json(path: &Path, value: &Value) -> Result<()> {
    let text = serde_json::to_string_pretty(value)? + "\n";
    std::fs::write(path, text).with_context(|| format!("{}", path.display()))
}

/// A text field, empty where there is none.
fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Option<Options>> {
        Options::parse(&arguments.iter().map(|a| (*a).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn arguments_are_read_and_wrong_ones_are_named() {
        let options = parse(&["--only", "dual", "--peer", "python3", "--readers", "py"]).unwrap().unwrap();
        assert_eq!(options.peer.unwrap(), Path::new("python3"));
        assert_eq!(options.readers.unwrap(), Path::new("py"));
        let options = parse(&["--device", "cuda", "--program", "target/tandem-bench-cuda"]).unwrap().unwrap();
        assert_eq!((options.cuda, options.program.unwrap()), (true, "target/tandem-bench-cuda".into()));
        assert!(parse(&["--device", "tpu"]).unwrap_err().to_string().contains("cpu or cuda"));
        assert!(parse(&["--help"]).unwrap().is_none());
        assert!(parse(&["--peer"]).unwrap_err().to_string().contains("--peer needs a value"));
        assert!(parse(&["--all"]).unwrap_err().to_string().contains("--all"));
        assert!(parse(&["--only", "("]).is_err());
    }

    #[test]
    fn a_part_of_a_layer_selects_the_layer() {
        let layer = json!({ "case": "layer-conv3", "precision": "bf16", "kind": "layer" });
        let wanted = |only| is_wanted(&layer, Some(&Regex::new(only).unwrap()));
        assert!(wanted("conv3-both bf16") && wanted("^layer-conv3 ") && is_wanted(&layer, None));
        assert!(!wanted("f32$|dual"));
        let dual = json!({ "case": "dual", "precision": "f32", "kind": "dual" });
        assert!(!is_wanted(&dual, Some(&Regex::new("both").unwrap())));
    }

    #[test]
    fn only_objects_are_read() {
        assert_eq!(objects(b"note\n{\"a\": 1}\n{\"a\": 2}\n").unwrap().len(), 2);
        assert!(objects(b"{\"a\"\n").is_err());
    }
}
