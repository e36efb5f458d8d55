//! Every gate, cheapest first; the first failure ends it.

use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// The variable that forces a code path, and what it takes.
const FORCED: &str = "TANDEM_CPU";
const PATHS: [&str; 5] = ["portable", "avx2", "avx512", "avx512bf16", "amx"];

/// Unit tests, and the tests against golden numbers and of training: what depends on the path. They are picked by target, for
/// picked by package they would be built a second time, with other features of the crates below.
const ON_EVERY_PATH: [&str; 7] = ["test", "--workspace", "--lib", "--test", "golden", "--test", "training"];

pub(crate) fn run(root: &Path) -> Result<()> {
    cargo(root, &["fmt", "--all", "--check"], &[])?;
    println!("==> cargo xtask tidy");
    crate::tidy::run(root)?;
    cargo(root, &["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"], &[])?;
    cargo(root, &["doc", "--workspace", "--no-deps", "--quiet"], &[("RUSTDOCFLAGS", "-D warnings")])?;
    for name in crate::tidy::crate_names(root)? {
        cargo(root, &["check", "--package", &name, "--no-default-features", "--quiet"], &[])?;
    }
    println!("==> cargo xtask docs, without the tutorial");
    crate::docs::pages(root)?;
    downstream(root)?;
    test(root)?;
    crate::cuda::check(root)?;
    println!("all gates passed");
    Ok(())
}

/// Builds and tests a program outside of the workspace that embeds crates of it, of the versions that the workspace has.
fn downstream(root: &Path) -> Result<()> {
    let folder = root.join("tests/downstream");
    std::fs::copy(root.join("Cargo.lock"), folder.join("Cargo.lock"))
        .context("tests/downstream/Cargo.lock")?;
    let own = std::env::current_exe()?;
    let target = own.ancestors().nth(2).context("xtask lies in no target folder")?.display().to_string();
    let manifest = "tests/downstream/Cargo.toml";
    cargo(root, &["test", "--offline", "--quiet", "--manifest-path", manifest, "--target-dir", &target], &[])
}

/// All tests on the widest path of this processor, and those that depend on it on every narrower one.
fn test(root: &Path) -> Result<()> {
    let present = present_paths(root)?;
    let (widest, narrower) = present.split_last().context("the processor has no path at all")?;
    cargo(root, &["test", "--workspace"], &[(FORCED, widest.as_str())])?;
    for path in narrower {
        cargo(root, &ON_EVERY_PATH, &[(FORCED, path.as_str())])?;
    }
    for path in PATHS.iter().filter(|path| !present.iter().any(|present| present == *path)) {
        println!("==> {FORCED}={path}: SKIPPED, this processor lacks it");
    }
    if widest == "avx512bf16" {
        println!("==> but for the kernels' own tests, in which tiles are emulated:");
        cargo(root, &["test", "--package", "tandem-ops3d", "--lib"], &[(FORCED, "amx")])?;
    }
    Ok(())
}

/// The paths that can be forced here, narrowest first; `tandem-ops3d` knows.
fn present_paths(root: &Path) -> Result<Vec<String>> {
    // For the whole workspace, so that nothing is built with other features than the tests are.
    cargo(root, &["build", "--workspace", "--example", "cpu_paths", "--quiet"], &[])?;
    let own = std::env::current_exe()?;
    let folder = own.parent().context("xtask lies in no folder")?;
    let output =
        Command::new(folder.join("examples/cpu_paths")).output().context("cannot start cpu_paths")?;
    if !output.status.success() {
        bail!("the example cpu_paths failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?.lines().map(str::to_owned).collect())
}

pub(crate) fn cargo(root: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Result<()> {
    let set = environment.iter().map(|(name, value)| format!("{name}={value:?} "));
    let shown = format!("{}cargo {}", set.collect::<String>(), arguments.join(" "));
    println!("==> {shown}");
    let started = Instant::now();
    let status =
        crate::cargo().args(arguments).envs(environment.iter().copied()).current_dir(root).status()?;
    if !status.success() {
        bail!("{shown}: failed");
    }
    println!("    {:.0} s", started.elapsed().as_secs_f64());
    Ok(())
}
