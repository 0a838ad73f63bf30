//! Scores of single images: how likely the model finds each, and how far the encoder's q is from the best one.

use std::ops::ControlFlow;

use super::{Estimate, EvaluateError, Observed, Refined, Refining, blocks, lower, refine};
use crate::device::Device;
use crate::loaded::Model;

/// How images are scored.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scoring {
    /// K, draws of z an image by which log p(x) is estimated.
    pub samples: usize,
    /// How the best q is found; None leaves the regret out.
    pub refining: Option<Refining>,
}

/// One image's scores, nats.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    /// L_K by draws from the encoder's q, on average at most log p(x).
    pub importance: f64,
    /// The mean of the K log weights.
    pub elbo: f64,
    /// (sum w)^2 / sum w^2 of the K weights.
    pub effective_size: f64,
    /// What optimizing q for this image alone found.
    pub refined: Option<OfBest>,
}

/// What is known of the best q* of the family for an image, nats.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OfBest {
    /// `L[q*]`
    pub elbo: f64,
    /// L_K by draws from q*, on average at least `L[q*]` and at most log p(x).
    pub importance: f64,
    /// `L[q*] - L[q]`, q the encoder's (Xiao et al. 2020, arXiv 2003.02977), by the same noise.
    pub regret: f64,
}

impl Score {
    /// The highest of the bounds on log p(x) from below: of each by itself the mean of its exponential is at most p(x), so
    /// that the highest of m is more than b nats above log p(x) with a probability of at most m e^-b (Markov's inequality).
    pub fn log_px(&self) -> f64 {
        let of_best = self.refined.map_or(f64::NEG_INFINITY, |best| best.importance.max(best.elbo));
        self.importance.max(of_best)
    }
}

/// Scores images. `progress` is told the share that is done.
///
/// # Errors
/// The device failed, the numbers did, or `progress` said `Break`.
pub fn score(
    device: &Device,
    model: Model,
    observed: Observed,
    Scoring { samples, refining }: Scoring,
    progress: &mut dyn FnMut(f64) -> ControlFlow<()>,
) -> Result<Vec<Score>, EvaluateError> {
    let ks: &[usize] = if samples > 1 { &[1, samples] } else { &[1] };
    let images = observed.count(model.architecture);
    let refining = refining.map(|refining| Refining { weighed: samples, ..refining });
    // A step goes forward and backward, which costs three times as much; ELBOs are scored three times.
    let of_refining = refining.map_or(0, |r| 3 * r.steps * r.samples + 3 * r.scored + r.weighed);
    let by_importance = samples as f64 / (samples + of_refining) as f64;
    let mut scores = Vec::with_capacity(images);
    for block in blocks(device, images) {
        let mut of_block = |share: f64| {
            let done = block.start as f64 + share * block.len() as f64;
            progress(done / images as f64)
        };
        let observed = observed.part(block.clone(), model.architecture);
        let drawn = lower(device, model, observed, ks, &mut |s| of_block(s * by_importance))?;
        let refined = match refining {
            None => None,
            Some(refining) => {
                let told = &mut |s| of_block(by_importance + s * (1.0 - by_importance));
                Some(refine(device, model, observed, refining, told)?.0)
            }
        };
        let of_best = |refined: &Refined| OfBest {
            elbo: refined.best,
            importance: refined.importance.expect("it was asked for"),
            regret: refined.best - refined.encoder,
        };
        scores.extend(drawn.images.iter().enumerate().map(|(i, image)| Score {
            importance: image.lower[ks.len() - 1],
            elbo: image.lower[0],
            effective_size: image.effective_size,
            refined: refined.as_ref().map(|refined| of_best(&refined[i])),
        }));
    }
    Ok(scores)
}

/// The share of `values`, ascending, that are at most `v`.
pub fn quantile(values: &[f64], v: f64) -> f64 {
    values.partition_point(|&other| other <= v) as f64 / values.len() as f64
}

/// The area under the ROC curve: the probability that one of `high` is above one of `low`, where equal ones count half.
/// Its standard error is that of DeLong et al. 1988 (Biometrics 44): each value is placed among those of the other kind, and
/// the variances of the two kinds' mean places add up.
///
/// # Panics
/// Without values of either kind.
pub fn auroc(high: &[f64], low: &[f64]) -> Estimate {
    // the share of `others` that are below v
    let place = |others: &[f64], v: f64| {
        let below = others.partition_point(|&other| other < v);
        (below as f64 / others.len() as f64).midpoint(quantile(others, v))
    };
    let sorted = |values: &[f64]| {
        let mut values = values.to_vec();
        values.sort_by(f64::total_cmp);
        values
    };
    let (among_low, among_high) = (sorted(low), sorted(high));
    let of_high = Estimate::of(high.iter().map(|&v| place(&among_low, v)));
    let of_low = Estimate::of(low.iter().map(|&v| 1.0 - place(&among_high, v)));
    let errors = of_high.standard_error.zip(of_low.standard_error);
    Estimate { value: of_high.value, standard_error: errors.map(|(a, b)| a.hypot(b)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// log p(x) is never below what any bound of it says, whichever is the highest.
    #[test]
    fn the_highest_bound_is_log_px() {
        let score = |importance, best: Option<[f64; 2]>| Score {
            importance,
            elbo: -9.0,
            effective_size: 1.0,
            refined: best.map(|[elbo, importance]| OfBest { elbo, importance, regret: 1.0 }),
        };
        assert_eq!(score(-5.0, None).log_px(), -5.0);
        assert_eq!(score(-5.0, Some([-7.0, -6.0])).log_px(), -5.0);
        assert_eq!(score(-8.0, Some([-7.0, -6.0])).log_px(), -6.0);
        assert_eq!(score(-8.0, Some([-6.0, -6.5])).log_px(), -6.0);
    }

    #[test]
    fn quantiles_are_shares_at_most() {
        let values = [1.0, 2.0, 2.0, 3.0];
        assert_eq!(
            [0.5, 1.0, 2.0, 2.5, 9.0].map(|v| quantile(&values, v)),
            [0.0, 0.25, 0.75, 0.75, 1.0]
        );
    }

    /// Pairs counted one by one.
    #[test]
    fn auroc_is_the_share_of_pairs_in_order() {
        let (high, low) = ([3.0_f64, 1.0, 4.0, 4.0, 0.5], [2.0, 1.0, 0.0, 4.0]);
        let pairs = high.iter().flat_map(|h| {
            low.iter().map(move |l| match h.total_cmp(l) {
                std::cmp::Ordering::Greater => 1.0,
                std::cmp::Ordering::Equal => 0.5,
                std::cmp::Ordering::Less => 0.0,
            })
        });
        let found = auroc(&high, &low);
        assert!((found.value - pairs.sum::<f64>() / 20.0).abs() < 1e-12, "{found:?}");
        assert_eq!(
            auroc(&[2.0, 3.0], &[0.0, 1.0]),
            Estimate { value: 1.0, standard_error: Some(0.0) }
        );
        assert_eq!(auroc(&[1.0], &[1.0]).value, 0.5);
        assert_eq!(auroc(&[1.0], &[1.0]).standard_error, None);
    }

    /// The standard error is the spread of the area over many samples.
    #[test]
    fn the_error_of_auroc_is_its_spread() {
        let mut state = 7_u64;
        let mut uniform = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1_u64 << 53) as f64
        };
        let found: Vec<Estimate> = (0..2000)
            .map(|_| {
                let high: Vec<f64> = (0..40).map(|_| uniform() + 0.3).collect();
                let low: Vec<f64> = (0..30).map(|_| uniform()).collect();
                auroc(&high, &low)
            })
            .collect();
        let values = Estimate::of(found.iter().map(|e| e.value));
        let spread = values.standard_error.expect("many") * (found.len() as f64).sqrt();
        let told = Estimate::of(found.iter().map(|e| e.standard_error.expect("many"))).value;
        // P(u + 0.3 > v) = 1 - 0.7^2 / 2
        assert!((values.value - 0.755).abs() < 0.01, "{values:?}");
        assert!((told / spread - 1.0).abs() < 0.08, "{told} {spread}");
    }
}
