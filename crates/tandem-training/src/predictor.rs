//! Networks as a segmenter of whole scans.

use crate::files::read_json;
use crate::provenance::sha256;
use crate::run::CONFIG;
use crate::{Checkpoint, Checkpoints, Config, Error, Member, Result, Selection, Trainer};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use tandem_inference::{Plane, Protocol, Segmentation};
use tandem_metrics::Nsd;
use tandem_networks::{Device, Segmenter};
use tandem_volume::Image;
use tandem_volume::prepared::Names;

/// The networks whose softmaxes are averaged, with their window and working grid.
pub struct Predictor<'a> {
    pub(crate) names: Vec<&'a str>,
    pub(crate) networks: Vec<&'a dyn Segmenter>,
    pub(crate) protocol: Protocol,
    pub(crate) channels: Names,
    pub(crate) classes: Names,
    pub(crate) nsd: Nsd,
}

impl<'a> Predictor<'a> {
    /// The predictors of a trainer's method.
    ///
    /// # Errors
    /// Where the method names a predictor that is not one of its networks.
    pub fn new(trainer: &'a Trainer, config: &'a Config) -> Result<Self> {
        let names = trainer.method().predictors();
        let find = |name: &&'static str| Ok(trainer.networks().get(name)?.segmenter.as_ref());
        let networks = names.iter().map(find).collect::<Result<_>>()?;
        let protocol = Protocol { window: config.window(), spacing: config.data.spacing_mm };
        let (channels, classes) = (config.data.channel_names(), config.data.class_names());
        Ok(Predictor { names, networks, protocol, channels, classes, nsd: config.evaluation.nsd()? })
    }

    /// The same with all mirror images of every window, whose softmaxes are averaged, or with none: eight times the work.
    pub fn mirrored(mut self, mirror: bool) -> Self {
        self.protocol.window.mirror = mirror;
        self
    }

    /// Names of the networks, in the order of [`Self::segment`]'s probabilities.
    pub fn names(&self) -> &[&'a str] {
        &self.names
    }

    /// Spacing of the working grid in mm; none for each scan's own.
    pub fn spacing(&self) -> Option<[f64; 3]> {
        self.protocol.spacing
    }

    /// Channels that a scan must have.
    pub fn channels(&self) -> usize {
        self.channels.count()
    }

    /// Classes of the label maps, background included.
    pub fn classes(&self) -> usize {
        self.classes.count()
    }

    /// The surface Dice that the run's settings ask for.
    pub fn nsd(&self) -> &Nsd {
        &self.nsd
    }

    /// What a class is called: by its number, where it has no name.
    pub fn class_name(&self, class: usize) -> String {
        self.classes.name(class)
    }

    /// Segments a scan whose intensities are normalised as the training data's were. `progress` gets the windows done
    /// and their number, and may end the work.
    ///
    /// # Errors
    /// [`Error::Stopped`] where `progress` ended it; where the scan cannot be resampled or a network fails; the message names the case.
    pub fn segment(
        &self,
        id: &str,
        scan: &Image,
        progress: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
    ) -> Result<Segmentation> {
        tandem_inference::segment(&self.networks, scan, &self.protocol, &candle_core::Device::Cpu, progress)
            .map_err(of_case(id))
    }

    /// As [`Self::segment`], plane by plane: `take` gets every plane of the scan's own grid, and of the working grid where
    /// that is another one (see [`tandem_inference::segment_planes`]).
    ///
    /// # Errors
    /// As for [`Self::segment`], and the first error of `take`.
    pub fn segment_planes(
        &self,
        id: &str,
        scan: Image,
        take: &mut dyn FnMut(Plane) -> tandem_inference::Result<()>,
        progress: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
    ) -> Result<()> {
        tandem_inference::segment_planes(
            &self.networks,
            scan,
            &self.protocol,
            &candle_core::Device::Cpu,
            take,
            progress,
        )
        .map_err(of_case(id))
    }
}

/// For `map_err`: an error of the inference crate with its case.
fn of_case(id: &str) -> impl FnOnce(tandem_inference::Error) -> Error + '_ {
    |source| match source {
        tandem_inference::Error::Stopped => Error::Stopped,
        source => Error::Prediction { id: id.to_owned(), source },
    }
}

/// A run folder's networks after the last step, or at the newest checkpoint where training has not ended, for evaluation
/// and prediction.
pub struct TrainedRun {
    config: Config,
    trainer: Trainer,
    steps: u64,
    selection: Selection,
    checkpoint: PathBuf,
}

impl TrainedRun {
    /// Opens a run folder; its networks run on a device.
    ///
    /// # Errors
    /// Where the folder is no run, holds no checkpoint, or a damaged one or one of another run.
    pub fn open(folder: &Path, device: &Device) -> Result<Self> {
        let config: Config = read_json(&folder.join(CONFIG))?;
        let mut run = Self::of(folder, config, Checkpoints::of(folder).trained()?, device)?;
        if run.steps < run.config.training.iterations {
            run.selection = Selection::Unfinished;
        }
        Ok(run)
    }

    /// Opens a run folder with the weights that did best on its validation cases: their score there is too good.
    ///
    /// # Errors
    /// As [`Self::open`], and where the run did not validate before its end.
    pub fn open_best(folder: &Path, device: &Device) -> Result<Self> {
        let config: Config = read_json(&folder.join(CONFIG))?;
        let path = Checkpoints::of(folder).best();
        if !path.exists() {
            let problem = "is not there: the run was not validated on its way (training.validate_every); take the final weights";
            return Err(Error::run_file(&path, problem));
        }
        let mut run = Self::of(folder, config, path, device)?;
        run.selection = Selection::BestOnValidation;
        Ok(run)
    }

    /// A run with the weights of one of its checkpoints.
    fn of(folder: &Path, config: Config, path: PathBuf, device: &Device) -> Result<Self> {
        config.check()?;
        // The scores of other weights than those that were asked for would mislead.
        let checkpoint = Checkpoint::load(&path, &candle_core::Device::Cpu).map_err(|error| {
            let remedy = "resume the run, which then goes on from the checkpoint before it";
            Error::run_file(folder, format!("cannot be used: {error}; {remedy}"))
        })?;
        if checkpoint.header.config != config.digest()? {
            let problem = "was made with other settings than config.json holds now; restore config.json";
            return Err(Error::run_file(&path, problem));
        }
        let mut trainer = Trainer::new(&config, device)?;
        trainer.restore_from(&path, &checkpoint)?;
        let steps = checkpoint.header.steps;
        let selection = Selection::Final;
        Ok(TrainedRun { config, trainer, steps, selection, checkpoint: path })
    }

    /// The run's settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Steps that the networks have been trained for.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Which of the run's weights these are.
    pub fn selection(&self) -> Selection {
        self.selection
    }

    /// The checkpoint that they come from.
    pub fn checkpoint(&self) -> &Path {
        &self.checkpoint
    }

    /// SHA-256 of that checkpoint.
    ///
    /// # Errors
    /// Where it cannot be read any more.
    pub fn checkpoint_digest(&self) -> Result<String> {
        let bytes = std::fs::read(&self.checkpoint).map_err(Error::io(&self.checkpoint))?;
        Ok(sha256(&bytes))
    }

    /// Whether the run trained on unlabelled scans.
    pub(crate) fn used_unlabelled(&self) -> bool {
        self.trainer.method().uses_unlabelled()
    }

    /// The networks that predict, in the order of the method, without the rest of the run.
    ///
    /// # Errors
    /// Where the method names a predictor that is not one of its networks.
    pub(crate) fn into_predictors(self) -> Result<Vec<Member>> {
        let names = self.trainer.method().predictors();
        Ok(self.trainer.into_networks().take(&names)?)
    }

    /// The run's networks.
    ///
    /// # Errors
    /// As [`Predictor::new`].
    pub fn predictor(&self) -> Result<Predictor<'_>> {
        Predictor::new(&self.trainer, &self.config)
    }
}
