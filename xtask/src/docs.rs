//! Whether the pages are true: links lead somewhere, commands are understood, the tutorial runs, settings are as the code has them.

mod commands;
mod links;

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};

/// The page whose commands are carried out, in their order.
const TUTORIAL: &str = "docs/tutorial.md";

const USAGE: &str = "usage: cargo xtask docs [--renew]";

/// A Markdown page.
struct Page {
    /// Its path in the repository.
    path: PathBuf,
    text: String,
}

/// Checks the pages and runs the tutorial; with `--renew`, writes the page of settings first.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<()> {
    check(arguments)?;
    settings(root, !arguments.is_empty())?;
    pages(root)?;
    let text = std::fs::read_to_string(root.join(TUTORIAL)).context(TUTORIAL)?;
    commands::carry_out(root, &program(root)?, &text).context(TUTORIAL)
}

/// Says why the arguments are wrong.
pub(crate) fn check(arguments: &[String]) -> Result<()> {
    match arguments {
        [] => Ok(()),
        [renew] if renew == "--renew" => Ok(()),
        _ => bail!("{USAGE}"),
    }
}

/// Checks links and, without carrying them out, commands of all pages.
pub(crate) fn pages(root: &Path) -> Result<()> {
    let pages = read(root)?;
    let mut complaints = links::unlisted(&pages);
    complaints.extend(links::complaints(root, &pages));
    let commands = commands::of(&pages);
    complaints.extend(commands::complaints(root, &program(root)?, &commands)?);
    for complaint in &complaints {
        eprintln!("docs: {complaint}");
    }
    match complaints.len() {
        0 => println!("docs: {} pages and {} commands in order", pages.len(), commands.len()),
        n => bail!("{n} things on the pages are not true"),
    }
    Ok(())
}

fn read(root: &Path) -> Result<Vec<Page>> {
    let mut pages = Vec::new();
    for file in crate::tidy::files(root)? {
        if file.extension().is_some_and(|extension| extension == "md") {
            let text = std::fs::read_to_string(&file).with_context(|| format!("{}", file.display()))?;
            pages.push(Page { path: file.strip_prefix(root).unwrap_or(&file).to_owned(), text });
        }
    }
    Ok(pages)
}

/// The test that compares the page of settings with the code, or writes it anew.
fn settings(root: &Path, renew: bool) -> Result<()> {
    let mut test = crate::cargo();
    test.args(["test", "--workspace", "--quiet", "--test", "end_to_end", "--", "settings::"])
        .current_dir(root);
    if renew {
        test.env("TANDEM_RENEW", "settings");
    }
    if !test.status()?.success() {
        bail!("docs/settings.md is not what the code says (see above)");
    }
    Ok(())
}

/// `tandem`, built in the profile of the tests.
fn program(root: &Path) -> Result<PathBuf> {
    // For the whole workspace, so that nothing is built with other features than the tests are.
    let status = crate::cargo()
        .args(["build", "--workspace", "--bin", "tandem", "--quiet"])
        .current_dir(root)
        .status()
        .context("cannot start cargo")?;
    if !status.success() {
        bail!("tandem does not build (see above)");
    }
    let own = std::env::current_exe()?;
    Ok(own.parent().context("xtask lies in no folder")?.join("tandem"))
}
