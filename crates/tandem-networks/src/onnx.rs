//! Networks as ONNX files, for programs that know nothing of this one.
//!
//! A file holds one network in inference: an input `image` `(N, C, D, H, W)` and the output `logits` `(N, K, D, H, W)`, before the
//! softmax; further heads are outputs of their own names, at the resolution of the image. N, D, H and W are free, the sides
//! multiples of 16. Weights are f32, with the names of the released state dicts.
//!
//! The operators are those of [`OPSET`]: Conv, ConvTranspose, BatchNormalization, Relu, Add and Resize.
//!
//! # References
//! <https://github.com/onnx/onnx/blob/main/docs/IR.md>, and `onnx.proto` for the numbers of the fields.

mod graph;
mod protobuf;

use crate::{Kind, NetworkConfig, Parameters};
use candle_core::{Result, bail};
use graph::Graph;
use protobuf::Message;
use std::collections::HashMap;
use std::ops::Range;
use tandem_ops3d::program::{ConvLayer, Node, NormLayer, Sum, Value};
use tandem_ops3d::{Activation, Resize};

/// The version of ONNX's operators that a file needs.
pub const OPSET: i64 = 17;

/// The version of the file format that came with it.
const IR_VERSION: i64 = 8;

/// The most that a protobuf message may be.
const LARGEST: usize = i32::MAX as usize;

/// What the image is called.
const IMAGE: &str = "image";
/// What the head without a name makes.
const LOGITS: &str = "logits";

/// The ONNX file of a network with these parameters.
///
/// # Errors
/// Where the architecture is unknown, the parameters are those of another network, or the file would be larger than 2 GiB.
pub fn network(architecture: &str, config: &NetworkConfig, parameters: &Parameters) -> Result<Vec<u8>> {
    let program = crate::program(architecture, config)?;
    let mut walk = Walk::new(parameters, Graph::new(architecture));
    walk.graph.input(IMAGE, config.in_channels);
    for node in program.nodes() {
        let made = walk.node(node)?;
        walk.made.push(made);
    }
    let mut file = Message::default();
    file.int(1, IR_VERSION);
    file.text(2, env!("CARGO_PKG_NAME"));
    file.text(3, env!("CARGO_PKG_VERSION"));
    file.message(7, walk.graph.finish());
    let mut operators = Message::default();
    operators.text(1, "");
    operators.int(2, OPSET);
    file.message(8, operators);
    let bytes = file.finish();
    match bytes.len() <= LARGEST {
        true => Ok(bytes),
        false => bail!("the network has {} bytes as an ONNX file, which may have {LARGEST}", bytes.len()),
    }
}

/// What a node of the program made: a value of the graph.
#[derive(Clone)]
struct Made {
    name: String,
    /// The image's sides divided by those of the value.
    coarser: usize,
}

/// The walk over a program.
struct Walk<'a> {
    parameters: &'a Parameters,
    /// Names of parameters by kind and first element.
    names: HashMap<(bool, usize), &'a str>,
    graph: Graph,
    made: Vec<Made>,
}

impl<'a> Walk<'a> {
    fn new(parameters: &'a Parameters, graph: Graph) -> Self {
        let named = parameters.iter().map(|(name, p)| ((p.kind == Kind::Weight, p.range.start), name));
        Walk { parameters, names: named.collect(), graph, made: Vec::new() }
    }

    fn node(&mut self, node: &Node) -> Result<Made> {
        let index = self.made.len();
        Ok(match node {
            Node::Input => Made { name: IMAGE.to_owned(), coarser: 1 },
            // Nothing is dropped in inference.
            Node::Dropout { x, .. } => self.made[x.node()].clone(),
            Node::Double { x, mode } => {
                let x = self.made[x.node()].clone();
                let name = self.graph.resize(&x.name, &format!("value{index}"), 2, *mode);
                Made { name, coarser: x.coarser / 2 }
            }
            Node::Unit { x, conv, norm, activation, sum } => {
                let x = self.made[x.node()].clone();
                let value = format!("value{index}");
                let convolved = self.convolution(&x.name, &format!("{value}.conv"), conv)?;
                let normalised = self.normalisation(&convolved, &format!("{value}.norm"), norm)?;
                let name = self.activation(normalised, &value, *activation, *sum);
                let stride = conv.params.stride[0];
                let coarser = if conv.transposed { x.coarser / stride } else { x.coarser * stride };
                Made { name, coarser }
            }
            Node::Head { x, name, weight, bias } => {
                let x = self.made[x.node()].clone();
                let output = name.as_deref().unwrap_or(LOGITS);
                let coarse = format!("{output}.coarse");
                let made = if x.coarser == 1 { output } else { coarse.as_str() };
                let inputs = [x.name.clone(), self.weight(weight)?, self.weight(bias)?];
                self.graph.node("Conv", &inputs, made, |node| node.ints("kernel_shape", &[1; 3]));
                if x.coarser != 1 {
                    self.graph.resize(made, output, x.coarser, Resize::Trilinear);
                }
                self.graph.output(output, bias.len());
                Made { name: output.to_owned(), coarser: 1 }
            }
        })
    }

    fn convolution(&mut self, x: &str, to: &str, conv: &ConvLayer) -> Result<String> {
        let mut inputs = vec![x.to_owned(), self.weight(&conv.weight)?];
        if let Some(bias) = &conv.bias {
            inputs.push(self.weight(bias)?);
        }
        let kind = if conv.transposed { "ConvTranspose" } else { "Conv" };
        let params = conv.params;
        let made = self.graph.node(kind, &inputs, to, |node| {
            node.ints("kernel_shape", &[conv.kernel; 3]);
            node.ints("strides", &params.stride);
            node.ints("pads", &[params.padding, params.padding].concat());
        });
        Ok(made)
    }

    fn normalisation(&mut self, x: &str, to: &str, norm: &NormLayer) -> Result<String> {
        let (scale, shift) = (self.weight(&norm.scale)?, self.weight(&norm.shift)?);
        let (mean, variance) = (self.statistic(&norm.mean)?, self.statistic(&norm.variance)?);
        let inputs = [x.to_owned(), scale, shift, mean, variance];
        Ok(self.graph.node("BatchNormalization", &inputs, to, |node| node.float("epsilon", norm.eps as f32)))
    }

    /// ReLU and sum, in the order that the sum asks for.
    fn activation(&mut self, x: String, to: &str, activation: Activation, sum: Sum) -> String {
        let x = match sum {
            Sum::Before(other) => self.add(x, other, &format!("{to}.sum")),
            Sum::Nothing | Sum::After(_) => x,
        };
        let x = match activation {
            Activation::Relu => self.graph.node("Relu", &[x], &format!("{to}.relu"), |_| {}),
            Activation::Identity => x,
        };
        match sum {
            Sum::After(other) => self.add(x, other, to),
            Sum::Nothing | Sum::Before(_) => x,
        }
    }

    fn add(&mut self, x: String, other: Value, to: &str) -> String {
        let other = self.made[other.node()].name.clone();
        self.graph.node("Add", &[x, other], to, |_| {})
    }

    fn weight(&mut self, range: &Range<usize>) -> Result<String> {
        self.parameter(true, range)
    }

    fn statistic(&mut self, range: &Range<usize>) -> Result<String> {
        self.parameter(false, range)
    }

    /// Puts a parameter into the graph; returns its name.
    fn parameter(&mut self, is_weight: bool, range: &Range<usize>) -> Result<String> {
        let name = self.names.get(&(is_weight, range.start)).copied();
        let Some((name, tensor)) = name.and_then(|name| Some((name, self.parameters.get(name)?))) else {
            bail!("no parameter lies at {range:?}: the parameters are those of another network")
        };
        let tensor = tensor?;
        let values: Vec<f32> = tensor.flatten_all()?.to_vec1()?;
        if values.len() != range.len() {
            bail!(
                "parameter {name:?} has {} values, not {}: it is that of another network",
                values.len(),
                range.len()
            )
        }
        self.graph.constant(name, tensor.dims(), &values);
        Ok(name.to_owned())
    }
}
