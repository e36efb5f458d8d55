//! How large each class is: `volumes.csv`, one row for each scan and class.

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::path::Path;
use tandem_training::csv_cell;
use tandem_volume::{Volume, write_whole};

/// The file in the folder of the predictions.
pub(super) const FILE: &str = "volumes.csv";

const HEADINGS: &str = "id,file,class,voxels,ml";

/// Held by who reads the file and writes it again. It stays there: what counts is the lock, not the file.
const LOCK: &str = ".volumes.lock";

/// The volume of one foreground class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct ClassVolume {
    /// The class's name, or its number where it has none.
    pub(super) class: String,
    /// Voxels of the label map.
    pub(super) voxels: u64,
    /// Their volume in ml.
    pub(super) ml: f64,
}

/// The volume of every foreground class; `names` are those of all classes.
pub(super) fn volumes(label: &Volume<u8>, names: &[String]) -> Vec<ClassVolume> {
    let mut counts = [0u64; 256];
    label.array().iter().for_each(|&class| counts[usize::from(class)] += 1);
    let voxel = label.geometry().spacing().iter().product::<f64>() / 1000.0;
    let of_class = |(name, voxels): (&String, u64)| ClassVolume {
        class: name.clone(),
        voxels,
        ml: voxels as f64 * voxel,
    };
    names.iter().zip(counts).skip(1).map(of_class).collect()
}

/// Enters the volumes of scans, given by id and label map: in place of the rows that the file has of them. Rows of other
/// scans stay, also where other processes write to the same folder at the same time.
///
/// # Errors
/// Where the file is another table, or cannot be read or written.
pub(super) fn enter(folder: &Path, scans: &[(&str, &str, &[ClassVolume])]) -> Result<()> {
    if scans.is_empty() {
        return Ok(());
    }
    // Where the file system has no locks, one process at a time is safe all the same.
    let _lock = locked(folder);
    let path = folder.join(FILE);
    let mut text = format!("{HEADINGS}\n");
    let starts: Vec<String> = scans.iter().map(|(id, ..)| format!("{},", csv_cell(id))).collect();
    for row in rows(&path)? {
        if !starts.iter().any(|start| row.starts_with(start)) {
            text += &row;
            text.push('\n');
        }
    }
    for (id, file, volumes) in scans {
        for ClassVolume { class, voxels, ml } in *volumes {
            let (id, file, class) = (csv_cell(id), csv_cell(file), csv_cell(class));
            let _ = writeln!(text, "{id},{file},{class},{voxels},{ml:.6}");
        }
    }
    write_whole(&path, text.as_bytes())?;
    Ok(())
}

/// Refuses a folder whose file of that name is another table.
pub(super) fn check(folder: &Path) -> Result<()> {
    rows(&folder.join(FILE)).map(drop)
}

/// The rows below the headings; none where there is no file.
fn rows(path: &Path) -> Result<Vec<String>> {
    let text = match std::fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        text => text.with_context(|| format!("cannot read {}", path.display()))?,
    };
    let mut lines = text.lines();
    if lines.next() != Some(HEADINGS) {
        bail!("{} does not begin with {HEADINGS}; move it away, or choose another --out", path.display());
    }
    Ok(lines.map(str::to_owned).collect())
}

fn locked(folder: &Path) -> std::io::Result<File> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(folder.join(LOCK))?;
    file.lock()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array3;
    use tandem_volume::Geometry;

    fn volume(class: &str, voxels: u64) -> ClassVolume {
        ClassVolume { class: class.to_owned(), voxels, ml: voxels as f64 / 8.0 }
    }

    #[test]
    fn voxels_are_counted_and_measured_class_by_class() {
        let array = Array3::from_shape_fn((4, 5, 6), |(i, j, _)| if i == 0 { 2 } else { u8::from(j == 1) });
        let label = Volume::new(array, Geometry::with_spacing([5.0, 10.0, 2.5]).unwrap());
        let names = ["background", "liver", "tumour", "cyst"].map(str::to_owned);
        let expected = [("liver", 18, 2.25), ("tumour", 30, 3.75), ("cyst", 0, 0.0)]
            .map(|(class, voxels, ml)| ClassVolume { class: class.to_owned(), voxels, ml });
        assert_eq!(volumes(&label, &names), expected);
    }

    #[test]
    fn rows_of_other_scans_stay_and_those_of_the_same_are_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let text = || std::fs::read_to_string(folder.path().join(FILE)).unwrap();
        let (liver, tumour) = (volume("liver", 8), volume("a, b", 4));
        enter(folder.path(), &[("a", "a.nii.gz", &[liver.clone(), tumour])]).unwrap();
        enter(folder.path(), &[("a,b", "a,b.nii.gz", std::slice::from_ref(&liver))]).unwrap();
        enter(folder.path(), &[("a", "a.nii.gz", &[volume("liver", 1)]), ("c", "c.nrrd", &[liver])]).unwrap();
        let expected = "id,file,class,voxels,ml\n\"a,b\",\"a,b.nii.gz\",liver,8,1.000000\na,a.nii.gz,liver,1,0.125000\n\
                        c,c.nrrd,liver,8,1.000000\n";
        assert_eq!(text(), expected);
    }

    #[test]
    fn scans_that_are_entered_at_the_same_time_are_all_there() {
        let folder = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let folder = folder.path();
                scope.spawn(move || {
                    for n in 0..5 {
                        let id = format!("{thread}-{n}");
                        enter(folder, &[(&id, "x", &[volume("1", n)])]).unwrap();
                    }
                });
            }
        });
        assert_eq!(rows(&folder.path().join(FILE)).unwrap().len(), 40);
    }

    #[test]
    fn another_table_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), "my,own\n1,2\n").unwrap();
        let message = check(folder.path()).unwrap_err().to_string();
        assert!(message.contains("does not begin with id,file,class,voxels,ml"), "{message}");
        assert!(enter(folder.path(), &[("a", "a", &[volume("1", 1)])]).is_err());
        assert_eq!(std::fs::read_to_string(folder.path().join(FILE)).unwrap(), "my,own\n1,2\n");
    }
}
