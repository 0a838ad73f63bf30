//! The approximate posterior with a full covariance, row by row of its factor.

use super::posterior::{draw_noise, kl_weight};
use crate::kernels::posterior::Noise;
use crate::kernels::posterior::full::{Factor, below, heads};
use crate::numeric::{Real, parallel};
use crate::plan::Call;

pub(super) fn sample(c: &Call<f32>) {
    let (z, k, scale) = (c.dim("Z"), c.dim("K"), c.value("NOISE"));
    let (noise, heads) = (Noise::of(c, k), c.read("heads"));
    let heads = &heads[..];
    parallel::rows2(
        (&mut c.write("eps"), z),
        (&mut c.write("z"), z),
        #[inline(always)]
        |row, eps, out| {
            draw_noise(&noise, row, z, scale, eps);
            let factor = Factor::of(heads, row / k, z);
            for (unit, out) in out.iter_mut().enumerate() {
                let row = factor.row(unit);
                let below = parallel::sum(unit, |j| row[j] * eps[j]);
                *out = factor.mean[unit] + (below + factor.diagonal(unit) * eps[unit]);
            }
        },
    );
}

pub(super) fn kl(c: &Call<f32>) {
    let (z, heads) = (c.dim("Z"), c.read("heads"));
    let heads = &heads[..];
    parallel::rows(
        &mut c.write("kl"),
        1,
        #[inline(always)]
        |image, kl| {
            let factor = Factor::of(heads, image, z);
            let of_units = parallel::sum(z, |unit| {
                let (mu, l) = (factor.mean[unit], factor.log_variance(unit));
                mu * mu + (Real::exp(l) - 1.0 - l)
            });
            let of_factor = parallel::sum(below(z), |i| factor.below[i] * factor.below[i]);
            kl[0] = 0.5 * (of_units + of_factor);
        },
    );
}

pub(super) fn backward(c: &Call<f32>) {
    let weight = c.value("KL") * kl_weight(c, c.dim("B"));
    let (z, k) = (c.dim("Z"), c.dim("K"));
    let (all, noise, d_z) = (c.read("heads"), c.read("noise"), c.read("d_z"));
    let (all, noise, d_z) = (&all[..], &noise[..], &d_z[..]);
    let half = 0.5;
    parallel::rows(
        &mut c.write("d_heads"),
        heads(z),
        #[inline(always)]
        |image, d_heads| {
            let factor = Factor::of(all, image, z);
            let (d_mu, rest) = d_heads.split_at_mut(z);
            let (d_l, d_below) = rest.split_at_mut(z);
            for unit in 0..z {
                d_mu[unit] = -weight * factor.mean[unit];
                d_l[unit] = 0.0;
            }
            for (d, c) in d_below.iter_mut().zip(factor.below) {
                *d = -weight * c;
            }
            for row in image * k..(image + 1) * k {
                let (eps, d_z) = (&noise[row * z..][..z], &d_z[row * z..][..z]);
                for unit in 0..z {
                    d_mu[unit] += d_z[unit];
                    d_l[unit] += d_z[unit] * eps[unit];
                }
                for unit in 1..z {
                    let (d_row, d) = (&mut d_below[below(unit)..][..unit], d_z[unit]);
                    for (to, e) in d_row.iter_mut().zip(eps) {
                        *to += d * e;
                    }
                }
            }
            for (unit, d_l) in d_l.iter_mut().enumerate() {
                let (l, sigma) = (factor.log_variance(unit), factor.diagonal(unit));
                let inside = half * sigma * *d_l - half * weight * (sigma * sigma - 1.0);
                *d_l = if l == factor.raw[unit] { inside } else { 0.0 };
            }
        },
    );
}
