//! Encoder and decoder as ONNX models.
//!
//! | part | input | outputs |
//! |---|---|---|
//! | encoder | `x` (N, D) | `mu` (N, Z), `log_variance` (N, Z), clamped to [-30, 20] |
//! | encoder, full covariance | `x` (N, D) | the same of the diagonal of the covariance's Cholesky factor, squared, and `lower` (N, Z (Z - 1) / 2), what is below it, row by row |
//! | encoder, inverse autoregressive flows | `x` (N, D) | the same before the flow, and `flow_context` (N, Z), what the networks of its steps are told; their weights are in the safetensors file |
//! | encoder, planar flows | `x` (N, D) | the same before the flow, and `flow_shift` (N, T Z), `flow_direction` (N, T Z), `flow_offset` (N, T) of its T steps |
//! | decoder, Bernoulli | `z` (N, Z) | `probabilities` (N, D), `logits` (N, D) |
//! | decoder, Gaussian | `z` (N, Z) | `mean` (N, D), `variance` (1), or of each channel (C) or pixel: as the mean, without N |
//! | decoder, continuous Bernoulli | `z` (N, Z) | `mean` (N, D), `logits` (N, D) |
//! | decoder, discretized logistic | `z` (N, Z) | `mean` (N, D), `location` (N, D), `log_scale` (N, D) |
//! | decoder, Poisson | `z` (N, Z) | `mean` (N, D), `mean_total` (1) of the training rows if there are size factors |
//! | decoder, negative binomial | `z` (N, Z) | `mean` (N, D), `inverse_dispersion` (D), `mean_total` (1) |
//!
//! An encoder of counts takes them as they are. `mean` is that of a row of the mean total; of another total, it is so much more
//! or less of each.
//!
//! All F32, N as it comes. Both parts of a model that is told classes have an input `class` (N) besides, of int64. A layer is a Gemm with PyTorch's (outputs, inputs) weight, transposed.

mod proto;

use std::sync::Arc;

use prost::Message;
use proto::{
    AttributeProto, Dimension, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, Size,
    StringStringEntryProto, TensorProto, TensorShapeProto, TensorTypeProto, TypeProto,
    ValueInfoProto,
};

use super::names::{Names, Place};
use super::weights::{ARCHITECTURE, places, stored};
use crate::kernels::posterior::LOG_VARIANCE;
use crate::named::named;
use crate::nn::graph::Attribute;
use crate::nn::{Layer, Nodes, Operand, Shape};
use crate::plan::Program;
use crate::vae::likelihood::{Domain, OnnxConstant, OnnxValues};
use crate::vae::{Architecture, Family, Network};

/// The version of ONNX's operators: the oldest that has them as they are used here.
pub const OPSET: i64 = 13;
/// The version of the file format that came with it.
const IR_VERSION: i64 = 7;
/// `TensorProto.FLOAT`
const FLOAT: i32 = 1;
/// `TensorProto.INT64`
const INT64: i32 = 7;
/// `AttributeProto.FLOAT`, `AttributeProto.INT` and `AttributeProto.INTS`
const REAL: i32 = 1;
const INT: i32 = 2;
const INTS: i32 = 7;
/// What a protobuf message may hold.
const MAX_BYTES: usize = i32::MAX as usize;

named! {
    /// Which half of the model a file holds.
    pub enum Part {
        /// x to the mean and log variance of q(z|x)
        Encoder = "encoder",
        /// z to the pixels' probabilities (or means) and what the likelihood adds
        Decoder = "decoder",
    }
}

/// An ONNX model of one part, and its input and outputs in words, as in "x (N, 784) to mu, log_variance (N, 20)". The
/// parameters are in the order of [`crate::vae::Network::parameters`].
///
/// # Errors
/// More than the 2 GiB that the format can hold.
pub fn encode(
    architecture: &Architecture,
    parameters: &[Vec<f32>],
    part: Part,
) -> Result<(Vec<u8>, String), String> {
    let mut graph = Graph { nodes: Vec::new(), constants: Vec::new() };
    let a = architecture;
    let z = Some(a.latent);
    let layout = a.layout().map_err(|e| e.to_string())?;
    let image = Shape::Map([a.image.0, a.image.1, a.channels]);
    let is_map = match part {
        Part::Encoder => matches!(layout.encoder[0].from, Shape::Map(_)),
        Part::Decoder => layout.decoder.last().is_some_and(|l| matches!(l.to, Shape::Map(_))),
    };
    let of_a_pixel = match (a.channels, is_map) {
        (1, _) => "",
        (_, true) => ", red, green and blue one after the other",
        (_, false) => ", red, green and blue of each side by side",
    };
    let counts = a.likelihood.module().domain() == Domain::Counts;
    let pixels = match counts {
        true => "counts, one of each column".to_string(),
        false => format!("pixels in rows from the top, {}{of_a_pixel}, in [0, 1]", a.shape()),
    };
    let network = Network::declare(&mut Program::new(), a);
    let mut places = places(a);
    let (encoder, decoder) = (network.encoder(None), network.decoder(None, 1));
    let of_decoder = places.split_off(encoder.len());
    let mut initializer = Vec::new();
    let (prefix, input, outputs) = match part {
        Part::Encoder => {
            let mut seen = "x";
            if counts {
                initializer.push(tensor(ONE, &[], &[1.0]));
                graph.node("Add", &["x", ONE], "x_and_one");
                graph.node("Log", &["x_and_one"], "seen");
                seen = "seen";
            }
            let at = places.iter().position(|places| places.first() == Some(&Place::Mu));
            let at = at.expect("the heads are two modules");
            let h = graph.stack(&encoder[..at], &places, seen);
            // The log variance before it is clamped.
            const RAW: &str = "log_variance.raw";
            let more: &[(&str, &str)] = match a.posterior {
                Family::Diagonal => &[],
                Family::Full => &[("lower", "what is below that diagonal, row by row")],
                Family::Planar { .. } => &[
                    ("flow_shift", "u of each step of the flow"),
                    ("flow_direction", "w of each step"),
                    ("flow_offset", "b of each step"),
                ],
                Family::Iaf { .. } => {
                    &[("flow_context", "what the networks of the flow's steps are told")]
                }
            };
            let parts: Vec<&str> =
                ["mu", RAW].into_iter().chain(more.iter().map(|(name, _)| *name)).collect();
            // Without a hidden layer the class adds to the heads.
            let told = encoder.len() > at + 1;
            if told {
                graph.classes_to_heads(&parts, a);
            }
            for (i, part) in parts.iter().enumerate() {
                let own = (!told).then_some(*part);
                let name = graph.layer(&*encoder[at], &places[at][i..=i], &h, own);
                if told {
                    graph.node("Add", &[&name, &format!("{part}.of_class")], part);
                }
            }
            graph.node("Clip", &[RAW, LOW, HIGH], "log_variance");
            let [of_mu, of_log_variance] = match a.posterior {
                Family::Diagonal => {
                    ["the mean of q(z|x)", "the log of the variance of q(z|x), in nats"]
                }
                Family::Full => [
                    "the mean of q(z|x)",
                    "the log of the squared diagonal of the Cholesky factor of q(z|x)'s covariance",
                ],
                Family::Planar { .. } | Family::Iaf { .. } => [
                    "the mean before the flow of q(z|x)",
                    "the log of the variance before the flow, in nats",
                ],
            };
            let mut outputs = vec![
                value("mu", &[None, z], of_mu),
                value("log_variance", &[None, z], of_log_variance),
            ];
            let widths = a.posterior.parts(a.latent);
            for ((name, doc), part) in more.iter().zip(&widths[2..]) {
                outputs.push(value(name, &[None, Some(part.outputs)], doc));
            }
            (ENCODER, value("x", &dims_of(layout.encoder[0].from), &pixels), outputs)
        }
        Part::Decoder => {
            // What has no parameters stands between channels last and channels first alone.
            let layers: Vec<_> =
                decoder.iter().filter(|l| !l.parameters().is_empty()).cloned().collect();
            let (last, hidden) = layers.split_last().expect("a decoder has layers");
            let h = graph.stack(hidden, &of_decoder, "z");
            let likelihood = a.likelihood.module();
            graph.layer(&**last, &of_decoder[hidden.len()], &h, Some(likelihood.output()));
            let computed = likelihood.onnx_graph();
            for node in computed.nodes {
                let (first, others) = node.outputs.split_first().expect("a node has an output");
                let added = graph.node(node.op, &node.inputs, first);
                added.output.extend(others.iter().map(|name| name.to_string()));
                let one = |&(name, i): &(&str, i64)| attribute(name, &Attribute::Int(i));
                added.attribute = node.attributes.iter().map(one).collect();
            }
            initializer.extend(computed.constants.iter().map(constant));
            let mut outputs = Vec::new();
            for output in likelihood.onnx() {
                // What is computed of a parameter has its size.
                let own = likelihood.parameters(a.shape());
                let own = own.iter().find(|own| output.of.is_some_and(|(_, of)| of == own.stored));
                let of_pixels = own.is_some_and(|own| own.dims == [a.pixels()]);
                let dims = match (own, is_map) {
                    (Some(_), true) if of_pixels => dims_of(image)[1..].to_vec(),
                    (Some(own), _) => own.dims.iter().map(|&n| Some(n)).collect(),
                    (None, true) => dims_of(image),
                    (None, false) => dims_of(Shape::Units(a.pixels())),
                };
                match output.of {
                    Some((op, of)) if of_pixels && is_map => {
                        let [flat, last] = ["in_rows", "channels_last"]
                            .map(|word| format!("{}.{word}", output.name));
                        graph.node(op, &[of], &flat);
                        graph.channels_first([&flat, &last, output.name], image);
                    }
                    Some((op, of)) => {
                        graph.node(op, &[of], output.name);
                    }
                    None => {}
                }
                outputs.push(value(output.name, &dims, output.meaning.unwrap_or(&pixels)));
            }
            let of_prior = match a.prior.label() {
                None => "latent units, N(0, 1) each by the prior".to_string(),
                Some(label) => format!("latent units; the prior is a {label}"),
            };
            (DECODER, value("z", &[None, z], &of_prior), outputs)
        }
    };
    // Those of this part, as the nodes name them.
    initializer.append(&mut graph.constants);
    for s in stored(a, Names::Sequential) {
        if graph.nodes.iter().any(|node| node.input.contains(&s.name)) {
            let values = s.of(parameters);
            initializer.push(tensor(&s.name, &s.shape, &values));
        }
    }
    if part == Part::Encoder {
        initializer.push(tensor(LOW, &[], &[LOG_VARIANCE.0 as f32]));
        initializer.push(tensor(HIGH, &[], &[LOG_VARIANCE.1 as f32]));
    }
    let mut inputs = vec![input];
    if !a.classes.is_empty() {
        let doc = format!("the number of the class: {}", numbered(&a.classes));
        inputs.push(value_of(INT64, CLASS, &[None], &doc));
    }
    let interface = format!(
        "{} to {}",
        in_words(&inputs.iter().collect::<Vec<_>>()),
        in_words(&outputs.iter().collect::<Vec<_>>())
    );
    let model = ModelProto {
        ir_version: IR_VERSION,
        producer_name: env!("CARGO_PKG_NAME").to_string(),
        producer_version: env!("CARGO_PKG_VERSION").to_string(),
        doc_string: format!("The {prefix} of a variational autoencoder, {a}"),
        graph: Some(GraphProto {
            node: graph.nodes,
            name: prefix.to_string(),
            initializer,
            input: inputs,
            output: outputs,
        }),
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPSET }],
        metadata_props: vec![StringStringEntryProto {
            key: ARCHITECTURE.to_string(),
            value: serde_json::to_string(a).map_err(|e| e.to_string())?,
        }],
    };
    match model.encoded_len() {
        n if n > MAX_BYTES => {
            Err(format!("{n} bytes are more than the 2 GiB an ONNX file can hold"))
        }
        _ => Ok((model.encode_to_vec(), interface)),
    }
}

const ENCODER: &str = "encoder";
const DECODER: &str = "decoder";
/// The input that tells the class.
const CLASS: &str = "class";
/// The bounds of the log variance.
const LOW: &str = "log_variance.lowest";
const HIGH: &str = "log_variance.highest";

/// What is added to counts before the encoder gets their logarithm.
const ONE: &str = "one";

struct Graph {
    nodes: Vec<NodeProto>,
    /// What nodes take besides parameters.
    constants: Vec<TensorProto>,
}

impl Graph {
    fn node(&mut self, op: &str, inputs: &[&str], output: &str) -> &mut NodeProto {
        self.nodes.push(NodeProto {
            input: inputs.iter().map(|name| name.to_string()).collect(),
            output: vec![output.to_string()],
            name: format!("{output} ({op})"),
            op_type: op.to_string(),
            attribute: Vec::new(),
        });
        self.nodes.last_mut().expect("just pushed")
    }

    /// The values of pixels in rows from the top, their channels last, as an image with its channels first.
    fn channels_first(&mut self, [rows, last, first]: [&str; 3], image: Shape) {
        let Shape::Map(sizes) = image else { unreachable!("an image is a map") };
        let shape = format!("{last}.shape");
        self.constants.push(integers(&shape, &sizes.map(|n| n as i64)));
        self.node("Reshape", &[rows, &shape], last);
        let perm = attribute("perm", &Attribute::Ints(vec![2, 0, 1]));
        self.node("Transpose", &[last], first).attribute = vec![perm];
    }

    /// What the embedding of the class adds to each of the heads: "mu.of_class" and so on.
    fn classes_to_heads(&mut self, heads: &[&str], a: &Architecture) {
        let name = Names::Sequential.layer(Place::EncoderEmbedding);
        let [all, sizes] = ["output", "sizes"].map(|word| format!("{name}.{word}"));
        self.node("Gather", &[&format!("{name}.weight"), CLASS], &all);
        let widths: Vec<i64> =
            a.posterior.parts(a.latent).iter().map(|part| part.outputs as i64).collect();
        self.constants.push(integers(&sizes, &widths));
        let split = self.node("Split", &[&all, &sizes], &format!("{}.of_class", heads[0]));
        split.output.extend(heads[1..].iter().map(|head| format!("{head}.of_class")));
        split.attribute.push(attribute("axis", &Attribute::Int(1)));
    }

    /// Layers one after the other; returns what the last output is called.
    fn stack(&mut self, layers: &[Arc<dyn Layer>], places: &[Vec<Place>], input: &str) -> String {
        let mut h = input.to_string();
        for (layer, places) in layers.iter().zip(places) {
            h = self.layer(&**layer, places, &h, None);
        }
        h
    }

    /// A layer whose modules are at these places; returns what its output is called, if not as it is said.
    fn layer(
        &mut self,
        layer: &dyn Layer,
        places: &[Place],
        input: &str,
        output: Option<&str>,
    ) -> String {
        let name = Names::Sequential.layer(places[0]);
        let nodes = Nodes::of(layer);
        let mut outputs: Vec<String> = Vec::new();
        for (i, node) in nodes.iter().enumerate() {
            let inputs: Vec<String> = node
                .inputs
                .iter()
                .enumerate()
                .map(|(k, operand)| match operand {
                    Operand::Input => input.to_string(),
                    Operand::Class => CLASS.to_string(),
                    Operand::Node(n) => outputs[*n].clone(),
                    Operand::Parameter { module, name } => {
                        format!("{}.{name}", Names::Sequential.layer(places[*module]))
                    }
                    Operand::Ints(values) => {
                        self.constants.push(integers(&format!("{name}.{i}.{k}"), values));
                        format!("{name}.{i}.{k}")
                    }
                    Operand::Reals(values) => {
                        let of_node = format!("{name}.{i}.{k}");
                        self.constants.push(tensor(&of_node, &[values.len()], values));
                        of_node
                    }
                })
                .collect();
            let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
            let own =
                format!("{name}.output{}", if i == 0 { String::new() } else { format!(".{i}") });
            let output = output.filter(|_| i + 1 == nodes.len()).map_or(own, str::to_string);
            self.node(node.op, &inputs, &output).attribute =
                node.attributes.iter().map(|(name, value)| attribute(name, value)).collect();
            outputs.push(output);
        }
        outputs.pop().unwrap_or_else(|| input.to_string())
    }
}

fn attribute(name: &str, value: &Attribute) -> AttributeProto {
    let none = AttributeProto { name: name.to_string(), ..AttributeProto::default() };
    match value {
        Attribute::Int(i) => AttributeProto { i: *i, r#type: INT, ..none },
        Attribute::Ints(ints) => AttributeProto { ints: ints.clone(), r#type: INTS, ..none },
        Attribute::Real(f) => AttributeProto { f: *f, r#type: REAL, ..none },
    }
}

fn constant(constant: &OnnxConstant) -> TensorProto {
    match &constant.values {
        OnnxValues::Reals(values) => tensor(constant.name, &constant.dims, values),
        OnnxValues::Integers(values) => integers(constant.name, values),
    }
}

fn integers(name: &str, values: &[i64]) -> TensorProto {
    TensorProto {
        dims: vec![values.len() as i64],
        data_type: INT64,
        name: name.to_string(),
        raw_data: values.iter().flat_map(|v| v.to_le_bytes()).collect(),
    }
}

fn tensor(name: &str, dims: &[usize], values: &[f32]) -> TensorProto {
    TensorProto {
        dims: dims.iter().map(|&n| n as i64).collect(),
        data_type: FLOAT,
        name: name.to_string(),
        raw_data: values.iter().flat_map(|v| v.to_le_bytes()).collect(),
    }
}

/// Inputs or outputs with their dimensions, those of equal dimensions together: "mu, log_variance (N, 20)".
fn in_words(values: &[&ValueInfoProto]) -> String {
    let size = |dim: &Dimension| match &dim.value {
        Some(Size::DimValue(n)) => n.to_string(),
        Some(Size::DimParam(name)) => name.clone(),
        None => "?".to_string(),
    };
    let dims = |value: &ValueInfoProto| -> String {
        let tensor = value.r#type.as_ref().and_then(|t| t.tensor_type.as_ref());
        let dims = tensor.and_then(|t| t.shape.as_ref()).map(|s| &s.dim[..]).unwrap_or_default();
        dims.iter().map(size).collect::<Vec<_>>().join(", ")
    };
    let mut text = String::new();
    for (i, value) in values.iter().enumerate() {
        let own = dims(value);
        text += &value.name;
        match values.get(i + 1) {
            Some(next) if dims(next) == own => text += ", ",
            Some(_) => text += &format!(" ({own}), "),
            None => text += &format!(" ({own})"),
        }
    }
    text
}

/// The dimensions of rows of a shape: of maps the channels first, as ONNX has them.
fn dims_of(shape: Shape) -> Vec<Option<usize>> {
    match shape {
        Shape::Units(n) => vec![None, Some(n)],
        Shape::Map([height, width, channels]) => {
            vec![None, Some(channels), Some(height), Some(width)]
        }
    }
}

/// Names with their numbers: "0 shirt, 1 coat".
fn numbered(names: &[String]) -> String {
    let each = names.iter().enumerate().map(|(i, name)| format!("{i} {name}"));
    each.collect::<Vec<_>>().join(", ")
}

/// An input or output of floats; `None` is the number of rows, N.
fn value(name: &str, dims: &[Option<usize>], doc: &str) -> ValueInfoProto {
    value_of(FLOAT, name, dims, doc)
}

fn value_of(elem_type: i32, name: &str, dims: &[Option<usize>], doc: &str) -> ValueInfoProto {
    let size = |n: &Option<usize>| match n {
        Some(n) => Size::DimValue(*n as i64),
        None => Size::DimParam("N".to_string()),
    };
    let dim = dims.iter().map(|n| Dimension { value: Some(size(n)) }).collect();
    let tensor = TensorTypeProto { elem_type, shape: Some(TensorShapeProto { dim }) };
    ValueInfoProto {
        name: name.to_string(),
        r#type: Some(TypeProto { tensor_type: Some(tensor) }),
        doc_string: doc.to_string(),
    }
}
