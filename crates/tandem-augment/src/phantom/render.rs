//! From anatomy and contrast to voxels.

use ndarray::{Array3, ArrayViewMut2};
use tandem_random::Draws;

use super::PhantomParams;
use super::anatomy::{Anatomy, BLEND_MM, Organ, blended};
use super::contrast::{Contrast, Tissue};
use super::field::Field;
use super::grid::Grid;
use super::paint::{mix, painted, step};
use super::shape::{FAR, Point, Shape, along, dot, minus};

/// Steps of the lattices of the fields, in mm.
const BIAS_STEP: f32 = 45.0;
const TEXTURE_STEP: f32 = 5.0;
const SPECK_STEP: f32 = 3.5;
const SCAR_STEP: f32 = 9.0;
const NOISE_STEP: f32 = 0.9;
/// Over how many mm blood of the atrium turns into that of a vein or of the ventricle where no wall is between.
const MIXING_MM: f32 = 6.0;

/// Side of the tiles in which shapes are looked up, in mm, and how much the deformation may lengthen it.
const TILE_MM: f32 = 5.0;
const STRETCH: f32 = 1.8;

/// The shapes that matter in one tile.
struct Nearby<'a> {
    organs: Vec<&'a Organ>,
    parts: Vec<&'a Shape>,
    veins: Vec<&'a Shape>,
}

/// All that a voxel depends on.
pub(super) struct Renderer<'a> {
    anatomy: &'a Anatomy,
    contrast: &'a Contrast,
    grid: &'a Grid,
    /// Half the width of a border in mm, no sharper than the grid can show.
    edge: f32,
    bias: Field,
    texture: Field,
    specks: Field,
    scars: Field,
    noise: [Field; 2],
}

impl<'a> Renderer<'a> {
    pub(super) fn new(
        params: &PhantomParams,
        anatomy: &'a Anatomy,
        contrast: &'a Contrast,
        grid: &'a Grid,
    ) -> Self {
        let field = |step, slot: u64| {
            let mut draws = Draws::new(params.seed, "phantom-field", slot, params.index);
            Field::draw(grid.bounds, step, &mut draws)
        };
        Renderer {
            anatomy,
            contrast,
            grid,
            edge: contrast.edge_mm.max(0.6 * grid.spacing.into_iter().fold(0.0, f32::max)),
            bias: field(BIAS_STEP, 0),
            texture: field(TEXTURE_STEP, 1),
            specks: field(SPECK_STEP, 2),
            scars: field(SCAR_STEP, 3),
            noise: [field(NOISE_STEP, 4), field(NOISE_STEP, 5)],
        }
    }

    /// The image before normalisation, and the label map.
    pub(super) fn render(&self) -> (Array3<f32>, Array3<u8>) {
        self.grid.render(|i, image, label| self.render_plane(i, image, label))
    }

    /// One plane, tile by tile, so that only shapes close to a tile are evaluated for its voxels.
    fn render_plane(&self, i: usize, mut image: ArrayViewMut2<f32>, mut label: ArrayViewMut2<u8>) {
        let [_, nj, nk] = self.grid.shape;
        let [_, tile_j, tile_k] = self.grid.spacing.map(|mm| (TILE_MM / mm).ceil() as usize);
        for from_j in (0..nj).step_by(tile_j) {
            for from_k in (0..nk).step_by(tile_k) {
                let (to_j, to_k) = ((from_j + tile_j).min(nj), (from_k + tile_k).min(nk));
                let corners = [[i, from_j, from_k], [i, to_j - 1, to_k - 1]];
                let nearby = self.nearby(corners.map(|corner| self.grid.point(corner)));
                for j in from_j..to_j {
                    for k in from_k..to_k {
                        let p = self.grid.point([i, j, k]);
                        let (signal, is_atrium) = self.signal(p, &nearby);
                        image[[j, k]] = self.received(p, signal);
                        label[[j, k]] = u8::from(is_atrium);
                    }
                }
            }
        }
    }

    /// The shapes that may reach into a tile with these corners.
    fn nearby(&self, [low, high]: [Point; 2]) -> Nearby<'a> {
        let diagonal = minus(high, low);
        let middle = self.anatomy.place(along(low, diagonal, 0.5));
        let radius = STRETCH * 0.5 * dot(diagonal, diagonal).sqrt();
        let reaches = |shape: &Shape, mm: f32| shape.distance(middle) < mm + radius;
        let lumen = self.contrast.wall_mm + MIXING_MM;
        let (organs, atrium) = (self.anatomy.organs.iter(), &self.anatomy.atrium);
        Nearby {
            organs: organs.filter(|organ| reaches(&organ.shape, organ.wall_mm + self.edge)).collect(),
            parts: atrium.parts.iter().filter(|part| reaches(part, lumen + BLEND_MM)).collect(),
            veins: atrium.veins.iter().filter(|vein| reaches(vein, lumen)).collect(),
        }
    }

    /// What the tissue at `p` emits, and whether it belongs to the atrium.
    fn signal(&self, p: Point, nearby: &Nearby) -> (f32, bool) {
        let place = self.anatomy.place(p);
        let texture = self.texture.at(p);
        let contrast = self.contrast;
        // Between the organs: fat and muscle in irregular patches.
        let mut signal = mix(contrast.fat, contrast.muscle, step(texture - 0.2, 0.8));
        for organ in &nearby.organs {
            let distance = organ.shape.distance(place);
            if distance < organ.wall_mm + self.edge {
                let (mut inside, wall) = contrast.of(organ.tissue);
                if organ.tissue == Tissue::Lung {
                    // Small vessels.
                    inside = mix(inside, 0.8 * contrast.vein, step(self.specks.at(p) - 1.3, 0.4));
                }
                signal = painted(signal, distance, organ.wall_mm, [inside, wall], self.edge);
            }
        }
        let distance = blended(nearby.parts.iter().copied(), place);
        let to_veins = nearby.veins.iter().map(|vein| vein.distance(place)).fold(FAR, f32::min);
        if distance.min(to_veins) < contrast.wall_mm + MIXING_MM {
            signal = self.paint_atrium(signal, [p, place], [distance, to_veins]);
        }
        (signal * (1.0 + contrast.texture * texture), distance < 0.0)
    }

    /// Paints the atrium with all its veins. Neither the cut of a vein nor the opening into the ventricle has a border
    /// of its own.
    fn paint_atrium(&self, under: f32, [p, place]: [Point; 2], [distance, to_veins]: [f32; 2]) -> f32 {
        let contrast = self.contrast;
        let to_lumen = distance.min(to_veins);
        let opening = step(-self.anatomy.atrium.valve.distance(place), 2.0);
        let wall = contrast.muscle + contrast.enhancement * step(self.scars.at(p) - 0.3, 0.4);
        let opacity = mix(1.0, contrast.leaflet, opening);
        let under = mix(under, wall, opacity * step(contrast.wall_mm - to_lumen, self.edge));
        let blood = mix(1.0, contrast.vein, step(distance - 0.5 * MIXING_MM, MIXING_MM));
        // In the opening the two bloods mix over some millimetres.
        let border = mix(self.edge, MIXING_MM.max(self.edge), opening * (1.0 - contrast.leaflet));
        mix(under, blood, step(-to_lumen, border))
    }

    /// What the coil makes of a signal: bias field and Rician noise.
    fn received(&self, p: Point, signal: f32) -> f32 {
        let contrast = self.contrast;
        let bias = (contrast.bias * self.bias.at(p) + dot(contrast.bias_slope, p)).exp();
        let [real, imaginary] = &self.noise;
        let (real, imaginary) = (contrast.noise * real.noise_at(p), contrast.noise * imaginary.noise_at(p));
        ((signal * bias + real).powi(2) + imaginary.powi(2)).sqrt()
    }
}
