//! The borders of a mask as a path of SVG.

use ndarray::ArrayView2;
use std::collections::BTreeMap;
use std::fmt::Write;

/// A place in half pixels: x, y. The middle of pixel (row, column) is (2 column + 1, 2 row + 1).
type Place = (i32, i32);

/// The borders of the pixels that a rule takes, as the data of an SVG path in half pixels: closed lines through the middles between
/// pixels that are in and pixels that are not (marching squares), so that corners are cut and a border is less of a staircase.
/// What touches only by a corner stays apart. Fill it by the rule `evenodd`.
pub(crate) fn contour<T>(pixels: ArrayView2<'_, T>, is_in: impl Fn(&T) -> bool) -> String {
    let (rows, columns) = (pixels.nrows() as i32, pixels.ncols() as i32);
    let inside = |row: i32, column: i32| {
        (0..rows).contains(&row)
            && (0..columns).contains(&column)
            && is_in(&pixels[(row as usize, column as usize)])
    };
    let mut next: BTreeMap<Place, Place> = BTreeMap::new();
    for row in -1..rows {
        for column in -1..columns {
            // The four pixels around a corner, clockwise, and the middles between one and the next.
            let pixels = [
                inside(row, column),
                inside(row, column + 1),
                inside(row + 1, column + 1),
                inside(row + 1, column),
            ];
            let (x, y) = (2 * column + 2, 2 * row + 2);
            let middles = [(x, y - 1), (x + 1, y), (x, y + 1), (x - 1, y)];
            for at in 0..4 {
                let is_entry = !pixels[at] && pixels[(at + 1) % 4];
                let exit = (at + 1..at + 4).find(|end| pixels[end % 4] && !pixels[(end + 1) % 4]);
                if let (true, Some(exit)) = (is_entry, exit) {
                    next.insert(middles[at], middles[exit % 4]);
                }
            }
        }
    }
    let mut path = String::new();
    while let Some((first, second)) = next.pop_first() {
        let _ = write!(path, "M{} {}", first.0, first.1);
        let (mut at, mut to) = (first, second);
        let mut step: Place = (0, 0);
        loop {
            let direct = (to.0 - at.0, to.1 - at.1);
            let same = i64::from(step.0) * i64::from(direct.1) == i64::from(step.1) * i64::from(direct.0);
            if same && step != (0, 0) {
                step = (step.0 + direct.0, step.1 + direct.1);
            } else {
                write_step(&mut path, step);
                step = direct;
            }
            at = to;
            match next.remove(&at) {
                Some(further) => to = further,
                None => break,
            }
        }
        // Z draws the last step, back to the first place.
        path.push('z');
    }
    path
}

fn write_step(path: &mut String, step: Place) {
    let _ = match step {
        (0, 0) => Ok(()),
        (x, 0) => write!(path, "h{x}"),
        (0, y) => write!(path, "v{y}"),
        (x, y) => write!(path, "l{x} {y}"),
    };
}

/// The borders of a label map: of each label by itself.
pub(crate) fn borders(labels: ArrayView2<'_, u8>) -> String {
    let mut present = [false; 256];
    labels.iter().for_each(|label| present[usize::from(*label)] = true);
    (1..=u8::MAX)
        .filter(|label| present[usize::from(*label)])
        .map(|label| contour(labels, |pixel| *pixel == label))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array2, array};

    /// The area that a path of closed lines encloses, in pixels; a hole runs the other way round.
    fn area(path: &str) -> f64 {
        let mut doubled = 0;
        for line in path.split('z').filter(|line| !line.is_empty()) {
            let steps = line.replace('M', " M ").replace('h', " h ").replace('v', " v ").replace('l', " l ");
            let mut words = steps.split_whitespace();
            let (mut x, mut y) = (0, 0);
            let mut places: Vec<Place> = Vec::new();
            while let Some(command) = words.next() {
                let mut number = || words.next().and_then(|word| word.parse::<i32>().ok()).unwrap();
                match command {
                    "M" => (x, y) = (number(), number()),
                    "h" => x += number(),
                    "v" => y += number(),
                    _ => (x, y) = (x + number(), y + number()),
                }
                places.push((x, y));
            }
            let ends = places.iter().cycle().skip(1);
            doubled += places.iter().zip(ends).map(|(a, b)| a.0 * b.1 - b.0 * a.1).sum::<i32>();
        }
        // Half pixels along both sides.
        f64::from(doubled).abs() / 8.0
    }

    #[test]
    fn one_pixel_is_a_diamond() {
        assert_eq!(contour(array![[true]].view(), |v| *v), "M0 1l1 1l1 -1l-1 -1z");
    }

    #[test]
    fn straight_lines_are_one_step_and_areas_are_those_of_the_pixels_less_their_corners() {
        let block = Array2::from_shape_fn((6, 8), |(r, c)| (1..5).contains(&r) && (1..7).contains(&c));
        let path = contour(block.view(), |v| *v);
        assert_eq!(path.matches('M').count(), 1);
        assert_eq!(path.matches(['h', 'v', 'l']).count(), 7, "{path}");
        // 4 x 6 pixels, an eighth of a pixel missing at each corner.
        assert_eq!(area(&path), 23.5);
    }

    #[test]
    fn holes_and_pieces_are_lines_of_their_own() {
        let ring = Array2::from_shape_fn((5, 5), |(r, c)| r == 0 || c == 0 || r == 4 || c == 4);
        let path = contour(ring.view(), |v| *v);
        assert_eq!(path.matches('M').count(), 2);
        assert_eq!(area(&path), 16.0);
        let corners = array![[true, false], [false, true]];
        assert_eq!(contour(corners.view(), |v| *v).matches('M').count(), 2);
        assert_eq!(contour(Array2::from_elem((3, 3), false).view(), |v| *v), "");
    }

    #[test]
    fn two_classes_have_their_own_borders() {
        let labels = array![[1u8, 1, 2, 2], [1, 1, 2, 2]];
        let path = borders(labels.view());
        assert_eq!(path.matches('M').count(), 2);
        assert_eq!(area(&path), 2.0 * 3.5);
    }
}
