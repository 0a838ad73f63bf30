//! Inverse autoregressive flows in whole registers. Element by element these are the formulas' operations.

use super::posterior::draw_noise;
use crate::kernels::posterior::iaf::Degrees;
use crate::kernels::posterior::{Noise, clamp_log_variance};
use crate::kernels::rates;
use crate::numeric::{Real, parallel};
use crate::plan::Call;

pub(super) fn begin(c: &Call<f32>) {
    let (z, k) = (c.dim("Z"), c.dim("K"));
    let (scale, noise, heads) = (c.value("NOISE"), Noise::of(c, k), c.read("heads"));
    let heads = &heads[..];
    parallel::rows2(
        (&mut c.write("eps"), z),
        (&mut c.write("state"), 2 * z),
        #[inline(always)]
        |row, eps, state| {
            draw_noise(&noise, row, z, scale, eps);
            let of = &heads[row / k * 3 * z..][..3 * z];
            let ((mu, l), context) = (of[..2 * z].split_at(z), &of[2 * z..]);
            let (state, to) = state.split_at_mut(z);
            for unit in 0..z {
                let sigma = Real::exp(0.5 * clamp_log_variance(l[unit]));
                state[unit] = mu[unit] + sigma * eps[unit];
            }
            to.copy_from_slice(context);
        },
    );
}

pub(super) fn mask(c: &Call<f32>) {
    let (i, degrees, whole) = (c.dim("I"), Degrees::of(c), c.read("whole"));
    let whole = &whole[..];
    let inputs: Vec<u32> = (0..i).map(|unit| degrees.input(unit) as u32).collect();
    parallel::rows(
        &mut c.write("masked"),
        i,
        #[inline(always)]
        |row, masked| {
            let (own, whole) = (degrees.output(row) as u32, &whole[row * i..][..i]);
            for ((masked, &whole), &degree) in masked.iter_mut().zip(whole).zip(&inputs) {
                *masked = if own >= degree { whole } else { 0.0 };
            }
        },
    );
}

pub(super) fn step(c: &Call<f32>) {
    let (z, v) = (c.dim("Z"), c.dim("V"));
    let (before, gates, earlier) = (c.read("before"), c.read("gates"), c.read("earlier"));
    let (before, gates, earlier) = (&before[..], &gates[..], &earlier[..]);
    parallel::rows2(
        (&mut c.write("after"), v),
        (&mut c.write("log_det"), 1),
        #[inline(always)]
        |row, after, log_det| {
            let (before, (m, g)) =
                (&before[row * 2 * z..][..2 * z], gates[row * 2 * z..][..2 * z].split_at(z));
            let (to, context) = after.split_at_mut(z);
            for unit in 0..z {
                let (s, rest) = (Real::sigmoid(g[unit]), Real::sigmoid(-g[unit]));
                to[unit] = s * before[unit] + rest * m[unit];
            }
            context.copy_from_slice(&before[z..v]);
            log_det[0] = earlier[row] - parallel::sum(z, |unit| Real::softplus(-g[unit]));
        },
    );
}

pub(super) fn step_backward(c: &Call<f32>) {
    let (z, v, last) = (c.dim("Z"), c.dim("V"), c.dim("LAST") == 1);
    let (before, gates, d_after) = (c.read("before"), c.read("gates"), c.read("d_after"));
    let (before, gates, d_after) = (&before[..], &gates[..], &d_after[..]);
    let (weight, beta) = (c.read("weight"), c.read("rates")[rates::KL_WEIGHT]);
    let weight = &weight[..];
    parallel::rows2(
        (&mut c.write("d_gates"), 2 * z),
        (&mut c.write("d_before"), 2 * z),
        #[inline(always)]
        |row, d_gates, d_before| {
            let (before, (m, g)) =
                (&before[row * 2 * z..][..z], gates[row * 2 * z..][..2 * z].split_at(z));
            let (d_after, f) = (&d_after[row * v..][..v], beta * weight[row]);
            let (d_m, d_g) = d_gates.split_at_mut(z);
            let (d_z, d_context) = d_before.split_at_mut(z);
            for unit in 0..z {
                let (s, rest) = (Real::sigmoid(g[unit]), Real::sigmoid(-g[unit]));
                let mut arriving = d_after[unit];
                if last {
                    arriving -= f * (s * before[unit] + rest * m[unit]);
                }
                d_m[unit] = arriving * rest;
                d_g[unit] = arriving * (before[unit] - m[unit]) * s * rest + f * rest;
                d_z[unit] = arriving * s;
            }
            match last {
                true => d_context.fill(0.0),
                false => d_context.copy_from_slice(&d_after[z..]),
            }
        },
    );
}

pub(super) fn backward(c: &Call<f32>) {
    let (z, k) = (c.dim("Z"), c.dim("K"));
    let (heads, eps, d_state) = (c.read("heads"), c.read("noise"), c.read("d_state"));
    let (heads, eps, d_state) = (&heads[..], &eps[..], &d_state[..]);
    let (weight, beta) = (c.read("row_weight"), c.read("rates")[rates::KL_WEIGHT]);
    let weight = &weight[..];
    parallel::rows(
        &mut c.write("d_rows"),
        3 * z,
        #[inline(always)]
        |row, d| {
            let (d_z, d_context) = d_state[row * 2 * z..][..2 * z].split_at(z);
            let (raw, eps) = (&heads[row / k * 3 * z + z..][..z], &eps[row * z..][..z]);
            let (d_mu, rest) = d.split_at_mut(z);
            let (d_l, to) = rest.split_at_mut(z);
            d_mu.copy_from_slice(d_z);
            for unit in 0..z {
                let l = clamp_log_variance(raw[unit]);
                let at = d_z[unit] * Real::exp(0.5 * l) * eps[unit] + beta * weight[row];
                // A product, so that a NaN stays one.
                d_l[unit] = 0.5 * at * if l == raw[unit] { 1.0 } else { 0.0 };
            }
            to.copy_from_slice(d_context);
        },
    );
}
