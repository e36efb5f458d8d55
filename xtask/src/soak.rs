//! The long versions of tests, which `cargo test` runs short.

use anyhow::{Context, Result, bail};
use std::path::Path;

/// A soak: its name, what it does, and the package, the test binary and the tests of it that run.
static SOAKS: [(&str, &str, [&str; 3]); 4] = [
    ("hostile", "reads ten times the damaged files of every format", ["tandem-volume", "hostile", ""]),
    (
        "steps",
        "trains 2,000 steps and watches memory and open files",
        ["tandem-tests", "end_to_end", "steady::"],
    ),
    ("kill", "kills runs of three methods 50 times each", ["tandem-tests", "end_to_end", "kill::"]),
    (
        "faults",
        "lets every operation of a run on its folder fail, in every way",
        ["tandem-tests", "end_to_end", "faults::"],
    ),
];

/// Runs the soak of that name.
pub(crate) fn run(root: &Path, names: &[String]) -> Result<()> {
    let (name, _, [package, target, tests]) = find(names)?;
    let status = crate::cargo()
        .args(["test", "--package", package, "--all-features", "--test", target, "--", "--nocapture", tests])
        .env("TANDEM_SOAK", "full")
        .current_dir(root)
        .status()?;
    if !status.success() {
        bail!("the soak {name} failed (see above)");
    }
    Ok(())
}

/// Says why there is no such soak.
pub(crate) fn check(names: &[String]) -> Result<()> {
    find(names).map(drop)
}

fn find(names: &[String]) -> Result<&'static (&'static str, &'static str, [&'static str; 3])> {
    let known = || SOAKS.map(|(name, does, _)| format!("{name} ({does})")).join(", ");
    let [name] = names else { bail!("say which soak: cargo xtask soak NAME, of {}", known()) };
    let found = SOAKS.iter().find(|(known, ..)| known == name);
    found.with_context(|| format!("there is no soak {name:?}; there is: {}", known()))
}
