//! A plan proposed from a fingerprint: what a first experiment on these scans could be.

mod patch;

use super::CropTo;
use super::fingerprint::Fingerprint;
use crate::survey::{Survey, Surveyed, obstacles, percentile};
use anyhow::{Result, bail};
use serde::Serialize;
use tandem_training::Bytes;
use tandem_volume::prepared::{Normalisation, Split};

pub(super) use patch::Sizes;
use patch::{BATCH, FULL, Proposal, QUICK};

/// A scan of CT has air, which is near -1000 HU; MR has nothing below 0.
const AIR: f64 = -500.0;

/// The fewest voxels along an axis of a working grid that still show anything, where a scan has as many itself.
const FEWEST: f64 = 4.0;

/// What the command line decides instead of the plan.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wishes {
    pub(super) spacing: Option<[f64; 3]>,
    pub(super) normalisation: Option<Normalisation>,
    pub(super) crop: CropTo,
}

/// What is proposed.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Plan {
    /// Of each channel.
    pub(super) normalisation: Vec<Normalisation>,
    pub(super) crop: CropTo,
    pub(super) classes: usize,
    /// Scans whose labels train, that validate, and that train without labels.
    pub(super) labelled: usize,
    pub(super) validation: usize,
    pub(super) unlabelled: usize,
    /// The semi-supervised method.
    pub(super) method: &'static str,
    /// Labelled and unlabelled patches of a batch.
    pub(super) batch: [usize; 2],
    /// The working grid and its patches.
    pub(super) full: Sizes,
    /// The same, coarser, for machines without a GPU.
    pub(super) quick: Sizes,
    /// Why.
    pub(super) reasons: Vec<String>,
}

impl Plan {
    /// `memory` is what there is, in bytes.
    pub(super) fn propose(
        fingerprint: &Fingerprint,
        survey: &Survey,
        wishes: &Wishes,
        memory: Option<u64>,
    ) -> Result<Self> {
        let Fingerprint { labelled, unlabelled, .. } = *fingerprint;
        // The survey's errors, and these among them, were refused before; below, numbers rely on it.
        if let Some((_, message)) = obstacles(&fingerprint.classes, labelled).into_iter().next() {
            bail!(message);
        }
        let highest = fingerprint.classes.keys().last().copied().unwrap_or(1);
        let validation = (labelled / 5).max(1);
        let mut plan = Plan {
            normalisation: Vec::new(),
            crop: wishes.crop,
            classes: usize::from(highest).max(1) + 1,
            labelled: labelled - validation,
            validation,
            unlabelled,
            method: if unlabelled > 0 { "dual-networks" } else { "supervised-ensemble" },
            batch: [BATCH[0].min(labelled - validation), BATCH[1].min(unlabelled.max(1))],
            full: Sizes::default(),
            quick: Sizes::default(),
            reasons: Vec::new(),
        };
        if unlabelled == 0 {
            plan.reasons.push(
                "every scan is labelled, so the method is the control, which needs no unlabelled one; to try the others, \
                 lower data.labelled"
                    .to_owned(),
            );
        }
        plan.normalise(fingerprint, survey, wishes.normalisation);
        plan.size(fingerprint, wishes.spacing, memory)?;
        Ok(plan)
    }

    fn normalise(&mut self, fingerprint: &Fingerprint, survey: &Survey, wished: Option<Normalisation>) {
        let training: Vec<&Surveyed> =
            survey.scans.iter().filter(|scan| scan.split == Split::Train).collect();
        let labelled =
            training.iter().copied().filter(|scan| scan.label_voxels.is_some()).take(self.labelled);
        let labelled: Vec<&Surveyed> = labelled.collect();
        for channel in 0..training.first().map_or(0, |scan| scan.intensities.len()) {
            let named = fingerprint.channels.get(channel);
            let has_air = training.iter().all(|scan| scan.intensities[channel].min <= AIR);
            let is_ct = named.map_or(has_air, |name| name.eq_ignore_ascii_case("CT"));
            let chosen = wished
                .or_else(|| window(&labelled, channel).filter(|_| is_ct))
                .unwrap_or(Normalisation::ZScore);
            self.normalisation.push(chosen);
            let name = named
                .map_or_else(|| format!("channel {channel}"), |name| format!("channel {channel} ({name})"));
            let why = match (wished, is_ct) {
                (Some(_), _) => "as asked for".to_owned(),
                (None, true) => format!(
                    "CT; the window holds the 0.5th to 99.5th percentile of the labelled voxels of the first {} labelled \
                     scans",
                    labelled.len()
                ),
                (None, false) => "not CT".to_owned(),
            };
            self.reasons.push(format!("{name}: {} ({why})", described(&[chosen])));
        }
    }

    fn size(
        &mut self,
        fingerprint: &Fingerprint,
        wished: Option<[f64; 3]>,
        memory: Option<u64>,
    ) -> Result<()> {
        let spacing = wished.unwrap_or(fingerprint.median_spacing).map(rounded);
        let extent_mm =
            [0, 1, 2].map(|axis| fingerprint.median_shape[axis] * fingerprint.median_spacing[axis]);
        if wished.is_some() {
            refuse_coarse(fingerprint, extent_mm, spacing)?;
        }
        let (method, batch, classes) = (self.method, self.batch, self.classes);
        let proposal = Proposal { method, batch, channels: fingerprint.channels.len().max(1), classes };
        self.full = Sizes::fitting(extent_mm, spacing, FULL, |patch| proposal.fits(patch, FULL, memory));
        let quick = patch::quick_spacing(extent_mm, spacing).map(rounded);
        self.quick = Sizes::fitting(extent_mm, quick, QUICK, |patch| proposal.fits(patch, QUICK, memory));
        let why = if wished.is_some() { "as asked for" } else { "the median of the scans for training" };
        let [i, j, k] = spacing;
        self.reasons.push(format!("working grid of {i} x {j} x {k} mm: {why}"));
        let available = memory.map_or_else(|| "unknown".to_owned(), |bytes| Bytes(bytes).to_string());
        let [i, j, k] = self.full.patch;
        self.reasons.push(format!(
            "patch of {i} x {j} x {k} voxels: training takes about {} (memory here: {available}); a median scan has {} voxels",
            Bytes(proposal.bytes(self.full.patch, FULL)?),
            voxels(extent_mm, spacing)
        ));
        Ok(())
    }

    /// The plan for people.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!(
            "plan: {} labelled scans, {} unlabelled, {} to validate; {} classes; method {}",
            self.labelled, self.unlabelled, self.validation, self.classes, self.method
        )];
        lines.extend(self.reasons.iter().map(|reason| format!("  {reason}")));
        lines
    }
}

/// Refuses a working grid on which a median scan all but vanishes.
fn refuse_coarse(fingerprint: &Fingerprint, extent_mm: [f64; 3], spacing: [f64; 3]) -> Result<()> {
    let few =
        |axis: usize| extent_mm[axis] / spacing[axis] < FEWEST.min(fingerprint.median_shape[axis] - 0.5);
    if (0..3).any(few) {
        let [i, j, k] = fingerprint.median_spacing.map(rounded);
        bail!(
            "--spacing: a median scan would have {} voxels; its own spacing is {i} x {j} x {k} mm, give one near to that",
            voxels(extent_mm, spacing)
        );
    }
    Ok(())
}

/// The voxels of a median scan on a working grid, in words.
fn voxels(extent_mm: [f64; 3], spacing: [f64; 3]) -> String {
    [0, 1, 2].map(|axis| format!("{:.0}", extent_mm[axis] / spacing[axis])).join(" x ")
}

/// The window that holds nearly all labelled voxels of these scans; `None` where they have none.
fn window(labelled: &[&Surveyed], channel: usize) -> Option<Normalisation> {
    let mut pooled: Vec<f32> =
        labelled.iter().flat_map(|scan| scan.foreground[channel].iter().copied()).collect();
    pooled.sort_by(f32::total_cmp);
    let (low, high) = (percentile(&pooled, 0.5)?.floor(), percentile(&pooled, 99.5)?.ceil());
    (low < high).then_some(Normalisation::Window { low, high })
}

/// Normalisations in words.
pub(super) fn described(normalisation: &[Normalisation]) -> String {
    let words = normalisation.iter().map(|normalisation| match normalisation {
        Normalisation::ZScore => "z-scored".to_owned(),
        Normalisation::Window { low, high } => format!("window {low} to {high} scaled to 0 to 1"),
    });
    words.collect::<Vec<_>>().join(", ")
}

/// Millimetres as people write them: medians of headers in 32 bits are not round.
fn rounded(mm: f64) -> f64 {
    (mm * 1e4).round() / 1e4
}

#[cfg(test)]
mod tests;
