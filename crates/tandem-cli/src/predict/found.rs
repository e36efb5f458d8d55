//! The scans that a path stands for.

use super::cases::{Case, case};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use tandem_volume::dicom::holds_slices;
use tandem_volume::layout::ScanFolder;
use tandem_volume::stem;

/// Of a file, or of a folder of DICOM slices, the one scan. Of another folder every scan: as its layout says, where it has
/// one that is known, else each file of voxels and each folder of slices that lies directly in it.
///
/// # Errors
/// Where the path is that of no scan and of no folder with one, or the folder is `out` itself.
pub(super) fn scans_of(path: &Path, channels: usize, out: &Path) -> Result<Vec<Case>> {
    if !path.is_dir() || holds_slices(path)? {
        return Ok(vec![case(path, channels)?]);
    }
    if out.canonicalize().is_ok_and(|out| path.canonicalize().is_ok_and(|path| path == out)) {
        bail!("{} is the folder of the scans; choose another --out", out.display());
    }
    match ScanFolder::open(path) {
        Ok(folder) => of_layout(folder),
        // Without it no layout claims the folder, and any files will do.
        Err(_) if !path.join("dataset.json").exists() => directly_in(path, channels),
        Err(error) => Err(error.into()),
    }
}

fn of_layout(folder: ScanFolder) -> Result<Vec<Case>> {
    for fault in folder.faults() {
        eprintln!("warning: {}: {fault}", folder.path().display());
    }
    let folder = Rc::new(folder);
    let scans = folder.scans().iter().chain(folder.unlisted());
    let cases: Vec<Case> = scans.map(|scan| Case::of_layout(&folder, &scan.id, &scan.images)).collect();
    if cases.is_empty() {
        bail!("{} ({}) holds no scan that can be read", folder.path().display(), folder.layout());
    }
    Ok(cases)
}

/// In the order of their names.
fn directly_in(folder: &Path, channels: usize) -> Result<Vec<Case>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut paths = entries
        .map(|entry| Ok(entry.with_context(|| format!("cannot read {}", folder.display()))?.path()))
        .collect::<Result<Vec<PathBuf>>>()?;
    paths.sort();
    let mut cases: Vec<Case> = Vec::new();
    for path in &paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // Hidden files are leftovers of other programs.
        let is_scan = if name.starts_with('.') {
            false
        } else if path.is_dir() {
            holds_slices(path)?
        } else {
            stem(&name).is_some() && !is_second_half(&name, &paths)
        };
        if is_scan {
            let case = case(path, channels)?;
            // The channels of a case come one after the other.
            if cases.last().is_none_or(|last| last.files != case.files) {
                cases.push(case);
            }
        }
    }
    if cases.is_empty() {
        bail!(
            "{} holds no scans; give files (.nii, .nii.gz, .nrrd, .mha ...), a folder of DICOM slices, a folder with such \
             files or folders in it, or one that check-data knows",
            folder.display()
        );
    }
    Ok(cases)
}

/// Whether these are the voxels of a NIfTI pair, whose header lies beside them and stands for both.
fn is_second_half(name: &str, paths: &[PathBuf]) -> bool {
    let lower = name.to_ascii_lowercase();
    let Some(stem) = [".img", ".img.gz"].into_iter().find_map(|ending| lower.strip_suffix(ending)) else {
        return false;
    };
    let headers = [".hdr", ".hdr.gz"].map(|ending| format!("{stem}{ending}"));
    paths.iter().any(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        headers.contains(&name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLICES: &str = "../tandem-volume/tests/golden/dicom/explicit";

    /// The ids that a folder with these files stands for.
    fn check(files: &[&str], channels: usize) -> Result<Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        for name in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            match name.ends_with(".dcm") {
                false => std::fs::write(path, "").unwrap(),
                true => {
                    let slice = std::fs::read_dir(SLICES).unwrap().flatten().next().unwrap().path();
                    std::fs::copy(slice, path).map(drop).unwrap();
                }
            }
        }
        let found = scans_of(folder.path(), channels, Path::new("out"))?;
        Ok(found.into_iter().map(|case| case.id).collect())
    }

    #[test]
    fn a_folder_stands_for_the_files_and_series_in_it() {
        let files = ["b.nii.gz", "a.nrrd", "notes.txt", ".c.nii", "d.hdr", "d.img", "e/1.dcm", "f/g.nii"];
        assert_eq!(check(&files, 1).unwrap(), ["a", "b", "d", "e"]);
        let channels = ["a_0000.nii.gz", "a_0001.nii.gz", "b_0000.nii.gz", "b_0001.nii.gz"];
        assert_eq!(check(&channels, 2).unwrap(), ["a", "b"]);
    }

    #[test]
    fn a_folder_of_slices_is_one_scan() {
        let found = scans_of(Path::new(SLICES), 1, Path::new("out")).unwrap();
        assert_eq!((found.len(), found[0].id.as_str()), (1, "explicit"));
        assert_eq!(found[0].label(Path::new("out")), Path::new("out/explicit.nrrd"));
        // Whatever it is called.
        let found = scans_of(&Path::new(SLICES).join("."), 1, Path::new("out")).unwrap();
        assert_eq!(found[0].id, "explicit");
    }

    #[test]
    fn a_layout_says_which_files_are_scans() {
        assert_eq!(check(&["images/a.nii.gz", "labels/a.nii.gz", "images/b.nii"], 1).unwrap(), ["a", "b"]);
        assert_eq!(check(&["x/lgemri.nrrd", "x/laendo.nrrd", "y/lgemri.nrrd"], 1).unwrap(), ["x", "y"]);
    }

    #[test]
    fn a_folder_without_scans_is_an_error() {
        for files in [&[][..], &["notes.txt", "f/g.nii"]] {
            let error = check(files, 1).unwrap_err().to_string();
            assert!(error.contains("holds no scans; give files"), "{error}");
        }
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.mha"), "").unwrap();
        let error = scans_of(folder.path(), 1, folder.path()).unwrap_err().to_string();
        assert!(error.contains("is the folder of the scans"), "{error}");
    }
}
