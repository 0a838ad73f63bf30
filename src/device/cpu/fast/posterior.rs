//! The approximate posterior in whole registers.

use super::linear::{layer, layer_backward};
use crate::kernels::posterior::{
    DOUBLY_REPARAMETERIZED, Noise, REPARAMETERIZED, clamp_log_variance,
};
use crate::kernels::rates;
use crate::numeric::philox::{QUADS, following, normals};
use crate::numeric::{Real, parallel};
use crate::plan::Call;

pub(super) fn sample(c: &Call<f32>) {
    let (k, scale) = (c.dim("K"), c.value("NOISE"));
    draw(c, k, scale, &c.read("heads"), &mut c.write("eps"), &mut c.write("z"));
}

/// `k` samples z of the posterior an image, and their noise, `scale` times a draw.
pub(super) fn draw(
    c: &Call<f32>,
    k: usize,
    scale: f32,
    heads: &[f32],
    eps: &mut [f32],
    out: &mut [f32],
) {
    let (z, noise) = (c.dim("Z"), Noise::of(c, k));
    parallel::groups_of_rows2(
        rows_at_once(z),
        (eps, z),
        (out, z),
        #[inline(always)]
        |first, eps, out| {
            draw_noise(&noise, first, z, scale, eps);
            let half = 0.5;
            for (i, (eps, out)) in eps.chunks_exact(z).zip(out.chunks_exact_mut(z)).enumerate() {
                let (mu, l) = heads[(first + i) / k * 2 * z..][..2 * z].split_at(z);
                for unit in 0..z {
                    let sigma = Real::exp(half * clamp_log_variance(l[unit]));
                    out[unit] = mu[unit] + sigma * eps[unit];
                }
            }
        },
    );
}

/// Rows of `z` units that one call of the generator has numbers for.
pub(super) fn rows_at_once(z: usize) -> usize {
    (QUADS / z.div_ceil(4)).max(1)
}

/// `scale` times the noise of rows of `z` units from `first` on, [`rows_at_once`] at most.
#[inline(always)]
pub(super) fn draw_noise(noise: &Noise, first: usize, z: usize, scale: f32, eps: &mut [f32]) {
    let quads = z.div_ceil(4);
    if quads > QUADS {
        for (i, eps) in eps.chunks_mut(4 * QUADS).enumerate() {
            let numbers = normals(following(noise.counter(first, i * QUADS)), noise.key);
            scale_into(eps, &numbers, scale);
        }
        return;
    }
    let mut counters = [[0; QUADS]; 4];
    for i in 0..eps.len() / z {
        let counter = noise.counter(first + i, 0);
        for quad in 0..quads {
            for (words, word) in counters.iter_mut().zip(counter) {
                words[i * quads + quad] = word;
            }
            counters[3][i * quads + quad] += quad as u32;
        }
    }
    let numbers = normals(counters, noise.key);
    for (i, eps) in eps.chunks_exact_mut(z).enumerate() {
        scale_into(eps, &numbers[4 * quads * i..], scale);
    }
}

#[inline(always)]
fn scale_into(out: &mut [f32], numbers: &[f32], scale: f32) {
    for (out, v) in out.iter_mut().zip(numbers) {
        *out = scale * v;
    }
}

pub(super) fn gaussian_kl(c: &Call<f32>) {
    kl_of_rows(c.dim("Z"), &c.read("heads"), &mut c.write("kl"));
}

/// The KL of each image's posterior of `z` units.
pub(super) fn kl_of_rows(z: usize, heads: &[f32], kl: &mut [f32]) {
    parallel::rows(
        kl,
        1,
        #[inline(always)]
        |row, kl| {
            let (mu, l) = heads[row * 2 * z..][..2 * z].split_at(z);
            let total = parallel::sum(z, |unit| {
                let l = clamp_log_variance(l[unit]);
                mu[unit] * mu[unit] + (Real::exp(l) - 1.0 - l)
            });
            kl[0] = 0.5 * total;
        },
    );
}

pub(super) fn kl_of_units(c: &Call<f32>) {
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
                mu * mu + (Real::exp(l) - 1.0 - l)
            });
            kl[0] = 0.5 * total / b as f32;
        },
    );
}

pub(super) fn backward(c: &Call<f32>) {
    let weight = kl_weight(c, c.dim("B"));
    backward_with(c, c.dim("K"), |_| weight, &mut c.write("d_heads"));
}

pub(super) fn backward_free_bits(c: &Call<f32>) {
    let (weight, unit_kl, free) =
        (kl_weight(c, c.dim("B")), c.read("unit_kl"), c.value("FREE_BITS"));
    let unit_kl = &unit_kl[..];
    let of_unit = |unit: usize| if unit_kl[unit] < free { 0.0 } else { weight };
    backward_with(c, c.dim("K"), of_unit, &mut c.write("d_heads"));
}

/// Of one image's KL in the objective, of `images` in the minibatch.
pub(super) fn kl_weight(c: &Call<f32>, images: usize) -> f32 {
    c.read("rates")[rates::KL_WEIGHT] / images as f32
}

/// From the gradients of `k` samples an image to the heads; `kl_weight` of a unit.
pub(super) fn backward_with(
    c: &Call<f32>,
    k: usize,
    kl_weight: impl Fn(usize) -> f32 + Sync,
    d_heads: &mut [f32],
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
                    backward_block::<1>(unit, heads, d_z, noise, kl_weight, d_heads);
                }
                return;
            }
            for first in blocks(z) {
                backward_block::<UNITS>(first, heads, d_z, noise, kl_weight, d_heads);
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
pub(super) fn blocks(z: usize) -> impl Iterator<Item = usize> {
    (0..z.div_ceil(UNITS)).map(move |block| (block * UNITS).min(z - UNITS))
}

/// The gradient of the heads of N units from `first` on, from those of all samples of one image.
#[inline(always)]
pub(super) fn backward_block<const N: usize>(
    first: usize,
    heads: &[f32],
    d_z: &[f32],
    noise: &[f32],
    kl_weight: impl Fn(usize) -> f32,
    d_heads: &mut [f32],
) {
    let z = heads.len() / 2;
    let (mu, raw) = (block::<N>(heads, first), block::<N>(heads, z + first));
    let (mut sum, mut sum_noise) = ([0.0; N], [0.0; N]);
    for sample in 0..d_z.len() / z {
        let at = sample * z + first;
        let (d_z, noise) = (block::<N>(d_z, at), block::<N>(noise, at));
        for i in 0..N {
            sum[i] += d_z[i];
            sum_noise[i] += d_z[i] * noise[i];
        }
    }
    let half = 0.5;
    let (mut d_mu, mut d_l) = ([0.0; N], [0.0; N]);
    for i in 0..N {
        let (l, weight) = (clamp_log_variance(raw[i]), kl_weight(first + i));
        let sigma = Real::exp(half * l);
        d_mu[i] = sum[i] - weight * mu[i];
        let inside = half * sigma * sum_noise[i] - half * weight * (sigma * sigma - 1.0);
        d_l[i] = if l == raw[i] { inside } else { 0.0 };
    }
    d_heads[first..][..N].copy_from_slice(&d_mu);
    d_heads[z + first..][..N].copy_from_slice(&d_l);
}

/// N values from `at` on.
#[inline(always)]
pub(super) fn block<const N: usize>(values: &[f32], at: usize) -> [f32; N] {
    values[at..][..N].try_into().expect("N of them")
}

pub(super) fn backward_sampled(c: &Call<f32>) {
    let (k, z, estimator) = (c.dim("K"), c.dim("Z"), c.value("ESTIMATOR").to_f64());
    let (heads, noise, d_z) = (c.read("heads"), c.read("noise"), c.read("d_z"));
    let (weight, beta) = (c.read("weight"), c.read("rates")[rates::KL_WEIGHT]);
    let (heads, noise, d_z, weight) = (&heads[..], &noise[..], &d_z[..], &weight[..]);
    let (b, half) = (c.dim("B") as f32, 0.5);
    parallel::rows(
        &mut c.write("d_heads"),
        2 * z,
        #[inline(always)]
        |image, d_heads| {
            let (mu, raw) = heads[image * 2 * z..][..2 * z].split_at(z);
            let (d_mu, d_l) = d_heads.split_at_mut(z);
            for unit in 0..z {
                let l = clamp_log_variance(raw[unit]);
                let sigma = Real::exp(half * l);
                let (mut sum, mut sum_noise, mut direct) = (0.0, 0.0, 0.0);
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
                d_l[unit] = if l == raw[unit] { inside } else { 0.0 };
            }
        },
    );
}

pub(super) fn sample_forward(c: &Call<f32>) {
    let (heads, mut z) = (c.read("heads"), c.write("z"));
    draw(c, 1, 1.0, &heads, &mut c.write("eps"), &mut z);
    kl_of_rows(c.dim("Z"), &heads, &mut c.write("kl"));
    let (weight, bias) = (c.read("weight"), c.read("bias"));
    layer(c, [c.dim("BATCH"), c.dim("Z")], &z, &weight, &bias, &mut c.write("y"));
}

pub(super) fn backward_input(c: &Call<f32>) {
    let (weight_of_kl, mut d_heads) = (kl_weight(c, c.dim("BATCH")), c.write("d_heads"));
    backward_with(c, 1, |_| weight_of_kl, &mut d_heads);
    let (x, weight, mut d_x) = (c.read("x"), c.read("weight"), c.write("d_x"));
    let dims = [c.dim("BATCH"), c.dim("I"), 2 * c.dim("Z")];
    layer_backward(c, dims, &x, &weight, &d_heads, &mut d_x);
}
