//! A case: three planes through its largest error.

use crate::chart::classes;
use crate::contour::{borders, contour};
use crate::html::{base64, escaped};
use crate::picture::packed;
use crate::window::grey;
use crate::{Error, Plane, Result, largest_error, window};
use ndarray::{Array2, Array3, ArrayView2, ArrayView3, Zip};
use std::fmt::Write;

/// A larger slice is shown smaller: by the mean of so many pixels that no side is longer.
const LONGEST: usize = 360;

/// A scan with what is known and what was predicted of it, on one grid in RAS.
#[derive(Clone, Debug)]
pub struct Scan {
    /// Its id.
    pub id: String,
    /// Intensities, `(i, j, k)`.
    pub image: Array3<f32>,
    /// In mm along i, j, k.
    pub spacing: [f64; 3],
    /// The labels that are right.
    pub reference: Array3<u8>,
    /// Whose labels, and the labels: the first one's errors are looked at.
    pub predictions: Vec<(String, Array3<u8>)>,
    /// How uncertain the first prediction is, 0 to 255, where that is known.
    pub uncertainty: Option<Array3<u8>>,
}

impl Scan {
    /// Whether all is on one grid.
    ///
    /// # Errors
    /// Where it is not: names what.
    pub fn check(&self) -> Result<()> {
        let expected = self.image.shape();
        let labels =
            self.predictions.iter().map(|(name, labels)| (format!("the prediction of {name}"), labels));
        let uncertainty = self.uncertainty.iter().map(|map| ("the uncertainty".to_owned(), map));
        let reference = [("the reference".to_owned(), &self.reference)];
        for (what, array) in reference.into_iter().chain(labels).chain(uncertainty) {
            if array.shape() != expected {
                let [found, expected] = [array.shape(), expected].map(<[usize]>::to_vec);
                return Err(Error::Shape { what, found, expected });
            }
        }
        if self.image.is_empty() || !self.spacing.iter().all(|mm| mm.is_finite() && *mm > 0.0) {
            let [rows, columns, _] = <[usize; 3]>::try_from(expected).unwrap_or_default();
            return Err(Error::Empty { shape: [rows, columns], spacing: [self.spacing[0], self.spacing[1]] });
        }
        Ok(())
    }

    /// Through which voxel it is looked at, and why there: the largest error of the first prediction; where there is none, the middle
    /// of the reference, or of the scan.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub fn place(&self) -> Result<([usize; 3], &'static str)> {
        self.check()?;
        let first = self.predictions.first();
        let found =
            first.map(|(_, labels)| largest_error(labels.view(), self.reference.view(), self.spacing));
        if let Some(at) = found.transpose()?.flatten() {
            return Ok((at, "through the largest error"));
        }
        let foreground = self.reference.indexed_iter().filter(|(_, label)| **label != 0);
        let (sum, n) =
            foreground.fold(([0; 3], 0), |([i, j, k], n), (at, _)| ([i + at.0, j + at.1, k + at.2], n + 1));
        let middle = [0, 1, 2].map(|axis| self.image.shape()[axis] / 2);
        match (n, first) {
            (0, _) => Ok((
                middle,
                "through the middle of the scan: there is nothing to find, and nothing was found",
            )),
            (n, None) => {
                Ok((sum.map(|sum| sum / n), "through the middle of the reference: there is no prediction"))
            }
            (n, _) => Ok((sum.map(|sum| sum / n), "through the middle of the reference: there is no error")),
        }
    }
}

/// A scan as it is shown: three slices with outlines.
#[derive(Clone, Debug, PartialEq)]
pub struct Slices {
    html: String,
}

impl Slices {
    /// Draws a scan.
    ///
    /// # Errors
    /// As [`Scan::check`].
    pub fn of(scan: &Scan) -> Result<Self> {
        let (at, why) = scan.place()?;
        let window = window(scan.image.view());
        let mut html = String::from("<div class=\"slices\">");
        for plane in Plane::ALL {
            slice(&mut html, scan, plane, at, window)?;
        }
        let _ = write!(html, "</div><p class=\"small\">Slices {why}.</p>");
        Ok(Slices { html })
    }

    /// How many bytes of the report it takes.
    pub fn bytes(&self) -> usize {
        self.html.len()
    }

    pub(crate) fn write(&self, html: &mut String) {
        html.push_str(&self.html);
    }
}

fn slice(html: &mut String, scan: &Scan, plane: Plane, at: [usize; 3], window: [f32; 2]) -> Result<()> {
    let depth = at[plane.axis()];
    let cut = |labels: &Array3<u8>| plane.cut(labels.view(), depth).to_owned();
    let image = plane.cut(scan.image.view(), depth);
    let (rows, columns) = image.dim();
    let spacing = plane.spacing(scan.spacing);
    let mm = [rows as f64 * spacing[0], columns as f64 * spacing[1]];
    // 100 units across: letters and marks are as large in every slice.
    let (width, height) = (100.0, 100.0 * mm[0] / mm[1]);
    let (number, all) = (depth + 1, scan.image.shape()[plane.axis()]);
    let _ = write!(
        html,
        "<figure class=\"slice\"><svg viewBox=\"0 0 {width} {height:.2}\" role=\"img\" aria-label=\"{}\">\
         <image width=\"{width}\" height=\"{height:.2}\" preserveAspectRatio=\"none\" href=\"data:image/png;base64,{}\"/>\
         <g transform=\"scale({:.5} {:.5})\">",
        escaped(&format!("{}: {} slice {number} of {all}, with outlines", scan.id, plane.name())),
        base64(&grey_png(&image, window)?),
        0.5 * width / columns as f64,
        0.5 * height / rows as f64,
    );
    let reference = cut(&scan.reference);
    if let Some((_, first)) = scan.predictions.first() {
        let first = cut(first);
        let wrong = |is: fn(u8, u8) -> bool| Zip::from(&first).and(&reference).map_collect(|p, r| is(*p, *r));
        // What is of another class than it should be is missed.
        for (class, wrong) in [
            ("missed", wrong(|predicted, right| right != 0 && predicted != right)),
            ("added", wrong(|predicted, right| right == 0 && predicted != 0)),
        ] {
            let _ = write!(html, "<path class=\"{class}\" d=\"{}\"/>", contour(wrong.view(), |voxel| *voxel));
        }
    }
    let _ = write!(html, "<path class=\"outline reference\" d=\"{}\"/>", borders(reference.view()));
    for (n, (_, labels)) in scan.predictions.iter().enumerate() {
        let _ = write!(
            html,
            "<path class=\"outline {}\" d=\"{}\"/>",
            prediction_classes(n),
            borders(cut(labels).view())
        );
    }
    html.push_str("</g>");
    marks(html, plane, at, scan.image.view(), [width, height]);
    let [left, right, top, bottom] = plane.edges();
    for (letter, x, y, anchor) in [
        (left, 2.0, 0.5 * height + 2.0, "start"),
        (right, width - 2.0, 0.5 * height + 2.0, "end"),
        (top, 0.5 * width, 6.0, "middle"),
        (bottom, 0.5 * width, height - 2.0, "middle"),
    ] {
        let _ = write!(html, "<text x=\"{x}\" y=\"{y:.2}\" text-anchor=\"{anchor}\">{letter}</text>");
    }
    let _ = write!(html, "</svg><figcaption>{}, {number} of {all}</figcaption></figure>", plane.name());
    Ok(())
}

/// The classes of the outline of a prediction.
pub(crate) fn prediction_classes(at: usize) -> String {
    match at {
        0 => "prediction".to_owned(),
        n => format!("prediction further {}", classes(n + 1)),
    }
}

/// Marks at the edges of a slice, in line with the place that it is about.
fn marks(
    html: &mut String,
    plane: Plane,
    at: [usize; 3],
    image: ArrayView3<'_, f32>,
    [width, height]: [f64; 2],
) {
    // Cut as the image is, so that nobody has to think which way its axes run.
    let (axis, spot) = (plane.axis(), [at[0], at[1], at[2]]);
    let (across, up) = match axis {
        2 => (0, 1),
        1 => (0, 2),
        _ => (1, 2),
    };
    let place = |axis: usize, length: f64| {
        let voxels = image.shape()[axis];
        length * ((voxels - 1 - spot[axis]) as f64 + 0.5) / voxels as f64
    };
    let (x, y) = (place(across, width), place(up, height));
    let _ = write!(
        html,
        "<path class=\"mark\" d=\"M{x:.2} 0v5M{x:.2} {height:.2}v-5M0 {y:.2}h5M{width} {y:.2}h-5\"/>"
    );
}

/// The slice as greys.
fn grey_png(image: &ArrayView2<'_, f32>, window: [f32; 2]) -> Result<Vec<u8>> {
    let (rows, columns) = image.dim();
    let size = rows.max(columns).div_ceil(LONGEST).max(1);
    let shape = (rows.div_ceil(size), columns.div_ceil(size));
    let mean = |(row, column): (usize, usize)| {
        let ends = |at: usize, end: usize| at * size..((at + 1) * size).min(end);
        let pixels = ends(row, rows).flat_map(|r| ends(column, columns).map(move |c| (r, c)));
        let (sum, n) =
            pixels.fold((0.0, 0), |(sum, n), at| (sum + f32::from(grey(image[at], window)), n + 1));
        (sum / n as f32).round() as u8
    };
    let greys: Array2<u8> = Array2::from_shape_fn(shape, mean);
    packed(&greys.into_iter().collect::<Vec<_>>(), [shape.0, shape.1], png::ColorType::Grayscale)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::largest_error::tests::fill;

    /// A block, and a prediction that lacks an end of it.
    pub(crate) fn scan() -> Scan {
        let image = Array3::from_shape_fn((20, 16, 12), |(i, j, k)| (i + j + k) as f32);
        let mut reference = Array3::zeros((20, 16, 12));
        fill(&mut reference, [4..16, 4..12, 3..9], 1);
        let mut predicted = reference.clone();
        fill(&mut predicted, [11..16, 0..16, 0..12], 0);
        Scan {
            id: "a<b>".into(),
            image,
            spacing: [1.0, 1.0, 2.0],
            reference,
            predictions: vec![("vnet".into(), predicted)],
            uncertainty: None,
        }
    }

    #[test]
    fn slices_go_through_the_largest_error_and_show_it() {
        let scan = scan();
        let (at, why) = scan.place().unwrap();
        // Of 5 x 8 x 6 voxels of 2 mm along k, the middle.
        assert_eq!((at[0], why), (13, "through the largest error"));
        let html = Slices::of(&scan).unwrap().html;
        for plane in Plane::ALL {
            let depth = at[plane.axis()];
            let caption = format!("{}, {} of {}<", plane.name(), depth + 1, scan.image.shape()[plane.axis()]);
            assert!(html.contains(&caption), "{caption}");
        }
        assert_eq!(html.matches("<svg").count(), 3);
        assert_eq!(html.matches("class=\"missed\" d=\"M").count(), 3, "{html}");
        assert_eq!(html.matches("class=\"added\" d=\"\"").count(), 3, "{html}");
        assert!(html.contains("a&lt;b&gt;") && !html.contains("<b>"));
    }

    #[test]
    fn without_an_error_the_middle_of_the_reference_is_shown() {
        let mut scan = scan();
        scan.predictions[0].1 = scan.reference.clone();
        assert_eq!(scan.place().unwrap().0, [9, 7, 5]);
        scan.reference.fill(0);
        scan.predictions[0].1.fill(0);
        assert_eq!(scan.place().unwrap().0, [10, 8, 6]);
    }

    #[test]
    fn what_is_on_another_grid_is_named() {
        let mut scan = scan();
        scan.predictions[0].1 = Array3::zeros((20, 16, 11));
        let message = Slices::of(&scan).unwrap_err().to_string();
        assert!(message.contains("the prediction of vnet has [20, 16, 11] voxels"), "{message}");
    }

    #[test]
    fn large_slices_are_shown_smaller() {
        let image = Array2::from_shape_fn((1000, 500), |(r, c)| ((r * 7 + c * 13) % 256) as f32);
        let png = grey_png(&image.view(), [0.0, 255.0]).unwrap();
        let size = |at: usize| u32::from_be_bytes([png[at], png[at + 1], png[at + 2], png[at + 3]]);
        assert_eq!((size(16), size(20)), (167, 334));
    }
}
