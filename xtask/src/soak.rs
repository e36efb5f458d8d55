//! The long versions of tests, which `cargo test` runs short.

use anyhow::{Context, Result, bail};
use std::path::Path;

/// A test with a long version.
struct Soak {
    name: &'static str,
    package: &'static str,
    /// The test's binary, and which of its tests.
    test: [&'static str; 2],
}

const SOAKS: [Soak; 3] = [
    // Reads ten times the damaged files of every format.
    Soak { name: "hostile", package: "tandem-volume", test: ["hostile", ""] },
    // Kills a run of each of three methods 50 times and compares it with one that was never killed.
    Soak { name: "kill", package: "tandem-tests", test: ["end_to_end", "kill::"] },
    // Lets every operation of a run on its folder fail, in every way.
    Soak { name: "faults", package: "tandem-tests", test: ["end_to_end", "faults::"] },
];

/// Runs the soak of that name.
pub(crate) fn run(root: &Path, names: &[String]) -> Result<()> {
    let known = SOAKS.map(|soak| soak.name).join(", ");
    let [name] = names else { bail!("say which soak: cargo xtask soak NAME, with one of {known}") };
    let soak = SOAKS.iter().find(|soak| soak.name == name);
    let soak = soak.with_context(|| format!("there is no soak {name:?}; there are: {known}"))?;
    let [binary, filter] = soak.test;
    let status = crate::cargo()
        .args(["test", "--package", soak.package, "--all-features", "--test", binary])
        .args(["--", "--nocapture", filter])
        .env("TANDEM_SOAK", "full")
        .current_dir(root)
        .status()?;
    if !status.success() {
        bail!("the soak {name} failed (see above)");
    }
    Ok(())
}
