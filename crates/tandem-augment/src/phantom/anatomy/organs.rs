//! The neighbours of the left atrium, each placed relative to its surface.

use tandem_random::Draws;

use super::super::contrast::Tissue;
use super::super::shape::{Matrix, Point, Shape, along, minus, rotation, unit};
use super::super::variation::{about, near, rod};
use super::atrium::{Atrium, surface};

/// Long enough to leave the scan at both ends, in mm.
const LONG: f32 = 70.0;

/// A neighbour of the left atrium.
pub(in super::super) struct Organ {
    pub(in super::super) shape: Shape,
    pub(in super::super) tissue: Tissue,
    /// Thickness of its wall, outside of the shape, in mm.
    pub(in super::super) wall_mm: f32,
}

/// All neighbours, in painting order.
pub(super) fn draw(atrium: &Atrium, draws: &mut Draws) -> Vec<Organ> {
    let mut organs = behind(atrium, draws);
    organs.extend(chambers(atrium, draws));
    organs.extend(vessels(atrium, draws));
    organs
}

/// Lungs, spine, oesophagus and liver.
fn behind(atrium: &Atrium, draws: &mut Draws) -> Vec<Organ> {
    let [x, y, z] = atrium.radii;
    let upright = rotation([0.0; 3]);
    let mut lung = |side: f32| {
        let radii = [about(38.0, 0.08, draws), about(44.0, 0.08, draws), 95.0];
        Shape::ellipsoid(near([side * (x + 0.85 * radii[0]), y + 10.0, 5.0], 5.0, draws), radii, upright)
    };
    let lungs = [lung(-1.0), lung(1.0)];
    let spine_radius = about(16.0, 0.08, draws);
    let spine = near([-6.0, y + spine_radius + 8.0, 0.0], 2.5, draws);
    let gullet = near([3.0, y + 4.5, 0.0], 1.5, draws);
    let liver_side = draws.uniform_in(-95.0, -55.0) as f32;
    let liver = Shape::ellipsoid([liver_side, -y - 5.0, -z - 40.0], [50.0, 55.0, 45.0], upright);
    let [right, left] = lungs;
    vec![
        Organ { shape: right, tissue: Tissue::Lung, wall_mm: 0.0 },
        Organ { shape: left, tissue: Tissue::Lung, wall_mm: 0.0 },
        Organ { shape: liver, tissue: Tissue::Liver, wall_mm: 2.0 },
        Organ { shape: upright_rod(spine, spine_radius), tissue: Tissue::Bone, wall_mm: 1.8 },
        Organ {
            shape: upright_rod(gullet, about(4.5, 0.15, draws)),
            tissue: Tissue::Oesophagus,
            wall_mm: 1.0,
        },
    ]
}

/// Both ventricles and the right atrium. The left ventricle reaches into the left atrium at the valve.
fn chambers(atrium: &Atrium, draws: &mut Draws) -> Vec<Organ> {
    let [x, y, z] = atrium.radii;
    let length = about(40.0, 0.08, draws);
    let apex = unit(near([0.6, -0.65, -0.5], 0.1, draws));
    let mouth = along([0.0; 3], atrium.towards_valve, surface(atrium.radii, atrium.towards_valve));
    let width = about(22.0, 0.1, draws);
    let left = Shape::ellipsoid(along(mouth, apex, length - 9.0), [length, width, width], frame(apex));
    let septum = draws.uniform_in(1.0, 3.5) as f32;
    let right_radii = [about(21.0, 0.1, draws), about(21.0, 0.1, draws), about(28.0, 0.1, draws)];
    let right_centre = near([-0.55 * x - 10.0, -y - 0.75 * right_radii[1] - septum, -8.0], 3.0, draws);
    let right_atrium = Shape::ellipsoid(right_centre, right_radii, rotation([0.0, 0.0, 0.3]));
    let outflow = near([4.0, -y - 38.0, -z - 6.0], 4.0, draws);
    let right_ventricle = Shape::ellipsoid(outflow, [34.0, 17.0, 24.0], rotation([0.0, 0.0, 0.3]));
    vec![
        Organ { shape: right_ventricle, tissue: Tissue::RightHeart, wall_mm: 3.0 },
        Organ { shape: left, tissue: Tissue::Ventricle, wall_mm: about(9.0, 0.15, draws) },
        Organ { shape: right_atrium, tissue: Tissue::RightHeart, wall_mm: 1.5 },
    ]
}

/// The aorta up and down, the pulmonary artery across the roof, and the upper caval vein.
fn vessels(atrium: &Atrium, draws: &mut Draws) -> Vec<Organ> {
    let [x, y, z] = atrium.radii;
    let root = about(14.5, 0.1, draws);
    let aorta = near([-4.0, -0.8 * y - root - 2.5, 0.0], 2.0, draws);
    let ascending = rod(along(aorta, [0.2, 0.1, 1.0], -8.0), along(aorta, [-0.15, 0.0, 1.0], LONG), root);
    let descending = about(11.5, 0.12, draws);
    let descending = upright_rod(near([16.0, y + descending + 3.0, 0.0], 2.5, draws), descending);
    let artery = about(9.5, 0.12, draws);
    let roof = z + artery + draws.uniform_in(1.5, 5.0) as f32;
    let trunk = [
        ([16.0, -y - 22.0, 5.0], 1.25 * artery),
        (near([15.0, -0.6 * y - 8.0, roof], 2.0, draws), 1.2 * artery),
        (near([0.0, -0.25 * y, roof + 1.0], 2.0, draws), artery),
        (near([-0.8 * x, 0.0, roof - 1.0], 2.0, draws), 0.95 * artery),
        (near([-1.5 * x, 0.4 * y, roof - 6.0], 3.0, draws), 0.7 * artery),
    ];
    let left_branch = [
        trunk[1],
        (near([1.3 * x, 0.3 * y, roof + 3.0], 3.0, draws), 0.85 * artery),
        ([60.0, y, roof], 0.5 * artery),
    ];
    let caval = near([-0.75 * x - 6.0, -0.75 * y - 3.0, 0.0], 2.5, draws);
    let caval = rod(
        along(caval, [0.0, 0.0, 1.0], -5.0),
        along(caval, [0.0, 0.0, 1.0], LONG),
        about(7.5, 0.12, draws),
    );
    vec![
        Organ { shape: Shape::tube(trunk), tissue: Tissue::RightHeart, wall_mm: 1.2 },
        Organ { shape: Shape::tube(left_branch), tissue: Tissue::RightHeart, wall_mm: 1.2 },
        Organ { shape: caval, tissue: Tissue::RightHeart, wall_mm: 1.2 },
        Organ { shape: ascending, tissue: Tissue::Aorta, wall_mm: 1.6 },
        Organ { shape: descending, tissue: Tissue::Aorta, wall_mm: 1.6 },
    ]
}

fn upright_rod(middle: Point, radius: f32) -> Shape {
    rod(along(middle, [0.0, 0.0, 1.0], -LONG), along(middle, [0.0, 0.0, 1.0], LONG), radius)
}

/// Three unit axes, the first of which is `axis`.
fn frame(axis: Point) -> Matrix {
    let [x, y, z] = axis;
    let second = unit(minus([0.0, 0.0, 1.0], axis.map(|a| a * z)));
    let third = [y * second[2] - z * second[1], z * second[0] - x * second[2], x * second[1] - y * second[0]];
    [axis, second, third]
}
