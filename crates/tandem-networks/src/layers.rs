//! The layers both networks are made of: convolution, batch normalisation, ReLU, on channels-last tensors.

use crate::initialise::Initialiser;
use crate::parameters::Kind;
use crate::segmenter::Pass;
use candle_core::{Result, Tensor, Var};
use tandem_ops3d::{
    Activation, BatchNorm3d, Conv3dParams, NormalisedConv3d, RunningStatistics, Statistics, conv_norm3d,
    conv3d,
};

/// A convolution, plain or transposed.
pub(crate) struct Conv {
    weight: Var,
    bias: Option<Var>,
    params: Conv3dParams,
    transposed: bool,
}

/// What a convolution is made of.
#[derive(Clone, Copy)]
pub(crate) struct ConvSpec {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    pub(crate) padding: usize,
    pub(crate) bias: bool,
}

impl Conv {
    pub(crate) fn new(init: &mut Initialiser, name: &str, spec: ConvSpec) -> Result<Self> {
        Self::with_weight(
            init,
            name,
            spec,
            [spec.to, spec.from, spec.kernel, spec.kernel, spec.kernel],
            false,
        )
    }

    pub(crate) fn transposed(init: &mut Initialiser, name: &str, spec: ConvSpec) -> Result<Self> {
        Self::with_weight(init, name, spec, [spec.from, spec.to, spec.kernel, spec.kernel, spec.kernel], true)
    }

    fn with_weight(
        init: &mut Initialiser,
        name: &str,
        spec: ConvSpec,
        dims: [usize; 5],
        transposed: bool,
    ) -> Result<Self> {
        Ok(Conv {
            weight: init.weight(name, dims)?,
            bias: if spec.bias { Some(init.bias(name, spec.to, dims)?) } else { None },
            params: Conv3dParams::uniform(spec.stride, spec.padding),
            transposed,
        })
    }

    /// The head's convolution alone: it is plain.
    pub(crate) fn forward(&self, x: &Tensor, pass: Pass) -> Result<Tensor> {
        let bias = self.bias.as_ref().map(|bias| seen_by(pass, bias));
        conv3d(x, &seen_by(pass, &self.weight), bias.as_ref(), self.params)
    }
}

/// A parameter as a pass sees it: constant where no gradient is wanted.
fn seen_by(pass: Pass, parameter: &Tensor) -> Tensor {
    if pass == Pass::Infer { parameter.detach() } else { parameter.clone() }
}

/// Batch normalisation with what follows it.
pub(crate) struct Norm {
    norm: BatchNorm3d,
    activation: Activation,
}

impl Norm {
    pub(crate) fn new(
        init: &mut Initialiser,
        name: &str,
        channels: usize,
        activation: Activation,
    ) -> Result<Self> {
        let mut vector =
            |part: &str, value, kind| init.constant(format!("{name}.{part}"), channels, value, kind);
        let norm = BatchNorm3d {
            weight: vector("weight", 1.0, Kind::Weight)?.into_inner(),
            bias: vector("bias", 0.0, Kind::Weight)?.into_inner(),
            running: RunningStatistics {
                mean: vector("running_mean", 0.0, Kind::Statistic)?,
                variance: vector("running_var", 1.0, Kind::Statistic)?,
                momentum: 0.1,
            },
            eps: 1e-5,
        };
        Ok(Norm { norm, activation })
    }
}

/// Convolution, normalisation and what follows it, as one operation.
pub(crate) struct Unit {
    conv: Conv,
    norm: Norm,
}

impl Unit {
    pub(crate) fn new(conv: Conv, norm: Norm) -> Self {
        Unit { conv, norm }
    }

    pub(crate) fn forward(&self, x: &Tensor, pass: Pass) -> Result<Tensor> {
        let statistics = match pass {
            Pass::Train { .. } => Statistics::Batch,
            Pass::Evaluate | Pass::Infer => Statistics::Running,
        };
        let norm = &self.norm.norm;
        let layer = NormalisedConv3d {
            weight: seen_by(pass, &self.conv.weight),
            bias: self.conv.bias.as_ref().map(|bias| seen_by(pass, bias)),
            params: self.conv.params,
            transposed: self.conv.transposed,
            norm: BatchNorm3d {
                weight: seen_by(pass, &norm.weight),
                bias: seen_by(pass, &norm.bias),
                ..norm.clone()
            },
        };
        conv_norm3d(x, &layer, statistics, self.norm.activation)
    }
}

/// Several units of one width, 3x3x3, named `NAME.conv.{0,1}`, `NAME.conv.{3,4}`, ... as in the released networks.
pub(crate) struct Stage(Vec<Unit>);

impl Stage {
    pub(crate) fn new(
        init: &mut Initialiser,
        name: &str,
        depth: usize,
        [from, to]: [usize; 2],
    ) -> Result<Self> {
        let unit = |index: usize| {
            let from = if index == 0 { from } else { to };
            let spec = ConvSpec { from, to, kernel: 3, stride: 1, padding: 1, bias: true };
            let conv = Conv::new(init, &format!("{name}.conv.{}", 3 * index), spec)?;
            let norm = Norm::new(init, &format!("{name}.conv.{}", 3 * index + 1), to, Activation::Relu)?;
            Ok(Unit::new(conv, norm))
        };
        Ok(Stage((0..depth).map(unit).collect::<Result<_>>()?))
    }

    pub(crate) fn forward(&self, x: &Tensor, pass: Pass) -> Result<Tensor> {
        self.0.iter().try_fold(x.clone(), |x, unit| unit.forward(&x, pass))
    }
}

/// Halves (`down`) or doubles (`up`) the sides by a 2x2x2 convolution with stride 2.
pub(crate) fn down(init: &mut Initialiser, name: &str, [from, to]: [usize; 2]) -> Result<Unit> {
    let spec = ConvSpec { from, to, kernel: 2, stride: 2, padding: 0, bias: true };
    let conv = Conv::new(init, &format!("{name}.conv.0"), spec)?;
    Ok(Unit::new(conv, Norm::new(init, &format!("{name}.conv.1"), to, Activation::Relu)?))
}

/// See [`down`].
pub(crate) fn up(init: &mut Initialiser, name: &str, [from, to]: [usize; 2]) -> Result<Unit> {
    let spec = ConvSpec { from, to, kernel: 2, stride: 2, padding: 0, bias: true };
    let conv = Conv::transposed(init, &format!("{name}.conv.0"), spec)?;
    Ok(Unit::new(conv, Norm::new(init, &format!("{name}.conv.1"), to, Activation::Relu)?))
}
