//! ONNX files, read back field by field and run by ONNX's definitions of their operators, make what the networks make.
//! (`tests/peers/onnx.py` runs them in onnxruntime.)

use candle_core::{Device, Tensor};
use std::collections::BTreeMap;
use tandem_networks::{NetworkConfig, Pass, architectures, build, onnx};
use tandem_ops3d::channels_first::{conv_transpose3d, conv3d, resize3d};
use tandem_ops3d::{Conv3dParams, Resize};
use tandem_reference::relative_error;

/// The value of a field of a message.
enum Value<'a> {
    Int(i64),
    Bytes(&'a [u8]),
    Float(f32),
}

/// A message: its fields in their order.
struct Message<'a>(Vec<(u64, Value<'a>)>);

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let (byte, rest) = bytes.split_first().expect("a byte");
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    value
}

impl<'a> Message<'a> {
    fn of(mut bytes: &'a [u8]) -> Self {
        let mut fields = Vec::new();
        while !bytes.is_empty() {
            let key = varint(&mut bytes);
            let value = match key & 7 {
                0 => Value::Int(varint(&mut bytes) as i64),
                2 => {
                    let length = varint(&mut bytes) as usize;
                    let (value, rest) = bytes.split_at(length);
                    bytes = rest;
                    Value::Bytes(value)
                }
                5 => {
                    let (value, rest) = bytes.split_first_chunk().unwrap();
                    bytes = rest;
                    Value::Float(f32::from_le_bytes(*value))
                }
                kind => panic!("a field of kind {kind}"),
            };
            fields.push((key >> 3, value));
        }
        Message(fields)
    }

    fn bytes(&self, field: u64) -> impl Iterator<Item = &'a [u8]> {
        self.0.iter().filter_map(move |(number, value)| match value {
            Value::Bytes(bytes) if *number == field => Some(*bytes),
            _ => None,
        })
    }

    fn texts(&self, field: u64) -> Vec<&'a str> {
        self.bytes(field).map(|bytes| std::str::from_utf8(bytes).unwrap()).collect()
    }

    fn messages(&self, field: u64) -> impl Iterator<Item = Message<'a>> {
        self.bytes(field).map(Message::of)
    }

    fn ints(&self, field: u64) -> Vec<usize> {
        let of = |(number, value): &(u64, Value)| match value {
            Value::Int(value) if *number == field => Some(*value as usize),
            _ => None,
        };
        self.0.iter().filter_map(of).collect()
    }
}

/// Runs a file on an image; what comes out, by name.
fn run(file: &[u8], image: &Tensor) -> BTreeMap<String, Tensor> {
    let file = Message::of(file);
    assert_eq!(file.ints(1), [8], "IR version");
    assert_eq!(file.messages(8).next().unwrap().ints(2), [17], "opset");
    let graph = file.messages(7).next().unwrap();
    let mut values: BTreeMap<String, Tensor> = graph.messages(5).map(|tensor| constant(&tensor)).collect();
    let [input] = &graph.messages(11).collect::<Vec<_>>()[..] else { panic!("several inputs") };
    values.insert(input.texts(1)[0].to_owned(), image.clone());
    for node in graph.messages(1) {
        let kind = node.texts(4)[0];
        let inputs: Vec<_> = node.texts(1).iter().map(|name| values.get(*name)).collect();
        let made = operator(kind, &inputs, &node);
        let name = node.texts(2)[0].to_owned();
        assert!(values.insert(name.clone(), made).is_none(), "{name} is made twice");
    }
    let outputs = graph.messages(12).map(|output| output.texts(1)[0].to_owned());
    outputs.map(|name| (name.clone(), values[&name].clone())).collect()
}

fn constant(tensor: &Message<'_>) -> (String, Tensor) {
    assert_eq!(tensor.ints(2), [1], "f32");
    let bytes = tensor.bytes(9).next().unwrap();
    let values: Vec<f32> = bytes.as_chunks().0.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect();
    (tensor.texts(8)[0].to_owned(), Tensor::from_vec(values, tensor.ints(1), &Device::Cpu).unwrap())
}

fn operator(kind: &str, inputs: &[Option<&Tensor>], node: &Message<'_>) -> Tensor {
    let attributes: BTreeMap<&str, Message> =
        node.messages(5).map(|attribute| (attribute.texts(1)[0], attribute)).collect();
    let input = |index: usize| inputs[index].expect("a value that was made");
    let triple = |name: &str| <[usize; 3]>::try_from(&attributes[name].ints(8)[..3]).unwrap();
    let params = || match attributes.contains_key("strides") {
        true => Conv3dParams { stride: triple("strides"), padding: triple("pads") },
        false => Conv3dParams::uniform(1, 0),
    };
    let bias = inputs.get(2).copied().flatten();
    match kind {
        "Conv" => conv3d(input(0), input(1), bias, params()).unwrap(),
        "ConvTranspose" => conv_transpose3d(input(0), input(1), bias, params()).unwrap(),
        "Relu" => input(0).relu().unwrap(),
        "Add" => (input(0) + input(1)).unwrap(),
        "BatchNormalization" => {
            let along = |index: usize| input(index).reshape((1, (), 1, 1, 1)).unwrap();
            let Some((_, Value::Float(eps))) = attributes["epsilon"].0.iter().find(|(field, _)| *field == 2)
            else {
                panic!("no epsilon")
            };
            let deviation = (along(4) + f64::from(*eps)).unwrap().sqrt().unwrap();
            let centred = input(0).broadcast_sub(&along(3)).unwrap().broadcast_div(&deviation).unwrap();
            centred.broadcast_mul(&along(1)).unwrap().broadcast_add(&along(2)).unwrap()
        }
        "Resize" => {
            let text = |name: &str| attributes[name].texts(4)[0];
            let mode = match (text("mode"), text("coordinate_transformation_mode"), text("nearest_mode")) {
                ("nearest", "asymmetric", "floor") => Resize::Nearest,
                ("linear", "half_pixel", _) => Resize::Trilinear,
                ("linear", "align_corners", _) => Resize::TrilinearAligned,
                other => panic!("{other:?}"),
            };
            let scales = input(2).to_vec1::<f32>().unwrap();
            let sides = [2, 3, 4].map(|axis| (input(0).dims()[axis] as f32 * scales[axis]) as usize);
            resize3d(input(0), sides, mode).unwrap()
        }
        other => panic!("the operator {other}"),
    }
}

/// Running statistics that are not those of a new network, so that their places show.
fn spread(name: &str, tensor: &Tensor) -> Tensor {
    let count = tensor.elem_count();
    let values = (0..count).map(|at| 0.5 + ((at * 7919 + name.len() * 31) % 101) as f32 / 101.0).collect();
    Tensor::from_vec::<_, f32>(values, tensor.shape(), &Device::Cpu).unwrap()
}

#[test]
fn an_onnx_file_makes_what_its_network_makes() {
    let config = NetworkConfig { in_channels: 2, num_classes: 3, filters: 2, ..Default::default() };
    let voxels = (0..3 * 2 * 16 * 32 * 16).map(|at| ((at * 7919) % 1000) as f32 / 500.0 - 1.0).collect();
    let image = Tensor::from_vec::<_, f32>(voxels, (3, 2, 16, 32, 16), &Device::Cpu).unwrap();
    for architecture in architectures() {
        let (network, parameters) = build(architecture, &config, 5, &tandem_networks::Device::Cpu).unwrap();
        let values = parameters.tensors().unwrap().into_iter().map(|(name, tensor)| {
            let value =
                if name.contains("running") { spread(&name, &tensor) } else { tensor.copy().unwrap() };
            (name, value)
        });
        parameters.load(&values.collect()).unwrap();
        let file = onnx::network(architecture, &config, &parameters).unwrap();
        let made = run(&file, &image);
        let expected = network.forward(&image, Pass::Evaluate).unwrap();
        assert_eq!(made.len(), 1 + expected.extra.len(), "{architecture}");
        for (name, expected) in
            expected.extra.iter().chain([(&"logits".to_owned(), &expected.logits.get().unwrap())])
        {
            let flat = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let (made, expected) = (flat(&made[name]), flat(expected));
            let apart = relative_error(&made, &expected);
            assert!(apart < 1e-4, "{architecture} {name}: {apart}");
        }
    }
}

#[test]
fn parameters_of_another_network_are_refused() {
    let config = NetworkConfig { filters: 2, ..Default::default() };
    let (_, parameters) = build("vnet", &config, 1, &tandem_networks::Device::Cpu).unwrap();
    assert!(onnx::network("unet", &config, &parameters).is_err());
    let message = onnx::network("resnet34", &config, &parameters).unwrap_err().to_string();
    assert!(message.contains("another network"), "{message}");
}
