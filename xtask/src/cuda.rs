//! The program for GPUs: how it is built, and what of it can be checked without one.
//!
//! Nothing of CUDA is needed to build it. Its libraries are opened at run time, and its kernels are compiled there by the compiler that
//! comes as one of them (NVRTC). That compiler needs no GPU, so where it is found the kernels are compiled here as well.

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The wheel of the compiler of kernels, and its version: a driver for CUDA 13 or later runs what it makes.
const COMPILER: [&str; 2] = ["nvidia-cuda-nvrtc", "13.0.88"];

/// Where the program looks for libraries first.
const FOLDERS: &str = "TANDEM_CUDA_LIBRARIES";

/// What the program may weigh, in MB: it is to be carried.
const LIMIT: u64 = 40;

/// Builds `target/tandem-cuda` and `target/tandem-bench-cuda`, and says what a machine needs to run them.
pub(crate) fn build(root: &Path) -> Result<()> {
    build_program(root, "tandem-bench", "tandem-bench")?;
    let program = build_program(root, "tandem-cli", "tandem")?;
    // It says itself what it has found here and where it looks.
    let status = Command::new(&program).args(["check-device", "--libraries"]).status()?;
    if !status.success() {
        bail!("target/tandem-cuda does not start");
    }
    Ok(())
}

/// Builds a program with the feature, stripped; returns where its copy lies.
fn build_program(root: &Path, package: &str, program: &str) -> Result<PathBuf> {
    // Flags for the program alone: all else is what any release build makes.
    let status = crate::cargo()
        .args(["rustc", "--release", "--package", package, "--bin", program, "--features", "cuda"])
        .args(["--", "-C", "strip=symbols"])
        .current_dir(root)
        .status()
        .context("cannot start cargo")?;
    if !status.success() {
        bail!("{program} does not build with CUDA (see above)");
    }
    let own = std::env::current_exe()?;
    let target = own.parent().and_then(Path::parent).context("xtask does not lie in a target folder")?;
    let name = format!("{program}-cuda");
    let copy = target.join(&name);
    std::fs::copy(target.join("release").join(program), &copy).with_context(|| format!("target/{name}"))?;
    let size = std::fs::metadata(&copy)?.len();
    println!("target/{name}: {:.1} MB", size as f64 / 1e6);
    if size > LIMIT * 1_000_000 {
        bail!("target/{name} is larger than {LIMIT} MB");
    }
    Ok(copy)
}

/// Compiles and lints the feature, compiles the kernels for five generations of GPUs, and runs the program's own check on the emulated
/// kernels.
pub(crate) fn check(root: &Path) -> Result<()> {
    const FEATURES: &str = "tandem-cli/cuda,tandem-cli/emulator";
    let lints =
        ["clippy", "--workspace", "--features", FEATURES, "--all-targets", "--quiet", "--", "-D", "warnings"];
    crate::ci::cargo(root, &lints, &[])?;
    // As the end-to-end tests build it, so that little is built anew.
    crate::ci::cargo(root, &["build", "--package", "tandem-cli", "--features", FEATURES, "--quiet"], &[])?;
    let own = std::env::current_exe()?;
    let program = own.parent().context("xtask lies in no folder")?.join("tandem");
    let check_device = |arguments: &[&str], libraries: Option<&Path>| -> Result<()> {
        println!("==> tandem check-device {}", arguments.join(" "));
        let mut command = Command::new(&program);
        command.arg("check-device").args(arguments).envs(libraries.map(|folder| (FOLDERS, folder)));
        if command.status()?.success() {
            Ok(())
        } else {
            bail!("check-device {}: failed", arguments.join(" "))
        }
    };
    match compiler(root) {
        Ok(libraries) => check_device(&["--compile"], Some(&libraries))?,
        // As with the tests that need the reference data: required where the gates are run for good.
        Err(error) if std::env::var("TANDEM_REFERENCE").as_deref() == Ok("required") => return Err(error),
        Err(error) => println!("==> the kernels for GPUs: SKIPPED, {error:#}"),
    }
    check_device(&["--emulated", "--steps", "3"], None)
}

/// The folder of the compiler of kernels: the one that is named, or that of the wheel, which is installed into a virtual environment in
/// the target folder.
fn compiler(root: &Path) -> Result<PathBuf> {
    if let Some(named) = std::env::var_os(FOLDERS) {
        return Ok(named.into());
    }
    let environment = root.join("target/cuda-python");
    let found = || -> Option<PathBuf> {
        let pythons = std::fs::read_dir(environment.join("lib")).ok()?;
        let of = |python: PathBuf| python.join("site-packages/nvidia/cu13/lib");
        pythons.filter_map(|python| Some(of(python.ok()?.path()))).find(|folder| folder.is_dir())
    };
    if let Some(folder) = found() {
        return Ok(folder);
    }
    let run = |program: &Path, arguments: &[&str]| -> Result<()> {
        let shown = format!("{} {}", program.display(), arguments.join(" "));
        println!("==> {shown}");
        let status = Command::new(program).args(arguments).status().with_context(|| shown.clone())?;
        if status.success() { Ok(()) } else { bail!("{shown}: failed") }
    };
    let [name, version] = COMPILER;
    let place = environment.to_string_lossy().into_owned();
    run(Path::new("python3"), &["-m", "venv", &place])?;
    let wheel = format!("{name}=={version}");
    run(&environment.join("bin/pip"), &["install", "--quiet", "--disable-pip-version-check", &wheel])?;
    found().with_context(|| format!("the wheel {wheel} has no library where it is expected"))
}
