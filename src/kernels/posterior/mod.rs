//! The approximate posterior q(z|x) = N(mu, diag e^l): sampling, its KL to the prior, and the gradient.

pub mod backward_input;
pub mod flow;
pub mod full;
pub mod iaf;
pub mod planar;
pub mod sample_forward;

use crate::kernels::library::single;
use crate::kernels::{clock, grid_of_groups, rates};
use crate::numeric::philox::{counter, normal4, philox};
use crate::numeric::{Real, parallel, sum};
use crate::plan::Constants;
use crate::plan::case::{Fill, clock_words};
use crate::plan::{Call, Case, Cost, Kernel, Parts, formula};
pub use backward_input::BACKWARD_INPUT;
pub use sample_forward::SAMPLE_FORWARD;

const SOURCE: &str = include_str!("../../../shaders/posterior.wgsl");

/// Bounds of the log variance.
pub(crate) const LOG_VARIANCE: (f64, f64) = (-30.0, 20.0);

pub static SAMPLE: Kernel = single(Parts {
    file: "posterior",
    source: SOURCE,
    entry: "sample",
    summary: "z = μ + e^{ℓ/2} ε, ε from Philox",
    grid: |c| [c.dim("Z").div_ceil(4).div_ceil(c.dim("WORKGROUP")), c.dim("B") * c.dim("K"), 1],
    formula: formula!(sample),
    cases: || {
        let case = |b, k, z| {
            Case::new(&[("B", b), ("K", k), ("Z", z)])
                .constant("STREAM", 1.0)
                .constant("N", 10.0) // most cases reach beyond the end of the epoch
                .fill("clock", clock_words(42, 5, 3, 7))
        };
        vec![
            case(1, 1, 1),
            case(3, 1, 5).constant("NOISE", 0.0),
            case(7, 3, 4).fill("heads", Fill::Cycle(EXTREME.to_vec())),
            case(128, 1, 20),
            case(20, 50, 50),
            case(2, 1, 257),
        ]
    },
    cost: |c| latent_cost(c, 60, 16),
});

pub static GAUSSIAN_KL: Kernel = single(Parts {
    file: "posterior",
    source: SOURCE,
    entry: "gaussian_kl",
    summary: "½ Σ (μ² + e^ℓ − 1 − ℓ)",
    grid: |c| grid_of_groups(c.dim("B")),
    formula: formula!(gaussian_kl),
    cases: || {
        let case = |b, z| Case::new(&[("B", b), ("Z", z)]);
        vec![
            case(1, 1),
            case(3, 5),
            case(7, 4).fill("heads", Fill::Cycle(EXTREME.to_vec())),
            case(5, 63),
            case(5, 64),
            case(5, 65),
            case(128, 20),
            case(33000, 2),
            // low variances by themselves, where e^l of high ones does not hide them
            case(7, 4).fill("heads", Fill::Cycle(vec![0.5, -50.0, -30.5, -29.5, 1.0])),
        ]
    },
    cost: kl_cost,
});

pub static BACKWARD: Kernel = single(Parts {
    file: "posterior",
    source: SOURCE,
    entry: "backward",
    summary: "d_μ, d_ℓ of sampling and of the KL",
    grid: |c| [c.dim("Z").div_ceil(c.dim("WORKGROUP")), c.dim("B"), 1],
    formula: formula!(backward),
    cases: backward_cases,
    cost: |c| latent_cost(c, 10, 16),
});

pub static KL_OF_UNITS: Kernel = single(Parts {
    file: "posterior",
    source: SOURCE,
    entry: "kl_of_units",
    summary: "mean over the minibatch of each unit's KL",
    grid: |c| grid_of_groups(c.dim("Z")),
    formula: formula!(kl_of_units),
    cases: || {
        let case = |b, z| Case::new(&[("B", b), ("Z", z)]);
        vec![
            case(1, 1),
            case(3, 5),
            case(7, 4).fill("heads", Fill::Cycle(EXTREME.to_vec())),
            case(63, 2),
            case(64, 3),
            case(65, 7),
            case(128, 20),
            // low variances by themselves, where e^l of high ones does not hide them
            case(7, 4).fill("heads", Fill::Cycle(vec![0.5, -50.0, -30.5, -29.5, 1.0])),
        ]
    },
    cost: kl_cost,
});

pub static BACKWARD_FREE_BITS: Kernel = single(Parts {
    file: "posterior",
    source: SOURCE,
    entry: "backward_free_bits",
    summary: "the same, units below FREE_BITS without the KL",
    grid: |c| [c.dim("Z").div_ceil(c.dim("WORKGROUP")), c.dim("B"), 1],
    formula: formula!(backward_free_bits),
    cases: || {
        let free =
            |case: Case| case.constant("FREE_BITS", 0.25).fill("unit_kl", Fill::Uniform(0.0, 0.5));
        backward_cases().into_iter().map(free).collect()
    },
    cost: |c| latent_cost(c, 10, 16),
});

pub static BACKWARD_SAMPLED: Kernel = single(Parts {
    file: "posterior",
    source: SOURCE,
    entry: "backward_sampled",
    summary: "d_μ, d_ℓ where the KL is sampled, by three estimators",
    grid: |c| [c.dim("Z").div_ceil(c.dim("WORKGROUP")), c.dim("B"), 1],
    formula: formula!(backward_sampled),
    cases: || {
        let with = |estimator: f64| {
            move |case: Case| {
                case.constant("ESTIMATOR", estimator).fill("weight", Fill::Uniform(0.0, 0.1))
            }
        };
        [REPARAMETERIZED, STICKING_THE_LANDING, DOUBLY_REPARAMETERIZED]
            .into_iter()
            .flat_map(|estimator| backward_cases().into_iter().map(with(estimator)))
            .collect()
    },
    cost: |c| latent_cost(c, 14, 16),
});

/// Which gradient of a sampled KL: the number the shader calls ESTIMATOR.
pub const REPARAMETERIZED: f64 = 0.0;
pub const STICKING_THE_LANDING: f64 = 1.0;
pub const DOUBLY_REPARAMETERIZED: f64 = 2.0;

fn kl_cost(c: &Constants) -> Cost {
    let n = (c.dim("B") * c.dim("Z")) as u64;
    Cost { flops: 6 * n, bytes: 8 * n }
}

fn backward_cases() -> Vec<Case> {
    let case = |b, k, z| {
        Case::new(&[("B", b), ("K", k), ("Z", z)])
            .fill("rates", Fill::Cycle(vec![1e-3, 0.1, 1e-3, 0.7]))
    };
    vec![
        case(1, 1, 1),
        case(3, 2, 5),
        case(7, 3, 4).fill("heads", Fill::Cycle(EXTREME.to_vec())),
        case(128, 1, 20),
        case(20, 50, 50),
        case(2, 1, 129),
    ]
}

/// mu and l far out, on both sides of the clamp and on it.
pub(crate) const EXTREME: [f64; 13] =
    [0.0, 200.0, -50.0, 20.0, -30.0, 19.5, -29.5, 1.0, -1.0, 20.5, -30.5, 1e-6, -200.0];

fn latent_cost(c: &Constants, flops: u64, bytes: u64) -> Cost {
    let n = (c.dim("B") * c.dim("K") * c.dim("Z")) as u64;
    Cost { flops: flops * n, bytes: bytes * n }
}

/// l within the bounds that the kernels keep it in.
#[inline(always)]
pub(crate) fn clamp_log_variance<T: Real>(l: T) -> T {
    let (low, high) = (T::from_f64(LOG_VARIANCE.0), T::from_f64(LOG_VARIANCE.1));
    if l > high {
        high
    } else if l < low {
        low
    } else {
        l
    }
}

/// z_k = mu + e^(l/2) eps_k of each row b*K + k, and eps.
fn sample<T: Real>(c: &Call<T>) {
    draw(c, c.dim("K"), c.value("NOISE"));
}

/// The same for `k` samples an image, `scale` times the noise.
pub(super) fn draw<T: Real>(c: &Call<T>, k: usize, scale: T) {
    let (z, heads, noise) = (c.dim("Z"), &c.read("heads")[..], Noise::of(c, k));
    parallel::rows2((&mut c.write("eps"), z), (&mut c.write("z"), z), |row, eps, out| {
        noise.draw(row, scale, eps);
        for unit in 0..z {
            let mu = heads[row / k * 2 * z + unit];
            let l = clamp_log_variance(heads[row / k * 2 * z + z + unit]);
            out[unit] = mu + (T::from_f64(0.5) * l).exp() * eps[unit];
        }
    });
}

/// Which numbers of Philox the samples of a call are drawn by.
#[derive(Clone, Copy)]
pub(crate) struct Noise {
    pub key: [u32; 2],
    epoch: u32,
    position: usize,
    /// Samples an image that came before these.
    before: usize,
    /// N
    n: usize,
    stream: u32,
    /// Samples an image.
    k: usize,
}

impl Noise {
    /// Of `k` samples an image.
    pub fn of<T: Real>(c: &Call<T>, k: usize) -> Self {
        let words = c.read_u32("clock");
        Noise {
            key: [words[clock::SEED_LOW], words[clock::SEED_HIGH]],
            epoch: words[clock::EPOCH],
            position: words[clock::POSITION] as usize,
            before: words[clock::SAMPLE] as usize,
            n: c.dim("N"),
            stream: c.dim("STREAM") as u32,
            k,
        }
    }

    /// The counter of four units of a row, from the `quad`-th on.
    #[inline(always)]
    pub fn counter(&self, row: usize, quad: usize) -> [u32; 4] {
        let place = self.position + row / self.k;
        let epoch = self.epoch + (place / self.n) as u32;
        counter(epoch, place % self.n, self.before + row % self.k, self.stream, quad)
    }

    /// `scale` times the noise of a row.
    fn draw<T: Real>(&self, row: usize, scale: T, eps: &mut [T]) {
        for (unit, eps) in eps.iter_mut().enumerate() {
            let bits = philox(self.counter(row, unit / 4), self.key);
            *eps = scale * normal4::<T>(bits)[unit % 4];
        }
    }
}

/// 1/2 sum over units of mu^2 + e^l - 1 - l.
pub(super) fn gaussian_kl<T: Real>(c: &Call<T>) {
    let (z, heads) = (c.dim("Z"), &c.read("heads")[..]);
    parallel::rows(&mut c.write("kl"), 1, |image, kl| {
        let units = (0..z).map(|unit| kl_of(&heads[image * 2 * z..][..2 * z], unit));
        kl[0] = T::from_f64(0.5) * sum(units);
    });
}

/// Twice the KL of one unit of an image's heads [mu | l].
fn kl_of<T: Real>(heads: &[T], unit: usize) -> T {
    let (mu, l) = (heads[unit], clamp_log_variance(heads[heads.len() / 2 + unit]));
    mu * mu + (l.exp() - T::ONE - l)
}

/// The mean over images of each unit's KL.
fn kl_of_units<T: Real>(c: &Call<T>) {
    let (b, z, heads) = (c.dim("B"), c.dim("Z"), c.read("heads"));
    for (unit, kl) in c.write("kl_units").iter_mut().enumerate() {
        let images = (0..b).map(|image| kl_of(&heads[image * 2 * z..][..2 * z], unit));
        *kl = T::from_f64(0.5) * sum(images) / T::from_f64(b as f64);
    }
}

fn backward<T: Real>(c: &Call<T>) {
    let weight = kl_weight(c, c.dim("B"));
    to_heads(c, c.dim("K"), |_| weight);
}

fn backward_free_bits<T: Real>(c: &Call<T>) {
    let (weight, unit_kl) = (kl_weight(c, c.dim("B")), &c.read("unit_kl")[..]);
    let free = c.value("FREE_BITS");
    to_heads(c, c.dim("K"), |unit| if unit_kl[unit] < free { T::ZERO } else { weight });
}

/// The weight of one image's KL in the objective: beta / B.
pub(super) fn kl_weight<T: Real>(c: &Call<T>, images: usize) -> T {
    c.read("rates")[rates::KL_WEIGHT] / T::from_f64(images as f64)
}

/// d_mu = sum_k d_z - w mu,  d_l = sum_k 1/2 d_z e^(l/2) eps - w/2 (e^l - 1), w the unit's `kl_weight`; d_l is
/// zero where l is beyond its bounds.
pub(super) fn to_heads<T: Real>(
    c: &Call<T>,
    samples: usize,
    kl_weight: impl Fn(usize) -> T + Sync,
) {
    let z = c.dim("Z");
    let (heads, eps, d_z) = (&c.read("heads")[..], &c.read("noise")[..], &c.read("d_z")[..]);
    let half = T::from_f64(0.5);
    parallel::rows(&mut c.write("d_heads"), 2 * z, |image, d_heads| {
        for unit in 0..z {
            let (mu, raw) = (heads[image * 2 * z + unit], heads[image * 2 * z + z + unit]);
            let (l, w) = (clamp_log_variance(raw), kl_weight(unit));
            let sigma = (half * l).exp();
            let rows = || (image * samples..(image + 1) * samples).map(|row| row * z + unit);
            d_heads[unit] = sum(rows().map(|e| d_z[e])) - w * mu;
            let through_z = half * sigma * sum(rows().map(|e| d_z[e] * eps[e]));
            let inside = through_z - half * w * (sigma * sigma - T::ONE);
            d_heads[z + unit] = if l == raw { inside } else { T::ZERO };
        }
    });
}

/// Where the KL is sampled, u_k beta times the row's weight w_k:
///   reparameterized         g_k = d_z - u_k z,  d_l also gets sum_k u_k / 2
///   sticking the landing    g_k = d_z - u_k z + u_k eps e^(-l/2)
///   doubly reparameterized  the same times B w_k
/// d_mu = sum_k g_k,  d_l = sum_k 1/2 g_k e^(l/2) eps.
fn backward_sampled<T: Real>(c: &Call<T>) {
    let (b, k, z, estimator) = (c.dim("B"), c.dim("K"), c.dim("Z"), c.dim("ESTIMATOR") as f64);
    let (heads, eps, d_z) = (&c.read("heads")[..], &c.read("noise")[..], &c.read("d_z")[..]);
    let (weight, beta) = (&c.read("weight")[..], c.read("rates")[rates::KL_WEIGHT]);
    let half = T::from_f64(0.5);
    parallel::rows(&mut c.write("d_heads"), 2 * z, |image, d_heads| {
        for unit in 0..z {
            let (mu, raw) = (heads[image * 2 * z + unit], heads[image * 2 * z + z + unit]);
            let l = clamp_log_variance(raw);
            let sigma = (half * l).exp();
            let g = |row: usize| {
                let (e, u) = (eps[row * z + unit], beta * weight[row]);
                let plain = d_z[row * z + unit] - u * (mu + sigma * e);
                match estimator {
                    REPARAMETERIZED => plain,
                    STICKING_THE_LANDING => plain + u * (e / sigma),
                    _ => (plain + u * (e / sigma)) * (T::from_f64(b as f64) * weight[row]),
                }
            };
            let rows = || image * k..(image + 1) * k;
            d_heads[unit] = sum(rows().map(g));
            let mut d_l = half * sigma * sum(rows().map(|row| g(row) * eps[row * z + unit]));
            if estimator == REPARAMETERIZED {
                d_l += half * sum(rows().map(|row| beta * weight[row]));
            }
            d_heads[z + unit] = if l == raw { d_l } else { T::ZERO };
        }
    });
}

/// Of the product of (B, inner) and (inner, columns).
fn fused_cost(c: &Constants, inner: u64, columns: u64) -> Cost {
    let b = c.dim("BATCH") as u64;
    Cost { flops: 2 * b * inner * columns, bytes: 4 * (b * inner + inner * columns + b * columns) }
}
