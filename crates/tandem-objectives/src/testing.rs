//! The laws of a [`Method`], for the tests of whoever adds one.
//!
//! The functions panic where a law is broken, with a sentence that says which.

use crate::method::{Batch, Forward, Method, Network, Objective, Prediction, Role, Step, Term};
use candle_core::{DType, Device, Result, Tensor, Var, bail};
use std::collections::BTreeMap;
use tandem_random::Draws;

const CLASSES: usize = 3;
const CHANNELS: usize = 6;
const LABELLED: usize = 2;
const PATCHES: usize = 4;
const SIDE: usize = 16;
const STEP: Step = Step { index: 40, iterations: 100, seed: 1337 };

/// What further heads make, by architecture: names and channels.
const EXTRA: [(&str, &[(&str, usize)]); 3] = [
    ("vnet-dtc", &[("distance", CLASSES - 1)]),
    ("vnet-mcnet", &[("nearest", CLASSES), ("trilinear", CLASSES)]),
    ("vnet-urpc", &[("eighth", CLASSES), ("half", CLASSES), ("quarter", CLASSES)]),
];

/// Networks whose predictions are given, so that gradients can be asked for at the predictions.
#[derive(Default)]
pub struct FixedForward {
    predictions: BTreeMap<&'static str, Prediction>,
}

impl FixedForward {
    /// Adds a network that predicts these logits `(N, K, D, H, W)` and features `(N, C, D, H, W)`.
    pub fn with(mut self, network: &'static str, logits: &Tensor, features: &Tensor) -> Self {
        let prediction = Prediction {
            logits: logits.into(),
            features: features.clone().into(),
            features_dropped: features.clone().into(),
            extra: BTreeMap::new(),
        };
        self.predictions.insert(network, prediction);
        self
    }

    /// Adds what a further head of the last network makes.
    ///
    /// # Panics
    /// Where the network was not added before.
    pub fn with_extra(mut self, network: &'static str, name: &str, made: &Tensor) -> Self {
        let prediction =
            self.predictions.get_mut(network).expect("the network comes before its further heads");
        prediction.extra.insert(name.to_owned(), made.clone());
        self
    }
}

impl Forward for FixedForward {
    /// The first patches of the prediction, as many as the input has.
    fn train(&self, network: &str, input: &Tensor, _: u64) -> Result<Prediction> {
        let Some(prediction) = self.predictions.get(network) else {
            bail!("there is no network {network:?}")
        };
        let patches = input.dim(0)?;
        if patches == prediction.logits.dims()?[0] {
            return Ok(prediction.clone());
        }
        let first = |tensor: &Tensor| tensor.narrow(0, 0, patches);
        Ok(Prediction {
            logits: first(&prediction.logits.get()?)?.into(),
            features: first(&prediction.features.get()?)?.into(),
            features_dropped: first(&prediction.features_dropped.get()?)?.into(),
            extra: prediction
                .extra
                .iter()
                .map(|(name, made)| Ok((name.clone(), first(made)?)))
                .collect::<Result<_>>()?,
        })
    }

    fn evaluate(&self, network: &str, input: &Tensor) -> Result<Prediction> {
        self.train(network, input, 0)
    }
}

/// A random batch of two labelled and two unlabelled patches, with random predictions of some networks.
pub struct Situation {
    /// The batch, without a strong view.
    pub batch: Batch,
    /// The networks.
    pub networks: Vec<Network>,
    /// Their logits, `(4, 3, 16, 16, 16)` each.
    pub logits: Vec<Var>,
    /// Their features, `(4, 6, 16, 16, 16)` each, none negative.
    pub features: Vec<Var>,
    /// What their further heads make, by name: the class scores of each `(4, 3, 16, 16, 16)`.
    pub extra: Vec<BTreeMap<&'static str, Var>>,
}

impl Situation {
    /// The situation of a seed for the networks of a method.
    ///
    /// # Errors
    /// Never on the CPU, in practice.
    pub fn random(seed: u64, method: &dyn Method) -> Result<Self> {
        let mut draws = Draws::new(seed, "situation", 0, 0);
        let mut tensor = |channels: usize, value: &dyn Fn(f64) -> f64| {
            let count = PATCHES * SIDE.pow(3) * channels;
            let values = (0..count).map(|_| value(draws.normal()) as f32).collect::<Vec<_>>();
            let channels_last =
                Tensor::from_vec(values, (PATCHES, SIDE, SIDE, SIDE, channels), &Device::Cpu)?;
            Var::from_tensor(&channels_last.permute((0, 4, 1, 2, 3))?)
        };
        let networks = method.networks();
        let logits = networks.iter().map(|_| tensor(CLASSES, &|x| 2. * x)).collect::<Result<_>>()?;
        let features = networks.iter().map(|_| tensor(CHANNELS, &|x| x.max(0.))).collect::<Result<_>>()?;
        let extra = networks
            .iter()
            .map(|network| {
                let heads = EXTRA.iter().find(|(name, _)| *name == network.architecture);
                let heads = heads.map_or(&[][..], |(_, heads)| heads);
                heads.iter().map(|(name, channels)| Ok((*name, tensor(*channels, &|x| x)?))).collect()
            })
            .collect::<Result<_>>()?;
        let labels: Vec<u8> = (0..LABELLED * SIDE.pow(3)).map(|_| draws.below(CLASSES) as u8).collect();
        let labels = Tensor::from_vec(labels, (LABELLED, SIDE, SIDE, SIDE), &Device::Cpu)?;
        let images = Tensor::zeros((PATCHES, 1, SIDE, SIDE, SIDE), DType::F32, &Device::Cpu)?;
        let batch = Batch { images, labels, strong: None };
        Ok(Situation { batch, networks, logits, features, extra })
    }

    /// Whatever the networks predict.
    pub fn vars(&self) -> Vec<Var> {
        let extra = self.extra.iter().flat_map(BTreeMap::values);
        self.logits.iter().chain(&self.features).chain(extra).cloned().collect()
    }

    /// The method's objective in the middle of a run, on a batch with a strong view where the method wants one. The networks
    /// return views of channels-last storage, as real ones, and the same prediction of either view; what an average predicts is
    /// a constant to the gradient.
    ///
    /// # Errors
    /// As [`Method::objective`].
    pub fn objective(&self, method: &mut dyn Method) -> Result<Objective> {
        let mut forward = FixedForward::default();
        for (index, network) in self.networks.iter().enumerate() {
            let seen = |var: &Var| match network.role {
                Role::Trained => channels_last(var),
                Role::AverageOf { .. } => channels_last(&var.detach()),
            };
            let [logits, features] = [seen(&self.logits[index])?, seen(&self.features[index])?];
            forward = forward.with(network.name, &logits, &features);
            for (name, var) in &self.extra[index] {
                forward = forward.with_extra(network.name, name, &seen(var)?);
            }
        }
        let strong = method.wants_strong_view().then(|| self.batch.images.zeros_like()).transpose()?;
        let batch = Batch { strong, ..self.batch.clone() };
        method.objective(&batch, STEP, &forward)
    }

    /// The gradient of an objective with respect to the logits of each network.
    ///
    /// # Errors
    /// Where the backward pass fails.
    pub fn logit_gradients(&self, objective: &Objective) -> Result<Vec<Tensor>> {
        gradients(objective, &self.logits)
    }
}

/// The same values as a view of channels-last storage.
fn channels_last(tensor: &Tensor) -> Result<Tensor> {
    tensor.permute((0, 2, 3, 4, 1))?.contiguous()?.permute((0, 4, 1, 2, 3))
}

/// Checks what holds for any method, on random predictions.
///
/// Values are finite; there is one loss for each trained network, in their order; each of these gets a finite, non-zero
/// gradient from labelled patches, and so do its further heads from any, and an average gets none; the sums do not change from run to run; a method that leaves unlabelled patches out sends no gradient
/// there; and each term of the log is named once.
///
/// # Errors
/// Where the method refuses the batch.
///
/// # Panics
/// Where a law is broken.
pub fn check_method(build: &dyn Fn() -> Result<Box<dyn Method>>) -> Result<()> {
    let mut method = build()?;
    let situation = Situation::random(7, &*method)?;
    let objective = situation.objective(&mut *method)?;

    let names: Vec<&str> = objective.losses.iter().map(|(name, _)| *name).collect();
    let trained = || situation.networks.iter().filter(|network| network.role == Role::Trained);
    let trained: Vec<&str> = trained().map(|network| network.name).collect();
    assert_eq!(names, trained, "one loss for each trained network, in their order");

    let mut terms: Vec<&str> = objective.terms.iter().map(|(name, _)| name.as_str()).collect();
    terms.sort_unstable();
    assert!(terms.windows(2).all(|pair| pair[0] != pair[1]), "a term is named twice: {terms:?}");
    for (name, term) in &objective.terms {
        assert!(!matches!(term, Term::Value(value) if !value.is_finite()), "{name} is {term:?}");
    }

    for (gradient, network) in situation.logit_gradients(&objective)?.into_iter().zip(&situation.networks) {
        let (labelled, unlabelled) =
            (size(&gradient, 0, LABELLED)?, size(&gradient, LABELLED, PATCHES - LABELLED)?);
        let learns = labelled.is_finite() && labelled > 0.;
        let average = network.role != Role::Trained && labelled == 0.;
        assert!(learns || average, "network {} learns nothing from labels: {labelled}", network.name);
        assert!(unlabelled.is_finite(), "a gradient is not finite");
        assert!(method.uses_unlabelled() || unlabelled == 0., "unlabelled patches are not left out");
    }

    for (network, extra) in situation.networks.iter().zip(&situation.extra) {
        let vars: Vec<Var> = extra.values().cloned().collect();
        for (name, gradient) in extra.keys().zip(gradients(&objective, &vars)?) {
            let size = size(&gradient, 0, PATCHES)?;
            let learns = size.is_finite() && size > 0.;
            assert_eq!(
                learns,
                network.role == Role::Trained,
                "head {name} of {} learns: {size}",
                network.name
            );
        }
    }

    let again = situation.objective(&mut *build()?)?;
    assert_eq!(objective.terms, again.terms, "the same seed gives other terms");
    for (a, b) in situation.logit_gradients(&objective)?.iter().zip(situation.logit_gradients(&again)?) {
        assert_eq!(
            (a - b)?.abs()?.max_all()?.to_scalar::<f32>()?,
            0.,
            "the same seed gives another gradient"
        );
    }
    Ok(())
}

/// The gradient of the sum of the losses with respect to some variables; zeros where none arrives.
///
/// # Errors
/// Where the backward pass fails.
pub fn gradients(objective: &Objective, vars: &[Var]) -> Result<Vec<Tensor>> {
    let mut total = Tensor::zeros((), DType::F32, &Device::Cpu)?;
    for (_, loss) in &objective.losses {
        total = (total + loss)?;
    }
    let gradients = total.backward()?;
    vars.iter().map(|var| gradients.get(var).cloned().map_or_else(|| var.zeros_like(), Ok)).collect()
}

/// Sum of the absolute values of some patches.
fn size(tensor: &Tensor, start: usize, patches: usize) -> Result<f32> {
    tensor.narrow(0, start, patches)?.abs()?.sum_all()?.to_scalar()
}
