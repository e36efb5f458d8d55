//! Rules about Markdown pages: the crates they name exist.

use crate::markdown::prose;
use std::path::Path;

/// Names in backticks that look like crates of this workspace and are none.
pub(super) fn crate_complaints(page: &Path, text: &str, crates: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for (number, line) in prose(text) {
        for quoted in line.split('`').skip(1).step_by(2) {
            let name = crate_name(quoted);
            if name.starts_with("tandem-") && !crates.contains(&name) {
                found.push(format!("{}:{number}: there is no crate {name}", page.display()));
            }
        }
    }
    found
}

/// Crates that the map of the workspace leaves out.
pub(super) fn unmapped_complaints(map: &str, crates: &[&str]) -> Vec<String> {
    let missing = crates.iter().filter(|name| !map.contains(**name));
    missing.map(|name| format!("docs/architecture.md: says nothing about {name}")).collect()
}

/// The crate's name at the start of a quotation such as `tandem-volume/src/geometry.rs`.
fn crate_name(quoted: &str) -> &str {
    let quoted = quoted.strip_prefix("crates/").unwrap_or(quoted);
    let end = quoted.find(|c: char| !(c.is_ascii_alphanumeric() || c == '-')).unwrap_or(quoted.len());
    &quoted[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crates_that_do_not_exist_are_found() {
        let text = "`tandem-volume` and `crates/tandem-volume/src/lib.rs`\nbut `tandem-viewer`";
        let found = crate_complaints(Path::new("x.md"), text, &["tandem-volume"]);
        assert_eq!(found, ["x.md:2: there is no crate tandem-viewer"]);
    }

    #[test]
    fn crates_missing_from_the_map_are_found() {
        assert_eq!(unmapped_complaints("tandem-volume: files", &["tandem-volume", "tandem-cli"]).len(), 1);
    }
}
