//! Implicit surfaces: approximate signed distances in mm, negative inside.

/// A position or vector in mm.
pub(super) type Point = [f32; 3];
/// Rows of a matrix.
pub(super) type Matrix = [Point; 3];

/// Beyond this distance from its bounds a shape is not evaluated, in mm.
const REACH: f32 = 24.0;
/// What a shape says there, in mm.
pub(super) const FAR: f32 = 1e3;

pub(super) fn dot(a: Point, b: Point) -> f32 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

pub(super) fn along(from: Point, direction: Point, by: f32) -> Point {
    [from[0] + by * direction[0], from[1] + by * direction[1], from[2] + by * direction[2]]
}

pub(super) fn minus(a: Point, b: Point) -> Point {
    along(a, b, -1.0)
}

/// Divides by axis.
fn over(a: Point, b: Point) -> Point {
    [a[0] / b[0], a[1] / b[1], a[2] / b[2]]
}

pub(super) fn unit(v: Point) -> Point {
    let length = dot(v, v).sqrt().max(1e-6);
    v.map(|x| x / length)
}

pub(super) fn times(matrix: &Matrix, v: Point) -> Point {
    [dot(matrix[0], v), dot(matrix[1], v), dot(matrix[2], v)]
}

/// The rotation by three angles in radians, about x, then y, then z.
pub(super) fn rotation(angles: Point) -> Matrix {
    let [(sx, cx), (sy, cy), (sz, cz)] = angles.map(f32::sin_cos);
    [
        [cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx],
        [sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx],
        [-sy, cy * sx, cy * cx],
    ]
}

/// The union of two shapes, blended over about `blend` mm where they meet (polynomial smooth minimum).
pub(super) fn smooth_union(a: f32, b: f32, blend: f32) -> f32 {
    let overlap = (blend - (a - b).abs()).max(0.0) / blend;
    a.min(b) - 0.25 * blend * overlap * overlap
}

/// One solid.
#[derive(Clone, Debug)]
pub(super) enum Solid {
    /// An ellipsoid; the rows of `axes` are its unit axes.
    Ellipsoid { centre: Point, radii: Point, axes: Matrix },
    /// A round tube through nodes, each with its radius.
    Tube(Vec<(Point, f32)>),
}

/// A solid with the box outside of which it need not be evaluated.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    solid: Solid,
    low: Point,
    high: Point,
}

impl Shape {
    pub(super) fn new(solid: Solid) -> Self {
        let balls: &[(Point, f32)] = match &solid {
            Solid::Ellipsoid { centre, radii, .. } => &[(*centre, radii[0].max(radii[1]).max(radii[2]))],
            Solid::Tube(nodes) => nodes,
        };
        let extreme = |sign: f32| {
            [0, 1, 2]
                .map(|a| sign * balls.iter().map(|(p, r)| sign * p[a] + r + REACH).fold(f32::MIN, f32::max))
        };
        let (low, high) = (extreme(-1.0), extreme(1.0));
        Shape { solid, low, high }
    }

    pub(super) fn ellipsoid(centre: Point, radii: Point, axes: Matrix) -> Self {
        Shape::new(Solid::Ellipsoid { centre, radii, axes })
    }

    pub(super) fn tube(nodes: impl Into<Vec<(Point, f32)>>) -> Self {
        Shape::new(Solid::Tube(nodes.into()))
    }

    /// The distance from the surface in mm, negative inside; [`FAR`] well outside.
    pub(super) fn distance(&self, p: Point) -> f32 {
        let outside = |a: usize| p[a] < self.low[a] || p[a] > self.high[a];
        if outside(0) || outside(1) || outside(2) {
            return FAR;
        }
        match &self.solid {
            Solid::Ellipsoid { centre, radii, axes } => {
                let q = times(axes, minus(p, *centre));
                let scaled = over(q, *radii);
                let gradient = over(scaled, *radii);
                let level = dot(scaled, scaled).sqrt();
                // The first-order distance: level set over gradient; at the very centre, the smallest radius.
                match dot(gradient, gradient).sqrt() {
                    slope if slope > 1e-6 => level * (level - 1.0) / slope,
                    _ => -radii[0].min(radii[1]).min(radii[2]),
                }
            }
            Solid::Tube(nodes) => {
                nodes.windows(2).map(|ends| to_segment(p, ends[0], ends[1])).fold(FAR, f32::min)
            }
        }
    }
}

/// The distance from a capsule whose radius runs linearly from one end to the other.
fn to_segment(p: Point, (a, ra): (Point, f32), (b, rb): (Point, f32)) -> f32 {
    let (axis, offset) = (minus(b, a), minus(p, a));
    let at = (dot(offset, axis) / dot(axis, axis).max(1e-6)).clamp(0.0, 1.0);
    let away = along(offset, axis, -at);
    dot(away, away).sqrt() - (ra + at * (rb - ra))
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNTURNED: Matrix = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];

    #[test]
    fn distances_are_exact_where_the_formula_is() {
        let ball = Shape::ellipsoid([1.0, 2.0, 3.0], [5.0; 3], UNTURNED);
        assert!((ball.distance([8.0, 2.0, 3.0]) - 2.0).abs() < 1e-5);
        assert!((ball.distance([1.0, 2.0, 3.0]) + 5.0).abs() < 1e-5);
        assert_eq!(ball.distance([100.0, 2.0, 3.0]), FAR);
        // A quarter turn about z carries x to y: the long axis now lies along y.
        let turned = rotation([0.0, 0.0, std::f32::consts::FRAC_PI_2]);
        let egg = Shape::ellipsoid([0.0; 3], [9.0, 3.0, 3.0], turned);
        assert!(egg.distance([0.0, 9.0, 0.0]).abs() < 1e-4);
        assert!(egg.distance([3.0, 0.0, 0.0]).abs() < 1e-4);
        let cone = Shape::tube([([0.0; 3], 2.0), ([10.0, 0.0, 0.0], 4.0)]);
        assert!((cone.distance([5.0, 4.0, 0.0]) - 1.0).abs() < 1e-5);
        assert!((cone.distance([16.0, 0.0, 0.0]) - 2.0).abs() < 1e-5);
    }

    #[test]
    fn a_smooth_union_is_the_union_away_from_the_seam() {
        assert_eq!(smooth_union(1.0, 9.0, 4.0), 1.0);
        assert_eq!(smooth_union(0.0, 0.0, 4.0), -1.0);
    }
}
