//! How the tissues of one scan look. Intensities are relative to the blood of the atrium before normalisation.

use tandem_random::Draws;

/// What an organ is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tissue {
    Lung,
    Bone,
    Liver,
    Oesophagus,
    Ventricle,
    RightHeart,
    Aorta,
}

/// The appearance of one scan.
#[derive(Clone, Debug)]
pub(super) struct Contrast {
    /// Muscle, heart wall included; the less it differs from 1, the harder the scan.
    pub(super) muscle: f32,
    /// Fat, whose signal the sequence suppresses more or less.
    pub(super) fat: f32,
    /// Blood of the veins far from the atrium.
    pub(super) vein: f32,
    /// How much of the valve between atrium and ventricle is seen, 0 to 1.
    pub(super) leaflet: f32,
    /// Thickness of the atrium's wall in mm.
    pub(super) wall_mm: f32,
    /// What late enhancement adds to the wall where it is scarred.
    pub(super) enhancement: f32,
    /// Half the width of a border in mm: resolution and motion.
    pub(super) edge_mm: f32,
    /// Relative amplitude of the texture inside tissues.
    pub(super) texture: f32,
    /// Amplitude of the logarithm of the bias field, and its slope per mm along each axis.
    pub(super) bias: f32,
    pub(super) bias_slope: [f32; 3],
    /// Standard deviation of the noise in either channel of the complex signal.
    pub(super) noise: f32,
    /// Mean and deviation of the box after normalisation: it is brighter than the whole scan, whose z-scores they are.
    pub(super) mean: f32,
    pub(super) deviation: f32,
    lung: f32,
    bone: [f32; 2],
    liver: f32,
    oesophagus: f32,
    ventricle: f32,
    right_heart: f32,
    aorta: f32,
}

impl Contrast {
    pub(super) fn draw(seed: u64, index: u64) -> Self {
        let mut draws = Draws::new(seed, "phantom-contrast", 0, index);
        let mut within = |low: f64, high: f64| draws.uniform_in(low, high) as f32;
        let muscle = 1.0 - within(0.05, 0.5);
        let deviation = within(0.5, 1.7);
        Contrast {
            muscle,
            fat: within(0.12, 0.7),
            vein: within(0.75, 1.2),
            leaflet: within(0.0, 0.6),
            wall_mm: within(1.0, 2.4),
            enhancement: within(0.0, 1.0).powf(1.5),
            edge_mm: within(0.6, 1.5),
            texture: within(0.03, 0.12),
            bias: within(0.05, 0.2),
            bias_slope: [within(-0.004, 0.004), within(-0.008, 0.004), within(-0.004, 0.004)],
            noise: within(0.05, 0.19),
            // What whole-scan z-scores of LA look like in the benchmark's box.
            mean: 1.5 * deviation - within(0.5, 0.9),
            deviation,
            lung: within(0.03, 0.12),
            bone: [within(0.1, 0.4), within(0.3, 0.9)],
            liver: within(0.4, 1.6),
            oesophagus: muscle * within(0.8, 1.3),
            ventricle: within(0.8, 1.15),
            right_heart: within(0.8, 1.2),
            aorta: within(0.75, 1.25),
        }
    }

    /// The intensity of a tissue, and that of its wall.
    pub(super) fn of(&self, tissue: Tissue) -> (f32, f32) {
        match tissue {
            Tissue::Lung => (self.lung, self.lung),
            Tissue::Bone => (self.bone[0], self.bone[1]),
            Tissue::Liver => (self.liver, self.fat),
            Tissue::Oesophagus => (self.oesophagus, self.fat),
            Tissue::Ventricle => (self.ventricle, self.muscle),
            Tissue::RightHeart => (self.right_heart, self.muscle),
            Tissue::Aorta => (self.aorta, self.muscle),
        }
    }
}
