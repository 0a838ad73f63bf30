//! Models that are told classes, in other programs: what onnxruntime and NumPy compute from their files.

use std::fs;
use std::process::Command;

use elbo::checkpoint::RunFolder;
use elbo::data::{Images, Labels};
use elbo::device::Device;
use elbo::device::cpu::CpuDevice;
use elbo::generate::reconstruct;
use elbo::interchange::weights;
use elbo::plan::Program;
use elbo::train::Settings;
use elbo::vae::network::Moments;
use elbo::vae::{Architecture, Binarization, Init, Likelihood, Network};

use crate::harness::python::Python;

/// The first lines: both parts by onnxruntime, the same by NumPy from the tensors, as `kind` has it.
const PYTHON: &str = "
import sys, numpy as np, onnx, onnxruntime
from safetensors.numpy import load_file
kind = sys.argv[1]
for part in ['encoder', 'decoder']:
    onnx.checker.check_model(onnx.load(part + '.onnx'), full_check=True)
def session(part):
    s = onnxruntime.InferenceSession(part + '.onnx')
    first, told = s.get_inputs()
    assert (told.name, told.type, told.shape) == ('class', 'tensor(int64)', ['N']), told
    return lambda x: s.run(None, {first.name: x, 'class': y})
y = np.fromfile('y.i64', np.int64)
x = np.fromfile('x.f32', 'f').reshape(len(y), -1)
t = load_file('run/model.safetensors')
assert t['encoder_embedding.weight'].shape[0] == t['decoder_embedding.weight'].shape[0] == 3
dense = lambda x, name: x @ t[name + '.weight'].T.astype('d') + t[name + '.bias']
told = lambda half: t[half + '_embedding.weight'][y].astype('d')
relu = lambda v: np.maximum(v, 0)
def conv(x, name, stride, pad):
    weight, x = t[name + '.weight'].astype('d'), np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    k = weight.shape[2]
    windows = np.lib.stride_tricks.sliding_window_view(x, (k, k), (2, 3))[:, :, ::stride, ::stride]
    return np.einsum('ncpqab,ocab->nopq', windows, weight) + t[name + '.bias'][:, None, None]
if kind == 'conv':
    x = np.ascontiguousarray(x.reshape(-1, 6, 5, 1).transpose(0, 3, 1, 2))
mu, log_variance = session('encoder')(x)
mean, logits = session('decoder')(mu)
if kind == 'linear':
    z, l = np.split(np.concatenate([dense(x, 'mu'), dense(x, 'log_variance')], 1) + told('encoder'), 2, 1)
    own = dense(z, 'decoder.0') + told('decoder')
elif kind == 'dense':
    h = relu(dense(relu(dense(x, 'encoder.0') + told('encoder')), 'encoder.2'))
    z, l = dense(h, 'mu'), dense(h, 'log_variance')
    own = dense(relu(dense(z, 'decoder.0') + told('decoder')), 'decoder.2')
else:
    h = relu(conv(x.astype('d'), 'encoder.0', 2, 1) + told('encoder')[:, :, None, None])
    h = relu(dense(h.reshape(len(x), -1), 'encoder.3'))
    z, l = dense(h, 'mu'), dense(h, 'log_variance')
    h = dense(z, 'decoder.0').reshape(len(x), 2, 6, 5)
    own = conv(relu(h + told('decoder')[:, :, None, None]), 'decoder.3', 1, 1)
near = lambda a, b: abs(a.reshape(b.shape) - b).max() < 1e-5
assert near(z, mu) and near(l, log_variance) and near(own, logits), kind
if kind == 'conv':
    mean = np.ascontiguousarray(mean.transpose(0, 2, 3, 1))
mean.tofile('mean.f32')
";

#[test]
fn onnxruntime_and_numpy_compute_what_elbo_does() {
    let python = Python::find();
    let device = Device::Cpu(CpuDevice::new(None).unwrap());
    for (kind, hidden, decoder_hidden) in [
        ("dense", "9, 7", "8"),
        ("conv", "conv 4 3/2, 8", "dense 6x5x2"),
        ("linear", "none", "none"),
    ] {
        let home = tempfile::tempdir().unwrap();
        let at = |name: &str| home.path().join(name);
        let a = Architecture {
            image: (6, 5),
            hidden: hidden.parse().unwrap(),
            decoder_hidden: decoder_hidden.parse().unwrap(),
            latent: 3,
            likelihood: Likelihood::Bernoulli,
            classes: ["cat", "dog", "owl"].map(String::from).to_vec(),
            ..Settings::default().architecture
        };
        let settings = Settings {
            architecture: a.clone(),
            binarization: Binarization::None,
            ..Settings::default()
        };
        let network = Network::declare(&mut Program::new(), &a);
        let mut parameters = network.initial_values(Init::Pytorch, 3, &Moments::default());
        // A bias begins close to zero.
        for values in &mut parameters {
            values.iter_mut().enumerate().for_each(|(i, v)| *v += 0.2 * (i as f32).sin());
        }
        let folder = RunFolder::create(&at("run"), &settings).unwrap();
        folder.write_model(&settings, &parameters).unwrap();
        let args = ["export", "run", "--onnx", "encoder.onnx", "--onnx", "decoder.onnx"];
        let mut export = Command::new(env!("CARGO_BIN_EXE_elbo"));
        let output = export.current_dir(home.path()).args(args).output().unwrap();
        assert!(output.status.success(), "{output:?}");

        // The images number their classes otherwise.
        let n = 11;
        let numbers: Vec<u16> = (0..n).map(|i| (i * i % 3) as u16).collect();
        let names = ["owl", "cat", "dog"].map(String::from).to_vec().into();
        let labels = Some(Labels { classes: numbers.clone(), names });
        let pixels = (0..n * 30).map(|i| ((i * 2_654_435_761) >> 7) as u8).collect();
        let images = Images { n_images: n, height: 6, width: 5, channels: 1, pixels, labels };
        let own = reconstruct(&device, &a, &parameters, Binarization::None, &images, n, 0).unwrap();
        let (x, own): (Vec<_>, Vec<_>) =
            own.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).unzip();
        fs::write(at("x.f32"), bytemuck::cast_slice(&x.concat())).unwrap();
        let told: Vec<i64> = numbers.iter().map(|&class| [2, 0, 1][usize::from(class)]).collect();
        fs::write(at("y.i64"), bytemuck::cast_slice(&told)).unwrap();
        python.run_with(home.path(), PYTHON, &[kind]);
        let mean: Vec<f32> = bytemuck::pod_collect_to_vec(&fs::read(at("mean.f32")).unwrap());
        assert_eq!(mean.len(), own.concat().len());
        for (mean, own) in mean.iter().zip(own.concat()) {
            assert!((mean - own).abs() < 1e-5, "{kind}: {mean}, {own}");
        }
        let bytes = fs::read(at("run/model.safetensors")).unwrap();
        assert_eq!(weights::decode(&a, &bytes).unwrap(), parameters, "{kind}");
    }
}
