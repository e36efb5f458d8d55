//! The organs of the upper abdomen. The frame has its origin near the neck of the pancreas and is in mm: x to the patient's
//! left, y to the back, z to the head. HU are those of a CT in the portal venous phase.

use tandem_random::Draws;

use super::super::shape::{Point, Shape, along, minus, unit};
use super::super::variation::{about, bounded, near, rod};
use super::UPRIGHT;

/// Long enough to leave the scan at both ends, in mm.
const LONG: f32 = 120.0;
/// Gas, in HU.
const GAS: f32 = -850.0;

/// A neighbour of the pancreas.
pub(super) struct Organ {
    pub(super) shape: Shape,
    /// HU inside, and of the wall.
    pub(super) hu: [f32; 2],
    /// Thickness of its wall, outside of the shape, in mm.
    pub(super) wall_mm: f32,
}

/// Head with uncinate process, neck, body and tail.
pub(super) fn pancreas(draws: &mut Draws) -> Vec<Shape> {
    let width = about(1.0, 0.12, draws);
    // Where the tail ends varies most: up at the spleen, or down at the kidney.
    let tail = [0.0, (6.0 * bounded(draws)) as f32, (9.0 * bounded(draws)) as f32];
    let mut nodes = |points: &[(Point, f32)], tail_share: f32| {
        let last = points.len() as f32 - 1.0;
        let node = |(n, (point, radius)): (usize, &(Point, f32))| {
            let share = tail_share * (n as f32 / last).powi(2);
            (along(near(*point, 2.0, draws), tail, share), about(f64::from(width * radius), 0.1, draws))
        };
        points.iter().enumerate().map(node).collect::<Vec<_>>()
    };
    let head =
        nodes(&[([-26.0, 6.0, -22.0], 10.0), ([-28.0, 3.0, -10.0], 13.5), ([-20.0, -3.0, 0.0], 10.5)], 0.0);
    let uncinate = nodes(&[([-26.0, 8.0, -20.0], 8.0), ([-10.0, 11.0, -22.0], 5.0)], 0.0);
    let mut spine = vec![head[1], head[2]];
    spine.extend(nodes(
        &[
            ([-8.0, -8.0, 3.0], 7.5),
            ([8.0, -9.0, 7.0], 9.5),
            ([24.0, 0.0, 11.0], 9.5),
            ([38.0, 12.0, 15.0], 8.5),
            ([50.0, 20.0, 18.0], 7.0),
        ],
        1.0,
    ));
    vec![Shape::tube(head), Shape::tube(uncinate), Shape::tube(spine)]
}

/// All neighbours, in painting order. `pancreas` is its HU: walls of bowel and stomach have nearly the same.
pub(super) fn neighbours(pancreas: f32, draws: &mut Draws) -> Vec<Organ> {
    let mut organs = solid(draws);
    organs.extend(hollow(pancreas, draws));
    organs.extend(vessels(draws));
    organs
}

/// Bone, muscles, liver, spleen and kidneys.
fn solid(draws: &mut Draws) -> Vec<Organ> {
    let mut organs = Vec::new();
    let mut ellipsoid = |centre: Point, radii: Point, hu: [f32; 2], wall_mm: f32, draws: &mut Draws| {
        let radii = radii.map(|mm| about(f64::from(mm), 0.08, draws));
        organs.push(Organ { shape: Shape::ellipsoid(near(centre, 3.0, draws), radii, UPRIGHT), hu, wall_mm });
    };
    let muscle = draws.uniform_in(50.0, 75.0) as f32;
    let liver = draws.uniform_in(90.0, 130.0) as f32;
    let spleen = draws.uniform_in(100.0, 140.0) as f32;
    let kidney = draws.uniform_in(140.0, 200.0) as f32;
    for side in [-1.0, 1.0] {
        ellipsoid([side * 30.0, 62.0, -30.0], [14.0, 14.0, 70.0], [muscle; 2], 0.0, draws);
    }
    ellipsoid([-72.0, -18.0, 34.0], [50.0, 52.0, 46.0], [liver; 2], 0.0, draws);
    ellipsoid([74.0, 36.0, 34.0], [20.0, 30.0, 38.0], [spleen; 2], 0.0, draws);
    for (side, low) in [(-1.0, -28.0), (1.0, -16.0)] {
        // The pelvis is darker than the cortex around it.
        ellipsoid([side * 52.0, 50.0, low], [16.0, 16.0, 36.0], [0.75 * kidney, kidney], 7.0, draws);
    }
    let spine = near([0.0, 66.0, 0.0], 2.0, draws);
    organs.push(upright(spine, about(18.0, 0.08, draws), [180.0, 420.0], 2.0));
    organs
}

/// Duodenum, stomach and loops of bowel.
fn hollow(pancreas: f32, draws: &mut Draws) -> Vec<Organ> {
    let mut organs = Vec::new();
    let mut tube = |points: &[(Point, f32)], wall_mm: f32, draws: &mut Draws| {
        let nodes: Vec<_> =
            points.iter().map(|(p, r)| (near(*p, 2.0, draws), about(f64::from(*r), 0.12, draws))).collect();
        let wall = pancreas + draws.uniform_in(-20.0, 20.0) as f32;
        // Collapsed, with water, with contrast or with gas.
        let content = match draws.below(6) {
            0 => GAS,
            1 => draws.uniform_in(150.0, 250.0) as f32,
            2 | 3 => wall - draws.uniform_in(0.0, 25.0) as f32,
            _ => draws.uniform_in(0.0, 40.0) as f32,
        };
        organs.push(Organ { shape: Shape::tube(nodes), hu: [content, wall], wall_mm });
    };
    for _ in 0..5 {
        let start = [
            draws.uniform_in(-60.0, 60.0) as f32,
            draws.uniform_in(-60.0, 10.0) as f32,
            draws.uniform_in(-75.0, -38.0) as f32,
        ];
        tube(&loop_of_bowel(start, draws), 2.0, draws);
    }
    let stomach = [
        ([-24.0, -26.0, 6.0], 9.0),
        ([-4.0, -38.0, 6.0], 13.0),
        ([22.0, -38.0, 18.0], 17.0),
        ([40.0, -24.0, 38.0], 20.0),
        ([46.0, -10.0, 62.0], 22.0),
    ];
    tube(&stomach, 3.0, draws);
    let duodenum = [
        ([-30.0, -14.0, 10.0], 9.0),
        ([-46.0, -2.0, 2.0], 9.5),
        ([-48.0, 6.0, -14.0], 9.0),
        ([-40.0, 12.0, -32.0], 9.0),
        ([-16.0, 20.0, -38.0], 8.0),
        ([14.0, 18.0, -36.0], 8.0),
        ([30.0, 4.0, -26.0], 9.0),
    ];
    tube(&duodenum, 2.0, draws);
    organs
}

/// Nodes that wander through the lower abdomen.
fn loop_of_bowel(start: Point, draws: &mut Draws) -> Vec<(Point, f32)> {
    let mut heading = unit(near([0.0; 3], 1.0, draws));
    let mut at = start;
    let node = |_| {
        let node = (at, 8.5);
        at = along(at, heading, 16.0);
        heading = unit(near(heading, 0.5, draws));
        // Back to the lower abdomen, away from the pancreas.
        heading = unit(along(heading, minus(start, at), 0.01));
        node
    };
    (0..6).map(node).collect()
}

/// Aorta, caval vein, the mesenteric vessels and the vein of the spleen, which runs along the back of the pancreas.
fn vessels(draws: &mut Draws) -> Vec<Organ> {
    let artery = draws.uniform_in(130.0, 190.0) as f32;
    let vein = draws.uniform_in(130.0, 190.0) as f32;
    let mut tube = |points: &[(Point, f32)], hu: f32| {
        let nodes: Vec<_> =
            points.iter().map(|(p, r)| (near(*p, 1.0, draws), about(f64::from(*r), 0.1, draws))).collect();
        Organ { shape: Shape::tube(nodes), hu: [hu; 2], wall_mm: 0.0 }
    };
    vec![
        tube(&[([6.0, 38.0, -LONG], 9.0), ([6.0, 36.0, 0.0], 9.5), ([4.0, 40.0, LONG], 10.5)], artery),
        tube(
            &[([-16.0, 36.0, -LONG], 10.0), ([-16.0, 34.0, 0.0], 10.5), ([-20.0, 30.0, LONG], 11.0)],
            0.9 * vein,
        ),
        tube(&[([5.0, 26.0, 12.0], 3.5), ([5.0, 14.0, -8.0], 3.5), ([4.0, 4.0, -LONG], 3.0)], artery),
        tube(
            &[
                ([-6.0, 2.0, -LONG], 5.0),
                ([-7.0, 3.0, -6.0], 6.0),
                ([-16.0, 6.0, 14.0], 6.0),
                ([-44.0, -6.0, 44.0], 6.0),
            ],
            vein,
        ),
        tube(
            &[
                ([-8.0, 5.0, 4.0], 4.5),
                ([10.0, 4.0, 9.0], 4.0),
                ([28.0, 14.0, 13.0], 4.0),
                ([48.0, 30.0, 20.0], 3.5),
                ([64.0, 36.0, 28.0], 3.0),
            ],
            vein,
        ),
    ]
}

fn upright(middle: Point, radius: f32, hu: [f32; 2], wall_mm: f32) -> Organ {
    let (foot, head) = (along(middle, [0.0, 0.0, 1.0], -LONG), along(middle, [0.0, 0.0, 1.0], LONG));
    Organ { shape: rod(foot, head, radius), hu, wall_mm }
}
