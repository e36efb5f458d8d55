//! Builds programs of the workspace in release mode, and becomes `tandem`.

use anyhow::{Context, Result, bail};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

/// A build that takes longer than this is announced, so that nobody wonders.
const QUIET: Duration = Duration::from_secs(2);

/// Replaces this process by `tandem ARGUMENTS`. It keeps the folder it was called from, so that paths on the command
/// line mean what they say; where the workspace lies it learns from `TANDEM_HOME`.
pub(crate) fn become_it(root: &Path, arguments: &[String]) -> Result<()> {
    let binary = build(root, "tandem-cli", "tandem", None)?;
    let home = std::env::var_os("TANDEM_HOME").unwrap_or_else(|| root.into());
    let error = Command::new(binary).args(arguments).env("TANDEM_HOME", home).exec();
    Err(error).context("cannot start tandem")
}

/// Builds a package in release mode, with a feature or none; returns where its program lies.
pub(crate) fn build(root: &Path, package: &str, program: &str, feature: Option<&str>) -> Result<PathBuf> {
    let build = crate::cargo()
        .args(["build", "--release", "--quiet", "--package", package])
        .args(feature.iter().flat_map(|feature| ["--features", feature]))
        .current_dir(root)
        .spawn()
        .context("cannot start cargo")?;
    let status = wait_aloud(build, program)?;
    if !status.success() {
        bail!("{program} does not build (see above)");
    }
    // Cargo puts the release profile beside the profile that this program was built in.
    let own = std::env::current_exe()?;
    let target = own.parent().and_then(Path::parent).context("xtask does not lie in a target folder")?;
    Ok(target.join("release").join(program))
}

fn wait_aloud(mut build: Child, program: &str) -> Result<ExitStatus> {
    let started = Instant::now();
    let mut announced = false;
    loop {
        if let Some(status) = build.try_wait()? {
            return Ok(status);
        }
        if !announced && started.elapsed() > QUIET {
            eprintln!("building {program} in release mode (the first time takes some minutes) ...");
            announced = true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
