//! Encoder and decoder as ONNX models.
//!
//! | part | input | outputs |
//! |---|---|---|
//! | encoder | `x` (N, D) | `mu` (N, Z), `log_variance` (N, Z), clamped to [-30, 20] |
//! | decoder, Bernoulli | `z` (N, Z) | `probabilities` (N, D), `logits` (N, D) |
//! | decoder, Gaussian | `z` (N, Z) | `mean` (N, D), `variance` (1) |
//!
//! All F32, N as it comes. A layer is a Gemm with PyTorch's (outputs, inputs) weight, transposed.

mod proto;

use prost::Message;
use proto::{
    AttributeProto, Dimension, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, Size,
    StringStringEntryProto, TensorProto, TensorShapeProto, TensorTypeProto, TypeProto,
    ValueInfoProto,
};

use super::names::{Names, Place};
use super::weights::{ARCHITECTURE, stored};
use crate::kernels::linear::Activation;
use crate::kernels::posterior::LOG_VARIANCE;
use crate::vae::{Architecture, Likelihood};

/// The version of ONNX's operators: the oldest that has them as they are used here.
pub const OPSET: i64 = 13;
/// The version of the file format that came with it.
const IR_VERSION: i64 = 7;
/// `TensorProto.FLOAT`
const FLOAT: i32 = 1;
/// `AttributeProto.INT`
const INT: i32 = 2;
/// What a protobuf message may hold.
const MAX_BYTES: usize = i32::MAX as usize;

/// Which half of the model a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// x to the mean and log variance of q(z|x)
    Encoder,
    /// z to the pixels' probabilities (or means) and their logits
    Decoder,
}

/// An ONNX model of one part. The parameters are in the order of [`crate::vae::Network::parameters`].
///
/// # Errors
/// More than the 2 GiB that the format can hold.
pub fn encode(
    architecture: &Architecture,
    parameters: &[Vec<f32>],
    part: Part,
) -> Result<Vec<u8>, String> {
    let mut graph = Graph { nodes: Vec::new() };
    let a = architecture;
    let (d, z) = (Some(a.pixels()), Some(a.latent));
    let (height, width) = a.image;
    let pixels = format!("pixels in rows from the top, {height}x{width}, in [0, 1]");
    let (prefix, input, outputs) = match part {
        Part::Encoder => {
            let mut h = "x".to_string();
            for i in 0..a.hidden.len() {
                h = graph.layer(Place::Encoder(i), &h, None);
                h = graph.activation(a.activation, h);
            }
            graph.layer(Place::Mu, &h, Some("mu"));
            let raw = graph.layer(Place::LogVariance, &h, None);
            graph.node("Clip", &[&raw, LOW, HIGH], "log_variance");
            let outputs = vec![
                value("mu", &[None, z], "the mean of q(z|x)"),
                value("log_variance", &[None, z], "the log of the variance of q(z|x), in nats"),
            ];
            (ENCODER, value("x", &[None, d], &pixels), outputs)
        }
        Part::Decoder => {
            let mut h = "z".to_string();
            for i in 0..a.decoder_hidden.len() {
                h = graph.layer(Place::Decoder(i), &h, None);
                h = graph.activation(a.activation, h);
            }
            let output = Place::Output { hidden: a.decoder_hidden.len(), likelihood: a.likelihood };
            let outputs = match a.likelihood {
                Likelihood::Bernoulli => {
                    graph.layer(output, &h, Some("logits"));
                    graph.node("Sigmoid", &["logits"], "probabilities");
                    let logits = "the log odds of the probabilities, in nats";
                    vec![
                        value("probabilities", &[None, d], &pixels),
                        value("logits", &[None, d], logits),
                    ]
                }
                Likelihood::Gaussian { .. } => {
                    graph.layer(output, &h, Some("mean"));
                    graph.node("Exp", &[Names::Sequential.observation_log_variance()], "variance");
                    let variance = "the variance of every pixel";
                    vec![
                        value("mean", &[None, d], &pixels),
                        value("variance", &[Some(1)], variance),
                    ]
                }
            };
            (DECODER, value("z", &[None, z], "latent units, N(0, 1) each by the prior"), outputs)
        }
    };
    // Those of this part, as the nodes name them.
    let mut initializer = Vec::new();
    for s in stored(a, Names::Sequential) {
        if graph.nodes.iter().any(|node| node.input.contains(&s.name)) {
            let values = s.of(parameters);
            initializer.push(tensor(&s.name, &s.shape, values));
        }
    }
    if part == Part::Encoder {
        initializer.push(tensor(LOW, &[], &[LOG_VARIANCE.0 as f32]));
        initializer.push(tensor(HIGH, &[], &[LOG_VARIANCE.1 as f32]));
    }
    let model = ModelProto {
        ir_version: IR_VERSION,
        producer_name: env!("CARGO_PKG_NAME").to_string(),
        producer_version: env!("CARGO_PKG_VERSION").to_string(),
        doc_string: format!("The {prefix} of a variational autoencoder, {a}"),
        graph: Some(GraphProto {
            node: graph.nodes,
            name: prefix.to_string(),
            initializer,
            input: vec![input],
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
        _ => Ok(model.encode_to_vec()),
    }
}

const ENCODER: &str = "encoder";
const DECODER: &str = "decoder";
/// The bounds of the log variance.
const LOW: &str = "log_variance.lowest";
const HIGH: &str = "log_variance.highest";

struct Graph {
    nodes: Vec<NodeProto>,
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

    /// W x + b, under the name of the layer or another. Returns what the output is called.
    fn layer(&mut self, place: Place, input: &str, output: Option<&str>) -> String {
        let name = Names::Sequential.layer(place);
        let (weight, bias) = (format!("{name}.weight"), format!("{name}.bias"));
        let output = output.map_or_else(|| format!("{name}.output"), str::to_string);
        let node = self.node("Gemm", &[input, &weight, &bias], &output);
        node.attribute = vec![AttributeProto { name: "transB".to_string(), i: 1, r#type: INT }];
        output
    }

    fn activation(&mut self, activation: Activation, input: String) -> String {
        let op = match activation {
            Activation::Identity => return input,
            Activation::Relu => "Relu",
            Activation::Tanh => "Tanh",
            Activation::Softplus => "Softplus",
        };
        let output = format!("{input}.activation");
        self.node(op, &[&input], &output);
        output
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

/// An input or output; `None` is the number of rows, N.
fn value(name: &str, dims: &[Option<usize>], doc: &str) -> ValueInfoProto {
    let size = |n: &Option<usize>| match n {
        Some(n) => Size::DimValue(*n as i64),
        None => Size::DimParam("N".to_string()),
    };
    let dim = dims.iter().map(|n| Dimension { value: Some(size(n)) }).collect();
    let tensor = TensorTypeProto { elem_type: FLOAT, shape: Some(TensorShapeProto { dim }) };
    ValueInfoProto {
        name: name.to_string(),
        r#type: Some(TypeProto { tensor_type: Some(tensor) }),
        doc_string: doc.to_string(),
    }
}
