//! Links between pages, and to files.

use super::Page;
use crate::markdown::{anchors, links, prose};
use std::path::{Component, Path, PathBuf};

/// The page that lists the others of its folder.
const INDEX: &str = "docs/README.md";

/// Pages beside the index that it does not list.
pub(super) fn unlisted(pages: &[Page]) -> Vec<String> {
    let Some(index) = pages.iter().find(|page| page.path == Path::new(INDEX)) else {
        return vec![format!("{INDEX} is not there")];
    };
    let listed: Vec<&str> = prose(&index.text).flat_map(|(_, line)| links(line)).collect();
    let beside =
        pages.iter().filter(|page| page.path.parent() == index.path.parent() && page.path != index.path);
    let name = |page: &Page| page.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let missing = beside.map(name).filter(|name| !listed.contains(&name.as_str()));
    missing.map(|name| format!("{INDEX}: does not list {name}")).collect()
}

/// Links to files that are not there, and to headings that a page does not have.
pub(super) fn complaints(root: &Path, pages: &[Page]) -> Vec<String> {
    let mut found = Vec::new();
    for page in pages {
        for (number, line) in prose(&page.text) {
            for link in links(line).filter(|link| !link.contains("://") && !link.starts_with("mailto:")) {
                if let Some(problem) = problem(root, pages, page, link) {
                    found.push(format!("{}:{number}: the link to {link} {problem}", page.path.display()));
                }
            }
        }
    }
    found
}

fn problem(root: &Path, pages: &[Page], page: &Page, link: &str) -> Option<&'static str> {
    let (path, anchor) = link.split_once('#').map_or((link, None), |(path, anchor)| (path, Some(anchor)));
    let path = match path {
        "" => page.path.clone(),
        path => plain(&page.path.with_file_name(path)),
    };
    if !root.join(&path).exists() {
        return Some("leads nowhere");
    }
    let known = |anchor: &str| {
        let target = pages.iter().find(|page| page.path == path);
        target.is_some_and(|target| anchors(&target.text).iter().any(|known| known == anchor))
    };
    anchor.is_some_and(|anchor| !known(anchor)).then_some("names a heading that is not there")
}

/// A path without `..`, so that it can be found among the pages.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            Component::CurDir => {}
            part => plain.push(part),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(path: &str, text: &str) -> Page {
        Page { path: path.into(), text: text.to_owned() }
    }

    #[test]
    fn pages_that_the_index_leaves_out_are_found() {
        let pages =
            [page(INDEX, "[a](a.md)"), page("docs/a.md", ""), page("docs/b.md", ""), page("docs/x/c.md", "")];
        assert_eq!(unlisted(&pages), ["docs/README.md: does not list b.md"]);
        assert_eq!(unlisted(&pages[1..]), ["docs/README.md is not there"]);
    }

    #[test]
    fn dead_links_are_found_and_live_ones_pass() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let pages = [
            page(
                "src/a.md",
                "[a](docs.rs) ![b](gone.png) [c](https://example.org#x)\n[d](../Cargo.toml) [e](#here)",
            ),
            page(
                "src/main.rs",
                "# Here\n[f](#here) [g](docs/../main.rs#here) [h](main.rs#gone)\n```\n[i](gone.md)\n```",
            ),
        ];
        let expected = [
            "src/a.md:1: the link to gone.png leads nowhere",
            "src/a.md:2: the link to #here leads nowhere",
            "src/main.rs:2: the link to main.rs#gone names a heading that is not there",
        ];
        assert_eq!(complaints(root, &pages), expected);
    }
}
