//! The 3-D viewer: NiiVue and the volumes that it shows, packed into the file.

use crate::case::{Scan, prediction_classes};
use crate::html::{base64, escaped};
use crate::window::grey;
use crate::{Result, window};
use flate2::Compression;
use flate2::write::GzEncoder;
use ndarray::{Array3, ArrayView3, Axis, Slice};
use serde::Serialize;
use std::fmt::Write as _;
use std::io::Write;

/// NiiVue 0.69.0: `dist/niivue.umd.js` of the npm package `@niivue/niivue`, unchanged (SHA-256 of the unpacked file
/// 47b896b77ec4a5be3ef1949c33ad393b6f45629921f326c279000bcf51bdb4af), by `gzip -9n`.
const NIIVUE: &[u8] = include_bytes!("../assets/niivue.umd.js.gz");
/// Its licence, BSD-2-Clause, and those of what is in it.
pub(crate) const LICENCES: &str = include_str!("../assets/niivue.licences.txt");

/// How many bytes of the file the volumes of one case take, at most; larger ones are shown at half the resolution along one axis, and again. Three
/// cases, the viewer and the slices then stay below 15 MB.
const LIMIT: usize = 4_000_000;

/// Scans to look at in three dimensions.
#[derive(Clone, Debug, Default)]
pub struct Viewer {
    cases: Vec<(String, String)>,
    notes: Vec<String>,
}

/// What the script of the page reads.
#[derive(Serialize)]
struct Case<'a> {
    shape: [usize; 3],
    spacing: [f64; 3],
    /// The voxel that is looked at first, in shares of the sides.
    place: [f64; 3],
    layers: Vec<Layer<'a>>,
}

#[derive(Serialize)]
struct Layer<'a> {
    name: &'a str,
    /// `image`, `reference`, `prediction`, `uncertainty`.
    kind: &'static str,
    /// The classes of its colour in the page.
    style: String,
    /// The highest label.
    highest: u8,
    /// Voxels, i fastest, by gzip, in base64.
    voxels: String,
}

impl Viewer {
    /// Adds a scan under a title such as `worst: ID`. Volumes that are too large for the file are halved, and the page says so.
    ///
    /// # Errors
    /// As [`Scan::check`].
    pub fn add(&mut self, title: &str, scan: &Scan) -> Result<()> {
        let (at, _) = scan.place()?;
        let mut factor = [1; 3];
        let mut layers = layers(scan, factor);
        while layers.iter().map(|layer| layer.voxels.len()).sum::<usize>() > LIMIT
            && factor.iter().sum::<usize>() < 96
        {
            // The finest axis first, so that voxels become more like cubes.
            let spacing = coarser(scan.spacing, factor);
            let finest = (0..3).fold(0, |best, axis| if spacing[axis] < spacing[best] { axis } else { best });
            factor[finest] *= 2;
            layers = self::layers(scan, factor);
        }
        if factor != [1; 3] {
            let [i, j, k] = factor;
            let note =
                format!("{title}: {i} x {j} x {k} voxels are shown as one, so that the file stays small.");
            self.notes.push(note);
        }
        let sides: [usize; 3] = scan.image.dim().into();
        let place = [0, 1, 2].map(|axis| (at[axis] as f64 + 0.5) / sides[axis] as f64);
        let shape = [0, 1, 2].map(|axis| sides[axis].div_ceil(factor[axis]));
        let case = Case { shape, spacing: coarser(scan.spacing, factor), place, layers };
        // A name may hold `</script>`.
        let json = serde_json::to_string(&case)?.replace('<', "\\u003c");
        self.cases.push((title.to_owned(), json));
        Ok(())
    }

    /// Whether there is nothing to show.
    pub fn is_empty(&self) -> bool {
        self.cases.is_empty()
    }

    pub(crate) fn write(&self, html: &mut String) {
        html.push_str(
            "<div class=\"viewer\"><div class=\"controls\"><label>Case <select id=\"viewer-case\">",
        );
        for (at, (title, _)) in self.cases.iter().enumerate() {
            let _ = write!(html, "<option value=\"{at}\">{}</option>", escaped(title));
        }
        html.push_str(
            "</select></label><label>View <select id=\"viewer-view\"><option value=\"planes\">three planes</option>\
             <option value=\"axial\">axial</option><option value=\"coronal\">coronal</option>\
             <option value=\"sagittal\">sagittal</option><option value=\"shape\">shapes in 3\u{2011}D</option></select></label>\
             <fieldset id=\"viewer-layers\"><legend>Layers</legend></fieldset></div>\
             <div class=\"canvas\"><canvas id=\"viewer-canvas\" tabindex=\"0\" role=\"img\" \
             aria-label=\"The chosen case in three planes or in three dimensions\" aria-describedby=\"viewer-keys\"></canvas></div>\
             <p class=\"small\" id=\"viewer-place\">The viewer starts when it comes into sight.</p>\
             <p class=\"small\" id=\"viewer-keys\">Click or drag to move the lines, turn the wheel to leaf through slices. By keyboard: \
             arrows, page up and page down move by one voxel; in 3\u{2011}D the arrows turn.</p>",
        );
        for note in &self.notes {
            let _ = write!(html, "<p class=\"small\">{}</p>", escaped(note));
        }
        for (at, (_, json)) in self.cases.iter().enumerate() {
            let _ = write!(html, "<script type=\"application/json\" id=\"viewer-case-{at}\">{json}</script>");
        }
        let _ = writeln!(
            html,
            "<script type=\"text/plain\" id=\"viewer-code\">{}</script></div>",
            base64(NIIVUE)
        );
    }
}

/// All volumes of a scan, at a lower resolution.
fn layers(scan: &Scan, factor: [usize; 3]) -> Vec<Layer<'_>> {
    let window = window(scan.image.view());
    let layer = |name, kind, style: String, volume: &Array3<u8>, how| {
        let volume = reduced(volume, factor, how);
        let highest = volume.iter().copied().max().unwrap_or(0);
        Layer { name, kind, style, highest, voxels: base64(&pack(volume.view())) }
    };
    let own = |kind| (kind, kind, str::to_owned(kind));
    let (name, kind, style) = own("image");
    let mut layers = vec![layer(name, kind, style, &scan.image.mapv(|value| grey(value, window)), mean)];
    let (name, kind, style) = own("reference");
    layers.push(layer(name, kind, style, &scan.reference, most));
    for (n, (name, labels)) in scan.predictions.iter().enumerate() {
        layers.push(layer(name, "prediction", prediction_classes(n), labels, most));
    }
    if let Some(map) = &scan.uncertainty {
        let (name, kind, style) = own("uncertainty");
        layers.push(layer(name, kind, style, map, mean));
    }
    layers
}

fn coarser(spacing: [f64; 3], factor: [usize; 3]) -> [f64; 3] {
    [0, 1, 2].map(|axis| spacing[axis] * factor[axis] as f64)
}

/// Voxels with i fastest, by gzip.
fn pack(volume: ArrayView3<'_, u8>) -> Vec<u8> {
    let bytes: Vec<u8> = volume.reversed_axes().iter().copied().collect();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    // Writing into memory does not fail.
    let packed = encoder.write_all(&bytes).and_then(|()| encoder.finish());
    packed.unwrap_or_default()
}

/// One voxel for each block of so many.
fn reduced(volume: &Array3<u8>, factor: [usize; 3], how: fn(&[u8]) -> u8) -> Array3<u8> {
    if factor == [1; 3] {
        return volume.clone();
    }
    let sides = [0, 1, 2].map(|axis| volume.len_of(Axis(axis)));
    let shape = [0, 1, 2].map(|axis| sides[axis].div_ceil(factor[axis]));
    let mut block = Vec::new();
    Array3::from_shape_fn(shape, |(i, j, k)| {
        let at = [i, j, k];
        let ends = [0, 1, 2].map(|n| at[n] * factor[n]..((at[n] + 1) * factor[n]).min(sides[n]));
        block.clear();
        block.extend(volume.slice_each_axis(|axis| Slice::from(ends[axis.axis.index()].clone())));
        how(&block)
    })
}

fn mean(block: &[u8]) -> u8 {
    let sum: usize = block.iter().map(|voxel| usize::from(*voxel)).sum();
    ((sum + block.len() / 2) / block.len().max(1)) as u8
}

/// The label that most voxels have; of several, the highest.
fn most(block: &[u8]) -> u8 {
    let count = |label: u8| block.iter().filter(|voxel| **voxel == label).count();
    block.iter().copied().max_by_key(|label| (count(*label), *label)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::tests::scan;
    use flate2::read::GzDecoder;
    use std::io::Read;

    fn unpacked(bytes: &[u8]) -> Vec<u8> {
        let mut found = Vec::new();
        GzDecoder::new(bytes).read_to_end(&mut found).unwrap();
        found
    }

    #[test]
    fn voxels_are_packed_with_i_fastest() {
        let volume = Array3::from_shape_fn((3, 2, 2), |(i, j, k)| (i + 10 * j + 100 * k) as u8);
        assert_eq!(unpacked(&pack(volume.view())), [0, 1, 2, 10, 11, 12, 100, 101, 102, 110, 111, 112]);
    }

    #[test]
    fn a_block_keeps_its_mean_or_its_most_frequent_label() {
        let volume = Array3::from_shape_fn((5, 2, 2), |(i, _, k)| (2 * i + k) as u8);
        assert_eq!(reduced(&volume, [2, 2, 1], mean).iter().copied().collect::<Vec<_>>(), [1, 2, 5, 6, 8, 9]);
        assert_eq!((most(&[0, 3, 3, 0, 3]), most(&[0, 0, 2, 2])), (3, 2));
    }

    #[test]
    fn the_viewer_is_the_file_that_was_published() {
        let code = unpacked(NIIVUE);
        assert_eq!(code.len(), 2_284_381);
        assert!(code.ends_with(b"Symbol.toStringTag,{value:\"Module\"})});\n"), "another file");
        assert!(LICENCES.contains("BSD 2-Clause License"));
    }

    #[test]
    fn no_name_ends_the_script_that_holds_it() {
        let mut scan = scan();
        scan.predictions[0].0 = "</script><script>alert(1)</script>".into();
        let mut viewer = Viewer::default();
        viewer.add("worst: <b>", &scan).unwrap();
        let mut html = String::new();
        viewer.write(&mut html);
        assert!(!html.contains("alert(1)</script>") && !html.contains("<b>"), "{html}");
        assert_eq!(html.matches("</script>").count(), 2);
    }
}
