//! Builds `tandem` and runs it in a folder of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::sync::OnceLock;
use tempfile::TempDir;

/// A folder with its own `data/` and `runs/`, and the program to run there.
pub(crate) struct Program {
    home: TempDir,
}

/// How a run of the program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The exit code; `None` where a signal ended it.
    pub(crate) code: Option<i32>,
    /// What it said.
    pub(crate) stdout: String,
    /// Progress and errors.
    pub(crate) stderr: String,
}

impl Program {
    /// In an empty folder.
    pub(crate) fn new() -> Self {
        Program { home: tempfile::tempdir().expect("a temporary folder") }
    }

    /// In a folder where eight phantoms of 4 mm are prepared: 7 for training, 1 for the test.
    pub(crate) fn with_phantoms() -> Self {
        let program = Program::new();
        program.run(&["prepare-data", "phantom", "--cases", "8", "--spacing", "4"]).succeeded();
        program
    }

    /// A path in its folder.
    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.home.path().join(relative)
    }

    /// The command, not yet started.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(arguments).current_dir(self.home.path()).env("TANDEM_HOME", self.home.path());
        // Where it is set, errors of tensors carry a backtrace, and an error is no longer one line.
        command.env_remove("RUST_BACKTRACE");
        command
    }

    /// Runs it to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        self.command(arguments).output().expect("tandem starts").into()
    }
}

impl Ended {
    /// Panics with what the program said unless it succeeded.
    pub(crate) fn succeeded(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self
    }

    /// Panics unless it ended with an error of one line that holds all `words`, and not by a panic.
    pub(crate) fn refused(self, words: &[&str]) {
        assert_eq!(self.code, Some(1), "{self:#?}");
        let error = self.stderr.lines().last().unwrap_or_default();
        assert!(error.starts_with("error: "), "{self:#?}");
        for word in words {
            assert!(error.contains(word), "no {word:?} in {error:?}");
        }
        assert!(!self.stderr.contains("panicked"), "{self:#?}");
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ended { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

/// Sends a signal (`INT`, `TERM`) to a process and waits for its end.
pub(crate) fn signalled(child: Child, signal: &str) -> Output {
    let sent = Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status();
    assert!(sent.expect("kill").success(), "the process was over before the signal");
    child.wait_with_output().expect("the process ends")
}

/// The folder of the workspace.
pub(crate) fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the workspace")
}

/// The folder of what was built in the profile of this test.
pub(crate) fn built() -> &'static Path {
    binary().parent().expect("the program lies in a folder")
}

/// The program, built once in the profile of this test.
fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let own = std::env::current_exe().expect("this test is a file");
        // <target>/<profile>/deps/end_to_end-HASH
        let folder = own.ancestors().nth(2).expect("a profile's folder");
        let profile = match folder.file_name().and_then(|name| name.to_str()) {
            Some("debug") | None => "dev",
            Some(profile) => profile,
        };
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let status = Command::new(cargo)
            .args(["build", "--quiet", "--package", "tandem-cli", "--profile", profile])
            .current_dir(workspace())
            .status()
            .expect("cargo starts");
        assert!(status.success(), "tandem does not build");
        folder.join("tandem")
    })
}
