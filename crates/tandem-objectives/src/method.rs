//! The seam between a semi-supervised method and whoever trains it.

use candle_core::{Result, Tensor, bail};
use std::collections::BTreeMap;
use tandem_ops3d::{Deferred, VoxelBytes};

/// A batch of patches: labelled ones first.
#[derive(Clone, Debug)]
pub struct Batch {
    /// `(B, C, D, H, W)`: the labelled patches, then the unlabelled ones.
    pub images: Tensor,
    /// `(L, D, H, W)`, u8 class indices of the labelled patches. There are no others: a method cannot peek.
    pub labels: Tensor,
    /// A strong view of the images: the same patches with their intensities changed at random. Voxels are where they are in
    /// `images`, so that labels and pseudo-labels fit both. `None` where the method does not ask
    /// ([`Method::wants_strong_view`]).
    pub strong: Option<Tensor>,
}

impl Batch {
    /// How many patches are labelled.
    ///
    /// # Errors
    /// Where the labels have no batch axis.
    pub fn labelled(&self) -> Result<usize> {
        self.labels.dim(0)
    }

    /// The classes of the labelled voxels, in the order (patch, i, j, k).
    ///
    /// # Errors
    /// Where the labels do not belong to the images.
    pub fn classes(&self) -> Result<VoxelBytes> {
        let (patches, _, d, h, w) = self.images.dims5()?;
        let labels = self.labels.dims4()?;
        if (labels.1, labels.2, labels.3) != (d, h, w) || labels.0 > patches {
            let (labels, images) = (self.labels.dims(), self.images.dims());
            bail!("labels of shape {labels:?} do not belong to images of shape {images:?}");
        }
        Ok(self.labels.flatten_all()?.to_vec1()?.into())
    }
}

/// Where a run stands.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// 0 for the first step.
    pub index: u64,
    /// Steps of the whole run.
    pub iterations: u64,
    /// The run's seed, for keyed draws.
    pub seed: u64,
}

impl Step {
    /// The share of the run that is done, in [0, 1): what every schedule is a function of.
    pub fn progress(&self) -> f64 {
        self.index as f64 / self.iterations.max(1) as f64
    }
}

/// What a network said about a batch (see `Output` of the networks' crate).
#[derive(Clone, Debug)]
pub struct Prediction {
    /// `(N, K, D, H, W)`: class scores before the softmax. See [`Scores`](crate::Scores).
    pub logits: Deferred,
    /// `(N, C, D, H, W)`: the head's input before its dropout.
    pub features: Deferred,
    /// The same after dropout.
    pub features_dropped: Deferred,
    /// What further heads make, `(N, C, D, H, W)`, by name.
    pub extra: BTreeMap<String, Tensor>,
}

/// How a method runs its networks. The trainer implements it.
pub trait Forward {
    /// Runs a network in training mode: batch statistics, dropout. `draw` tells apart several passes of one network in
    /// one step; each draw drops other channels.
    ///
    /// # Errors
    /// Where the network is unknown or refuses the input.
    fn train(&self, network: &str, input: &Tensor, draw: u64) -> Result<Prediction>;

    /// Runs a network with running statistics and without dropout.
    ///
    /// # Errors
    /// As [`Self::train`].
    fn evaluate(&self, network: &str, input: &Tensor) -> Result<Prediction>;
}

/// Where the weights of a network come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Role {
    /// Gradients.
    Trained,
    /// An exponential moving average of another network's weights: after step `s`,
    /// `theta' <- a theta' + (1 - a) theta` with `a = min(1 - 1 / (s + 2), decay)` (so the first step copies half).
    /// Its tensors are constants to the gradient.
    AverageOf {
        /// The network that is averaged.
        network: String,
        /// The largest decay.
        decay: f64,
    },
}

/// A network that a method asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// The method's name for it, such as `vnet` or `teacher`: in logs, checkpoints and scores.
    pub name: &'static str,
    /// Which backbone: a name that `build` of the networks' crate knows, such as `vnet`.
    pub architecture: &'static str,
    /// Where its weights come from.
    pub role: Role,
}

impl Network {
    /// A network that is trained.
    pub fn trained(name: &'static str, architecture: &'static str) -> Self {
        Network { name, architecture, role: Role::Trained }
    }

    /// The average of the network `of`, with this largest decay.
    pub fn average(name: &'static str, architecture: &'static str, of: &str, decay: f64) -> Self {
        Network { name, architecture, role: Role::AverageOf { network: of.to_owned(), decay } }
    }
}

/// A named part of an objective, for the log.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Term {
    /// A value.
    Value(f64),
    /// The term has no value in this batch: say, no reliable voxel.
    Undefined(&'static str),
}

/// What a method wants minimised.
#[derive(Clone, Debug)]
pub struct Objective {
    /// One scalar per trained network, by the network's name. Their sum is differentiated once, so it does not matter
    /// which of them carries a gradient that one network's loss has with respect to the other.
    pub losses: Vec<(&'static str, Tensor)>,
    /// Named parts for the log, in a fixed order.
    pub terms: Vec<(String, Term)>,
}

/// A semi-supervised method: which networks it trains and what it minimises.
///
/// It runs the networks itself, through [`Forward`], so that it may mix inputs first, run a teacher several times, or
/// leave the unlabelled patches out.
pub trait Method: Send {
    /// The networks it needs; those that are trained come first.
    fn networks(&self) -> Vec<Network>;

    /// The networks whose softmaxes are averaged at test time, by name.
    fn predictors(&self) -> Vec<&'static str>;

    /// Whether it looks at unlabelled patches at all. Where not, none are read.
    fn uses_unlabelled(&self) -> bool {
        true
    }

    /// Whether its batches have a strong view ([`Batch::strong`]). Where not, none is made.
    fn wants_strong_view(&self) -> bool {
        false
    }

    /// Runs the networks on a batch and says what to minimise.
    ///
    /// # Errors
    /// Where a network or a loss refuses its input.
    fn objective(&mut self, batch: &Batch, step: Step, networks: &dyn Forward) -> Result<Objective>;

    /// What a checkpoint must keep of the method besides the networks; nothing for most.
    fn state(&self) -> BTreeMap<String, Tensor> {
        BTreeMap::new()
    }

    /// Takes back what [`Self::state`] gave.
    ///
    /// # Errors
    /// Where a tensor is missing or of another shape.
    fn restore(&mut self, _state: &BTreeMap<String, Tensor>) -> Result<()> {
        Ok(())
    }
}
