//! The layers the networks are made of: convolution, batch normalisation, ReLU.

use crate::initialise::Initialiser;
use crate::parameters::Kind;
use candle_core::Result;
use tandem_ops3d::program::{ConvLayer, NormLayer, Program, Sum, Value};
use tandem_ops3d::{Activation, Conv3dParams, Resize};

/// A network under construction: its layers and their parameters.
pub(crate) struct Builder<'a> {
    pub(crate) program: Program,
    pub(crate) init: Initialiser<'a>,
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
    pub(crate) transposed: bool,
}

/// How a decoder doubles the sides of an image.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Upsampling {
    /// By a transposed 2x2x2 convolution with stride 2.
    Transposed,
    /// By interpolation, then a 3x3x3 convolution.
    Interpolated(Resize),
}

impl Builder<'_> {
    /// A convolution named `CONV`, normalised by one named `NORM`.
    pub(crate) fn unit(
        &mut self,
        x: Value,
        [conv, norm]: [&str; 2],
        spec: ConvSpec,
        activation: Activation,
        sum: Sum,
    ) -> Result<Value> {
        let (from, to, k) = (spec.from, spec.to, spec.kernel);
        let dims = if spec.transposed { [from, to, k, k, k] } else { [to, from, k, k, k] };
        let conv = ConvLayer {
            weight: self.init.weight(conv, dims)?,
            bias: if spec.bias { Some(self.init.bias(conv, to, dims)?) } else { None },
            from,
            to,
            kernel: k,
            params: Conv3dParams::uniform(spec.stride, spec.padding),
            transposed: spec.transposed,
        };
        let mut vector =
            |part: &str, value, kind| self.init.constant(format!("{norm}.{part}"), to, value, kind);
        let norm = NormLayer {
            scale: vector("weight", 1.0, Kind::Weight)?,
            shift: vector("bias", 0.0, Kind::Weight)?,
            mean: vector("running_mean", 0.0, Kind::Statistic)?,
            variance: vector("running_var", 1.0, Kind::Statistic)?,
            momentum: 0.1,
            eps: 1e-5,
        };
        Ok(self.program.unit(x, conv, norm, activation, sum))
    }

    /// Several units of one width, 3x3x3, named `NAME.conv.{0,1}`, `NAME.conv.{3,4}`, ... as in the released networks.
    pub(crate) fn stage(
        &mut self,
        mut x: Value,
        name: &str,
        depth: usize,
        [from, to]: [usize; 2],
    ) -> Result<Value> {
        for index in 0..depth {
            let from = if index == 0 { from } else { to };
            let spec = ConvSpec { from, to, kernel: 3, stride: 1, padding: 1, bias: true, transposed: false };
            let names = [format!("{name}.conv.{}", 3 * index), format!("{name}.conv.{}", 3 * index + 1)];
            x = self.unit(x, [&names[0], &names[1]], spec, Activation::Relu, Sum::Nothing)?;
        }
        Ok(x)
    }

    /// Halves the sides by a 2x2x2 convolution with stride 2.
    pub(crate) fn down(&mut self, x: Value, name: &str, widths: [usize; 2]) -> Result<Value> {
        self.halve_or_double(x, name, widths, false, Sum::Nothing)
    }

    /// Doubles the sides, and adds a skip.
    pub(crate) fn up(
        &mut self,
        x: Value,
        name: &str,
        [from, to]: [usize; 2],
        skip: Value,
        upsampling: Upsampling,
    ) -> Result<Value> {
        let Upsampling::Interpolated(mode) = upsampling else {
            return self.halve_or_double(x, name, [from, to], true, Sum::After(skip));
        };
        let x = self.program.double(x, mode);
        let spec = ConvSpec { from, to, kernel: 3, stride: 1, padding: 1, bias: true, transposed: false };
        // In the released networks the interpolation is number 0.
        let names = [format!("{name}.conv.1"), format!("{name}.conv.2")];
        self.unit(x, [&names[0], &names[1]], spec, Activation::Relu, Sum::After(skip))
    }

    fn halve_or_double(
        &mut self,
        x: Value,
        name: &str,
        [from, to]: [usize; 2],
        transposed: bool,
        sum: Sum,
    ) -> Result<Value> {
        let spec = ConvSpec { from, to, kernel: 2, stride: 2, padding: 0, bias: true, transposed };
        let names = [format!("{name}.conv.0"), format!("{name}.conv.1")];
        self.unit(x, [&names[0], &names[1]], spec, Activation::Relu, sum)
    }
}
