//! Which files are one scan, and where its label map goes.

use anyhow::{Result, bail};
use std::path::{Path, PathBuf};
use tandem_volume::stem;

/// Digits of a channel's number in a file's name, as nnU-Net has them.
const DIGITS: usize = 4;

/// Endings of formats that keep their grid in double precision: so does NRRD, and NIfTI-1 does not.
const PRECISE: [&str; 4] = [".nrrd", ".nhdr", ".mha", ".mhd"];

/// One scan to be segmented.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Case {
    /// The files (or the folder of slices) of its channels.
    pub(super) files: Vec<PathBuf>,
    /// The file of its label map.
    pub(super) output: PathBuf,
}

/// The scans that the command line names, for networks that take so many channels, each once. A file named
/// `CASE_0000.nii.gz`, or as any other channel of the case, stands for all of them where there are exactly so many.
///
/// # Errors
/// Where a name is no scan's, or two scans, or a scan and its label map, would share a file.
pub(super) fn cases(scans: &[PathBuf], channels: usize, folder: &Path) -> Result<Vec<Case>> {
    let mut cases: Vec<Case> = Vec::with_capacity(scans.len());
    for scan in scans {
        let case = case(scan, channels, folder)?;
        if channels > 1 && cases.contains(&case) {
            continue;
        }
        if cases.iter().any(|other| other.output == case.output) {
            bail!("two scans would be written to {}; predict them into two folders", case.output.display());
        }
        let old = case.output.canonicalize().ok();
        if old.is_some() && case.files.iter().any(|file| file.canonicalize().ok() == old) {
            bail!("{} would be overwritten by its own label map; choose another --out", scan.display());
        }
        cases.push(case);
    }
    Ok(cases)
}

fn case(scan: &Path, channels: usize, folder: &Path) -> Result<Case> {
    let name = scan.file_name().and_then(|name| name.to_str()).filter(|name| !name.is_empty());
    let Some((name, id)) = name.and_then(|name| Some((name, if scan.is_dir() { name } else { stem(name)? })))
    else {
        bail!(
            "{}: scans are NIfTI, NRRD or MetaImage files (.nii, .nii.gz, .nrrd, .mha ...), or folders of DICOM slices",
            scan.display()
        );
    };
    let ending = &name[id.len()..];
    let precise = ending.is_empty() || PRECISE.contains(&ending.to_ascii_lowercase().as_str());
    let output = |id: &str| folder.join(format!("{id}.{}", if precise { "nrrd" } else { "nii.gz" }));
    if let Some(case) = numbered(id) {
        let channel = |number: usize| scan.with_file_name(format!("{case}_{number:0DIGITS$}{ending}"));
        let files: Vec<PathBuf> = (0..channels).map(channel).collect();
        if files.iter().any(|file| file == scan)
            && files.iter().all(|file| file.exists())
            && !channel(channels).exists()
        {
            return Ok(Case { files, output: output(case) });
        }
    }
    Ok(Case { files: vec![scan.to_owned()], output: output(id) })
}

/// The name of a case without the number of a channel; `None` where there is no number.
fn numbered(id: &str) -> Option<&str> {
    let (case, number) = id.rsplit_once('_')?;
    let is_number = number.len() == DIGITS && number.bytes().all(|byte| byte.is_ascii_digit());
    (is_number && !case.is_empty()).then_some(case)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The files (by name) and the output of each case, where the folder holds `files` and `scans` of them are named.
    fn check(files: &[&str], scans: &[&str], channels: usize) -> Result<Vec<(Vec<String>, String)>> {
        let folder = tempfile::tempdir().unwrap();
        files.iter().for_each(|name| std::fs::write(folder.path().join(name), "").unwrap());
        let scans: Vec<PathBuf> = scans.iter().map(|name| folder.path().join(name)).collect();
        let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
        let found = cases(&scans, channels, Path::new("out"))?;
        Ok(found.iter().map(|case| (case.files.iter().map(name).collect(), name(&case.output))).collect())
    }

    fn case(files: &[&str], output: &str) -> (Vec<String>, String) {
        (files.iter().map(|&name| name.to_owned()).collect(), output.to_owned())
    }

    #[test]
    fn label_maps_are_named_after_their_scans_and_keep_their_precision() {
        let found = check(&[], &["a.nrrd", "b.x.nii", "c.HDR", "d.mha"], 1).unwrap();
        let expected = [
            case(&["a.nrrd"], "a.nrrd"),
            case(&["b.x.nii"], "b.x.nii.gz"),
            case(&["c.HDR"], "c.nii.gz"),
            case(&["d.mha"], "d.nrrd"),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn the_channels_of_a_case_are_found_and_taken_once() {
        let two = ["a_0000.nii.gz", "a_0001.nii.gz"];
        let joined = [case(&two, "a.nii.gz")];
        assert_eq!(check(&two, &two[..1], 2).unwrap(), joined);
        assert_eq!(check(&two, &two[1..], 2).unwrap(), joined);
        assert_eq!(check(&two, &two, 2).unwrap(), joined);
        // One channel too few or too many, or another ending: not a case of this network.
        assert_eq!(check(&two, &two[..1], 3).unwrap(), [case(&two[..1], "a_0000.nii.gz")]);
        assert_eq!(check(&two, &two, 1).unwrap().len(), 2);
        assert_eq!(check(&["a_0000.nii", "a_0001.nii.gz"], &["a_0000.nii"], 2).unwrap()[0].0.len(), 1);
        // One channel, named as nnU-Net names it.
        assert_eq!(check(&two[..1], &two[..1], 1).unwrap(), [case(&two[..1], "a.nii.gz")]);
    }

    #[test]
    fn what_is_no_channel_number_stays_in_the_name() {
        for name in ["a_000.nii", "a_00000.nii", "_0000.nii", "a_000x.nii", "a0000.nii"] {
            assert_eq!(check(&[name], &[name], 1).unwrap()[0].1, name.to_owned() + ".gz");
        }
    }

    #[test]
    fn what_would_be_lost_is_refused() {
        for (scans, message) in [(vec!["a.txt"], ".nii.gz"), (vec!["a.nii", "a.nii.gz"], "two folders")] {
            let error = check(&[], &scans, 1).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
        let folder = tempfile::tempdir().unwrap();
        let scan = folder.path().join("a.nii.gz");
        std::fs::write(&scan, "").unwrap();
        assert!(cases(std::slice::from_ref(&scan), 1, folder.path()).is_err());
    }

    #[test]
    fn a_folder_of_slices_is_a_scan() {
        let folder = tempfile::tempdir().unwrap();
        let series = folder.path().join("patient.7");
        std::fs::create_dir(&series).unwrap();
        let found = cases(std::slice::from_ref(&series), 1, Path::new("out")).unwrap();
        assert_eq!(found, [Case { files: vec![series], output: PathBuf::from("out/patient.7.nrrd") }]);
        assert!(cases(&[PathBuf::from("..")], 1, Path::new("out")).is_err(), "no name to give");
    }
}
