//! Which files are one scan, and where what is made of it goes.

use super::found;
use anyhow::{Result, bail};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use tandem_volume::layout::ScanFolder;
use tandem_volume::{Image, read_channels, stem};

/// Digits of a channel's number in a file's name, as nnU-Net has them.
const DIGITS: usize = 4;

/// Endings of NIfTI. What is made of other scans is NRRD, since NIfTI-1 rounds a grid to single precision.
const NIFTI: [&str; 6] = [".nii", ".nii.gz", ".hdr", ".hdr.gz", ".img", ".img.gz"];

/// One scan to be segmented.
#[derive(Clone, Debug)]
pub(super) struct Case {
    /// What the files that are made of it are named after.
    pub(super) id: String,
    /// The files (or the folder of slices) of its channels.
    pub(super) files: Vec<PathBuf>,
    /// The folder of a known layout that it was found in.
    pub(super) layout: Option<Rc<ScanFolder>>,
}

impl Case {
    /// A scan of a folder of a known layout.
    pub(super) fn of_layout(folder: &Rc<ScanFolder>, id: &str, images: &[String]) -> Self {
        let files = images.iter().map(|image| folder.path().join(image)).collect();
        Case { id: id.to_owned(), files, layout: Some(Rc::clone(folder)) }
    }

    /// The files, for messages.
    pub(super) fn name(&self) -> String {
        self.files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ")
    }

    /// The file in `folder` for the label map.
    pub(super) fn label(&self, folder: &Path) -> PathBuf {
        folder.join(format!("{}{}", self.id, self.ending()))
    }

    /// The file in `folder` for a map of `what`.
    pub(super) fn map(&self, folder: &Path, what: &str) -> PathBuf {
        folder.join(format!("{}_{what}{}", self.id, self.ending()))
    }

    /// The file in `folder` for the picture.
    pub(super) fn preview(&self, folder: &Path) -> PathBuf {
        folder.join(format!("{}.png", self.id))
    }

    fn ending(&self) -> &'static str {
        let name = self.files[0].file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        let ending = stem(&name).map_or("", |stem| &name[stem.len()..]);
        if NIFTI.contains(&ending) && !self.files[0].is_dir() { ".nii.gz" } else { ".nrrd" }
    }

    /// Reads the scan with all its channels.
    pub(super) fn read(&self) -> tandem_volume::Result<Image> {
        match self.layout.as_ref().and_then(|folder| Some((folder, folder.scan(&self.id)?))) {
            Some((folder, scan)) => folder.read_image(scan),
            None => read_channels(&self.files),
        }
    }
}

/// The scans that the command line names, for networks that take so many channels, each once. A file named
/// `CASE_0000.nii.gz`, or as any other channel of the case, stands for all of them where there are exactly so many; a
/// folder that is no DICOM series stands for every scan in it.
///
/// # Errors
/// Where a name is no scan's, a folder holds none, or two scans have one id.
pub(super) fn cases(scans: &[PathBuf], channels: usize, out: &Path) -> Result<Vec<Case>> {
    let mut cases: Vec<Case> = Vec::with_capacity(scans.len());
    let mut places = HashMap::new();
    for scan in scans {
        for case in found::scans_of(scan, channels, out)? {
            let place = *places.entry(case.id.clone()).or_insert(cases.len());
            match cases.get(place) {
                None => cases.push(case),
                Some(same) if same.files == case.files => {}
                Some(other) => bail!(
                    "{} and {} are both called {}; predict them into two folders",
                    other.name(),
                    case.name(),
                    case.id
                ),
            }
        }
    }
    Ok(cases)
}

/// Refuses files that would be written twice, or over a scan; `outputs` are those of a case.
pub(super) fn check_outputs(cases: &[Case], outputs: impl Fn(&Case) -> Vec<PathBuf>) -> Result<()> {
    let mut owners: HashMap<PathBuf, &Case> = HashMap::new();
    for case in cases {
        for output in outputs(case) {
            let there = output.canonicalize().ok();
            if there.is_some() && case.files.iter().any(|file| file.canonicalize().ok() == there) {
                bail!("{} would be overwritten by what is made of it; choose another --out", case.name());
            }
            let shown = output.display().to_string();
            if let Some(other) = owners.insert(output, case) {
                bail!(
                    "{} and {} would both be written to {shown}; predict them into two folders",
                    other.name(),
                    case.name()
                );
            }
        }
    }
    Ok(())
}

/// The scan of one file, or of one folder of slices.
///
/// # Errors
/// Where the name is that of no scan.
pub(super) fn case(scan: &Path, channels: usize) -> Result<Case> {
    let is_folder = scan.is_dir();
    // `.` and `..` have the name of the folder that they are.
    let whole = if is_folder { scan.canonicalize().ok() } else { None };
    let name = whole.as_deref().unwrap_or(scan).file_name().and_then(|name| name.to_str());
    let id = name.and_then(|name| if is_folder { Some(name) } else { stem(name) });
    let (Some(name), Some(id)) = (name, id.filter(|id| !id.is_empty())) else {
        bail!(
            "{}: scans are NIfTI, NRRD or MetaImage files (.nii, .nii.gz, .nrrd, .mha ...), or folders of DICOM slices",
            scan.display()
        );
    };
    if id.chars().any(char::is_control) {
        bail!("{}: the name has control characters; rename it", scan.display());
    }
    let ending = &name[id.len()..];
    if let Some(case) = numbered(id) {
        let channel = |number: usize| scan.with_file_name(format!("{case}_{number:0DIGITS$}{ending}"));
        let files: Vec<PathBuf> = (0..channels).map(channel).collect();
        if files.iter().any(|file| file == scan)
            && files.iter().all(|file| file.exists())
            && !channel(channels).exists()
        {
            return Ok(Case { id: case.to_owned(), files, layout: None });
        }
    }
    Ok(Case { id: id.to_owned(), files: vec![scan.to_owned()], layout: None })
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

    /// The files (by name) and the label map of each case, where the folder holds `files` and `scans` of them are named.
    fn check(files: &[&str], scans: &[&str], channels: usize) -> Result<Vec<(Vec<String>, String)>> {
        let folder = tempfile::tempdir().unwrap();
        files.iter().for_each(|name| std::fs::write(folder.path().join(name), "").unwrap());
        let scans: Vec<PathBuf> = scans.iter().map(|name| folder.path().join(name)).collect();
        let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
        let found = cases(&scans, channels, Path::new("out"))?;
        let label = |case: &Case| name(&case.label(Path::new("out")));
        Ok(found.iter().map(|case| (case.files.iter().map(name).collect(), label(case))).collect())
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
    fn a_scan_that_is_named_twice_is_taken_once() {
        assert_eq!(check(&["a.nii"], &["a.nii", "a.nii"], 1).unwrap().len(), 1);
    }

    #[test]
    fn what_would_be_lost_is_refused() {
        for (scans, message) in [(vec!["a.txt"], ".nii.gz"), (vec!["a.nii", "a.nrrd"], "two folders")] {
            let error = check(&[], &scans, 1).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
        let folder = tempfile::tempdir().unwrap();
        let scan = folder.path().join("a.nii.gz");
        std::fs::write(&scan, "").unwrap();
        let cases =
            |name: &str| cases(&[scan.clone(), folder.path().join(name)], 1, Path::new("out")).unwrap();
        let outputs = |out: PathBuf| move |case: &Case| vec![case.label(&out), case.map(&out, "entropy")];
        let error = check_outputs(&cases("b.nii"), outputs(folder.path().to_owned())).unwrap_err();
        assert!(error.to_string().contains("choose another --out"), "{error}");
        let error = check_outputs(&cases("a_entropy.nii"), outputs("out".into())).unwrap_err().to_string();
        assert!(error.contains("would both be written to out/a_entropy.nii.gz"), "{error}");
        check_outputs(&cases("b.nii"), outputs("out".into())).unwrap();
    }
}
