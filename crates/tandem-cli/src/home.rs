//! Where the program keeps what it makes and finds what it is given.

use std::path::PathBuf;

/// The folder that holds `data/` and `runs/`.
pub(crate) struct Home(PathBuf);

impl Home {
    /// `TANDEM_HOME`, which `cargo xtask` sets to the workspace, or the folder that the program was started in.
    pub(crate) fn find() -> Self {
        Home(std::env::var_os("TANDEM_HOME").map_or_else(|| ".".into(), PathBuf::from))
    }

    /// The experiment definitions.
    pub(crate) fn experiments(&self) -> PathBuf {
        self.0.join("data/experiments")
    }

    /// The prepared datasets, one folder each.
    pub(crate) fn prepared(&self) -> PathBuf {
        self.0.join("data/prepared")
    }

    /// The run folders.
    pub(crate) fn runs(&self) -> PathBuf {
        self.0.join("runs")
    }
}
