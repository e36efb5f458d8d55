//! Every gate, cheapest first; the first failure ends it.

use anyhow::{Result, bail};
use std::path::Path;
use std::time::Instant;

pub(crate) fn run(root: &Path) -> Result<()> {
    cargo(root, &["fmt", "--all", "--check"], &[])?;
    println!("==> cargo xtask tidy");
    crate::tidy::run(root)?;
    cargo(root, &["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"], &[])?;
    cargo(root, &["doc", "--workspace", "--no-deps", "--quiet"], &[("RUSTDOCFLAGS", "-D warnings")])?;
    for name in crate::tidy::crate_names(root)? {
        cargo(root, &["check", "--package", &name, "--no-default-features", "--quiet"], &[])?;
    }
    cargo(root, &["test", "--workspace"], &[])?;
    println!("all gates passed");
    Ok(())
}

fn cargo(root: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Result<()> {
    let shown = arguments.join(" ");
    println!("==> cargo {shown}");
    let started = Instant::now();
    let status =
        crate::cargo().args(arguments).envs(environment.iter().copied()).current_dir(root).status()?;
    if !status.success() {
        bail!("cargo {shown}: failed");
    }
    println!("    {:.0} s", started.elapsed().as_secs_f64());
    Ok(())
}
