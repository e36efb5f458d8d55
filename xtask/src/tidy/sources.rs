//! Rules about source files.

use std::path::Path;

/// Longest file, tests included.
const LINES: usize = 800;

/// Names that say nothing about what is in a file.
const EMPTY_WORDS: [&str; 10] =
    ["manager", "helper", "helpers", "util", "utils", "base", "common", "engine", "handler", "misc"];

/// The one crate that may hold `unsafe` code.
const UNSAFE_CRATE: &str = "tandem-ops3d";

/// What is wrong with a file's name.
pub(super) fn name_complaint(path: &Path) -> Option<String> {
    let stem = path.file_stem()?.to_str()?;
    if path.file_name()? == "mod.rs" {
        return Some(format!("{}: modules are x.rs beside x/, not x/mod.rs", path.display()));
    }
    let empty =
        stem.split(['_', '-', '.']).find(|word| EMPTY_WORDS.contains(&word.to_lowercase().as_str()))?;
    Some(format!("{}: {empty:?} says nothing; name the file after what it holds", path.display()))
}

/// What is wrong with a Rust file.
pub(super) fn complaints(path: &Path, text: &str) -> Vec<String> {
    let shown = path.display();
    let mut found = Vec::new();
    let lines = text.lines().count();
    if lines > LINES {
        found.push(format!("{shown}: {lines} lines; split it below {LINES}"));
    }
    let fenced = path.components().any(|part| part.as_os_str() == UNSAFE_CRATE);
    if is_crate_root(path) && !fenced && !text.contains("#![forbid(unsafe_code)]") {
        found.push(format!("{shown}: write #![forbid(unsafe_code)]; only {UNSAFE_CRATE} may do without"));
    }
    // The tests of a module, moved to a file of their own, need no introduction.
    let is_tests = path.file_name().is_some_and(|name| name == "tests.rs");
    if !is_tests && !text.trim_start().starts_with("//!") {
        found.push(format!("{shown}: say at the top (//!) what this file is"));
    }
    found
}

fn is_crate_root(path: &Path) -> bool {
    let named = |name: &str| path.file_name().is_some_and(|file| file == name);
    let in_folder = |name: &str| path.parent().is_some_and(|folder| folder.ends_with(name));
    named("lib.rs") && in_folder("src")
        || named("main.rs") && in_folder("src")
        || path == Path::new("tests/main.rs")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, text: &str) -> Vec<String> {
        complaints(Path::new(path), text)
    }

    #[test]
    fn a_sound_file_passes() {
        assert!(check("crates/x/src/lib.rs", "//! A crate.\n#![forbid(unsafe_code)]\n").is_empty());
        assert!(check("crates/x/src/part.rs", "//! A part.\n").is_empty());
        assert_eq!(name_complaint(Path::new("crates/x/src/database.rs")), None);
    }

    #[test]
    fn long_files_are_found() {
        let text = format!("//! Long.\n{}", "\n".repeat(LINES));
        assert!(check("crates/x/src/part.rs", &text)[0].contains("801 lines"));
    }

    #[test]
    fn every_crate_root_but_one_forbids_unsafe_code() {
        for root in ["crates/x/src/lib.rs", "xtask/src/main.rs", "tests/main.rs"] {
            assert_eq!(check(root, "//! A crate.").len(), 1, "{root}");
        }
        assert!(check("crates/tandem-ops3d/src/lib.rs", "//! Operations.").is_empty());
    }

    #[test]
    fn files_without_a_first_sentence_are_found() {
        assert_eq!(check("crates/x/src/part.rs", "fn f() {}").len(), 1);
        assert!(check("crates/x/src/part/tests.rs", "use super::*;").is_empty());
    }

    #[test]
    fn empty_names_are_found() {
        for name in ["src/mod.rs", "src/io_utils.rs", "src/Helper.rs", "docs/common.md"] {
            assert!(name_complaint(Path::new(name)).is_some(), "{name}");
        }
    }
}
