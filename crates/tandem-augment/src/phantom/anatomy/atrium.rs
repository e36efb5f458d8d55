//! The left atrium: body, appendage and pulmonary veins.

use tandem_random::Draws;

use super::super::shape::{FAR, Point, Shape, along, dot, minus, rotation, smooth_union, unit};
use super::super::variation::{about, bounded, near};

/// How far parts of the atrium blend into each other, in mm.
pub(in super::super) const BLEND_MM: f32 = 6.0;
/// Length of a piece of a vein, in mm.
const STEP: f32 = 5.0;
/// Directions of the four veins from the atrium's centre: right upper and lower, left upper and lower.
const VEINS: [Point; 4] = [[-0.9, 0.2, 0.35], [-0.9, 0.4, -0.25], [0.9, 0.2, 0.35], [0.85, 0.45, -0.2]];
/// Of an accessory vein, between the two on the right.
const MIDDLE_VEIN: Point = [-0.95, 0.3, 0.05];
/// Of the appendage.
const APPENDAGE: Point = [0.75, -0.5, 0.35];
/// Of the mitral valve.
const VALVE: Point = [0.55, -0.6, -0.55];

/// The left atrium with its veins.
pub(in super::super) struct Atrium {
    /// The half axes of the body in mm, along x, y, z but for its tilt.
    pub(super) radii: Point,
    /// What the label covers: the body's lobes, the appendage and the first piece of every vein.
    pub(in super::super) parts: Vec<Shape>,
    /// The veins from there on.
    pub(in super::super) veins: Vec<Shape>,
    /// Where the atrium opens into the ventricle.
    pub(in super::super) valve: Shape,
    /// The direction of that opening.
    pub(super) towards_valve: Point,
}

impl Atrium {
    pub(super) fn draw(draws: &mut Draws) -> Self {
        let size = f64::from(about(0.94, 0.13, draws));
        let [x, y, z] =
            [(28.0, 0.1), (18.5, 0.14), (16.0, 0.1)].map(|(mm, spread)| about(mm * size, spread, draws));
        let radii = [x, y, z.min(21.0)];
        let mut parts = body(radii, draws);
        let towards_valve = unit(near(VALVE, 0.1, draws));
        let opening = along([0.0; 3], towards_valve, surface(radii, towards_valve));
        let valve = Shape::ellipsoid(opening, [about(13.0, 0.12, draws); 3], rotation([0.0; 3]));
        parts.push(appendage(radii, draws));

        let mut veins = Vec::new();
        let mut directions = VEINS.map(|direction| near(direction, 0.12, draws)).to_vec();
        if draws.chance(0.2) {
            // A common trunk on the left: both veins leave the atrium at one place.
            let middle = [0, 1, 2].map(|a| 0.5 * (directions[2][a] + directions[3][a]));
            (directions[2], directions[3]) = (near(middle, 0.05, draws), near(middle, 0.05, draws));
        }
        let accessory = draws.chance(0.25).then(|| near(MIDDLE_VEIN, 0.1, draws));
        for (direction, calibre) in
            directions.iter().map(|d| (d, 6.3)).chain(accessory.iter().map(|d| (d, 3.5)))
        {
            let (stump, rest) = vein(unit(*direction), radii, calibre, draws);
            parts.push(stump);
            veins.extend(rest);
        }
        Atrium { radii, parts, veins, valve, towards_valve }
    }
}

/// The distance from the surface of all `parts`, blended into each other.
pub(in super::super) fn blended<'a>(parts: impl IntoIterator<Item = &'a Shape>, p: Point) -> f32 {
    parts.into_iter().fold(FAR, |union, part| smooth_union(union, part.distance(p), BLEND_MM))
}

/// The distance from the centre to the surface of the body along a unit vector.
pub(super) fn surface(radii: Point, direction: Point) -> f32 {
    let scaled = [0, 1, 2].map(|a| direction[a] / radii[a]);
    1.0 / dot(scaled, scaled).sqrt()
}

/// A tilted ellipsoid with two lobes, so that no atrium is an egg.
fn body(radii: Point, draws: &mut Draws) -> Vec<Shape> {
    let mut tilt = || rotation([0.15, 0.12, 0.2].map(|sd| (sd * bounded(draws)) as f32));
    let whole = Shape::ellipsoid([0.0; 3], radii, tilt());
    let (right, left) = (tilt(), tilt());
    let mut lobe = |x: f32, axes| {
        let centre = near([x * radii[0], 0.15 * radii[1], 0.1 * radii[2]], 3.0, draws);
        let scale = about(0.72, 0.12, draws);
        Shape::ellipsoid(centre, [0.6 * scale * radii[0], 1.05 * scale * radii[1], scale * radii[2]], axes)
    };
    vec![whole, lobe(-0.6, right), lobe(0.5, left)]
}

/// A hooked sac that narrows to its tip.
fn appendage(radii: Point, draws: &mut Draws) -> Shape {
    let mut direction = unit(near(APPENDAGE, 0.15, draws));
    let hook = near([-0.35, -0.35, 0.05], 0.3, draws);
    let (width, length) = (about(7.0, 0.18, draws), about(26.0, 0.25, draws));
    let mut at = along([0.0; 3], direction, 0.75 * surface(radii, direction));
    let nodes = [0.9, 1.15, 1.0, 0.85, 0.5].map(|relative: f32| {
        let node = (at, relative * width);
        at = along(at, direction, length / 4.0);
        direction = unit(along(direction, hook, 0.5));
        node
    });
    Shape::tube(nodes)
}

/// One pulmonary vein: the stump that the label has, and the rest with a branch.
fn vein(direction: Point, radii: Point, calibre: f64, draws: &mut Draws) -> (Shape, Vec<Shape>) {
    let radius = about(calibre, 0.22, draws);
    let start = surface(radii, direction);
    let curl = near([0.0, 0.1, 0.0], 0.35, draws);
    let cut = draws.uniform_in(10.0, 36.0) as f32;
    let mut at = along([0.0; 3], direction, 0.5 * start);
    // Inside the body, then piece by piece outwards, wide at the mouth.
    let mut nodes = vec![(at, 1.2 * radius)];
    let mut heading = direction;
    at = along([0.0; 3], direction, start - 1.0);
    let mut length = 0.0_f32;
    while length < 65.0 {
        let taper = 1.0 - 0.6 * length / 65.0;
        nodes.push((at, radius * (taper + 0.4 * (-length / 4.0).exp())));
        heading = unit(along(heading, near(curl, 0.5, draws), 0.15));
        at = along(at, heading, STEP);
        length += STEP;
    }
    let last = 1 + (cut / STEP).round() as usize;
    let fork = (last + 1 + draws.below(3)).min(nodes.len() - 2);
    let branch_heading = unit(near(minus(nodes[fork + 1].0, nodes[fork].0), 3.0, draws));
    let (origin, width) = nodes[fork];
    let branch = Shape::tube([(origin, 0.8 * width), (along(origin, branch_heading, 25.0), 0.3 * width)]);
    (Shape::tube(&nodes[..=last]), vec![Shape::tube(&nodes[last..]), branch])
}
