//! A slice with outlines as a PNG.

use crate::window::grey;
use crate::{Error, Result};
use ndarray::ArrayView2;

/// The colour of a reference: Okabe and Ito's sky blue. Nearly everybody tells it from [`PREDICTION`], and both from greys.
pub const REFERENCE: [u8; 3] = [86, 180, 233];

/// The colour of a prediction: Okabe and Ito's orange.
pub const PREDICTION: [u8; 3] = [230, 159, 0];

/// How wide an outline is, in pixels of the picture.
const LINE: usize = 2;

/// Where two outlines run together, they take turns, so many pixels at a time.
const DASH: usize = 4;

/// The label map of a slice, of which the borders are drawn: those between two labels too.
#[derive(Clone, Debug)]
pub struct Outline<'a> {
    /// Labels, `(rows, columns)`; 0 is background.
    pub labels: ArrayView2<'a, u8>,
    /// Red, green, blue.
    pub colour: [u8; 3],
}

/// A slice of an image with the outlines of label maps.
#[derive(Clone, Debug)]
pub struct Picture<'a> {
    /// Intensities, `(rows, columns)`, such as [`Plane::cut`](crate::Plane::cut) gives.
    pub image: ArrayView2<'a, f32>,
    /// What is black and what is white (see [`window`](crate::window())).
    pub window: [f32; 2],
    /// Distance between rows and between columns in mm.
    pub spacing: [f64; 2],
    /// Drawn in this order.
    pub outlines: Vec<Outline<'a>>,
}

impl Picture<'_> {
    /// The picture as the bytes of a PNG in RGB, with square pixels and `side` of them along its longer side. Intensities and borders
    /// are interpolated linearly. Where outlines run together, the line is dashed in their colours.
    ///
    /// # Errors
    /// Where the slice has no pixel or no sound spacing, or an outline has another shape than the image.
    pub fn png(&self, side: usize) -> Result<Vec<u8>> {
        let (rows, columns) = self.image.dim();
        if rows == 0 || columns == 0 || !self.spacing.iter().all(|mm| mm.is_finite() && *mm > 0.0) {
            return Err(Error::Empty { shape: [rows, columns], spacing: self.spacing });
        }
        for outline in &self.outlines {
            if outline.labels.dim() != self.image.dim() {
                let [found, expected] = [outline.labels.shape(), self.image.shape()].map(<[usize]>::to_vec);
                return Err(Error::Shape { what: "an outline".to_owned(), found, expected });
            }
        }
        let extent = [rows as f64 * self.spacing[0], columns as f64 * self.spacing[1]];
        let pixel = extent[0].max(extent[1]) / side.max(1) as f64;
        let [height, width] = extent.map(|mm| ((mm / pixel).round() as usize).max(1));
        let along = [Taps::of(rows, height), Taps::of(columns, width)];
        let labels: Vec<Vec<u8>> =
            self.outlines.iter().map(|outline| enlarged(&outline.labels, &along)).collect();

        let mut rgb = Vec::with_capacity(3 * width * height);
        for y in 0..height {
            for x in 0..width {
                let at_border: Vec<[u8; 3]> = labels
                    .iter()
                    .zip(&self.outlines)
                    .filter(|(labels, _)| is_border(labels, [height, width], [y, x]))
                    .map(|(_, outline)| outline.colour)
                    .collect();
                let turn = (x + y) / DASH % at_border.len().max(1);
                let value = || grey(interpolated(&self.image, [along[0][y], along[1][x]]), self.window);
                rgb.extend(at_border.get(turn).copied().unwrap_or_else(|| [value(); 3]));
            }
        }
        packed(&rgb, [height, width], png::ColorType::Rgb)
    }
}

/// Packs rows of pixels, 8 bits a channel.
pub(crate) fn packed(pixels: &[u8], [height, width]: [usize; 2], colours: png::ColorType) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width as u32, height as u32);
    encoder.set_color(colours);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::High);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(pixels)?;
    writer.finish()?;
    Ok(bytes)
}

/// Between which two pixels of a slice a pixel of the picture lies, and the weight of the second.
#[derive(Clone, Copy)]
struct Taps {
    pixels: [usize; 2],
    weight: f32,
}

impl Taps {
    /// Those of every pixel along a side: pixels are areas, and the ends of both sides are the same.
    fn of(from: usize, to: usize) -> Vec<Self> {
        let of = |at: usize| {
            let place = ((at as f64 + 0.5) * from as f64 / to as f64 - 0.5).clamp(0.0, from as f64 - 1.0);
            let first = place as usize;
            Taps { pixels: [first, (first + 1).min(from - 1)], weight: (place - first as f64) as f32 }
        };
        (0..to).map(of).collect()
    }

    fn weights(self) -> [f32; 2] {
        [1.0 - self.weight, self.weight]
    }
}

fn interpolated(image: &ArrayView2<'_, f32>, at: [Taps; 2]) -> f32 {
    let [rows, columns] = at;
    let mut sum = 0.0;
    for (row, across) in rows.pixels.into_iter().zip(rows.weights()) {
        for (column, along) in columns.pixels.into_iter().zip(columns.weights()) {
            // No weight, no say: a NaN beside a pixel does not spread over it.
            if across * along > 0.0 {
                sum += across * along * image[(row, column)];
            }
        }
    }
    sum
}

/// Labels at every pixel of the picture: of the pixels around it, the label that has the most weight.
fn enlarged(labels: &ArrayView2<'_, u8>, along: &[Vec<Taps>; 2]) -> Vec<u8> {
    let mut found = Vec::with_capacity(along[0].len() * along[1].len());
    for rows in &along[0] {
        for columns in &along[1] {
            let pixels = [0, 1, 2, 3].map(|at: usize| {
                let (row, column) = (at / 2, at % 2);
                let label = labels[(rows.pixels[row], columns.pixels[column])];
                (label, rows.weights()[row] * columns.weights()[column])
            });
            let weight = |label: u8| pixels.iter().filter(|(l, _)| *l == label).map(|(_, w)| w).sum::<f32>();
            let heaviest = pixels.iter().max_by(|a, b| weight(a.0).total_cmp(&weight(b.0)));
            found.push(heaviest.map_or(0, |(label, _)| *label));
        }
    }
    found
}

/// Whether a pixel is foreground and another label is as near as the line is wide.
fn is_border(labels: &[u8], [height, width]: [usize; 2], [y, x]: [usize; 2]) -> bool {
    let label = labels[y * width + x];
    let near = |at: usize, end: usize| at.saturating_sub(LINE)..=(at + LINE).min(end - 1);
    label != 0
        && (near(y, height).any(|y| labels[y * width + x] != label)
            || near(x, width).any(|x| labels[y * width + x] != label))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;

    fn decoded(bytes: &[u8]) -> (u32, u32, Vec<[u8; 3]>) {
        let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
        let mut buffer = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut buffer).unwrap();
        assert_eq!(info.color_type, png::ColorType::Rgb);
        let pixels = buffer.chunks_exact(3).map(|rgb| [rgb[0], rgb[1], rgb[2]]).collect();
        (info.width, info.height, pixels)
    }

    fn block(rows: std::ops::Range<usize>, columns: std::ops::Range<usize>) -> Array2<u8> {
        Array2::from_shape_fn((10, 20), |(r, c)| u8::from(rows.contains(&r) && columns.contains(&c)))
    }

    fn picture<'a>(image: &'a Array2<f32>, outlines: &'a [(Array2<u8>, [u8; 3])]) -> Picture<'a> {
        let outlines =
            outlines.iter().map(|(labels, colour)| Outline { labels: labels.view(), colour: *colour });
        Picture {
            image: image.view(),
            window: [0.0, 19.0],
            spacing: [2.0, 1.0],
            outlines: outlines.collect(),
        }
    }

    #[test]
    fn pixels_are_square_and_intensities_keep_their_places() {
        let image = Array2::from_shape_fn((10, 20), |(_, c)| c as f32);
        let (width, height, pixels) = decoded(&picture(&image, &[]).png(40).unwrap());
        // 20 mm x 20 mm.
        assert_eq!((width, height), (40, 40));
        let row: Vec<u8> = pixels[..40].iter().map(|rgb| rgb[0]).collect();
        assert!(row.is_sorted(), "{row:?}");
        assert_eq!((row[0], row[39]), (0, 255));
        assert!(pixels.iter().all(|[r, g, b]| r == g && g == b));
    }

    #[test]
    fn an_outline_is_a_line_around_its_labels_and_shared_ones_show_both_colours() {
        let image = Array2::zeros((10, 20));
        let labels = block(2..8, 4..16);
        let alone = [(labels.clone(), PREDICTION)];
        let (width, _, pixels) = decoded(&picture(&image, &alone).png(80).unwrap());
        let at = |y: usize, x: usize| pixels[y * width as usize + x];
        // Rows 2..8 are pixels 16..64, columns 4..16 too.
        assert_eq!(
            (at(17, 40), at(62, 40), at(40, 16), at(40, 63)),
            (PREDICTION, PREDICTION, PREDICTION, PREDICTION)
        );
        assert_eq!((at(40, 40), at(10, 40), at(40, 8)), ([0; 3], [0; 3], [0; 3]));

        let both = [(labels.clone(), PREDICTION), (labels, REFERENCE)];
        let (_, _, pixels) = decoded(&picture(&image, &both).png(80).unwrap());
        let count = |colour| pixels.iter().filter(|pixel| **pixel == colour).count();
        let (one, other) = (count(PREDICTION), count(REFERENCE));
        assert!(one > 100 && other > 100 && one.abs_diff(other) < one / 4, "{one} {other}");
    }

    #[test]
    fn a_border_between_two_classes_is_drawn() {
        let image = Array2::zeros((10, 20));
        let labels = Array2::from_shape_fn((10, 20), |(_, c)| if c < 10 { 1 } else { 2 });
        let outlines = [(labels, REFERENCE)];
        let (width, _, pixels) = decoded(&picture(&image, &outlines).png(80).unwrap());
        let row = &pixels[40 * width as usize..][..80];
        let drawn: Vec<usize> = (0..80).filter(|x| row[*x] == REFERENCE).collect();
        assert_eq!(drawn, [38, 39, 40, 41]);
    }

    #[test]
    fn what_cannot_be_drawn_is_refused() {
        let image = Array2::zeros((10, 20));
        let wrong = [(Array2::zeros((20, 10)), REFERENCE)];
        assert!(matches!(picture(&image, &wrong).png(80), Err(Error::Shape { .. })));
        let empty = Array2::zeros((0, 20));
        assert!(matches!(picture(&empty, &[]).png(80), Err(Error::Empty { .. })));
        let mut flat = picture(&image, &[]);
        flat.spacing = [0.0, 1.0];
        assert!(matches!(flat.png(80), Err(Error::Empty { .. })));
        flat.spacing = [1e-9, 1e9];
        assert!(flat.png(80).is_ok());
    }
}
