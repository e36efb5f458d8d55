//! The laws of a [`Method`], for the tests of whoever adds one.
//!
//! The functions panic where a law is broken, with a sentence that says which.

use crate::method::{Batch, Forward, Method, Objective, Prediction, Step, Term};
use candle_core::{DType, Device, Result, Tensor, Var, bail};
use std::collections::BTreeMap;
use tandem_random::Draws;

const CLASSES: usize = 3;
const CHANNELS: usize = 6;
const LABELLED: usize = 2;
const PATCHES: usize = 4;
const SIDE: usize = 16;
const STEP: Step = Step { index: 40, iterations: 100, seed: 1337 };

/// Two networks whose predictions are given, so that gradients can be asked for at the predictions.
pub struct FixedForward {
    predictions: BTreeMap<&'static str, Prediction>,
}

impl FixedForward {
    /// The logits `(N, K, D, H, W)` and features `(N, C, D, H, W)` of `vnet`, then those of `resnet34`.
    pub fn new([vnet, resnet34]: [(&Tensor, &Tensor); 2]) -> Self {
        let prediction = |(logits, features): (&Tensor, &Tensor)| Prediction {
            logits: logits.clone(),
            features: features.clone().into(),
            features_dropped: features.clone().into(),
            extra: BTreeMap::new(),
        };
        FixedForward {
            predictions: BTreeMap::from([("vnet", prediction(vnet)), ("resnet34", prediction(resnet34))]),
        }
    }
}

impl Forward for FixedForward {
    /// The first patches of the prediction, as many as the input has.
    fn train(&self, network: &str, input: &Tensor, _: u64) -> Result<Prediction> {
        let Some(prediction) = self.predictions.get(network) else {
            bail!("there is no network {network:?}")
        };
        let patches = input.dim(0)?;
        if patches == prediction.logits.dim(0)? {
            return Ok(prediction.clone());
        }
        let first = |tensor: &Tensor| tensor.narrow(0, 0, patches);
        Ok(Prediction {
            logits: first(&prediction.logits)?,
            features: first(&prediction.features.get()?)?.into(),
            features_dropped: first(&prediction.features_dropped.get()?)?.into(),
            extra: BTreeMap::new(),
        })
    }

    fn evaluate(&self, network: &str, input: &Tensor) -> Result<Prediction> {
        self.train(network, input, 0)
    }
}

/// A random batch of two labelled and two unlabelled patches with random predictions of both networks.
pub struct Situation {
    /// The batch, without a strong view.
    pub batch: Batch,
    /// Logits of `vnet` and `resnet34`, `(4, 3, 16, 16, 16)`.
    pub logits: [Var; 2],
    /// Features of `vnet` and `resnet34`, `(4, 6, 16, 16, 16)`, none negative.
    pub features: [Var; 2],
}

impl Situation {
    /// The situation of a seed.
    ///
    /// # Errors
    /// Never on the CPU, in practice.
    pub fn random(seed: u64) -> Result<Self> {
        let mut draws = Draws::new(seed, "situation", 0, 0);
        let mut tensor = |channels: usize, value: &dyn Fn(f64) -> f64| {
            let count = PATCHES * SIDE.pow(3) * channels;
            let values = (0..count).map(|_| value(draws.normal()) as f32).collect::<Vec<_>>();
            let channels_last =
                Tensor::from_vec(values, (PATCHES, SIDE, SIDE, SIDE, channels), &Device::Cpu)?;
            Var::from_tensor(&channels_last.permute((0, 4, 1, 2, 3))?)
        };
        let logits = [tensor(CLASSES, &|x| 2. * x)?, tensor(CLASSES, &|x| 2. * x)?];
        let features = [tensor(CHANNELS, &|x| x.max(0.))?, tensor(CHANNELS, &|x| x.max(0.))?];
        let labels: Vec<u8> = (0..LABELLED * SIDE.pow(3)).map(|_| draws.below(CLASSES) as u8).collect();
        let labels = Tensor::from_vec(labels, (LABELLED, SIDE, SIDE, SIDE), &Device::Cpu)?;
        let images = Tensor::zeros((PATCHES, 1, SIDE, SIDE, SIDE), DType::F32, &Device::Cpu)?;
        Ok(Situation { batch: Batch { images, labels, strong: None }, logits, features })
    }

    /// The method's objective in the middle of a run, on a batch with a strong view where the method wants one. The networks
    /// return views of channels-last storage, as real ones, and the same prediction of either view.
    ///
    /// # Errors
    /// As [`Method::objective`].
    pub fn objective(&self, method: &mut dyn Method) -> Result<Objective> {
        let [v, r] = [&self.logits[0], &self.logits[1]].map(|var| channels_last(var));
        let [hv, hr] = [&self.features[0], &self.features[1]].map(|var| channels_last(var));
        let strong = method.wants_strong_view().then(|| self.batch.images.zeros_like()).transpose()?;
        let batch = Batch { strong, ..self.batch.clone() };
        method.objective(&batch, STEP, &FixedForward::new([(&v?, &hv?), (&r?, &hr?)]))
    }
}

/// The same values as a view of channels-last storage.
fn channels_last(tensor: &Tensor) -> Result<Tensor> {
    tensor.permute((0, 2, 3, 4, 1))?.contiguous()?.permute((0, 4, 1, 2, 3))
}

/// Checks what holds for any method on the two networks, on random predictions.
///
/// Values are finite; there is one loss for each trained network, in their order; each network gets a finite, non-zero
/// gradient; the sums do not change from run to run; a method that leaves unlabelled patches out sends no gradient
/// there; and each term of the log is named once.
///
/// # Errors
/// Where the method refuses the batch.
///
/// # Panics
/// Where a law is broken.
pub fn check_method(build: &dyn Fn() -> Result<Box<dyn Method>>) -> Result<()> {
    let situation = Situation::random(7)?;
    let mut method = build()?;
    let objective = situation.objective(&mut *method)?;

    let names: Vec<&str> = objective.losses.iter().map(|(name, _)| *name).collect();
    let trained: Vec<&str> = method.networks().iter().map(|network| network.name).collect();
    assert_eq!(names, trained, "one loss for each trained network, in their order");

    let mut terms: Vec<&str> = objective.terms.iter().map(|(name, _)| name.as_str()).collect();
    terms.sort_unstable();
    assert!(terms.windows(2).all(|pair| pair[0] != pair[1]), "a term is named twice: {terms:?}");
    for (name, term) in &objective.terms {
        assert!(!matches!(term, Term::Value(value) if !value.is_finite()), "{name} is {term:?}");
    }

    for gradient in gradients(&objective, &situation.logits)? {
        let (labelled, unlabelled) =
            (size(&gradient, 0, LABELLED)?, size(&gradient, LABELLED, PATCHES - LABELLED)?);
        assert!(labelled.is_finite() && labelled > 0., "a network learns nothing from labels: {labelled}");
        assert!(unlabelled.is_finite(), "a gradient is not finite");
        assert!(method.uses_unlabelled() || unlabelled == 0., "unlabelled patches are not left out");
    }

    let again = situation.objective(&mut *build()?)?;
    assert_eq!(objective.terms, again.terms, "the same seed gives other terms");
    for (a, b) in gradients(&objective, &situation.logits)?.iter().zip(gradients(&again, &situation.logits)?)
    {
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
