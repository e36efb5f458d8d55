//! Signed distance maps of classes, and what they have to say about a segmentation.

use crate::planes::{self, SPAN};
use crate::scores::{Live, add_through_softmax};
use candle_core::{Result, bail};
use ndarray::{Array3, ArrayView3};
use rayon::prelude::*;
use tandem_metrics::distance_transform;
use tandem_ops3d::elementary::exp;

/// The signed distance maps of every class but the background.
///
/// Outside of the class: the distance to it, over the largest in the patch. On its inner boundary (voxels with a neighbour of six
/// outside): 0. Deeper inside: minus the distance to the outside, over the largest in the patch. Distances are in voxels. A patch
/// without the class, or filled by it, has no boundary and is 0 everywhere (the released code says so of the first).
///
/// # Shapes
/// Classes of the voxels `(patch, i, j, k)` of these sides; `(patch, class - 1, i, j, k)` is returned.
///
/// # Errors
/// Where there are not as many classes of voxels as the sides say.
///
/// # References
/// Xue et al., "Shape-aware organ segmentation by predicting signed distance maps", AAAI 2020, as DTC's released code normalises
/// them.
pub fn signed_distance(labels: &[u8], [patches, d, h, w]: [usize; 4], classes: usize) -> Result<Vec<f32>> {
    let voxels = d * h * w;
    if labels.len() != patches * voxels {
        bail!("{} labels for {patches} patches of {d} x {h} x {w} voxels", labels.len());
    }
    let mut maps = vec![0.0; labels.len() * classes.saturating_sub(1)];
    for (index, map) in maps.chunks_exact_mut(voxels.max(1)).enumerate() {
        let (patch, class) = (index / (classes - 1), index % (classes - 1) + 1);
        let of_patch = &labels[patch * voxels..][..voxels];
        let view = ArrayView3::from_shape((d, h, w), of_patch).map_err(candle_core::Error::wrap)?;
        let inside = view.mapv(|label| usize::from(label) == class);
        if inside.iter().any(|i| *i) && inside.iter().any(|i| !i) {
            write(&inside, map);
        }
    }
    Ok(maps)
}

fn write(inside: &Array3<bool>, map: &mut [f32]) {
    let to_class = distance_transform(inside.view(), [1.0; 3]);
    let to_outside = distance_transform(inside.mapv(|i| !i).view(), [1.0; 3]);
    let largest = |distances: &Array3<f64>| distances.iter().fold(0.0f64, |m, d| m.max(*d));
    let (outer, inner) = (largest(&to_class), largest(&to_outside));
    for ((to, outside), inside) in map.iter_mut().zip(&to_class).zip(&to_outside) {
        // On the inner boundary, and there alone, the outside is one voxel away.
        let depth = if *inside > 1.0 { inside / inner } else { 0.0 };
        *to = (outside / outer - depth) as f32;
    }
}

/// Mean squared difference of two maps; `weight` times its gradient with respect to the first is added.
///
/// # Errors
/// Where they do not have the same size.
pub fn distance_error(map: &[f32], target: &[f32], gradient: &mut [f32], weight: f64) -> Result<f64> {
    check_sizes(map.len(), [target.len(), gradient.len()])?;
    let count = map.len().max(1) as f64;
    let scale = (2.0 * weight / count) as f32;
    let chunks = map.par_chunks(SPAN).zip(target.par_chunks(SPAN)).zip(gradient.par_chunks_mut(SPAN));
    let [sum] = planes::add_up(chunks.map(|((map, target), gradient)| {
        let mut squares = [0.0; SPAN];
        for (((square, gradient), map), target) in squares.iter_mut().zip(gradient).zip(map).zip(target) {
            let error = map - target;
            *square = error * error;
            *gradient += scale * error;
        }
        [planes::sum(&squares)]
    }));
    Ok(sum / count)
}

/// Mean squared difference between the softmax of every class but the background and the mask that its map stands for,
/// `sigmoid(-steepness * map)`. Both learn: `weight` times the gradient with respect to the map is added to `by_map`.
///
/// # Shapes
/// Map and gradient are `(patch, class - 1, i, j, k)`.
///
/// # Errors
/// Where the map does not cover the voxels.
///
/// # References
/// Luo et al., "Semi-supervised medical image segmentation through dual-task consistency", AAAI 2021, with a steepness of 1500.
pub fn distance_consistency(
    scores: &mut Live<'_>,
    map: &[f32],
    by_map: &mut [f32],
    steepness: f64,
    weight: f64,
) -> Result<f64> {
    let read = scores.detached();
    let (foreground, voxels) = (read.classes() - 1, read.voxels() / read.patches().max(1));
    check_sizes(read.voxels() * foreground, [map.len(), by_map.len()])?;
    let count = map.len().max(1) as f64;
    let (scale, steepness) = ((2.0 * weight / count) as f32, steepness as f32);
    let mask = |distance: f32| 1.0 / (1.0 + exp((steepness * distance).min(80.0)));
    let read = read.on_host()?;
    let [sum] = scores.visit(|span, gradient| {
        let mut squares = [0.0; SPAN];
        let mut errors = vec![0.0; read.classes * span.len];
        for (class, errors) in errors.chunks_exact_mut(span.len).enumerate().skip(1) {
            let both = read.p(class, span).iter().zip(&map[span.of_class(class - 1, foreground)]);
            for ((error, square), (p, distance)) in errors.iter_mut().zip(&mut squares).zip(both) {
                *error = p - mask(*distance);
                *square += *error * *error;
            }
        }
        add_through_softmax(read, span, &errors, scale, gradient);
        [planes::sum(&squares)]
    });
    let spans = planes::spans_mut(by_map, foreground, voxels);
    spans.into_par_iter().for_each(|(span, classes)| {
        for (class, by_map) in classes.into_iter().enumerate() {
            let both = read.p(class + 1, span).iter().zip(&map[span.of_class(class, foreground)]);
            for (by_map, (p, distance)) in by_map.iter_mut().zip(both) {
                let mask = mask(*distance);
                *by_map += scale * (p - mask) * steepness * mask * (1.0 - mask);
            }
        }
    });
    Ok(sum / count)
}

fn check_sizes(len: usize, others: [usize; 2]) -> Result<()> {
    match others.into_iter().find(|other| *other != len) {
        Some(other) => bail!("a distance map of {other} values stands beside one of {len}"),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_has_the_map_of_its_definition() {
        // Voxels 2 to 6 of a line of 10 are the class; the largest distance outside is 3, inside 3.
        let labels: Vec<u8> = (0..10).map(|k| u8::from((2..7).contains(&k))).collect();
        let map = signed_distance(&labels, [1, 1, 1, 10], 2).unwrap();
        let third = 1.0 / 3.0;
        let expected =
            [2.0 * third, third, 0.0, -2.0 * third, -1.0, -2.0 * third, 0.0, third, 2.0 * third, 1.0];
        assert!(map.iter().zip(expected).all(|(a, b): (&f32, f32)| (a - b).abs() < 1e-6), "{map:?}");
    }

    #[test]
    fn classes_have_maps_of_their_own_and_those_without_a_boundary_are_zero() {
        let labels = [0, 1, 2, 0, 2, 2, 2, 2];
        let maps = signed_distance(&labels, [2, 1, 1, 4], 3).unwrap();
        assert_eq!(maps[..8], [0.5, 0.0, 0.5, 1.0, 1.0, 0.5, 0.0, 0.5]);
        assert_eq!(maps[8..], [0.0; 8]);
        assert!(signed_distance(&labels, [1, 1, 1, 4], 3).is_err());
    }
}
