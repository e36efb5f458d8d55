//! Blending tissues at their borders.

pub(super) fn mix(a: f32, b: f32, share: f32) -> f32 {
    a + share * (b - a)
}

/// A smooth step from 0 to 1 between `-half_width` and `half_width`.
pub(super) fn step(x: f32, half_width: f32) -> f32 {
    let t = (0.5 + 0.5 * x / half_width).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

/// A solid with a wall around it, painted over what was there; its borders are `edge` mm wide on either side.
pub(super) fn painted(under: f32, distance: f32, wall_mm: f32, [inside, wall]: [f32; 2], edge: f32) -> f32 {
    let under = if wall_mm > 0.0 { mix(under, wall, step(wall_mm - distance, edge)) } else { under };
    mix(under, inside, step(-distance, edge))
}
