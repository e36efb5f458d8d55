//! The long versions of tests, which `cargo test` runs short.

use anyhow::{Result, bail};
use std::path::Path;

/// Runs the soak of that name: `hostile` reads ten times the damaged files of every format.
pub(crate) fn run(root: &Path, names: &[String]) -> Result<()> {
    let [name] = names else { bail!("say which soak: cargo xtask soak hostile") };
    let package = match name.as_str() {
        "hostile" => "tandem-volume",
        other => bail!("there is no soak {other:?}; there is: hostile"),
    };
    let status = crate::cargo()
        .args(["test", "--package", package, "--all-features", "--test", name])
        .env("TANDEM_SOAK", "full")
        .current_dir(root)
        .status()?;
    if !status.success() {
        bail!("the soak {name} failed (see above)");
    }
    Ok(())
}
