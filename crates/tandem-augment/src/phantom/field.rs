//! Smooth random fields.

use tandem_random::Draws;

use super::shape::Point;

/// A random field of unit normal numbers on a lattice in mm, interpolated smoothly in between.
///
/// It is a function of position, so a phantom looks the same at every spacing.
pub(super) struct Field {
    values: Vec<f32>,
    low: Point,
    /// Lattice nodes per mm.
    per_mm: f32,
    shape: [usize; 3],
}

impl Field {
    /// A field over the box from `low` to `high`, whose lattice has `step`, all in mm.
    pub(super) fn draw([low, high]: [Point; 2], step: f32, draws: &mut Draws) -> Self {
        let shape = [0, 1, 2].map(|a| ((high[a] - low[a]) / step).ceil().max(0.0) as usize + 2);
        let values = (0..shape.iter().product()).map(|_| draws.normal() as f32).collect();
        Field { values, low, per_mm: 1.0 / step, shape }
    }

    /// The value at `p`; outside of the box, that of its border. Between the nodes the deviation is less than 1.
    #[inline]
    pub(super) fn at(&self, p: Point) -> f32 {
        let (corner, weights) = self.locate(p);
        self.interpolate(corner, weights)
    }

    /// The value at `p`, scaled so that its deviation is 1 everywhere: noise, which must not show the lattice.
    #[inline]
    pub(super) fn noise_at(&self, p: Point) -> f32 {
        let (corner, weights) = self.locate(p);
        let variance = weights.iter().fold(1.0, |product, w| product * (w * w + (1.0 - w) * (1.0 - w)));
        self.interpolate(corner, weights) / variance.sqrt()
    }

    /// The lattice cell of `p`, and how far in it `p` lies, eased at both ends so that no edge of a cell shows.
    #[inline]
    fn locate(&self, p: Point) -> (usize, Point) {
        // The cell along one axis, and the eased position in it.
        let along = |a: usize| {
            let position = ((p[a] - self.low[a]) * self.per_mm).clamp(0.0, (self.shape[a] - 2) as f32);
            // Not negative, so the cast rounds down; the one to i32 is the cheap one.
            let cell = position as i32;
            let t = position - cell as f32;
            (cell as usize, t * t * (3.0 - 2.0 * t))
        };
        let ((i, u), (j, v), (k, w)) = (along(0), along(1), along(2));
        ((i * self.shape[1] + j) * self.shape[2] + k, [u, v, w])
    }

    #[inline]
    fn interpolate(&self, corner: usize, [u, v, w]: Point) -> f32 {
        let (row, plane) = (self.shape[2], self.shape[1] * self.shape[2]);
        let mix = |a: f32, b: f32, t: f32| a + t * (b - a);
        let edge = |at: usize| mix(self.values[at], self.values[at + 1], w);
        let face = |at: usize| mix(edge(at), edge(at + row), v);
        mix(face(corner), face(corner + plane), u)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_its_lattice_and_smooth_in_between() {
        let field = Field::draw([[-4.0; 3], [4.0; 3]], 2.0, &mut Draws::new(1, "field", 0, 0));
        let mut draws = Draws::new(1, "field", 0, 0);
        let first = [draws.normal() as f32, draws.normal() as f32];
        assert_eq!(field.at([-4.0; 3]), first[0]);
        assert_eq!(field.at([-4.0, -4.0, -2.0]), first[1]);
        assert!((field.at([-4.0, -4.0, -3.0]) - 0.5 * (first[0] + first[1])).abs() < 1e-6);
        assert_eq!(field.at([-9.0; 3]), first[0]);
        assert!(field.at([99.0; 3]).is_finite());
        // Halfway along an edge two of the nodes have weight 1/2: the deviation is sqrt(1/2) before scaling.
        let middle = 0.5 * (first[0] + first[1]) * 2.0_f32.sqrt();
        assert!((field.noise_at([-4.0, -4.0, -3.0]) - middle).abs() < 1e-6);
    }
}
