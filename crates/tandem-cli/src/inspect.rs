//! `tandem inspect`: what is in a scan's file.

use crate::output::say;
use anyhow::Result;
use std::path::PathBuf;
use std::process::ExitCode;
use tandem_volume::inspect::{Inspection, Values, inspect};

const EXAMPLES: &str = "Examples:
  tandem inspect scan.nii.gz
  tandem inspect dicom-series/ --json";

/// Says what a scan's file holds: its grid, its voxels, what the header claims and how contradictions were taken.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The scan: NIfTI, NRRD, MetaImage, HDF5, or a folder with one DICOM series.
    scan: PathBuf,
    /// Says it in JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let found = inspect(&arguments.scan)?;
    if arguments.json {
        say(serde_json::to_string_pretty(&found)?);
    } else {
        say(lines(&found).join("\n"));
    }
    Ok(ExitCode::SUCCESS)
}

fn lines(found: &Inspection) -> Vec<String> {
    let line = |name: &str, value: String| format!("{name:<12} {value}");
    let mut lines = vec![line("format", found.format.clone()), line("shape", format!("{:?}", found.shape))];
    if found.channels > 1 {
        lines.push(line("channels", found.channels.to_string()));
    }
    match &found.grid {
        Some(grid) => {
            lines.push(line("spacing", format!("{:?} mm", grid.spacing)));
            lines.push(line("orientation", grid.orientation.to_string()));
            let rows = grid.affine.iter().enumerate();
            lines.extend(rows.map(|(n, row)| {
                line(if n == 0 { "affine" } else { "" }, row.map(|value| format!("{value:>12.6}")).join(" "))
            }));
        }
        None => lines.push(line("grid", "none in this format".to_owned())),
    }
    lines.push(line("voxels", values(&found.voxels)));
    lines.extend(found.label.iter().map(|label| line("label", values(label))));
    lines.extend(found.mended.iter().map(|note| line("mended", note.clone())));
    lines.push("the header says".to_owned());
    lines.extend(found.claims.iter().map(|(name, value)| format!("  {name}: {value}")));
    lines
}

fn values(values: &Values) -> String {
    let mut text = values.scalar.clone();
    if let Some((slope, intercept)) = values.scaling {
        text += &format!(" * {slope} + {intercept}");
    }
    if let (Some(minimum), Some(maximum), Some(mean)) = (values.minimum, values.maximum, values.mean) {
        text += &format!(", {minimum} to {maximum}, sum {}, mean {mean}", values.sum);
    }
    if values.not_finite > 0 {
        text += &format!(", {} not finite", values.not_finite);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array3;
    use tandem_volume::{Geometry, Volume, write_image};

    #[test]
    fn people_see_grid_voxels_and_header() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("scan.nii");
        let mut array = Array3::from_elem((2, 3, 4), 1.5f32);
        array[[1, 2, 3]] = f32::INFINITY;
        write_image(&path, &Volume::new(array, Geometry::with_spacing([0.5, 1.0, 2.0]).unwrap())).unwrap();
        let text = lines(&inspect(&path).unwrap()).join("\n");
        for part in [
            "shape        [2, 3, 4]",
            "spacing      [0.5, 1.0, 2.0] mm",
            "orientation  RAS",
            "affine           0.500000     0.000000",
            "voxels       f32, 1.5 to 1.5, sum 34.5, mean 1.5, 1 not finite",
            "  datatype: 16",
        ] {
            assert!(text.contains(part), "{text} lacks {part:?}");
        }
        assert!(!text.contains("mended"), "{text}");
    }
}
