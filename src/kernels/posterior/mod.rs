//! The approximate posterior q(z|x) = N(mu, diag e^l): sampling, its KL to the prior, and the gradient.

pub mod backward_input;
pub mod sample_forward;

use crate::kernels::library::single;
use crate::kernels::{clock, grid_of_groups, rates};
use crate::numeric::philox::{QUADS, counter, normals};
use crate::numeric::{Real, parallel};
use crate::plan::Constants;
use crate::plan::case::{Fill, clock_words};
use crate::plan::{Call, Case, Cost, Kernel, Parts, twin};
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
    twin: twin!(sample),
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
    twin: twin!(gaussian_kl),
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
    cost: |c| {
        let n = (c.dim("B") * c.dim("Z")) as u64;
        Cost { flops: 6 * n, bytes: 8 * n }
    },
});

pub static BACKWARD: Kernel = single(Parts {
    file: "posterior",
    source: SOURCE,
    entry: "backward",
    summary: "d_μ, d_ℓ of sampling and of the KL",
    grid: |c| [c.dim("Z").div_ceil(c.dim("WORKGROUP")), c.dim("B"), 1],
    twin: twin!(backward),
    cases: backward_cases,
    cost: |c| latent_cost(c, 10, 16),
});

pub static KL_OF_UNITS: Kernel = single(Parts {
    file: "posterior",
    source: SOURCE,
    entry: "kl_of_units",
    summary: "mean over the minibatch of each unit's KL",
    grid: |c| grid_of_groups(c.dim("Z")),
    twin: twin!(kl_of_units),
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
    cost: |c| {
        let n = (c.dim("B") * c.dim("Z")) as u64;
        Cost { flops: 6 * n, bytes: 8 * n }
    },
});

pub static BACKWARD_FREE_BITS: Kernel = single(Parts {
    file: "posterior",
    source: SOURCE,
    entry: "backward_free_bits",
    summary: "the same, units below FREE_BITS without the KL",
    grid: |c| [c.dim("Z").div_ceil(c.dim("WORKGROUP")), c.dim("B"), 1],
    twin: twin!(backward_free_bits),
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
    twin: twin!(backward_sampled),
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
pub(super) const EXTREME: [f64; 13] =
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

fn sample<T: Real>(c: &Call<T>) {
    let (k, scale) = (c.dim("K"), c.value("NOISE"));
    draw(c, k, scale, &c.read("heads"), &mut c.write("eps"), &mut c.write("z"));
}

/// `k` samples z of the posterior an image, and their noise, `scale` times a draw.
pub(super) fn draw<T: Real>(
    c: &Call<T>,
    k: usize,
    scale: T,
    heads: &[T],
    eps: &mut [T],
    out: &mut [T],
) {
    let (z, n, stream) = (c.dim("Z"), c.dim("N"), c.dim("STREAM") as u32);
    let words = c.read_u32("clock");
    let key = [words[clock::SEED_LOW], words[clock::SEED_HIGH]];
    let (epoch, position) = (words[clock::EPOCH], words[clock::POSITION] as usize);
    let before = words[clock::SAMPLE] as usize;
    parallel::rows2(
        (eps, z),
        (out, z),
        #[inline(always)]
        |row, eps, out| {
            let (mu, l) = heads[row / k * 2 * z..][..2 * z].split_at(z);
            let place = position + row / k;
            let epoch = epoch + (place / n) as u32;
            for (i, eps) in eps.chunks_mut(4 * QUADS).enumerate() {
                let at = counter(epoch, place % n, before + row % k, stream, i * QUADS);
                for (eps, e) in eps.iter_mut().zip(normals::<T>(at, key)) {
                    *eps = scale * e;
                }
            }
            let half = T::from_f64(0.5);
            for unit in 0..z {
                out[unit] = mu[unit] + (half * clamp_log_variance(l[unit])).exp() * eps[unit];
            }
        },
    );
}

fn gaussian_kl<T: Real>(c: &Call<T>) {
    kl_of_rows(c.dim("Z"), &c.read("heads"), &mut c.write("kl"));
}

/// The KL of each image's posterior of `z` units.
pub(super) fn kl_of_rows<T: Real>(z: usize, heads: &[T], kl: &mut [T]) {
    parallel::rows(
        kl,
        1,
        #[inline(always)]
        |row, kl| {
            let (mu, l) = heads[row * 2 * z..][..2 * z].split_at(z);
            let total = parallel::sum(z, |unit| {
                let l = clamp_log_variance(l[unit]);
                mu[unit] * mu[unit] + (l.exp() - T::ONE - l)
            });
            kl[0] = T::from_f64(0.5) * total;
        },
    );
}

fn kl_of_units<T: Real>(c: &Call<T>) {
    let (b, z) = (c.dim("B"), c.dim("Z"));
    let heads = c.read("heads");
    let heads = &heads[..];
    parallel::rows(
        &mut c.write("kl_units"),
        1,
        #[inline(always)]
        |unit, kl| {
            let total = parallel::sum(b, |image| {
                let mu = heads[image * 2 * z + unit];
                let l = clamp_log_variance(heads[image * 2 * z + z + unit]);
                mu * mu + (l.exp() - T::ONE - l)
            });
            kl[0] = T::from_f64(0.5) * total / T::from_f64(b as f64);
        },
    );
}

fn backward<T: Real>(c: &Call<T>) {
    let weight = kl_weight(c, c.dim("B"));
    backward_with(c, c.dim("K"), |_| weight, &mut c.write("d_heads"));
}

fn backward_free_bits<T: Real>(c: &Call<T>) {
    let (weight, unit_kl, free) =
        (kl_weight(c, c.dim("B")), c.read("unit_kl"), c.value("FREE_BITS"));
    let unit_kl = &unit_kl[..];
    let of_unit = |unit: usize| if unit_kl[unit] < free { T::ZERO } else { weight };
    backward_with(c, c.dim("K"), of_unit, &mut c.write("d_heads"));
}

/// Of one image's KL in the objective, of `images` in the minibatch.
pub(super) fn kl_weight<T: Real>(c: &Call<T>, images: usize) -> T {
    c.read("rates")[rates::BETA] / T::from_f64(images as f64)
}

/// From the gradients of `k` samples an image to the heads; `kl_weight` of a unit.
pub(super) fn backward_with<T: Real>(
    c: &Call<T>,
    k: usize,
    kl_weight: impl Fn(usize) -> T + Sync,
    d_heads: &mut [T],
) {
    let z = c.dim("Z");
    let (heads, noise, d_z) = (c.read("heads"), c.read("noise"), c.read("d_z"));
    let (heads, noise, d_z) = (&heads[..], &noise[..], &d_z[..]);
    parallel::rows(
        d_heads,
        2 * z,
        #[inline(always)]
        |image, d_heads| {
            let heads = &heads[image * 2 * z..][..2 * z];
            let (samples, kl_weight) = (image * k * z..(image + 1) * k * z, &kl_weight);
            let (d_z, noise) = (&d_z[samples.clone()], &noise[samples]);
            if z < UNITS {
                for unit in 0..z {
                    backward_block::<T, 1>(unit, heads, d_z, noise, kl_weight, d_heads);
                }
                return;
            }
            for first in blocks(z) {
                backward_block::<T, UNITS>(first, heads, d_z, noise, kl_weight, d_heads);
            }
        },
    );
}

/// Units computed at once: those of a vector register.
const UNITS: usize = 16;

/// The first of each [`UNITS`] units, `z` of them or more in all; the last ones may have their turn twice. A
/// loop over as many units as the latent space happens to have would leave many of them to its scalar
/// remainder.
#[inline(always)]
fn blocks(z: usize) -> impl Iterator<Item = usize> {
    (0..z.div_ceil(UNITS)).map(move |block| (block * UNITS).min(z - UNITS))
}

/// The gradient of the heads of N units from `first` on, from those of all samples of one image.
#[inline(always)]
fn backward_block<T: Real, const N: usize>(
    first: usize,
    heads: &[T],
    d_z: &[T],
    noise: &[T],
    kl_weight: impl Fn(usize) -> T,
    d_heads: &mut [T],
) {
    let z = heads.len() / 2;
    let (mu, raw) = (block::<T, N>(heads, first), block::<T, N>(heads, z + first));
    let (mut sum, mut sum_noise) = ([T::ZERO; N], [T::ZERO; N]);
    for sample in 0..d_z.len() / z {
        let at = sample * z + first;
        let (d_z, noise) = (block::<T, N>(d_z, at), block::<T, N>(noise, at));
        for i in 0..N {
            sum[i] += d_z[i];
            sum_noise[i] += d_z[i] * noise[i];
        }
    }
    let half = T::from_f64(0.5);
    let (mut d_mu, mut d_l) = ([T::ZERO; N], [T::ZERO; N]);
    for i in 0..N {
        let (l, weight) = (clamp_log_variance(raw[i]), kl_weight(first + i));
        let sigma = (half * l).exp();
        d_mu[i] = sum[i] - weight * mu[i];
        let inside = half * sigma * sum_noise[i] - half * weight * (sigma * sigma - T::ONE);
        d_l[i] = if l == raw[i] { inside } else { T::ZERO };
    }
    d_heads[first..][..N].copy_from_slice(&d_mu);
    d_heads[z + first..][..N].copy_from_slice(&d_l);
}

/// N values from `at` on.
#[inline(always)]
fn block<T: Real, const N: usize>(values: &[T], at: usize) -> [T; N] {
    values[at..][..N].try_into().expect("N of them")
}

fn backward_sampled<T: Real>(c: &Call<T>) {
    let (k, z, estimator) = (c.dim("K"), c.dim("Z"), c.value("ESTIMATOR").to_f64());
    let (heads, noise, d_z) = (c.read("heads"), c.read("noise"), c.read("d_z"));
    let (weight, beta) = (c.read("weight"), c.read("rates")[rates::BETA]);
    let (heads, noise, d_z, weight) = (&heads[..], &noise[..], &d_z[..], &weight[..]);
    let (b, half) = (T::from_f64(c.dim("B") as f64), T::from_f64(0.5));
    parallel::rows(
        &mut c.write("d_heads"),
        2 * z,
        #[inline(always)]
        |image, d_heads| {
            let (mu, raw) = heads[image * 2 * z..][..2 * z].split_at(z);
            let (d_mu, d_l) = d_heads.split_at_mut(z);
            for unit in 0..z {
                let l = clamp_log_variance(raw[unit]);
                let sigma = (half * l).exp();
                let (mut sum, mut sum_noise, mut direct) = (T::ZERO, T::ZERO, T::ZERO);
                for row in image * k..(image + 1) * k {
                    let eps = noise[row * z + unit];
                    let u = beta * weight[row];
                    let mut g = d_z[row * z + unit] - u * (mu[unit] + sigma * eps);
                    if estimator == REPARAMETERIZED {
                        direct += u;
                    } else {
                        g += u * (eps / sigma);
                    }
                    if estimator == DOUBLY_REPARAMETERIZED {
                        g *= b * weight[row];
                    }
                    sum += g;
                    sum_noise += g * eps;
                }
                d_mu[unit] = sum;
                let inside = half * sigma * sum_noise + half * direct;
                d_l[unit] = if l == raw[unit] { inside } else { T::ZERO };
            }
        },
    );
}

/// Of the product of (B, inner) and (inner, columns).
fn fused_cost(c: &Constants, inner: u64, columns: u64) -> Cost {
    let b = c.dim("BATCH") as u64;
    Cost { flops: 2 * b * inner * columns, bytes: 4 * (b * inner + inner * columns + b * columns) }
}
