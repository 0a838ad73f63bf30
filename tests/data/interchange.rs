//! Models in other programs: what PyTorch's names hold, what Python and onnxruntime compute from the files,
//! and what becomes of files from elsewhere.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use elbo::checkpoint::RunFolder;
use elbo::data::{Images, Table};
use elbo::device::Device;
use elbo::device::cpu::CpuDevice;
use elbo::generate::reconstruct;
use elbo::interchange::{Names, Trained, weights};
use elbo::kernels::activation::Activation;
use elbo::plan::Program;
use elbo::train::Settings;
use elbo::vae::likelihood::SizeFactor;
use elbo::vae::network::Moments;
use elbo::vae::objective::Kl;
use elbo::vae::{
    Architecture, Binarization, Family, Init, Likelihood, Network, Objective, Prior, Variance,
};
use half::{bf16, f16};
use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize};
use tempfile::TempDir;

use crate::harness::python::Python;

/// A folder to work in.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        Home(tempfile::tempdir().unwrap())
    }

    fn at(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn run(&self, args: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_elbo"));
        command.current_dir(self.0.path()).args(args.split_whitespace());
        command.output().unwrap()
    }

    /// What the command prints.
    #[track_caller]
    fn ok(&self, args: &str) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Exit code 2, one line with these words, and nothing else than before in the folder.
    #[track_caller]
    fn refuses(&self, args: &str, words: &[&str]) {
        let list = || {
            let mut names: Vec<_> =
                fs::read_dir(self.0.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
            names.sort();
            names
        };
        let before = list();
        let output = self.run(args);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{args}: {stderr}");
        assert!(stderr.starts_with("error: ") && stderr.lines().count() == 1, "{args}: {stderr}");
        for word in words {
            assert!(stderr.contains(word), "{args}: no {word:?} in {stderr}");
        }
        assert_eq!((output.stdout.len(), list()), (0, before), "{args}");
    }

    /// A run with a network of random parameters, as after training.
    fn with_run(&self, name: &str, architecture: &Architecture) -> Vec<Vec<f32>> {
        let kl = if architecture.has_closed_kl() { Kl::Analytic } else { Kl::Sampled };
        let settings = Settings {
            architecture: architecture.clone(),
            binarization: binarization_of(architecture.likelihood),
            objective: Objective { kl, ..Objective::default() },
            ..Settings::default()
        };
        let folder = RunFolder::create(&self.at(name), &settings).unwrap();
        let parameters = match architecture.hidden.are_dense() {
            true => parameters(architecture),
            false => {
                let network = Network::declare(&mut Program::new(), architecture);
                let mut values = network.initial_values(Init::Pytorch, 3, &Moments::default());
                // Normalisations begin with ones and zeros.
                for (i, v) in values.iter_mut().flatten().enumerate() {
                    *v += 0.05 * (i as f32 * 0.7).sin();
                }
                values
            }
        };
        folder.write_model(&settings, &parameters).unwrap();
        parameters
    }

    fn read_f32(&self, name: &str) -> Vec<f32> {
        bytemuck::pod_collect_to_vec(&fs::read(self.at(name)).unwrap())
    }
}

fn architecture(hidden: &[usize], latent: usize, decoder_hidden: &[usize]) -> Architecture {
    Architecture {
        image: (28, 28),
        channels: 1,
        hidden: hidden.into(),
        decoder_hidden: decoder_hidden.into(),
        latent,
        activation: Activation::Relu,
        posterior: Default::default(),
        likelihood: Likelihood::Bernoulli,
        classes: Vec::new(),
        prior: Prior::Normal,
    }
}

/// Uniform on ±2/sqrt(inputs), in the network's order.
fn parameters(a: &Architecture) -> Vec<Vec<f32>> {
    let mut state = 1_u64;
    let mut uniform = move || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    let encoder = [&[a.pixels()], &widths(&a.hidden)[..], &[a.heads()]].concat();
    let outputs = a.likelihood.module().outputs(a.pixels());
    let decoder = [&[a.latent], &widths(&a.decoder_hidden)[..], &[outputs]].concat();
    let layers = encoder.windows(2).chain(decoder.windows(2));
    let mut all = Vec::new();
    for layer in layers {
        let (inputs, outputs) = (layer[0], layer[1]);
        for n in [inputs * outputs, outputs] {
            let bound = 2.0 / (inputs as f32).sqrt();
            all.push((0..n).map(|_| uniform() * bound).collect());
        }
    }
    if let Family::Iaf { steps, hidden } = a.posterior {
        for _ in 0..steps {
            for [outputs, inputs] in [[hidden, 2 * a.latent], [hidden; 2], [2 * a.latent, hidden]] {
                all.extend(
                    [outputs * inputs, outputs].map(|n| (0..n).map(|_| uniform()).collect()),
                );
            }
        }
    }
    if let Likelihood::Gaussian { variance } = a.likelihood
        && variance != Variance::Decoder
    {
        let groups = if variance == Variance::Pixel { a.pixels() } else { 1 };
        all.push(vec![observed_variance(variance).ln() as f32; groups]);
    }
    match a.likelihood {
        Likelihood::Poisson { size_factor } | Likelihood::NegativeBinomial { size_factor } => {
            all.push(vec![if size_factor == SizeFactor::Total { 11.0 } else { 0.0 }]);
        }
        _ => {}
    }
    if matches!(a.likelihood, Likelihood::NegativeBinomial { .. }) {
        all.push((0..a.pixels()).map(|_| uniform()).collect());
    }
    all
}

/// The variance of [`parameters`].
fn observed_variance(variance: Variance) -> f64 {
    match variance {
        Variance::Given(s) => s,
        _ => 0.3,
    }
}

/// Unit roundoff of `f32`.
const U: f64 = 1.0 / 16_777_216.0;

/// A value in double precision, and what single precision may make of it.
#[derive(Clone, Copy)]
struct Value {
    value: f64,
    error: f64,
}

impl Value {
    fn map(self, f: impl Fn(f64) -> f64) -> Value {
        // The functions here have slopes of at most 1. Libraries' own are good to some 2^-21.
        Value { value: f(self.value), error: self.error + 8.0 * U * (1.0 + self.value.abs()) }
    }

    #[track_caller]
    fn assert_near(self, got: f32, what: &str) {
        let difference = (f64::from(got) - self.value).abs();
        let Value { value, error } = self;
        assert!(difference <= error, "{what}: {got}, expected {value} ± {error:e}");
    }
}

/// x W^T + b of one row: the sum in any order, Higham's γ_n.
fn layer(x: &[Value], weight: &[f32], bias: &[f32]) -> Vec<Value> {
    let gamma = (x.len() + 2) as f64 * U;
    weight
        .chunks_exact(x.len())
        .zip(bias)
        .map(|(row, &b)| {
            let (mut value, mut size) = (f64::from(b), f64::from(b.abs()));
            let mut error = 0.0;
            for (x, &w) in x.iter().zip(row) {
                let w = f64::from(w);
                value += w * x.value;
                size += (w * x.value).abs();
                error += w.abs() * x.error;
            }
            Value { value, error: error + gamma * size }
        })
        .collect()
}

/// The observations that a likelihood is of.
fn binarization_of(likelihood: Likelihood) -> Binarization {
    match likelihood.module().accepts(Binarization::Fixed) {
        true => Binarization::Fixed,
        false => Binarization::None,
    }
}

fn exact(x: &[f32]) -> Vec<Value> {
    x.iter().map(|&v| Value { value: f64::from(v), error: 0.0 }).collect()
}

fn stack(mut h: Vec<Value>, pairs: &[Vec<f32>], activation: Activation) -> Vec<Value> {
    let n = pairs.len() / 2;
    for (i, pair) in pairs.chunks_exact(2).enumerate() {
        h = layer(&h, &pair[0], &pair[1]);
        if i + 1 < n {
            for v in &mut h {
                // The slope of the SiLU is up to 1.1.
                let slope = if activation == Activation::Silu { 1.1 } else { 1.0 };
                v.error *= slope;
                *v = v.map(|v| match activation {
                    Activation::Identity => v,
                    Activation::Relu => v.max(0.0),
                    Activation::Tanh => v.tanh(),
                    Activation::Softplus => v.max(0.0) + (-v.abs()).exp().ln_1p(),
                    Activation::LeakyRelu => v.max(0.01 * v),
                    Activation::Elu => v.max(0.0) + v.min(0.0).exp_m1(),
                    Activation::Silu => v * sigmoid(v),
                });
            }
        }
    }
    h
}

/// [mu | unclamped log variance] of one image, and what else q has.
fn encode(a: &Architecture, parameters: &[Vec<f32>], x: &[f32]) -> Vec<Value> {
    stack(exact(x), &parameters[..2 * (a.hidden.len() + 1)], a.activation)
}

/// Logits or means of one row of z.
fn decode(a: &Architecture, parameters: &[Vec<f32>], z: Vec<Value>) -> Vec<Value> {
    let first = 2 * (a.hidden.len() + 1);
    stack(z, &parameters[first..][..2 * (a.decoder_hidden.len() + 1)], a.activation)
}

fn sigmoid(v: f64) -> f64 {
    1.0 / (1.0 + (-v).exp())
}

/// E[x|z] of the decoder's output.
fn expectation(likelihood: Likelihood, eta: &[Value]) -> Vec<Value> {
    match likelihood {
        Likelihood::Bernoulli => eta.iter().map(|v| v.map(sigmoid)).collect(),
        Likelihood::Gaussian { variance: Variance::Decoder } => eta[..eta.len() / 2].to_vec(),
        Likelihood::Gaussian { .. } => eta.to_vec(),
        Likelihood::ContinuousBernoulli => {
            let mean = |v: f64| 1.0 / -(-v).exp_m1() - 1.0 / v;
            eta.iter().map(|v| v.map(mean)).collect()
        }
        Likelihood::DiscretizedLogistic => {
            let (mu, l) = eta.split_at(eta.len() / 2);
            let of = |(mu, l): (&Value, &Value)| {
                let scale = ((l.value + 6.0).exp().ln_1p() - 8.0).exp();
                let edges = (1..256).map(|i| (f64::from(i) - 0.5) / 255.0);
                let value =
                    edges.map(|edge| sigmoid((mu.value - edge) / scale)).sum::<f64>() / 255.0;
                // A sum over steps of h of a density with one maximum is at most 1 + h times that maximum; of
                // v sigmoid'(v), which ln s moves it by, it is a mean of numbers below 1/4.
                let slope = 1.0 + 1.0 / (4.0 * 255.0 * scale);
                Value { value, error: slope * mu.error + l.error }.map(|v| v)
            };
            mu.iter().zip(l).map(of).collect()
        }
        Likelihood::Poisson { .. } | Likelihood::NegativeBinomial { .. } => {
            unreachable!("counts have a test of their own")
        }
    }
}

fn guide(word: &str) -> &'static str {
    let blocks = include_str!("../../docs/pytorch.md").split("```python\n").skip(1);
    let mut blocks = blocks.map(|rest| rest.split("```").next().unwrap());
    blocks.find(|block| block.contains(word)).unwrap_or_else(|| panic!("no block of {word}"))
}

/// Keeps what the guide's lines leave.
const KEEP: &str = "
images, z = np.asarray(images), np.asarray(z)
assert images.shape == (64, 784) and images.dtype == np.float32, (images.shape, images.dtype)
images.tofile('images.f32'); z.tofile('z.f32')";

#[test]
fn the_guides_lines_of_python_decode_as_elbo_does() {
    let (python, home) = (Python::find(), Home::new());
    let a = architecture(&[400], 20, &[400]);
    fs::create_dir(home.at("runs")).unwrap();
    let parameters = home.with_run("runs/first", &a);
    home.ok("export runs/first --onnx encoder.onnx --onnx decoder.onnx");
    for word in ["safetensors.numpy", "onnxruntime"] {
        let lines = guide(word);
        assert!(lines.lines().count() <= 6, "six lines at most: {lines}");
        python.run(home.0.path(), &format!("{lines}{KEEP}"));
        let (z, images) = (home.read_f32("z.f32"), home.read_f32("images.f32"));
        assert_eq!((z.len(), images.len()), (64 * 20, 64 * 784));
        for (z, image) in z.chunks_exact(20).zip(images.chunks_exact(784)) {
            for (v, &got) in decode(&a, &parameters, exact(z)).into_iter().zip(image) {
                v.map(sigmoid).assert_near(got, word);
            }
        }
    }
}

/// With PyTorch, where there is one: the class stands in for that of pytorch/examples.
#[test]
fn the_guides_lines_of_pytorch_load_the_model() {
    let (python, home) = (Python::find(), Home::new());
    let lines = guide("import torch");
    assert!(lines.lines().count() <= 6, "six lines at most: {lines}");
    if !python.has("torch") {
        // Without it the names and shapes alone: those of the class, neither more nor less.
        home.with_run("run", &architecture(&[400], 20, &[400]));
        let bytes = fs::read(home.at("run/model.safetensors")).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let mut layers = vec![("fc1", 400, 784), ("fc21", 20, 400), ("fc22", 20, 400)];
        layers.extend([("fc3", 400, 20), ("fc4", 784, 400)]);
        assert_eq!(file.len(), 2 * layers.len());
        for (name, outputs, inputs) in layers {
            assert_eq!(file.tensor(&format!("{name}.weight")).unwrap().shape(), [outputs, inputs]);
            assert_eq!(file.tensor(&format!("{name}.bias")).unwrap().shape(), [outputs]);
        }
        return;
    }
    fs::write(home.at("main.py"), include_str!("python/example.py")).unwrap();
    fs::create_dir(home.at("runs")).unwrap();
    let a = architecture(&[400], 20, &[400]);
    let parameters = home.with_run("runs/first", &a);
    let keep = KEEP.replace("np.asarray(z)", "drawn[0].numpy()");
    let draw = "import numpy as np, torch
drawn, randn = [], torch.randn
torch.randn = lambda *size: (drawn.append(randn(*size)), drawn[-1])[1]
";
    python.run(home.0.path(), &format!("{draw}{lines}{keep}"));
    let (z, images) = (home.read_f32("z.f32"), home.read_f32("images.f32"));
    for (z, image) in z.chunks_exact(20).zip(images.chunks_exact(784)) {
        for (v, &got) in decode(&a, &parameters, exact(z)).into_iter().zip(image) {
            v.map(sigmoid).assert_near(got, "PyTorch");
        }
    }

    // The module of docs/pytorch.md for other networks.
    let page = include_str!("../../docs/pytorch.md");
    let module = page.split("```python\n").nth(1).unwrap().split("```").next().unwrap();
    let mut deep = architecture(&[30, 20], 3, &[25]);
    deep.activation = Activation::Tanh;
    let parameters = home.with_run("deep", &deep);
    let code = "
from safetensors.torch import load_file
import numpy as np
model = VAE([784, 30, 20], 3, [25, 784], nn.Tanh)
model.load_state_dict(load_file('deep/model.safetensors'))
x = torch.rand(4, 784); x.numpy().tofile('x.f32')
mu, log_variance = model.encode(x)
torch.cat([mu, log_variance], 1).detach().numpy().tofile('heads.f32')
model.decode(mu).detach().numpy().tofile('logits.f32'); mu.detach().numpy().tofile('mu.f32')";
    python.run(home.0.path(), &format!("{module}{code}"));
    check_encoder(&deep, &parameters, &home.read_f32("x.f32"), &home.read_f32("heads.f32"));
    let logits = home.read_f32("logits.f32");
    for (z, row) in home.read_f32("mu.f32").chunks_exact(3).zip(logits.chunks_exact(784)) {
        for (v, &got) in decode(&deep, &parameters, exact(z)).into_iter().zip(row) {
            v.assert_near(got, "logits");
        }
    }
}

#[track_caller]
fn check_encoder(a: &Architecture, parameters: &[Vec<f32>], x: &[f32], heads: &[f32]) {
    let width = a.heads();
    assert_eq!(heads.len() / width, x.len() / a.pixels());
    for (x, row) in x.chunks_exact(a.pixels()).zip(heads.chunks_exact(width)) {
        for (i, (v, &got)) in encode(a, parameters, x).into_iter().zip(row).enumerate() {
            let clamped = (a.latent..2 * a.latent).contains(&i);
            let v = if clamped { v.map(|l| l.clamp(-30.0, 20.0)) } else { v };
            v.assert_near(got, &format!("{a}: head {i}"));
        }
    }
}

const ONNX: &str = "
import numpy as np, onnx, onnxruntime, sys
for part in ['encoder', 'decoder']:
    model = onnx.load(part + '.onnx')
    onnx.checker.check_model(model, full_check=True)
    assert model.producer_name == 'elbo' and model.producer_version, model
    assert [(o.domain, o.version) for o in model.opset_import] == [('', 13)]
    for value in [*model.graph.input, *model.graph.output]:
        assert value.doc_string, value
def session(part, names, widths):
    s = onnxruntime.InferenceSession(part + '.onnx')
    values = [*s.get_inputs(), *s.get_outputs()]
    assert [v.name for v in values] == names, names
    assert [v.shape for v in values] == widths, [v.shape for v in values]
    return lambda x: s.run(None, {names[0]: x})
d, z, likelihood = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
of_heads = {'mu': z, 'log_variance': z, **eval(sys.argv[5])}
encode = session('encoder', ['x', *of_heads], [['N', d], *(['N', n] for n in of_heads.values())])
x = np.fromfile('x.f32', 'f').reshape(-1, d)
heads = encode(x)
mu = heads[0]
assert (encode(x[:1])[0] - mu[:1]).max() < 1e-4  # another N
more = {'gaussian': ['mean', 'variance'], 'bernoulli': ['probabilities', 'logits'],
        'continuous-bernoulli': ['mean', 'logits'], 'discretized-logistic': ['mean', 'location', 'log_scale']}
names = more[likelihood]
width = {'1': [1], '784': [784], 'N': ['N', d]}[sys.argv[4]]
widths = [width if name == 'variance' else ['N', d] for name in names]
mean, *others = session('decoder', ['z', *names], [['N', z], *widths])(mu)
for name, values in zip(names[1:], others):
    values.tofile(name + '.f32')
np.concatenate(heads, 1).tofile('heads.f32')
mu.tofile('mu.f32'); mean.tofile('mean.f32')
";

/// Every activation and likelihood, from no hidden layer to two.
#[test]
fn onnxruntime_computes_what_elbo_does() {
    let (python, home) = (Python::find(), Home::new());
    let device = Device::Cpu(CpuDevice::new(None).unwrap());
    let test = elbo::data::mnist().unwrap().test;
    let learned = Likelihood::Gaussian { variance: Variance::Learned };
    let given = Likelihood::Gaussian { variance: Variance::Given(0.04) };
    let optimal = Likelihood::Gaussian { variance: Variance::Optimal };
    let pixel = Likelihood::Gaussian { variance: Variance::Pixel };
    let decoder = Likelihood::Gaussian { variance: Variance::Decoder };
    let networks = [
        (&[40][..], &[30][..], Activation::Relu, Likelihood::Bernoulli),
        (&[], &[], Activation::Relu, Likelihood::Bernoulli),
        (&[40, 20], &[25], Activation::Tanh, Likelihood::Bernoulli),
        (&[30], &[20, 30], Activation::Softplus, learned),
        (&[30], &[20], Activation::Identity, given),
        (&[30], &[20], Activation::Relu, optimal),
        (&[20], &[30], Activation::Relu, pixel),
        (&[20], &[30], Activation::Relu, decoder),
        (&[20], &[30], Activation::LeakyRelu, Likelihood::Bernoulli),
        (&[20], &[30], Activation::Elu, Likelihood::Bernoulli),
        (&[20], &[30], Activation::Silu, Likelihood::Bernoulli),
        (&[20], &[30], Activation::Relu, Likelihood::ContinuousBernoulli),
        (&[20], &[30], Activation::Tanh, Likelihood::DiscretizedLogistic),
    ];
    for (i, (hidden, decoder_hidden, activation, likelihood)) in networks.into_iter().enumerate() {
        let mut a = architecture(hidden, 7, decoder_hidden);
        (a.activation, a.likelihood) = (activation, likelihood);
        // Of one a full covariance, without a hidden layer, and of one with two.
        if [1, 2].contains(&i) {
            a.posterior = Family::Full;
        }
        if i == 3 {
            a.posterior = Family::Planar { steps: 2 };
        }
        if i == 4 {
            a.posterior = Family::Iaf { steps: 2, hidden: 9 };
        }
        let run = format!("run{i}");
        let parameters = home.with_run(&run, &a);
        let printed = home.ok(&format!("export {run} --onnx encoder.onnx --onnx decoder.onnx"));
        assert!(printed.contains("opset 13") && printed.lines().count() == 2, "{printed}");

        let binarization = binarization_of(likelihood);
        let own = reconstruct(&device, &a, &parameters, binarization, &test, 9, 0).unwrap();
        let (images, own): (Vec<_>, Vec<_>) =
            own.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).unzip();
        fs::write(home.at("x.f32"), bytemuck::cast_slice(&images.concat())).unwrap();
        let kind = likelihood.kind().to_string();
        let pixel = likelihood == (Likelihood::Gaussian { variance: Variance::Pixel });
        let decoder = likelihood == (Likelihood::Gaussian { variance: Variance::Decoder });
        let groups = match (pixel, decoder) {
            (true, _) => "784",
            (_, true) => "N",
            _ => "1",
        };
        let more = match a.posterior {
            Family::Diagonal => "{}",
            Family::Full => "{'lower': 21}",
            Family::Planar { .. } => "{'flow_shift': 14, 'flow_direction': 14, 'flow_offset': 2}",
            Family::Iaf { .. } => "{'flow_context': 7}",
        };
        python.run_with(home.0.path(), ONNX, &["784", "7", &kind, groups, more]);

        check_encoder(&a, &parameters, &images.concat(), &home.read_f32("heads.f32"));
        let (mu, mean) = (home.read_f32("mu.f32"), home.read_f32("mean.f32"));
        assert_eq!((mu.len(), mean.len()), (9 * 7, 9 * 784));
        for (n, z) in mu.chunks_exact(7).enumerate() {
            // elbo's own mu differs by its rounding, onnxruntime's by another.
            let heads = encode(&a, &parameters, &images[n]);
            let slack: Vec<Value> = z
                .iter()
                .zip(&heads)
                .map(|(&z, h)| Value { value: f64::from(z), error: 2.0 * h.error })
                .collect();
            let output = decode(&a, &parameters, slack);
            if decoder {
                let variances = home.read_f32("variance.f32");
                for (a, &got) in output[784..].iter().zip(&variances[n * 784..]) {
                    let lowest = -13.5687;
                    let expected = lowest + (a.value - lowest).exp().ln_1p();
                    let difference = (f64::from(got).ln() - expected).abs();
                    assert!(difference <= 1e-5 + 2.0 * a.error, "{got}, {expected}");
                }
            }
            let expected = expectation(likelihood, &output);
            assert_eq!(expected.len(), 784);
            for (j, v) in expected.into_iter().enumerate() {
                v.assert_near(mean[n * 784 + j], &format!("{a}: onnxruntime"));
                // elbo decodes what the flow makes of the mean; tests/training/posteriors.rs holds that.
                if !a.posterior.has_closed_kl() {
                    continue;
                }
                v.assert_near(own[n][j], &format!("{a}: elbo"));
                let (onnx, own) = (mean[n * 784 + j], own[n][j]);
                assert!((onnx - own).abs() <= 1e-5 * (1.0 + own.abs()), "{a}: {onnx}, {own}");
            }
        }
        if let Likelihood::Gaussian { variance } = likelihood
            && !decoder
        {
            let got = home.read_f32("variance.f32");
            let expected = observed_variance(variance);
            assert_eq!(got.len().to_string(), groups);
            let near = |&got: &f32| (f64::from(got) / expected - 1.0).abs() < 1e-5;
            assert!(got.iter().all(near), "{got:?}");
        }
    }
}

const ONNX_OF_COUNTS: &str = "
import numpy as np, onnx, onnxruntime, sys
for part in ['encoder', 'decoder']:
    onnx.checker.check_model(onnx.load(part + '.onnx'), full_check=True)
x = np.fromfile('x.f32', 'f').reshape(-1, 6)
mu = onnxruntime.InferenceSession('encoder.onnx').run(['mu'], {'x': x})[0]
session = onnxruntime.InferenceSession('decoder.onnx')
names = [output.name for output in session.get_outputs()]
assert names == sys.argv[1].split(','), names
of = dict(zip(names, session.run(None, {'z': mu})))
size = np.maximum(x.sum(1), 1) / of['mean_total'] if 'mean_total' in of else np.ones(len(x))
if 'inverse_dispersion' in of:
    expected = np.exp(np.fromfile('v.f32', 'f'))
    assert np.abs(of['inverse_dispersion'] / expected - 1).max() < 1e-5
(of['mean'] * size[:, None]).astype('f').tofile('mean.f32')
";

/// Of counts as they are, of rows as large as they are.
#[test]
fn onnxruntime_computes_what_elbo_does_of_counts() {
    let (python, home) = (Python::find(), Home::new());
    let device = Device::Cpu(CpuDevice::new(None).unwrap());
    let cells: Vec<f64> = (0..54).map(|i| f64::from((i * i * 7 + i / 5) % 23 % 9)).collect();
    let names: Vec<String> = (1..=6).map(|column| column.to_string()).collect();
    let rows = Images::of_table(Table::unscaled(&names).into(), &cells).unwrap();
    let total = SizeFactor::Total;
    for (i, (likelihood, outputs)) in [
        (Likelihood::Poisson { size_factor: total }, "mean,mean_total"),
        (Likelihood::Poisson { size_factor: SizeFactor::None }, "mean"),
        (Likelihood::NegativeBinomial { size_factor: total }, "mean,inverse_dispersion,mean_total"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut a = architecture(&[12], 3, &[10]);
        (a.image, a.likelihood) = ((1, 6), likelihood);
        let run = format!("run{i}");
        let parameters = home.with_run(&run, &a);
        home.ok(&format!("export {run} --onnx encoder.onnx --onnx decoder.onnx"));
        let own = reconstruct(&device, &a, &parameters, Binarization::None, &rows, 9, 0).unwrap();
        let (x, own): (Vec<_>, Vec<_>) =
            own.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).unzip();
        let counts: Vec<f64> = x.concat().into_iter().map(f64::from).collect();
        assert_eq!(counts, cells);
        fs::write(home.at("x.f32"), bytemuck::cast_slice(&x.concat())).unwrap();
        fs::write(home.at("v.f32"), bytemuck::cast_slice(parameters.last().unwrap())).unwrap();
        python.run_with(home.0.path(), ONNX_OF_COUNTS, &[outputs]);
        let mean = home.read_f32("mean.f32");
        assert_eq!(mean.len(), cells.len());
        for (onnx, own) in mean.into_iter().zip(own.concat()) {
            assert!((onnx - own).abs() <= 1e-5 * (1.0 + own.abs()), "{a}: {onnx}, {own}");
        }
    }
}

const ONNX_OF_IMAGES: &str = "
import numpy as np, onnx, onnxruntime
for part in ['encoder', 'decoder']:
    onnx.checker.check_model(onnx.load(part + '.onnx'), full_check=True)
def session(part, shapes):
    s = onnxruntime.InferenceSession(part + '.onnx')
    values = [*s.get_inputs(), *s.get_outputs()]
    assert [v.shape for v in values] == shapes, [v.shape for v in values]
    return lambda x: s.run(None, {s.get_inputs()[0].name: x})
n, c, h, w = 'N', 3, 9, 10
x = np.fromfile('x.f32', 'f').reshape(-1, h, w, c).transpose(0, 3, 1, 2)
mu, log_variance = session('encoder', [[n, c, h, w], [n, 5], [n, 5]])(np.ascontiguousarray(x))
mean, logits = session('decoder', [[n, 5], [n, c, h, w], [n, c, h, w]])(mu)
np.ascontiguousarray(mean.transpose(0, 2, 3, 1)).tofile('mean.f32')
# The same by the tensors of the file, as PyTorch's documentation has convolutions.
from safetensors.numpy import load_file
t = load_file('run/model.safetensors')
names = ['encoder.0', 'encoder.2', 'encoder.5', 'mu', 'log_variance', 'decoder.0', 'decoder.3', 'decoder.5']
assert sorted(t) == sorted(k + s for k in names for s in ('.weight', '.bias')), sorted(t)
def conv(x, name, stride, pad):
    weight, x = t[name + '.weight'].astype('d'), np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    k = weight.shape[2]
    windows = np.lib.stride_tricks.sliding_window_view(x, (k, k), (2, 3))[:, :, ::stride, ::stride]
    return np.einsum('ncpqab,ocab->nopq', windows, weight) + t[name + '.bias'][:, None, None]
def convt(x, name, stride, pad, size):
    weight = t[name + '.weight'].astype('d')
    k, (n, _, p, q) = weight.shape[2], x.shape
    y = np.zeros((n, weight.shape[1], size[0] + 2 * pad + stride, size[1] + 2 * pad + stride))
    for a in range(k):
        for b in range(k):
            part = np.einsum('nopq,oi->nipq', x, weight[:, :, a, b])
            y[:, :, a:a + p * stride:stride, b:b + q * stride:stride] += part
    return y[:, :, pad:pad + size[0], pad:pad + size[1]] + t[name + '.bias'][:, None, None]
dense = lambda x, name: x @ t[name + '.weight'].T.astype('d') + t[name + '.bias']
relu = lambda v: np.maximum(v, 0)
h1 = relu(conv(x.astype('d'), 'encoder.0', 2, 1))
h2 = relu(conv(h1, 'encoder.2', 1, 0))
h3 = relu(dense(h2.reshape(len(x), -1), 'encoder.5'))
own_mu = dense(h3, 'mu')
assert abs(own_mu - mu).max() < 1e-5, abs(own_mu - mu).max()
d1 = relu(dense(own_mu, 'decoder.0')).reshape(len(x), 6, 5, 5)
d2 = relu(conv(d1, 'decoder.3', 1, 1))
own = convt(d2, 'decoder.5', 2, 1, (9, 10))
assert own.shape == logits.shape and abs(own - logits).max() < 1e-5, abs(own - logits).max()
";

/// Convolutions of images in colour: what onnxruntime computes, what NumPy computes from the tensors' names and PyTorch's
/// order, and what this program does.
#[test]
fn convolutions_are_pytorchs() {
    let (python, home) = (Python::find(), Home::new());
    let device = Device::Cpu(CpuDevice::new(None).unwrap());
    let a = Architecture {
        image: (9, 10),
        channels: 3,
        hidden: "conv 4 3/2, conv 6 2 pad 0, 8".parse().unwrap(),
        decoder_hidden: "dense 5x5x6, conv 4 3".parse().unwrap(),
        ..architecture(&[], 5, &[])
    };
    // The names of the example's VAE are those of fully connected layers.
    let one = Architecture {
        hidden: "conv 4 3/2".parse().unwrap(),
        decoder_hidden: "dense 5x5x6".parse().unwrap(),
        likelihood: Likelihood::Bernoulli,
        ..a.clone()
    };
    assert_eq!(Names::of(&one), Names::Sequential);
    let parameters = home.with_run("run", &a);
    home.ok("export run --onnx encoder.onnx --onnx decoder.onnx");
    let pixels = (0..7 * a.pixels()).map(|i| ((i * 2_654_435_761) >> 7) as u8).collect();
    let images = Images { n_images: 7, height: 9, width: 10, channels: 3, pixels, labels: None };
    let own = reconstruct(&device, &a, &parameters, Binarization::None, &images, 7, 0).unwrap();
    let (x, own): (Vec<_>, Vec<_>) =
        own.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).unzip();
    fs::write(home.at("x.f32"), bytemuck::cast_slice(&x.concat())).unwrap();
    python.run_with(home.0.path(), ONNX_OF_IMAGES, &[]);
    let (mean, own) = (home.read_f32("mean.f32"), own.concat());
    assert_eq!(mean.len(), own.len());
    for (mean, own) in mean.iter().zip(&own) {
        assert!((mean - own).abs() < 1e-5, "{mean}, {own}");
    }
    // Read back, by its metadata, the parameters are the same bits.
    let bytes = fs::read(home.at("run/model.safetensors")).unwrap();
    assert_eq!(weights::decode(&a, &bytes).unwrap(), parameters);
}

const ONNX_OF_BLOCKS: &str = "
import numpy as np, onnx, onnxruntime
from safetensors.numpy import load_file
def run(part, x):
    onnx.checker.check_model(onnx.load(part + '.onnx'), full_check=True)
    s = onnxruntime.InferenceSession(part + '.onnx')
    return s.run(None, {s.get_inputs()[0].name: np.ascontiguousarray(x, dtype='f')})
x = np.fromfile('x.f32', 'f').reshape(-1, 9, 10, 3).transpose(0, 3, 1, 2)
mu, log_variance = run('encoder', x)
mean, variance = run('decoder', mu)
np.ascontiguousarray(mean.transpose(0, 2, 3, 1)).tofile('mean.f32')
# The same by the tensors of the file, as PyTorch's documentation has Conv2d, GroupNorm, SiLU and GLU.
t = {k: v.astype('d') for k, v in load_file('run/model.safetensors').items()}
block = lambda name, parts: [name + '.' + part for part in parts.split()]
names = ['encoder.0', 'encoder.1', *block('encoder.3', 'conv1 norm1 conv2 norm2 skip'), *block('encoder.5', 'conv1 conv2'),
    'encoder.8', 'encoder.9', 'mu', 'log_variance', 'decoder.0', 'decoder.2',
    *block('decoder.4', 'conv1 norm1 conv2 norm2 skip'), 'decoder.6', 'decoder.8']
of_pixels = np.exp(t.pop('observation_log_variance')).reshape(9, 10, 3).transpose(2, 0, 1)
assert variance.shape == (3, 9, 10) and abs(variance - of_pixels).max() < 1e-5
assert sorted(t) == sorted(k + s for k in names for s in ('.weight', '.bias')), sorted(t)
def conv(x, name, stride=1):
    weight = t[name + '.weight']
    k = weight.shape[2]
    pad = (k - stride + 1) // 2
    x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    windows = np.lib.stride_tricks.sliding_window_view(x, (k, k), (2, 3))[:, :, ::stride, ::stride]
    return np.einsum('ncpqab,ocab->nopq', windows, weight) + t[name + '.bias'][:, None, None]
def norm(x, name, groups):
    parts = x.reshape(len(x), groups, -1)
    centred = parts - parts.mean(2, keepdims=True)
    y = (centred / np.sqrt(parts.var(2, keepdims=True) + 1e-5)).reshape(x.shape)
    of_channel = (-1,) + (1,) * (x.ndim - 2)
    return y * t[name + '.weight'].reshape(of_channel) + t[name + '.bias'].reshape(of_channel)
dense = lambda x, name: x.reshape(len(x), -1) @ t[name + '.weight'].T + t[name + '.bias']
sigmoid = lambda v: 1 / (1 + np.exp(-v))
silu = lambda v: v * sigmoid(v)
def glu(v):
    a, b = np.split(v, 2, 1)
    return a * sigmoid(b)
def res(x, name, groups=None):
    of = (lambda h, part: norm(h, name + part, groups)) if groups else (lambda h, part: h)
    h = silu(of(conv(x, name + '.conv1'), '.norm1'))
    h = of(conv(h, name + '.conv2'), '.norm2')
    return silu(h + (conv(x, name + '.skip') if name + '.skip.weight' in t else x))
h = silu(norm(conv(x.astype('d'), 'encoder.0', 2), 'encoder.1', 2))
h = res(res(h, 'encoder.3', 3), 'encoder.5')
own_mu = dense(glu(norm(dense(h, 'encoder.8'), 'encoder.9', 1)), 'mu')
assert abs(own_mu - mu).max() < 2e-5, abs(own_mu - mu).max()
d = glu(norm(dense(own_mu, 'decoder.0').reshape(-1, 12, 5, 5), 'decoder.2', 2))
d = glu(conv(res(d, 'decoder.4', 4), 'decoder.6'))
weight = t['decoder.8.weight']
y = np.zeros((len(x), 3, 12, 12))
for a in range(weight.shape[2]):
    for b in range(weight.shape[3]):
        y[:, :, a:a + 10:2, b:b + 10:2] += np.einsum('nopq,oi->nipq', d, weight[:, :, a, b])
own = y[:, :, 1:10, 1:11] + t['decoder.8.bias'][:, None, None]
assert abs(own - mean).max() < 2e-5, abs(own - mean).max()
";

/// Residual blocks, normalisations, gates and the SiLU, as [`convolutions_are_pytorchs`]; a variance of pixels beside.
#[test]
fn blocks_are_pytorchs() {
    let (python, home) = (Python::find(), Home::new());
    let device = Device::Cpu(CpuDevice::new(None).unwrap());
    let a = Architecture {
        image: (9, 10),
        channels: 3,
        hidden: "conv 4 3/2 norm 2, res 6 norm 3, res 6, gated 8 norm".parse().unwrap(),
        decoder_hidden: "gated dense 5x5x6 norm 2, res 4 norm, gated conv 4 3".parse().unwrap(),
        activation: Activation::Silu,
        posterior: Default::default(),
        likelihood: Likelihood::Gaussian { variance: Variance::Pixel },
        ..architecture(&[], 5, &[])
    };
    let parameters = home.with_run("run", &a);
    home.ok("export run --onnx encoder.onnx --onnx decoder.onnx");
    let pixels = (0..7 * a.pixels()).map(|i| ((i * 2_654_435_761) >> 7) as u8).collect();
    let images = Images { n_images: 7, height: 9, width: 10, channels: 3, pixels, labels: None };
    let own = reconstruct(&device, &a, &parameters, Binarization::None, &images, 7, 0).unwrap();
    let (x, own): (Vec<_>, Vec<_>) =
        own.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).unzip();
    fs::write(home.at("x.f32"), bytemuck::cast_slice(&x.concat())).unwrap();
    python.run_with(home.0.path(), ONNX_OF_BLOCKS, &[]);
    let (mean, own) = (home.read_f32("mean.f32"), own.concat());
    assert_eq!(mean.len(), own.len());
    for (mean, own) in mean.iter().zip(&own) {
        assert!((mean - own).abs() < 1e-5, "{mean}, {own}");
    }
    let bytes = fs::read(home.at("run/model.safetensors")).unwrap();
    assert_eq!(weights::decode(&a, &bytes).unwrap(), parameters);
}

#[test]
fn what_cannot_be_exported_is_refused() {
    let home = Home::new();
    home.with_run("run", &architecture(&[40], 7, &[30]));
    home.with_run("deep", &architecture(&[40, 20], 7, &[30]));
    home.refuses("export run --onnx model.onnx", &["--onnx model.onnx", "--part encoder"]);
    home.refuses("export run --onnx encoder-decoder.onnx", &["--part encoder"]);
    home.refuses("export run --onnx encoder.onnx --onnx a.onnx --part decoder", &["one file"]);
    home.refuses(
        "export run --onnx encoder.onnx --onnx encoder.onnx",
        &["encoder.onnx: named twice"],
    );
    home.refuses("export run --onnx none/encoder.onnx", &["none/encoder.onnx", "no folder"]);
    home.refuses("export run --pytorch deep", &["deep: it is a folder"]);
    home.refuses("export none --onnx encoder.onnx", &["none: not a run folder"]);
    for names in ["example", "pyro"] {
        let args = format!("export deep --pytorch a.safetensors --names {names}");
        home.refuses(&args, &["deep: it is 784-40-20-7-30-784 relu", "--names sequential"]);
    }
    for args in
        ["export run", "export run --part encoder", "export run --onnx decoder.onnx --names pyro"]
    {
        let output = home.run(args);
        assert_eq!(output.status.code(), Some(2), "{args}: {output:?}");
    }
    home.ok("export run --onnx model.onnx --part decoder");
    let printed = home.ok("export run --pytorch a.safetensors --names pyro");
    assert!(printed.contains("that module has softplus, which must be relu"), "{printed}");
}

/// A tensor as a file has it.
type Entry = (String, Dtype, Vec<usize>, Vec<u8>);

fn entries(a: &Architecture, names: Names) -> Vec<Entry> {
    let bytes = weights::encode(a, names, &parameters(a), &Trained::default()).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut entries: Vec<Entry> = file
        .iter()
        .map(|(name, v)| (name.to_string(), v.dtype(), v.shape().to_vec(), v.data().to_vec()))
        .collect();
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    entries
}

/// As PyTorch writes it: without this program's metadata.
fn file_of(entries: &[Entry]) -> Vec<u8> {
    let views = entries.iter().map(|(name, dtype, shape, data)| {
        (name, TensorView::new(*dtype, shape.clone(), data).unwrap())
    });
    serialize(views, None::<HashMap<String, String>>).unwrap()
}

fn read_model(run: &Path) -> (Settings, Vec<Vec<f32>>) {
    let (folder, settings) = RunFolder::open(run).unwrap();
    let parameters = folder.read_model(&settings.architecture).unwrap();
    (settings, parameters)
}

#[test]
fn models_of_pytorch_become_runs() {
    let home = Home::new();
    let mut number = 0;
    let mut import = |entries: &[Entry], options: &str| {
        number += 1;
        let run = format!("run{number}");
        fs::write(home.at("vae.safetensors"), file_of(entries)).unwrap();
        let printed = home.ok(&format!("import vae.safetensors --run {run} {options}"));
        (read_model(&home.at(&run)), printed)
    };
    let a = architecture(&[40], 7, &[30]);
    let own = parameters(&a);

    let ((settings, read), printed) = import(&entries(&a, Names::Example), "");
    assert_eq!((&settings.architecture, settings.binarization), (&a, Binarization::None));
    assert!(read == own);
    let guessed = printed.lines().find(|line| line.starts_with("guessed, ")).unwrap();
    for word in [
        "activation relu (--activation)",
        "likelihood bernoulli (--likelihood)",
        "images of MNIST (--data)",
        "pixels not binarized (--binarization)",
    ] {
        assert!(guessed.contains(word), "{word}: {printed}");
    }
    let stated = "--activation softplus --likelihood bernoulli --data mnist --binarization dynamic";
    let ((settings, _), printed) = import(&entries(&a, Names::Example), stated);
    assert_eq!(settings.architecture.activation, Activation::Softplus);
    assert_eq!(settings.binarization, Binarization::Dynamic);
    assert!(!printed.contains("guessed"), "{printed}");

    // Pyro's fc22 gives ln σ: the file has half of what a run has.
    let pyro = entries(&a, Names::Pyro);
    let of = |name: &str, entries: &[Entry]| -> Vec<f32> {
        let entry = entries.iter().find(|e| e.0 == name).unwrap();
        bytemuck::pod_collect_to_vec(&entry.3)
    };
    let halves = of("encoder.fc22.weight", &pyro);
    let whole = of("fc22.weight", &entries(&a, Names::Example));
    assert!(halves.iter().zip(&whole).all(|(half, whole)| 2.0 * half == *whole));
    let ((settings, read), _) = import(&pyro, "");
    assert_eq!(settings.architecture.activation, Activation::Softplus);
    assert!(read == own);

    let deep = architecture(&[40, 20], 7, &[]);
    let sequential = entries(&deep, Names::Sequential);
    let ((settings, read), _) = import(&sequential, "--activation relu");
    assert_eq!((&settings.architecture, settings.binarization), (&deep, Binarization::Dynamic));
    assert!(read == parameters(&deep));
    // With dropout between the layers, other names for the heads, and a wrapper around it all.
    let renamed: Vec<Entry> = sequential
        .iter()
        .map(|(name, dtype, shape, data)| {
            let name = name.replace("encoder.2", "encoder.10").replace("mu.", "fc_mu.");
            let name = name.replace("log_variance", "logvar");
            (format!("module.{name}"), *dtype, shape.clone(), data.clone())
        })
        .collect();
    let ((settings, read), _) = import(&renamed, "");
    assert!(settings.architecture == deep && read == parameters(&deep));

    // The likelihood is told by its variance.
    let mut gaussian = a.clone();
    gaussian.likelihood = Likelihood::Gaussian { variance: Variance::Learned };
    let ((settings, read), _) = import(&entries(&gaussian, Names::Sequential), "");
    assert_eq!((&settings.architecture, settings.binarization), (&gaussian, Binarization::None));
    assert!(read == parameters(&gaussian));
    gaussian.likelihood = Likelihood::Gaussian { variance: Variance::Pixel };
    let ((settings, read), _) = import(&entries(&gaussian, Names::Sequential), "");
    assert!(settings.architecture == gaussian && read == parameters(&gaussian));
    let options = "--likelihood gaussian --variance 0.5";
    let ((settings, read), _) = import(&entries(&a, Names::Sequential), options);
    let variance = Likelihood::Gaussian { variance: Variance::Given(0.5) };
    assert_eq!((settings.architecture.likelihood, &read[..8]), (variance, &own[..]));
    assert_eq!(read[8], [0.5_f64.ln() as f32]);

    // Other types are converted with a word.
    type Convert = fn(f32) -> (Vec<u8>, f32);
    let types: [(Dtype, &str, Convert); 3] = [
        (Dtype::F64, "F64", |v| (f64::from(v).to_le_bytes().to_vec(), v)),
        (Dtype::F16, "F16", |v| {
            (f16::from_f32(v).to_le_bytes().to_vec(), f16::from_f32(v).to_f32())
        }),
        (Dtype::BF16, "BF16", |v| {
            (bf16::from_f32(v).to_le_bytes().to_vec(), bf16::from_f32(v).to_f32())
        }),
    ];
    for (dtype, name, convert) in types {
        let mut converted = entries(&a, Names::Example);
        for (_, to, _, data) in &mut converted {
            let values: Vec<f32> = bytemuck::pod_collect_to_vec(data);
            (*to, *data) = (dtype, values.iter().flat_map(|&v| convert(v).0).collect());
        }
        let ((_, read), printed) = import(&converted, "");
        assert!(printed.contains(&format!("converted to F32: {name}\n")), "{printed}");
        let expected = |values: &Vec<f32>| values.iter().map(|&v| convert(v).1).collect::<Vec<_>>();
        assert!(read == own.iter().map(expected).collect::<Vec<_>>(), "{name}");
    }
    let source = fs::read_to_string(home.at("run1/import.json")).unwrap();
    assert!(source.contains("vae.safetensors") && source.contains("sha256"), "{source}");

    // What elbo itself wrote says its activation.
    let mut tanh = deep.clone();
    tanh.activation = Activation::Tanh;
    home.with_run("own", &tanh);
    home.ok("import own/model.safetensors --run again");
    let (settings, read) = read_model(&home.at("again"));
    assert!(settings.architecture == tanh && read == parameters(&tanh));
    // Nobody knows what a model from elsewhere was trained on.
    home.ok("figures again --device cpu");
    let text = fs::read_to_string(home.at("again/units.svg")).unwrap();
    assert!(text.contains("imported") && !text.contains("trained") && !text.contains("epoch"));
    for command in [
        "sample again --count 4",
        "reconstruct again --count 4",
        "eval again --images 5 --samples 3",
    ] {
        home.ok(&format!("{command} --device cpu"));
    }
}

/// The files of this program say how they were trained, in metadata that anyone can read.
#[test]
fn a_file_of_elbo_says_how_it_was_trained() {
    let home = Home::new();
    let train = "train --device cpu --hidden 8 --latent 2 --steps 3";
    let metadata = |file: &str| {
        let bytes = fs::read(home.at(file)).unwrap();
        let (length, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
        assert_eq!(length % 8, 0);
        metadata.metadata().clone().unwrap()
    };
    let same = |run: &str, file: &str| {
        let printed = home.ok(&format!("import {file} --run {run}-imported"));
        assert!(!printed.contains("guessed"), "{printed}");
        let (ours, theirs) =
            (read_model(&home.at(run)), read_model(&home.at(&format!("{run}-imported"))));
        assert!(ours.1 == theirs.1);
        let of = |s: &Settings| {
            (s.architecture.clone(), s.binarization, s.data.clone(), s.size, s.valid)
        };
        assert_eq!(of(&ours.0), of(&theirs.0), "{run}");
        printed
    };
    home.ok(&format!("{train} --run fixed --binarization fixed"));
    let said = metadata("fixed/model.safetensors");
    assert_eq!((&said["binarization"][..], &said["data"][..]), ("fixed", "mnist"));
    assert!(said.contains_key("architecture") && said.contains_key("sha256"));
    let printed = same("fixed", "fixed/model.safetensors");
    assert!(printed.contains("images of MNIST, fixed binarization"), "{printed}");
    let small = "--size 14x7 --valid 0.1 --binarization none --activation tanh";
    home.ok(&format!("{train} --run small {small}"));
    home.ok("export small --pytorch small.safetensors");
    let said = metadata("small.safetensors");
    assert_eq!((&said["size"][..], &said["valid"][..]), ("14x7", "0.1"));
    same("small", "small.safetensors");
    // The same model is the same file, each time.
    for _ in 0..5 {
        home.ok("export small --pytorch again.safetensors");
        let read = |name: &str| fs::read(home.at(name)).unwrap();
        assert!(read("again.safetensors") == read("small.safetensors"));
    }
    // An option goes before what the file says.
    home.ok("import fixed/model.safetensors --binarization dynamic --run dynamic");
    assert_eq!(read_model(&home.at("dynamic")).0.binarization, Binarization::Dynamic);
    // What is not known, or a path of another machine, says nothing; nor does a file of before.
    let bytes = fs::read(home.at("small.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut said = metadata("small.safetensors");
    said.insert("binarization".to_string(), "coloured".to_string());
    said.insert("data".to_string(), "/etc".to_string());
    fs::write(home.at("odd.safetensors"), serialize(file.iter(), Some(said.clone())).unwrap())
        .unwrap();
    let refused = ["it has 98 pixels", "--data"];
    home.refuses("import odd.safetensors --run odd", &refused);
    let printed = home.ok("import odd.safetensors --data mnist --run odd");
    assert!(printed.contains("guessed, as the file does not say"), "{printed}");
    assert!(printed.contains("dynamic binarization (--binarization)"), "{printed}");
    said.retain(|key, _| key == "architecture");
    fs::write(home.at("old.safetensors"), serialize(file.iter(), Some(said)).unwrap()).unwrap();
    let printed = home.ok("import old.safetensors --data mnist --size 14x7 --run old");
    assert!(printed.contains("dynamic binarization (--binarization)"), "{printed}");
    assert!(!printed.contains("(--activation)"), "{printed}");
}

/// What is below the diagonal of a full covariance's factor is a module of its own, by which the family is known.
#[test]
fn a_full_covariance_is_known_by_its_tensors() {
    let home = Home::new();
    let mut a = architecture(&[40], 7, &[30]);
    a.posterior = Family::Full;
    let parameters = home.with_run("run", &a);
    let own = entries(&a, Names::Sequential);
    let shapes: Vec<_> = own.iter().filter(|e| e.0.starts_with("lower")).map(|e| &e.2).collect();
    assert_eq!(shapes, [&vec![21], &vec![21, 40]]); // bias and weight
    fs::write(home.at("theirs.safetensors"), file_of(&own)).unwrap();
    home.ok("import theirs.safetensors --run theirs");
    let (settings, read) = read_model(&home.at("theirs"));
    assert_eq!(settings.architecture.posterior, Family::Full);
    assert!(read == parameters);
    a.posterior = Family::Planar { steps: 4 };
    let parameters = home.with_run("flow", &a);
    fs::write(home.at("flow.safetensors"), file_of(&entries(&a, Names::Sequential))).unwrap();
    home.ok("import flow.safetensors --run their-flow");
    let (settings, read) = read_model(&home.at("their-flow"));
    assert_eq!(settings.architecture.posterior, Family::Planar { steps: 4 });
    assert!(read == parameters);
    a.posterior = Family::Iaf { steps: 3, hidden: 11 };
    let parameters = home.with_run("iaf", &a);
    fs::write(home.at("iaf.safetensors"), file_of(&entries(&a, Names::Sequential))).unwrap();
    home.ok("import iaf.safetensors --run their-iaf");
    let (settings, read) = read_model(&home.at("their-iaf"));
    assert_eq!(settings.architecture.posterior, Family::Iaf { steps: 3, hidden: 11 });
    assert!(read == parameters);
    a.posterior = Family::Full;
    // The names of one head of a full covariance are not those of a module that has none.
    let words = ["run: it is 784-40-7-30-784 relu, q with full covariance", "--names sequential"];
    home.refuses("export run --pytorch a.safetensors --names example", &words);
}

/// Runs of the first versions are read as they are.
#[test]
fn the_first_names_are_still_read() {
    let home = Home::new();
    let mut a = architecture(&[40], 7, &[30, 20]);
    for likelihood in [Likelihood::Bernoulli, Likelihood::Gaussian { variance: Variance::Learned }]
    {
        a.likelihood = likelihood;
        let run = format!("{likelihood:?}").replace(' ', "");
        let parameters = home.with_run(&run, &a);
        let bytes = weights::encode(&a, Names::First, &parameters, &Trained::default()).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let last = if likelihood == Likelihood::Bernoulli { "logits" } else { "mean" };
        for name in [
            "encoder.0",
            "encoder.mu",
            "encoder.log_variance",
            "decoder.1",
            &format!("decoder.{last}"),
        ] {
            file.tensor(&format!("{name}.weight")).unwrap();
        }
        fs::write(home.at(&run).join("model.safetensors"), &bytes).unwrap();
        assert!(read_model(&home.at(&run)).1 == parameters);
        fs::write(home.at("old.safetensors"), &bytes).unwrap();
        home.ok(&format!("import old.safetensors --run {run}-imported"));
        assert!(read_model(&home.at(&format!("{run}-imported"))).1 == parameters);
    }
}

#[test]
fn files_that_are_no_vae_are_refused() {
    let home = Home::new();
    let a = architecture(&[40], 7, &[30]);
    let good = entries(&a, Names::Example);
    let import = |bytes: &[u8], words: &[&str]| {
        fs::write(home.at("bad.safetensors"), bytes).unwrap();
        let words = [&["bad.safetensors: "], words].concat();
        home.refuses("import bad.safetensors --run run", &words);
    };
    let change = |f: &dyn Fn(&mut Vec<Entry>), words: &[&str]| {
        let mut changed = good.clone();
        f(&mut changed);
        import(&file_of(&changed), words);
    };
    let set = |entries: &mut Vec<Entry>, name: &str, shape: &[usize], dtype: Dtype, byte: u8| {
        let entry = entries.iter_mut().find(|e| e.0 == name).unwrap();
        let n = shape.iter().product::<usize>() * dtype.bitsize() / 8;
        *entry = (name.to_string(), dtype, shape.to_vec(), vec![byte; n]);
    };
    import(b"", &["not a whole safetensors file"]);
    import(b"PK\x03\x04 and more", &["not a whole PyTorch archive"]);
    let whole = file_of(&good);
    for n in [4, 100, whole.len() - 1] {
        import(&whole[..n], &["not a whole safetensors file"]);
    }
    let mut forged = whole.clone();
    forged[7] = 0x7f; // a header of 2^62 bytes
    import(&forged, &["not a whole safetensors file"]);
    import(&file_of(&[]), &["no names that are known", "it has none"]);

    let missing = |name: &'static str| {
        move |entries: &mut Vec<Entry>| entries.retain(|entry| entry.0 != name)
    };
    change(&missing("fc22.bias"), &["no tensor fc22.bias"]);
    change(&missing("fc1.weight"), &["no tensor fc1.weight"]);
    change(&missing("fc21.weight"), &["no names that are known", "fc1, fc21, fc22, fc3, fc4"]);
    change(&|e| set(e, "fc3.weight", &[7, 30], Dtype::F32, 0), &["fc3.weight should be"]);
    change(&|e| set(e, "fc4.bias", &[783], Dtype::F32, 0), &["fc4.bias should be [784]", "[783]"]);
    change(
        &|e| set(e, "fc1.weight", &[40, 1, 28, 28], Dtype::F32, 0),
        &["fc1.weight should be a matrix", "[40, 1, 28, 28]"],
    );
    change(&|e| set(e, "fc21.weight", &[0, 40], Dtype::F32, 0), &["at least one unit"]);
    change(&|e| set(e, "fc4.bias", &[784], Dtype::I32, 0), &["fc4.bias is I32", "F16"]);
    change(&|e| set(e, "fc4.bias", &[784], Dtype::F32, 0xff), &["fc4.bias holds NaN"]);
    change(
        &|e| set(e, "fc4.bias", &[784], Dtype::F64, 0x7e),
        &["fc4.bias holds", "too large for F32"],
    );
    change(
        &|e| e.push(("bn.weight".to_string(), Dtype::F32, vec![1], vec![0; 4])),
        &["a tensor bn.weight too many"],
    );
    change(
        &|e| {
            e.push(("bn.running_mean".to_string(), Dtype::F32, vec![1], vec![0; 4]));
            e.push(("bn.num_batches_tracked".to_string(), Dtype::I64, vec![], vec![0; 8]));
        },
        &["bn is a batch normalisation, which elbo has not", "nn.GroupNorm"],
    );
    let sequential = entries(&a, Names::Sequential);
    let twice: Vec<Entry> =
        [&sequential[..], &[("logvar.bias".to_string(), Dtype::F32, vec![1], vec![0; 4])]]
            .concat()
            .into_iter()
            .filter(|entry| !entry.0.starts_with("mu."))
            .chain([("fc_mu.weight".to_string(), Dtype::F32, vec![7, 40], vec![0; 1120])])
            .collect();
    import(&file_of(&twice), &["would both be log_variance.bias"]);

    fs::write(home.at("good.safetensors"), &whole).unwrap();
    fs::create_dir(home.at("taken")).unwrap();
    fs::write(home.at("taken/file"), "mine").unwrap();
    for (args, words) in [
        ("none.safetensors", &["none.safetensors: cannot read"][..]),
        ("taken", &["taken: not a file"]),
        ("good.safetensors --run taken", &["taken: it exists already"]),
        ("good.safetensors --data nowhere", &["--data nowhere"]),
        ("good.safetensors --likelihood gaussian", &["needs --variance"]),
        ("good.safetensors --likelihood bernoulli --variance 1", &["needs --likelihood gaussian"]),
        ("good.safetensors --variance -1", &["--variance must be from 9.4e-14 to 4.9e8, got -1.0"]),
        ("good.safetensors --variance 1 --binarization fixed", &["needs --binarization none"]),
    ] {
        home.refuses(&format!("import {args}"), words);
    }
    let mut small = a.clone();
    small.image = (6, 5);
    fs::write(home.at("small.safetensors"), file_of(&entries(&small, Names::Example))).unwrap();
    home.refuses("import small.safetensors", &["it has 30 pixels, MNIST has 784", "--data"]);
    home.refuses("import small.safetensors --data mnist", &["30 pixels", "28x28 = 784"]);
}

#[test]
fn a_machine_without_python_is_told_what_to_install() {
    let message = Python::among(&["/nonexistent/python".into()]).unwrap_err();
    assert!(
        message.contains("bash scripts/test.sh") && message.contains("pip install"),
        "{message}"
    );
}

/// Of fully connected layers.
fn widths(layers: &elbo::nn::Layers) -> Vec<usize> {
    layers.iter().map(|layer| layer.to_string().parse().expect("a width")).collect()
}
