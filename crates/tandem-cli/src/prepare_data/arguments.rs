//! What `prepare-data` can be asked for.

use super::custom::{self, CropTo};
use super::pancreas::{PublishedSplit, Recipe};
use crate::survey::Kind;
use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use std::path::{Path, PathBuf};

/// What random things are keyed by where nothing else is said.
pub(super) const DEFAULT_SEED: u64 = 1337;

const EXAMPLES: &str = "Examples:
  tandem prepare-data phantom --cases 20
  tandem prepare-data custom --source scans/ --name liver
  tandem prepare-data la --source 2018_UTAH_MICCAI";

/// Prepares scans: reads or makes them once, checks them, and writes them so that patches are read quickly.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// What to prepare.
    #[arg(value_enum, default_value = "phantom")]
    pub(super) dataset: Dataset,
    /// The folder of the scans. Custom: any that check-data knows. LA: images/ID.nii.gz with labels/ID.nii.gz, or
    /// ID/mri_norm2.h5, or ID/lgemri.nrrd with ID/laendo.nrrd. Pancreas: PANCREAS_0001/STUDY/SERIES/*.dcm and
    /// label0001.nii.gz, in folders as the archive has them. All: train.list and test.list, one id a line, where there are
    /// lists.
    #[arg(long, value_name = "DIR")]
    source: Option<PathBuf>,
    /// The folder for prepared datasets [default: data/prepared].
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    /// Keys whatever is drawn at random: phantoms, margins of crops.
    #[arg(long, default_value_t = DEFAULT_SEED)]
    pub(super) seed: u64,
    /// How many scans: phantoms to make [default: 100, of pancreas-phantom 80], or the first of the lists [default: all].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) cases: Option<u32>,
    /// Phantoms: their spacing in mm [default: 0.625, of pancreas-phantom 1.2 x 1.2 x 1.5]. Custom: that of the working grid
    /// along i, j, k [default: the median].
    #[arg(long, value_name = "MM", num_args = 1..=3)]
    pub(super) spacing: Option<Vec<f64>>,
    /// Pancreas: the published pipeline [default: mc-net].
    #[arg(long, value_enum)]
    pub(super) recipe: Option<Recipe>,
    /// Pancreas: the published lists [default: those of --source where it has some, else mcf-0].
    #[arg(long, value_enum)]
    pub(super) split: Option<PublishedSplit>,
    /// The folder where pancreas-phantom leaves its DICOM folders and label maps [default: they are removed again].
    #[arg(long, value_name = "DIR")]
    pub(super) download: Option<PathBuf>,
    /// Custom: what the dataset and its experiment are called [default: as the folder is].
    #[arg(long)]
    pub(super) name: Option<String>,
    /// Custom: intensities are cut off at these, which become 0 and 1 [default: for CT only].
    #[arg(long, value_names = ["LO", "HI"], num_args = 2, allow_negative_numbers = true)]
    pub(super) window: Option<Vec<f64>>,
    /// Custom: intensities are z-scored over each scan [default: for all but CT].
    #[arg(long, conflicts_with = "window")]
    pub(super) zscore: bool,
    /// Custom: which part of a scan is kept [default: foreground].
    #[arg(long, value_enum)]
    pub(super) crop: Option<CropTo>,
    /// LA, custom: resamples label maps that do not lie on the grid of their image onto it; without it, they are refused.
    #[arg(long)]
    pub(super) resample_labels: bool,
    /// Prepares again what is prepared already. Without it, what is prepared stays, and other scans or options are refused.
    #[arg(long)]
    pub(super) force: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Dataset {
    /// Synthetic scans of a left atrium among its neighbours.
    Phantom,
    /// Left atrium, LGE-MRI, from --source.
    La,
    /// Pancreas, CT: the NIH Pancreas-CT download in --source.
    Pancreas,
    /// Synthetic CT of a pancreas among its neighbours, written and read as that download.
    PancreasPhantom,
    /// Scans of your own from --source, with a plan and an experiment to edit.
    Custom,
}

impl Dataset {
    pub(super) fn name(self) -> &'static str {
        match self {
            Dataset::Phantom => "phantom",
            Dataset::La => "la",
            Dataset::Pancreas => "pancreas",
            Dataset::PancreasPhantom => "pancreas-phantom",
            Dataset::Custom => "custom",
        }
    }
}

impl Arguments {
    /// Refuses options that mean nothing for the dataset.
    pub(super) fn check(&self) -> Result<()> {
        use Dataset::{Custom, La, Pancreas, PancreasPhantom, Phantom};
        const OWN_RECIPE: &str = "the others have recipes of their own";
        // Each option, whether it is given, what it is for, and what there is instead.
        let options: [(&str, bool, &[Dataset], &str); 11] = [
            ("source", self.source.is_some(), &[La, Pancreas, Custom], "phantoms are made"),
            (
                "cases",
                self.cases.is_some(),
                &[Phantom, La, Pancreas, PancreasPhantom],
                "in custom, train.list in --source chooses the scans",
            ),
            (
                "spacing",
                self.spacing.is_some(),
                &[Phantom, PancreasPhantom, Custom],
                "experiments resample scans to their data.spacing_mm",
            ),
            ("recipe", self.recipe.is_some(), &[Pancreas, PancreasPhantom], "the others have one way only"),
            (
                "split",
                self.split.is_some(),
                &[Pancreas],
                "other lists are train.list and test.list in --source",
            ),
            ("download", self.download.is_some(), &[PancreasPhantom], "a download of yours is --source"),
            ("name", self.name.is_some(), &[Custom], "benchmarks and phantoms have their names"),
            ("window", self.window.is_some(), &[Custom], OWN_RECIPE),
            ("zscore", self.zscore, &[Custom], OWN_RECIPE),
            ("crop", self.crop.is_some(), &[Custom], OWN_RECIPE),
            (
                "resample-labels",
                self.resample_labels,
                &[La, Custom],
                "label maps of the pancreas are turned onto their scans, and phantoms are made on one grid",
            ),
        ];
        for (option, is_given, datasets, instead) in options {
            if is_given && !datasets.contains(&self.dataset) {
                let names: Vec<&str> = datasets.iter().map(|dataset| dataset.name()).collect();
                let (names, own) = (names.join(", "), self.dataset.name());
                bail!("--{option} is for prepare-data {names}, not for {own}; {instead}");
            }
        }
        Ok(())
    }

    /// The name of the prepared folder. Both recipes can be prepared beside each other.
    pub(super) fn folder_name(&self) -> Result<String> {
        let name = self.dataset.name();
        Ok(match (self.dataset, self.recipe.unwrap_or_default()) {
            (Dataset::Custom, _) => custom::name(self)?,
            (_, Recipe::McNet) => name.to_owned(),
            (_, Recipe::Coranet) => format!("{name}-coranet"),
        })
    }

    /// The folder of the scans, which must be there.
    pub(super) fn source(&self) -> Result<&Path> {
        let name = self.dataset.name();
        let missing = || format!("say where the scans are: prepare-data {name} --source DIR");
        let source = self.source.as_deref().with_context(missing)?;
        if !source.is_dir() {
            bail!("there is no folder {}; give --source the folder of the scans", source.display());
        }
        Ok(source)
    }

    /// Errors of a scan that preparing it mends: label maps that are to be resampled may lie elsewhere.
    pub(super) fn passed(&self) -> Vec<Kind> {
        self.resample_labels.then_some(Kind::Grid).into_iter().collect()
    }

    /// The one spacing of phantoms.
    pub(super) fn isotropic(&self) -> Result<Option<f64>> {
        match self.spacing.as_deref() {
            None => Ok(None),
            Some(&[mm]) => Ok(Some(mm)),
            Some(_) => bail!("--spacing: phantoms have one number of millimetres"),
        }
    }
}
