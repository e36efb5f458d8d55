//! The long versions of tests, which `cargo test` runs short.

use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::Command;

/// A soak, and what runs of it.
struct Soak {
    name: &'static str,
    does: &'static str,
    package: &'static str,
    /// Which of the package's test binaries.
    binary: &'static [&'static str],
    tests: &'static [&'static str],
    /// Whether the compiler's address sanitizer watches the emulated kernels.
    watched: bool,
}

const END_TO_END: &[&str] = &["--test", "end_to_end"];

static SOAKS: [Soak; 5] = [
    Soak {
        name: "hostile",
        does: "reads ten times the damaged files of every format",
        package: "tandem-volume",
        binary: &["--test", "hostile"],
        tests: &[],
        watched: false,
    },
    Soak {
        name: "steps",
        does: "trains 2,000 steps and watches memory and open files",
        package: "tandem-tests",
        binary: END_TO_END,
        tests: &["steady::"],
        watched: false,
    },
    Soak {
        name: "kill",
        does: "kills runs of three methods 50 times each",
        package: "tandem-tests",
        binary: END_TO_END,
        tests: &["kill::"],
        watched: false,
    },
    Soak {
        name: "faults",
        does: "lets every operation of a run on its folder fail, in every way",
        package: "tandem-tests",
        binary: END_TO_END,
        tests: &["faults::"],
        watched: false,
    },
    Soak {
        name: "kernels",
        does: "runs the emulated kernels of the GPU with every access to memory checked",
        package: "tandem-ops3d",
        binary: &["--lib"],
        tests: &["gpu::", "program::"],
        watched: true,
    },
];

/// Runs the soak of that name.
pub(crate) fn run(root: &Path, names: &[String]) -> Result<()> {
    let soak = find(names)?;
    let mut command = crate::cargo();
    command.args(["test", "--package", soak.package, "--all-features"]).args(soak.binary);
    if soak.watched {
        // The sanitizer's library must be the first of the test's process; cargo and what it builds do without.
        let runner = format!(
            "target.'cfg(all())'.runner = ['env', 'LD_PRELOAD={}', 'ASAN_OPTIONS=detect_leaks=0', 'CXXFLAGS=-fsanitize=address']",
            sanitizer()?
        );
        command.args(["--config", &runner]);
    }
    let status = command
        .args(["--", "--nocapture"])
        .args(soak.tests)
        .env("TANDEM_SOAK", "full")
        .current_dir(root)
        .status()?;
    if !status.success() {
        bail!("the soak {} failed (see above)", soak.name);
    }
    Ok(())
}

/// Where the compiler has its address sanitizer.
fn sanitizer() -> Result<String> {
    let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".to_owned());
    let asked = Command::new(&compiler).arg("-print-file-name=libasan.so").output();
    let output = asked.with_context(|| format!("no C++ compiler ({compiler})"))?;
    let path = String::from_utf8(output.stdout)?.trim().to_owned();
    if !Path::new(&path).is_absolute() {
        bail!(
            "{compiler} has no libasan.so, which this soak needs: install it, or name another compiler in CXX"
        );
    }
    Ok(path)
}

/// Says why there is no such soak.
pub(crate) fn check(names: &[String]) -> Result<()> {
    find(names).map(drop)
}

fn find(names: &[String]) -> Result<&'static Soak> {
    let known =
        || SOAKS.iter().map(|soak| format!("{} ({})", soak.name, soak.does)).collect::<Vec<_>>().join(", ");
    let [name] = names else { bail!("say which soak: cargo xtask soak NAME, of {}", known()) };
    SOAKS
        .iter()
        .find(|soak| soak.name == name)
        .with_context(|| format!("there is no soak {name:?}; there is: {}", known()))
}
