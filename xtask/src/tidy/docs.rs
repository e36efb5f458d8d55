//! Rules about Markdown pages: their links resolve, and the crates they name exist.

use std::path::Path;

/// Relative links that lead nowhere. `exists` says whether a path relative to the page does.
pub(super) fn link_complaints(page: &Path, text: &str, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for (number, line) in prose(text) {
        for link in links(line) {
            let path = link.split('#').next().unwrap_or("");
            let elsewhere = path.is_empty() || path.contains("://") || path.starts_with("mailto:");
            if !elsewhere && !exists(path) {
                found.push(format!("{}:{number}: the link to {path} leads nowhere", page.display()));
            }
        }
    }
    found
}

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

/// The lines outside of fenced code, numbered from 1.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        (!fence && !fenced).then_some((index + 1, line))
    })
}

/// The targets of `[text](target)` and `![text](target)`.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split(')').next()).map(|target| target.trim())
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
    fn dead_links_are_found_and_live_ones_pass() {
        let text = "See [a](there.md#part) and ![b](gone.png).\n[c](https://example.org) [d](#here)\n";
        let found = link_complaints(Path::new("x.md"), text, |link| link == "there.md");
        assert_eq!(found, ["x.md:1: the link to gone.png leads nowhere"]);
    }

    #[test]
    fn code_is_not_prose() {
        let text = "```\n[a](gone.md) `tandem-nowhere`\n```\n";
        assert!(link_complaints(Path::new("x.md"), text, |_| false).is_empty());
        assert!(crate_complaints(Path::new("x.md"), text, &[]).is_empty());
    }

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
