//! Smooth random fields.

use tandem_random::Draws;

use super::shape::Point;

/// A random field of unit normal numbers on a lattice in mm, interpolated linearly in between.
///
/// It is a function of position, so a phantom looks the same at every spacing.
pub(super) struct Field {
    values: Vec<f32>,
    low: Point,
    step: f32,
    shape: [usize; 3],
}

impl Field {
    /// A field over the box from `low` to `high`, whose lattice has `step`, all in mm.
    pub(super) fn draw([low, high]: [Point; 2], step: f32, draws: &mut Draws) -> Self {
        let shape = [0, 1, 2].map(|a| ((high[a] - low[a]) / step).ceil().max(0.0) as usize + 2);
        let values = (0..shape.iter().product()).map(|_| draws.normal() as f32).collect();
        Field { values, low, step, shape }
    }

    /// The value at `p`, in standard deviations of the lattice; outside of the box, that of its border.
    pub(super) fn at(&self, p: Point) -> f32 {
        let cell =
            [0, 1, 2].map(|a| ((p[a] - self.low[a]) / self.step).clamp(0.0, (self.shape[a] - 2) as f32));
        let [i, j, k] = cell.map(|x| x as usize);
        let [u, v, w] = [cell[0] - i as f32, cell[1] - j as f32, cell[2] - k as f32];
        let (row, plane) = (self.shape[2], self.shape[1] * self.shape[2]);
        let corner = i * plane + j * row + k;
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
    fn a_field_is_its_lattice_and_linear_in_between() {
        let field = Field::draw([[-4.0; 3], [4.0; 3]], 2.0, &mut Draws::new(1, "field", 0, 0));
        let mut draws = Draws::new(1, "field", 0, 0);
        let first = [draws.normal() as f32, draws.normal() as f32];
        assert_eq!(field.at([-4.0; 3]), first[0]);
        assert_eq!(field.at([-4.0, -4.0, -2.0]), first[1]);
        assert!((field.at([-4.0, -4.0, -3.0]) - 0.5 * (first[0] + first[1])).abs() < 1e-6);
        assert_eq!(field.at([-9.0; 3]), first[0]);
        assert!(field.at([99.0; 3]).is_finite());
    }
}
