//! Draws of counts from p(x|z), a value at a time, on the host in double precision.

use statrs::function::gamma::ln_gamma;

use super::draw::{Decoded, uniform};
use crate::kernels::counts::HIGHEST_ETA;
use crate::kernels::negative_binomial::BOUNDS;
use crate::numeric::philox::{normal4, philox};

/// Rates below it are drawn by adding up probabilities, from it on by rejection, which is quicker there.
const FEW: f64 = 10.0;

/// Of a row of size factor 1.
pub(super) fn poisson(of: Decoded, value: usize, noise: [u32; 4]) -> f64 {
    poisson_of(rate(of, value), &mut Words::new(noise))
}

/// The same of a rate r that varies itself: r / theta times a draw of the gamma distribution of shape theta.
pub(super) fn negative_binomial(of: Decoded, value: usize, noise: [u32; 4]) -> f64 {
    let log_theta = f64::from(of.own[1][value]).clamp(BOUNDS.0, BOUNDS.1);
    let (theta, mut words) = (log_theta.exp(), Words::new(noise));
    let rate = rate(of, value) * gamma_of(theta, &mut words) / theta;
    poisson_of(rate, &mut words)
}

fn rate(of: Decoded, value: usize) -> f64 {
    f64::from(of.eta[value]).min(HIGHEST_ETA).exp()
}

/// As many independent numbers as a rejection takes, from the words of one draw.
struct Words {
    noise: [u32; 4],
    taken: u32,
}

impl Words {
    fn new(noise: [u32; 4]) -> Self {
        Words { noise, taken: 0 }
    }

    fn next(&mut self) -> [u32; 4] {
        let [a, b, c, d] = self.noise;
        self.taken += 1;
        philox([self.taken, 0, a, b], [c, d])
    }

    /// Two numbers in (0, 1).
    fn uniforms(&mut self) -> [f64; 2] {
        let [a, b, ..] = self.next();
        [uniform(a), uniform(b)]
    }

    fn normal(&mut self) -> f64 {
        normal4::<f64>(self.next())[0]
    }
}

/// A draw of the Poisson distribution: of few by inversion, of many by transformed rejection (Hörmann 1993, "The transformed
/// rejection method for generating Poisson random variables", algorithm PTRS, whose constants these are).
fn poisson_of(rate: f64, words: &mut Words) -> f64 {
    if rate < FEW {
        let [u, _] = words.uniforms();
        let (mut k, mut mass) = (0.0, (-rate).exp());
        let mut sum = mass;
        // Where u is beyond what the sum comes to in floating point, the mass is nothing.
        while u > sum && mass > 0.0 {
            k += 1.0;
            mass *= rate / k;
            sum += mass;
        }
        return k;
    }
    let b = 0.931 + 2.53 * rate.sqrt();
    let a = -0.059 + 0.02483 * b;
    let log_scale = (1.1239 + 1.1328 / (b - 3.4)).ln();
    let squeeze = 0.9277 - 3.6224 / (b - 2.0);
    loop {
        let [u, v] = words.uniforms();
        let u = u - 0.5;
        let edge = 0.5 - u.abs();
        let k = ((2.0 * a / edge + b) * u + rate + 0.43).floor();
        if edge >= 0.07 && v <= squeeze {
            return k;
        }
        if k < 0.0 || (edge < 0.013 && v > edge) {
            continue;
        }
        let accepted = v.ln() + log_scale - (a / (edge * edge) + b).ln();
        if accepted <= k * rate.ln() - rate - ln_gamma(k + 1.0) {
            return k;
        }
    }
}

/// A draw of the gamma distribution of this shape and scale 1 (Marsaglia and Tsang 2000, "A simple method for generating
/// gamma variables"; of a shape below 1 by that of one more).
fn gamma_of(shape: f64, words: &mut Words) -> f64 {
    if shape < 1.0 {
        let [u, _] = words.uniforms();
        return gamma_of(shape + 1.0, words) * u.powf(1.0 / shape);
    }
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let x = words.normal();
        let v = (1.0 + c * x).powi(3);
        let [u, _] = words.uniforms();
        if v > 0.0 && u.ln() < 0.5 * x * x + d * (1.0 - v + v.ln()) {
            return d * v;
        }
    }
}

#[cfg(test)]
mod tests {
    use statrs::distribution::{Discrete, NegativeBinomial, Poisson};

    use super::*;
    use crate::vae::likelihood::Sampler;

    const N: usize = 200_000;

    /// Holds the shares of draws to the probabilities, of each count near the mean and of all.
    fn check(sampler: Sampler, eta: f32, own: &[Vec<f32>], probability: impl Fn(u64) -> f64) {
        let of = Decoded { eta: &[eta], own, pixels: 1 };
        let mut seen = std::collections::BTreeMap::new();
        for i in 0..N as u32 {
            let x = sampler(of, 0, philox([i, 0, 0, 0], [5, 6]));
            assert!(x >= 0.0 && x.fract() == 0.0, "{x}");
            *seen.entry(x as u64).or_insert(0_u32) += 1;
        }
        let (mut statistic, mut cells, mut rest) = (0.0, 0.0, (0.0, 1.0));
        for (&x, &n) in &seen {
            let expected = N as f64 * probability(x);
            if expected >= 20.0 {
                statistic += (f64::from(n) - expected).powi(2) / expected;
                cells += 1.0;
                rest = (rest.0 + f64::from(n), rest.1 - probability(x));
            }
        }
        // Chi-squared over counts that are expected often enough, of mean `cells` and variance twice that.
        assert!(cells > 3.0, "{cells}");
        let beyond = (statistic - cells) / (2.0 * cells).sqrt();
        assert!(beyond < 4.5, "eta {eta}: chi-squared {statistic} of {cells} counts");
        // No count that is expected often was left out.
        let (others, share) = (N as f64 - rest.0, rest.1);
        assert!((others - N as f64 * share).abs() < 5.0 * (N as f64 * share).sqrt() + 5.0);
    }

    #[test]
    fn counts_are_drawn_as_often_as_they_are_probable() {
        for eta in [-2.0f32, 0.3, 2.2, 2.4, 4.0, 7.0] {
            let distribution = Poisson::new(f64::from(eta).exp()).unwrap();
            check(poisson, eta, &[], |x| distribution.pmf(x));
            for log_theta in [-1.0f32, 0.0, 2.0] {
                let (mean, theta) = (f64::from(eta).exp(), f64::from(log_theta).exp());
                let of = NegativeBinomial::new(theta, theta / (theta + mean)).unwrap();
                let own = [vec![0.0], vec![log_theta]];
                check(negative_binomial, eta, &own, |x| of.pmf(x));
            }
        }
    }

    /// Outputs and parameters beyond their bounds are at them, as the kernels have it.
    #[test]
    fn extremes_are_finite() {
        for eta in [-1e30f32, -80.0, 30.0, 31.0, 1e30] {
            for log_theta in [-1e30f32, 1e30] {
                let of = Decoded { eta: &[eta], own: &[vec![0.0], vec![log_theta]], pixels: 1 };
                for i in 0..50 {
                    let noise = philox([i, 0, 0, 0], [7, 8]);
                    let (few, many) = (poisson(of, 0, noise), negative_binomial(of, 0, noise));
                    assert!(few.is_finite() && many.is_finite(), "{eta}: {few}, {many}");
                    assert!(eta > 0.0 || (few == 0.0 && many == 0.0), "{eta}: {few}, {many}");
                }
            }
        }
    }
}
