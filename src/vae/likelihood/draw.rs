//! Draws of x from p(x|z), a value at a time, on the host in double precision: they are few.

use crate::kernels::discretized_logistic::{HIGHEST, LEVELS, LOWEST, OFFSET};
use crate::kernels::gaussian::LOWEST_DECODED;
use crate::kernels::posterior::clamp_log_variance;
use crate::numeric::Real;
use crate::numeric::philox::normal4;

/// What the decoder says of one image.
#[derive(Clone, Copy)]
pub struct Decoded<'a> {
    /// (outputs) the decoder's output
    pub eta: &'a [f32],
    /// The likelihood's own parameters.
    pub own: &'a [Vec<f32>],
    /// D
    pub pixels: usize,
}

/// A draw of a value of x, from independent uniform integers.
pub type Sampler = fn(Decoded, usize, [u32; 4]) -> f64;

/// Uniform in (0, 1).
pub(super) fn uniform(word: u32) -> f64 {
    (f64::from(word) + 0.5) / 4_294_967_296.0
}

pub(super) fn bernoulli(of: Decoded, value: usize, noise: [u32; 4]) -> f64 {
    let probability = f64::from(of.eta[value]).sigmoid();
    f64::from(u8::from(uniform(noise[0]) < probability))
}

/// The variances are those of groups that the values take turns in.
pub(super) fn gaussian(of: Decoded, value: usize, noise: [u32; 4]) -> f64 {
    let log_variances = &of.own[0];
    let log_variance = f64::from(log_variances[value % log_variances.len()]);
    normal(f64::from(of.eta[value]), clamp_log_variance(log_variance), noise)
}

pub(super) fn decoded_gaussian(of: Decoded, value: usize, noise: [u32; 4]) -> f64 {
    let raw = f64::from(of.eta[of.pixels + value]);
    let log_variance = LOWEST_DECODED + (raw - LOWEST_DECODED).softplus();
    normal(f64::from(of.eta[value]), log_variance, noise)
}

fn normal(mean: f64, log_variance: f64, noise: [u32; 4]) -> f64 {
    mean + (0.5 * log_variance).exp() * normal4::<f64>(noise)[0]
}

/// The inverse of the distribution function (e^(eta x) - 1) / (e^eta - 1), for eta > 0 from the end where nothing
/// overflows: x and 1 - x change places with the sign of eta.
pub(super) fn continuous_bernoulli(of: Decoded, value: usize, noise: [u32; 4]) -> f64 {
    let (eta, u) = (f64::from(of.eta[value]), uniform(noise[0]));
    let far = eta.abs();
    let from_end = match far < 1e-9 {
        true => u,
        // ln(u + (1 - u) e^-far) / far is x - 1
        false => -(u + (1.0 - u) * (-far).exp()).ln() / far,
    };
    let x = if eta < 0.0 { from_end } else { 1.0 - from_end };
    x.clamp(0.0, 1.0)
}

/// A draw of the logistic distribution, to the nearest level.
pub(super) fn discretized_logistic(of: Decoded, value: usize, noise: [u32; 4]) -> f64 {
    let location = f64::from(of.eta[value]);
    let raw = f64::from(of.eta[of.pixels + value]).min(HIGHEST);
    let scale = (LOWEST + (OFFSET + raw).softplus()).exp();
    let u = uniform(noise[0]);
    let last = (LEVELS - 1) as f64;
    let x = location + scale * (u.ln() - (-u).ln_1p());
    (x * last).round().clamp(0.0, last) / last
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numeric::philox::philox;

    const N: usize = 200_000;

    /// Mean and variance of draws.
    fn moments(sampler: Sampler, eta: &[f32], own: &[Vec<f32>]) -> (f64, f64) {
        let of = Decoded { eta, own, pixels: 1 };
        let draws: Vec<f64> =
            (0..N as u32).map(|i| sampler(of, 0, philox([i, 0, 0, 0], [3, 4]))).collect();
        let mean = draws.iter().sum::<f64>() / N as f64;
        (mean, draws.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / N as f64)
    }

    fn close(got: (f64, f64), mean: f64, variance: f64) {
        let n = N as f64;
        assert!((got.0 - mean).abs() < 4.0 * (variance / n).sqrt(), "{got:?}, mean {mean}");
        assert!((got.1 / variance - 1.0).abs() < 0.02, "{got:?}, variance {variance}");
    }

    #[test]
    fn draws_have_the_mean_and_the_variance_of_their_distribution() {
        let p = 1.0 / (1.0 + f64::exp(-0.7));
        close(moments(bernoulli, &[0.7], &[]), p, p * (1.0 - p));
        close(moments(gaussian, &[0.3], &[vec![-1.2]]), 0.3, f64::exp(f64::from(-1.2f32)));
        let v = LOWEST_DECODED + (1.5 - LOWEST_DECODED).softplus();
        close(moments(decoded_gaussian, &[-2.0, 1.5], &[]), -2.0, v.exp());
        for eta in [-40.0f32, -3.0, -1e-3, 0.0, 2.0, 7.0] {
            // by the density e^(eta x), on a grid
            let grid = |power: i32| -> f64 {
                let at = |i: usize| (i as f64 + 0.5) / 1e5;
                let density =
                    |x: f64| (f64::from(eta) * (x - f64::from(u8::from(eta > 0.0)))).exp();
                let total: f64 = (0..100_000).map(|i| density(at(i))).sum();
                (0..100_000).map(|i| density(at(i)) * at(i).powi(power)).sum::<f64>() / total
            };
            let (mean, square) = (grid(1), grid(2));
            close(moments(continuous_bernoulli, &[eta], &[]), mean, square - mean * mean);
        }
        // A wide logistic distribution of which the levels 0 and 255 have what lies beyond.
        let (location, raw) = (0.4, 3.0f32);
        let scale = (LOWEST + (OFFSET + f64::from(raw)).softplus()).exp();
        let below = |edge: f64| ((edge - location) / scale).sigmoid();
        let mass = |i: usize| {
            let upper = if i == 255 { 1.0 } else { below((i as f64 + 0.5) / 255.0) };
            upper - if i == 0 { 0.0 } else { below((i as f64 - 0.5) / 255.0) }
        };
        let of_power =
            |power: i32| (0..256).map(|i| mass(i) * (i as f64 / 255.0).powi(power)).sum::<f64>();
        let (mean, square) = (of_power(1), of_power(2));
        let got = moments(discretized_logistic, &[location as f32, raw], &[]);
        close(got, mean, square - mean * mean);
    }

    /// Each value has the variance of its group.
    #[test]
    fn groups_take_turns() {
        let own = [vec![-60.0, 0.0]]; // the first at the bound of the kernels
        let of = Decoded { eta: &[5.0; 4], own: &own, pixels: 4 };
        let at = |value| gaussian(of, value, [1 << 30, 7, 8, 9]);
        assert!((at(0) - 5.0).abs() < 1e-5 && (at(2) - 5.0).abs() < 1e-5);
        assert!((at(1) - 5.0).abs() > 1e-2 && at(1) == at(3));
    }
}
