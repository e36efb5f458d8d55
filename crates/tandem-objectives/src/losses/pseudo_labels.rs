//! Pseudo-labels of several networks together.

use super::cross_entropy::IGNORE;
use crate::planes::SPAN;
use crate::scores::{Detached, Planes};
use candle_core::{Result, bail};
use tandem_ops3d::VoxelBytes;

/// The likeliest class of each voxel by the mean softmax of some networks; [`IGNORE`] where its mean probability is below
/// `threshold`. The lowest class of several.
///
/// # Shapes
/// One label for each voxel, in the order (patch, i, j, k).
///
/// # Errors
/// Where there is no network, or they cover different voxels or classes.
///
/// # References
/// Lee, "Pseudo-label", ICML 2013 workshop on challenges in representation learning; the threshold is FixMatch's (Sohn et al., NeurIPS
/// 2020).
pub fn pseudo_labels(teachers: &[Detached<'_>], threshold: f64) -> Result<VoxelBytes> {
    let Some(first) = teachers.first() else { bail!("pseudo-labels need a network to be made by") };
    for teacher in teachers {
        first.check_voxels("a second network's scores", teacher.voxels())?;
        if teacher.classes() != first.classes() {
            bail!("networks of {} and {} classes make no pseudo-labels", first.classes(), teacher.classes());
        }
    }
    // Where the second is elsewhere, or there is a third, the host has all.
    let others: Option<Vec<_>> = teachers[1..].iter().map(|teacher| teacher.on_gpu()).collect();
    match (first.on_gpu(), others.as_deref()) {
        (Some((gpu, patches)), Some([])) => return gpu.pseudo_labels(patches, None, threshold),
        (Some((gpu, patches)), Some([second])) => {
            return gpu.pseudo_labels(patches, Some(second.clone()), threshold);
        }
        _ => {}
    }
    let (count, threshold) = (teachers.len() as f32, threshold as f32);
    let teachers: Vec<Planes> = teachers.iter().map(|teacher| teacher.on_host()).collect::<Result<_>>()?;
    let labels = teachers[0].per_voxel(|span, labels: &mut [u8]| {
        labels.fill(0);
        let mut largest = [0.0; SPAN];
        for class in 0..teachers[0].classes {
            let mut mean = [0.0; SPAN];
            for teacher in &teachers {
                mean.iter_mut().zip(teacher.p(class, span)).for_each(|(mean, p)| *mean += p / count);
            }
            for ((label, largest), mean) in labels.iter_mut().zip(&mut largest).zip(mean) {
                let larger = mean > *largest;
                *label = if larger { class as u8 } else { *label };
                *largest = if larger { mean } else { *largest };
            }
        }
        for (label, largest) in labels.iter_mut().zip(largest) {
            *label = if largest < threshold { IGNORE } else { *label };
        }
    });
    Ok(labels.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Scores;
    use candle_core::{Device, Tensor};

    fn scores(probabilities: [[f64; 3]; 2]) -> Scores {
        let logits = probabilities.map(|class| class.map(|p| p.ln() as f32));
        Scores::new(Tensor::new(&[logits], &Device::Cpu).unwrap().reshape((1, 2, 3, 1, 1)).unwrap()).unwrap()
    }

    #[test]
    fn the_mean_decides_and_doubt_is_ignored() {
        let a = scores([[0.9, 0.4, 0.5], [0.1, 0.6, 0.5]]);
        let b = scores([[0.3, 0.3, 0.5], [0.7, 0.7, 0.5]]);
        let both = [a.detached(0..1), b.detached(0..1)];
        let labels =
            |teachers, threshold| pseudo_labels(teachers, threshold).unwrap().values().unwrap().to_vec();
        assert_eq!(labels(&both, 0.0), [0, 1, 0]);
        assert_eq!(labels(&both, 0.62), [IGNORE, 1, IGNORE]);
        assert_eq!(labels(&both[1..], 0.0), [1, 1, 0]);
        assert!(pseudo_labels(&[], 0.0).is_err());
    }
}
