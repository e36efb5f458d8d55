//! What a run is made of: settings, scans, lists, and where it writes.

use super::{Event, Observer, RunRecord, Setup};
use crate::working_grid::on_working_grid;
use crate::{
    Checkpoints, Config, Dataset, Error, Kernels, Lists, Program, Result, Trainer, TwoStreamSampler, host,
};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use tandem_networks::Device;
use tandem_volume::prepared::{PreparedSet, Split};

/// What does not change during a run.
pub(super) struct Plan {
    pub(super) config: Config,
    pub(super) record: RunRecord,
    pub(super) folder: PathBuf,
    pub(super) kept: Checkpoints,
    /// The scans on their own grids.
    pub(super) own: PreparedSet,
    pub(super) dataset: Dataset,
    pub(super) sampler: TwoStreamSampler,
    /// Where the networks run.
    pub(super) device: Device,
}

impl Plan {
    pub(super) fn new(setup: Setup<'_>, stop: &AtomicBool, observe: Observer<'_>) -> Result<(Self, Trainer)> {
        let Setup { config, prepared, folder, device } = setup;
        config.check()?;
        let own = PreparedSet::open(prepared)?;
        config.data.check_prepared(own.manifest())?;
        let lists = Lists::of(own.manifest(), &config.data)?;
        let trainer = Trainer::new(&config, &device)?;
        let training = &config.training;
        let mut read = lists.clone();
        if !trainer.method().uses_unlabelled() {
            read.unlabelled.clear();
        }
        let per_batch = training.batch(trainer.method());
        let indices = |count: usize, from: usize| (from..from + count).collect();
        let labelled = indices(read.labelled.len(), 0);
        let unlabelled = indices(read.unlabelled.len(), read.labelled.len());
        let sampler = TwoStreamSampler::new(labelled, unlabelled, per_batch, training.seed)?;
        // The long part comes after all that can be wrong with the settings.
        let working = match config.data.spacing_mm {
            None => own.clone(),
            Some(spacing) => {
                let mut progress = |done, total| {
                    observe(Event::Resampling { done, total });
                    if stop.load(Ordering::Relaxed) { Err(Error::Stopped) } else { Ok(()) }
                };
                on_working_grid(prepared, spacing, config.data.class_count(), &mut progress)?
            }
        };
        let dataset = Dataset::open(&working, &read, training.patch, training.seed)?
            .with_augmentation(config.augmentation.clone())
            .with_strong_view(trainer.method().wants_strong_view());
        let Program { version, commit, dependencies } = Program::this();
        let record = RunRecord {
            version,
            commit,
            dependencies,
            dataset: own.manifest().dataset.clone(),
            prepared: prepared.to_owned(),
            data_digest: own.digest().to_owned(),
            config_digest: config.digest()?,
            seed: training.seed,
            kernels: Kernels::on(config.precision, &device),
            threads: rayon::current_num_threads(),
            processor: host::processor(),
            training_scans: own.manifest().cases.iter().filter(|case| case.split == Split::Train).count(),
            all_scans: if own.manifest().dataset == "la" { 100 } else { own.manifest().cases.len() },
            lists,
            normalisation: own.manifest().normalisation.clone(),
            orientation: own.manifest().orientation,
        };
        let (folder, kept) = (folder.to_owned(), Checkpoints::of(folder));
        Ok((Plan { config, record, folder, kept, own, dataset, sampler, device }, trainer))
    }

    /// # Errors
    /// Where a file of the run folder was made with other settings or from other scans.
    pub(super) fn check_origin(&self, file: &Path, config: &str, data: &str) -> Result<()> {
        if data != self.record.data_digest {
            let prepared = self.record.prepared.display();
            let problem = format!(
                "was made from other scans than {prepared} holds now; prepare the same scans again, or start the run anew"
            );
            return Err(Error::run_file(file, problem));
        }
        if config != self.record.config_digest {
            let problem = "was made with other settings than config.json holds now; restore config.json, or start the run \
                           anew";
            return Err(Error::run_file(file, problem));
        }
        Ok(())
    }
}
