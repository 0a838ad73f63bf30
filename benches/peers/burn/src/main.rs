//! The training step of `elbo bench` in burn with its wgpu backend, timed: one line of JSON for each network
//! and batch size. Run by benches/compare.py, which says what the options are.
//!
//! The same work: a random minibatch of the resident images, dynamic binarization, forward with a sampled
//! z, backward, Adam. Nothing is read back in the timed loop.

use std::time::Instant;

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::optim::{AdamConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::activation::relu;
use burn::tensor::{Device, DeviceKind, Distribution, Int, Tensor, TensorData};

#[derive(Module, Debug)]
struct Vae {
    encoder: Vec<Linear>,
    heads: Linear,
    decoder: Vec<Linear>,
    logits: Linear,
}

impl Vae {
    /// Widths from the pixels to the latent units. Weights and biases begin uniform on ±1/sqrt(inputs).
    fn new(widths: &[usize], device: &Device) -> Self {
        let layer = |inputs: usize, outputs: usize| LinearConfig::new(inputs, outputs).init(device);
        let (latent, hidden) = (widths[widths.len() - 1], &widths[..widths.len() - 1]);
        let last = hidden[hidden.len() - 1];
        let up: Vec<usize> = widths[1..].iter().rev().copied().collect();
        Vae {
            encoder: hidden.windows(2).map(|w| layer(w[0], w[1])).collect(),
            heads: layer(last, 2 * latent),
            decoder: up.windows(2).map(|w| layer(w[0], w[1])).collect(),
            logits: layer(up[up.len() - 1], widths[0]),
        }
    }

    /// -ELBO of a minibatch, the mean over its images.
    fn loss(&self, x: Tensor<2>, latent: usize, device: &Device) -> Tensor<1> {
        let batch = x.dims()[0];
        let mut h = x.clone();
        for layer in &self.encoder {
            h = relu(layer.forward(h));
        }
        let heads = self.heads.forward(h);
        let mu = heads.clone().narrow(1, 0, latent);
        let log_variance = heads.narrow(1, latent, latent);
        let noise = Tensor::<2>::random([batch, latent], Distribution::Normal(0.0, 1.0), device);
        let mut h = mu.clone() + (log_variance.clone() * 0.5).exp() * noise;
        for layer in &self.decoder {
            h = relu(layer.forward(h));
        }
        let eta = self.logits.forward(h);
        let softplus = relu(eta.clone()) + (-eta.clone().abs()).exp().log1p();
        let reconstruction = (x * eta - softplus).sum();
        let kl = ((mu.clone() * mu) + log_variance.clone().exp() - log_variance - 1.0).sum() * 0.5;
        (kl - reconstruction) / batch as f64
    }
}

struct Training {
    /// None only while a step is under way.
    model: Option<Vae>,
    optimizer: ModuleOptimizer,
    images: Tensor<2>,
    device: Device,
    batch: usize,
    latent: usize,
}

impl Training {
    /// One step; its loss stays on the device.
    fn step(&mut self) -> Tensor<1> {
        let model = self.model.take().expect("between steps");
        let [n, d] = self.images.dims();
        let device = &self.device;
        let uniform = Distribution::Uniform(0.0, n as f64);
        let rows = Tensor::<1, Int>::random([self.batch], uniform, device);
        let grey = self.images.clone().select(0, rows);
        let dice = Tensor::<2>::random([self.batch, d], Distribution::Default, device);
        let x = dice.lower(grey).float();
        let loss = model.loss(x, self.latent, device);
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        self.model = Some(self.optimizer.step(1e-3, model, gradients));
        loss.detach()
    }

    /// Seconds of `n` steps, to the end of the last.
    fn time(&mut self, n: usize) -> f64 {
        let begin = Instant::now();
        for _ in 0..n {
            let _ = self.step();
        }
        self.device.sync().expect("the device works");
        begin.elapsed().as_secs_f64()
    }
}

struct Options {
    device: String,
    data: String,
    arch: Vec<Vec<usize>>,
    batch: Vec<usize>,
    warm_up: usize,
    seconds: f64,
}

impl Options {
    fn parse() -> Self {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let value = |name: &str| -> String {
            let at = arguments.iter().position(|a| a == name);
            let value = at.and_then(|at| arguments.get(at + 1)).cloned();
            value.unwrap_or_else(|| panic!("{name} VALUE is needed"))
        };
        let numbers = |text: &str, separator| -> Vec<usize> {
            text.split(separator).map(|n| n.parse().expect("a number")).collect()
        };
        Options {
            device: value("--device"),
            data: value("--data"),
            arch: value("--arch").split(',').map(|text| numbers(text, '-')).collect(),
            batch: numbers(&value("--batch"), ','),
            warm_up: value("--warm-up").parse().expect("a number"),
            seconds: value("--seconds").parse().expect("a number"),
        }
    }
}

fn main() {
    let mut begin = Instant::now();
    let options = Options::parse();
    let kind = match options.device.as_str() {
        "software" => DeviceKind::Cpu,
        "discrete GPU" => DeviceKind::DiscreteGpu(0),
        "integrated GPU" => DeviceKind::IntegratedGpu(0),
        "virtual GPU" => DeviceKind::VirtualGpu(0),
        _ => DeviceKind::DefaultDevice,
    };
    let device = Device::wgpu(kind).autodiff();
    let bytes = std::fs::read(&options.data).expect("the images");
    for widths in &options.arch {
        let d = widths[0];
        // Pixels as f32 in one binding: burn's wgpu backend has no bytes, and lavapipe binds 128 MiB.
        let most = if options.device == "software" { (128 << 20) / (4 * d) } else { usize::MAX };
        let n = (bytes.len() / d).min(most);
        let grey: Vec<f32> = bytes[..n * d].iter().map(|&v| f32::from(v) / 255.0).collect();
        let images = Tensor::<2>::from_data(TensorData::new(grey, [n, d]), &device);
        for &batch in &options.batch {
            let mut training = Training {
                model: Some(Vae::new(widths, &device)),
                optimizer: AdamConfig::new().with_epsilon(1e-8).init(),
                images: images.clone(),
                device: device.clone(),
                batch,
                latent: widths[widths.len() - 1],
            };
            training.time(1);
            let first_step = begin.elapsed().as_secs_f64();
            let half = options.warm_up / 2;
            training.time(half.saturating_sub(1));
            let rest = options.warm_up - half;
            let losses: Vec<Tensor<1>> = (0..rest).map(|_| training.step()).collect();
            let loss: f32 = Tensor::cat(losses, 0).mean().into_scalar();

            let runs = (options.seconds / 10.0 / training.time(1)).clamp(1.0, 256.0) as usize;
            let mut samples = Vec::new();
            let timed = Instant::now();
            while samples.len() < 5 || timed.elapsed().as_secs_f64() < options.seconds {
                samples.push(training.time(runs) / runs as f64);
            }
            samples.sort_by(f64::total_cmp);
            let at = |share: f64| samples[(share * (samples.len() - 1) as f64).round() as usize];
            let arch: Vec<String> = widths.iter().map(usize::to_string).collect();
            println!(
                "{{\"peer\": \"burn-wgpu\", \"network\": \"{}\", \"batch\": {batch}, \"images\": {n}, \
                 \"device\": \"{}\", \"threads\": null, \"median\": {:e}, \"p10\": {:e}, \"p90\": {:e}, \
                 \"n\": {}, \"warm_up_elbo\": {}, \"first_step\": {first_step:.3}}}",
                arch.join("-"),
                device.identity().map_or("unknown".to_string(), |i| i.name.replace('"', "'")),
                at(0.5),
                at(0.1),
                at(0.9),
                samples.len(),
                -loss,
            );
            begin = Instant::now();
        }
    }
}
