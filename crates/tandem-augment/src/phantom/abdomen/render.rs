//! From the abdomen to voxels.

use ndarray::{Array3, ArrayViewMut2};
use tandem_random::Draws;

use super::super::PhantomParams;
use super::super::field::Field;
use super::super::grid::Grid;
use super::super::paint::{mix, painted, step};
use super::super::shape::{FAR, Point, smooth_union};
use super::Abdomen;

/// Steps of the lattices of the fields, in mm.
const TEXTURE_STEP: f32 = 5.0;
const LOBULE_STEP: f32 = 5.5;
const MESENTERY_STEP: f32 = 9.0;
const NOISE_STEP: f32 = 1.3;
/// How far the parts of the pancreas blend into each other, and how deep the clefts between its lobules are, in mm.
const BLEND_MM: f32 = 5.0;
const LOBULE_MM: f32 = 1.2;
/// Values that 12 bits hold, as CT has them, in HU.
const RANGE_HU: [f32; 2] = [-1024.0, 3071.0];

/// All that a voxel depends on.
pub(super) struct Renderer<'a> {
    abdomen: &'a Abdomen,
    grid: &'a Grid,
    /// Half the width of a border in mm, no sharper than the grid can show.
    edge: f32,
    texture: Field,
    lobules: Field,
    mesentery: Field,
    noise: Field,
}

impl<'a> Renderer<'a> {
    pub(super) fn new(params: &PhantomParams, abdomen: &'a Abdomen, grid: &'a Grid) -> Self {
        let field = |step, slot: u64| {
            Field::draw(grid.bounds, step, &mut Draws::new(params.seed, "abdomen-field", slot, params.index))
        };
        Renderer {
            abdomen,
            grid,
            edge: abdomen.appearance.edge_mm.max(0.6 * grid.spacing.into_iter().fold(0.0, f32::max)),
            texture: field(TEXTURE_STEP, 0),
            lobules: field(LOBULE_STEP, 1),
            mesentery: field(MESENTERY_STEP, 2),
            noise: field(NOISE_STEP, 3),
        }
    }

    /// The image in whole HU, and the label map.
    pub(super) fn render(&self) -> (Array3<f32>, Array3<u8>) {
        self.grid.render(|i, image, label| self.render_plane(i, image, label))
    }

    fn render_plane(&self, i: usize, mut image: ArrayViewMut2<f32>, mut label: ArrayViewMut2<u8>) {
        for ((j, k), voxel) in image.indexed_iter_mut() {
            let (hu, is_pancreas) = self.tissue(self.grid.point([i, j, k]));
            *voxel = hu.round().clamp(RANGE_HU[0], RANGE_HU[1]);
            label[[j, k]] = u8::from(is_pancreas);
        }
    }

    /// The HU at `p`, and whether it belongs to the pancreas.
    fn tissue(&self, p: Point) -> (f32, bool) {
        let (abdomen, look) = (self.abdomen, &self.abdomen.appearance);
        let place = abdomen.pose.place(p);
        // Between the organs: fat with strands of vessels and nodes.
        let mut hu = mix(look.fat, look.pancreas, 0.7 * step(self.mesentery.at(p) - 1.1, 0.5));
        for organ in &abdomen.organs {
            let distance = organ.shape.distance(place);
            if distance < organ.wall_mm + self.edge {
                hu = painted(hu, distance, organ.wall_mm, organ.hu, self.edge);
            }
        }
        let parts = abdomen.pancreas.iter().map(|part| part.distance(place));
        let surface = parts.fold(FAR, |union, part| smooth_union(union, part, BLEND_MM));
        let lobule = self.lobules.at(p);
        let distance = surface + LOBULE_MM * lobule;
        if distance < self.edge {
            let cleft = look.infiltration * step(lobule - 1.0, 0.5);
            hu = mix(hu, mix(look.pancreas, look.fat, cleft), step(-distance, self.edge));
        }
        let grain = look.texture * self.texture.at(p) + look.noise * self.noise.noise_at(p);
        (hu + grain, distance < 0.0)
    }
}
