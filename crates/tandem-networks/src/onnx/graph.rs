//! The graph of an ONNX file.

use super::protobuf::Message;
use tandem_ops3d::Resize;

/// The type of f32 values.
const FLOAT: i64 = 1;

/// What the free sides of images are called.
const SIDES: [&str; 3] = ["depth", "height", "width"];

/// A graph under construction.
#[derive(Debug)]
pub(super) struct Graph {
    nodes: Vec<Message>,
    constants: Vec<Message>,
    inputs: Vec<Message>,
    outputs: Vec<Message>,
    name: String,
}

/// The attributes of a node.
#[derive(Debug, Default)]
pub(super) struct Attributes(Vec<Message>);

impl Attributes {
    pub(super) fn float(&mut self, name: &str, value: f32) {
        self.push(name, 1, |attribute| attribute.float(2, value));
    }

    pub(super) fn text(&mut self, name: &str, text: &str) {
        self.push(name, 3, |attribute| attribute.text(4, text));
    }

    pub(super) fn ints(&mut self, name: &str, values: &[usize]) {
        self.push(name, 7, |attribute| values.iter().for_each(|value| attribute.int(8, *value as i64)));
    }

    fn push(&mut self, name: &str, kind: i64, fill: impl FnOnce(&mut Message)) {
        let mut attribute = Message::default();
        attribute.text(1, name);
        fill(&mut attribute);
        attribute.int(20, kind);
        self.0.push(attribute);
    }
}

impl Graph {
    pub(super) fn new(name: &str) -> Self {
        Graph { nodes: vec![], constants: vec![], inputs: vec![], outputs: vec![], name: name.to_owned() }
    }

    /// An image of so many channels that goes in.
    pub(super) fn input(&mut self, name: &str, channels: usize) {
        self.inputs.push(image(name, channels));
    }

    /// An image of so many channels that comes out.
    pub(super) fn output(&mut self, name: &str, channels: usize) {
        self.outputs.push(image(name, channels));
    }

    /// Values that do not change.
    pub(super) fn constant(&mut self, name: &str, dims: &[usize], values: &[f32]) {
        let mut tensor = Message::default();
        dims.iter().for_each(|side| tensor.int(1, *side as i64));
        tensor.int(2, FLOAT);
        tensor.text(8, name);
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        tensor.bytes(9, &bytes);
        self.constants.push(tensor);
    }

    /// A node with one output; returns that.
    pub(super) fn node(
        &mut self,
        kind: &str,
        inputs: &[String],
        output: &str,
        fill: impl FnOnce(&mut Attributes),
    ) -> String {
        let mut attributes = Attributes::default();
        fill(&mut attributes);
        let mut node = Message::default();
        inputs.iter().for_each(|input| node.text(1, input));
        node.text(2, output);
        node.text(3, output);
        node.text(4, kind);
        attributes.0.into_iter().for_each(|attribute| node.message(5, attribute));
        self.nodes.push(node);
        output.to_owned()
    }

    /// Makes an image's sides so many times as long; returns what comes out.
    pub(super) fn resize(&mut self, x: &str, to: &str, times: usize, mode: Resize) -> String {
        let scales = format!("{to}.scales");
        let times = times as f32;
        self.constant(&scales, &[5], &[1.0, 1.0, times, times, times]);
        let (mode, coordinates) = match mode {
            Resize::Nearest => ("nearest", "asymmetric"),
            Resize::Trilinear => ("linear", "half_pixel"),
            Resize::TrilinearAligned => ("linear", "align_corners"),
        };
        // The second input is for another mode.
        self.node("Resize", &[x.to_owned(), String::new(), scales], to, |node| {
            node.text("mode", mode);
            node.text("coordinate_transformation_mode", coordinates);
            node.text("nearest_mode", "floor");
        })
    }

    pub(super) fn finish(self) -> Message {
        let mut graph = Message::default();
        self.nodes.into_iter().for_each(|node| graph.message(1, node));
        graph.text(2, &self.name);
        self.constants.into_iter().for_each(|constant| graph.message(5, constant));
        self.inputs.into_iter().for_each(|input| graph.message(11, input));
        self.outputs.into_iter().for_each(|output| graph.message(12, output));
        graph
    }
}

/// `(N, channels, D, H, W)` of f32, with free N, D, H and W.
fn image(name: &str, channels: usize) -> Message {
    let free = |name: &str| {
        let mut side = Message::default();
        side.text(2, name);
        side
    };
    let mut fixed = Message::default();
    fixed.int(1, channels as i64);
    let mut shape = Message::default();
    [free("batch"), fixed].into_iter().chain(SIDES.map(free)).for_each(|side| shape.message(1, side));
    let mut tensor = Message::default();
    tensor.int(1, FLOAT);
    tensor.message(2, shape);
    let mut kind = Message::default();
    kind.message(1, tensor);
    let mut value = Message::default();
    value.text(1, name);
    value.message(2, kind);
    value
}
