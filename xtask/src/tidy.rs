//! The rules of the house that no compiler checks.
//!
//! Each rule is a function from text to complaints, with a sample in its tests that breaks it.

mod docs;
mod manifests;
mod sources;

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};

/// Checks every rule and prints what breaks one.
pub(crate) fn run(root: &Path) -> Result<()> {
    let mut complaints = Vec::new();
    let crates = manifests::read_all(root)?;
    let names: Vec<&str> = crates.iter().map(|manifest| manifest.name.as_str()).collect();
    for manifest in &crates {
        complaints.extend(manifests::complaints(manifest));
    }
    for path in files(root)? {
        let shown = path.strip_prefix(root).unwrap_or(&path);
        complaints.extend(sources::name_complaint(shown));
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("rs") => complaints.extend(sources::complaints(shown, &read(&path)?)),
            Some("md") => complaints.extend(docs::crate_complaints(shown, &read(&path)?, &names)),
            _ => {}
        }
    }
    let map = root.join("docs/architecture.md");
    complaints.extend(docs::unmapped_complaints(&read(&map)?, &names));
    report(&complaints, names.len())
}

/// The names of all crates of the workspace, this one included.
pub(crate) fn crate_names(root: &Path) -> Result<Vec<String>> {
    Ok(manifests::read_all(root)?.into_iter().map(|manifest| manifest.name).collect())
}

fn report(complaints: &[String], crates: usize) -> Result<()> {
    for complaint in complaints {
        eprintln!("tidy: {complaint}");
    }
    match complaints.len() {
        0 => println!("tidy: {crates} crates in order"),
        n => bail!("{n} breaches of the rules of the house"),
    }
    Ok(())
}

/// Every file of the repository, sorted; built, hidden and git-ignored folders are left out.
pub(crate) fn files(root: &Path) -> Result<Vec<PathBuf>> {
    const LEFT_OUT: [&str; 3] = ["target", "runs", "prepared"];
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).with_context(|| format!("{}", folder.display()))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with('.') || LEFT_OUT.contains(&name.as_str()) {
                continue;
            }
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("{}", path.display()))
}
