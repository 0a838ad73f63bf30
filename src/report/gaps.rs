//! What the gap between log p(x) and the ELBO is made of, for people and for programs.

use std::fmt::Write;

use serde::Serialize;

use super::bounds::{Subject, chains};
use super::signal::lines;
use crate::bounds::signal::Signals;
use crate::bounds::{Estimate, Gaps, Harder, Refining, Tempering};

/// Share of pairs beyond which real images are harder than the model's own, if it is not by chance.
const HARDER: f64 = 0.6;
/// Nats of the last tenth of the steps beyond which q* has not been reached.
const MOVED: f64 = 0.05;

/// The figures of one set of images.
#[derive(Serialize)]
struct OfSet {
    images: usize,
    importance_sampling: Option<Estimate>,
    importance_sampling_from_best_q: Option<Estimate>,
    annealing: Option<Estimate>,
    log_likelihood: Option<Estimate>,
    elbo: Option<Estimate>,
    best_elbo: Option<Estimate>,
    best_elbo_from_encoder: Option<Estimate>,
    best_elbo_from_prior: Option<Estimate>,
    approximation_gap: Option<Estimate>,
    amortization_gap: Option<Estimate>,
    inference_gap: Option<Estimate>,
    effective_sample_size: Option<Estimate>,
    growth_by_last_draws: Option<Estimate>,
    harder_than_own: Option<Harder>,
    gradient_norm: Option<Estimate>,
    rise_in_last_tenth: Option<Estimate>,
}

impl OfSet {
    fn new(gaps: &Gaps, own: &Gaps) -> Self {
        OfSet {
            images: gaps.0.len(),
            importance_sampling: gaps.importance_sampling(),
            importance_sampling_from_best_q: gaps.importance_from_best(),
            annealing: gaps.annealing(),
            log_likelihood: gaps.log_likelihood(),
            elbo: gaps.of_refined(|r| Some(r.encoder)),
            best_elbo: gaps.of_refined(|r| Some(r.best)),
            best_elbo_from_encoder: gaps.of_refined(|r| Some(r.from_encoder)),
            best_elbo_from_prior: gaps.of_refined(|r| r.from_prior),
            approximation_gap: gaps.approximation(),
            amortization_gap: gaps.amortization(),
            inference_gap: gaps.inference(),
            effective_sample_size: gaps.effective_size(),
            growth_by_last_draws: gaps.growth(),
            harder_than_own: gaps.harder_than(own),
            gradient_norm: gaps.of_refined(|r| Some(r.gradient_norm)),
            rise_in_last_tenth: gaps.of_refined(|r| Some(r.best - r.before_last)),
        }
    }
}

/// Images that the model made, of which log p(x) is known from both sides.
#[derive(Serialize)]
struct Own<'a> {
    images: usize,
    importance_width: Option<Estimate>,
    annealed_width: Option<Estimate>,
    effective_sample_size: Option<Estimate>,
    growth_by_last_draws: Option<Estimate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    annealed: Option<OfChains<'a>>,
}

/// The model's own images by annealing, with all that it takes to do it again.
#[derive(Serialize)]
struct OfChains<'a> {
    lower: Option<Estimate>,
    upper: Option<Estimate>,
    width: Option<Estimate>,
    /// Forward and backward.
    acceptance: [Option<f64>; 2],
    schedule: &'a Tempering,
}

/// What was asked for, and what was found.
pub struct Found<'a> {
    pub subject: &'a Subject,
    /// K
    pub samples: usize,
    pub refining: Refining,
    /// Of each set its name, and what was found of its images.
    pub sets: &'a [(&'static str, Gaps)],
    /// The same of images that were drawn from the model.
    pub simulated: &'a Gaps,
    /// How their chains were annealed.
    pub tempering: Option<&'a Tempering>,
    /// Of gradients of test images.
    pub signals: Option<&'a Signals>,
}

#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    subject: &'a Subject,
    samples: usize,
    refining: Refining,
    #[serde(flatten)]
    sets: std::collections::BTreeMap<&'static str, OfSet>,
    simulated: Own<'a>,
    /// Inference gap of the test images less that of the training images.
    encoder_overfitting: Option<Estimate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signal_to_noise: Option<&'a Signals>,
    elbo_version: &'static str,
}

fn report<'a>(found: &Found<'a>) -> Report<'a> {
    let simulated = found.simulated;
    let of_set = |(name, gaps): &(&'static str, Gaps)| (*name, OfSet::new(gaps, simulated));
    let sets: std::collections::BTreeMap<_, _> = found.sets.iter().map(of_set).collect();
    let inference = |name: &str| sets.get(name).and_then(|set| set.inference_gap);
    let encoder_overfitting = match (inference("test"), inference("train")) {
        (Some(test), Some(train)) => Some(difference(test, train)),
        _ => None,
    };
    Report {
        subject: found.subject,
        samples: found.samples,
        refining: found.refining,
        simulated: Own {
            images: simulated.0.len(),
            importance_width: simulated.importance_width(),
            annealed_width: simulated.annealed_width(),
            effective_sample_size: simulated.effective_size(),
            growth_by_last_draws: simulated.growth(),
            annealed: found.tempering.map(|schedule| OfChains {
                lower: simulated.annealing(),
                upper: simulated.annealing_upper(),
                width: simulated.annealed_width(),
                acceptance: simulated.acceptance(),
                schedule,
            }),
        },
        encoder_overfitting,
        signal_to_noise: found.signals,
        sets,
        elbo_version: env!("CARGO_PKG_VERSION"),
    }
}

/// Of estimates of different images.
fn difference(a: Estimate, b: Estimate) -> Estimate {
    let both = a.standard_error.zip(b.standard_error);
    let standard_error = both.map(|(a, b)| (a * a + b * b).sqrt());
    Estimate { value: a.value - b.value, standard_error }
}

/// One object.
///
/// # Errors
/// The encoder's.
pub fn json(found: &Found) -> Result<String, String> {
    serde_json::to_string_pretty(&report(found)).map_err(|e| e.to_string())
}

/// A column a set of images, and what the figures say.
pub fn table(found: &Found) -> String {
    let r = report(found);
    let Subject { run, model, seed, seconds, .. } = r.subject;
    let mut t = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(t, "{run}: {model}, seed {seed}, {seconds:.1} s");
    let _ = write!(t, "{:<47}", "nats per image ± standard error over images");
    for (name, ..) in found.sets {
        let _ = write!(t, " {:>19}", format!("{name} images"));
    }
    let _ = writeln!(t, " {:>19}", "the model's own");
    let mut row = |name: &str, of: &dyn Fn(&OfSet) -> Option<Estimate>, own: Option<Estimate>| {
        let _ = write!(t, "{name:<47}");
        for (set, ..) in found.sets {
            let _ = write!(t, " {:>19}", shown(of(&r.sets[set])));
        }
        let _ = writeln!(t, " {:>19}", own.map_or(String::new(), |own| shown(Some(own))));
    };
    let k = r.samples;
    let simulated = found.simulated;
    let name = format!("log p(x) by importance sampling, k = {k}");
    row(&name, &|set| set.importance_sampling, simulated.importance_sampling());
    row("  from the best q for each image", &|set| set.importance_sampling_from_best_q, None);
    row("log p(x) by annealing from there", &|set| set.annealing, simulated.annealing());
    row("ELBO", &|set| set.elbo, None);
    row("ELBO of the best q for each image", &|set| set.best_elbo, None);
    row("  reached from the encoder's q", &|set| set.best_elbo_from_encoder, None);
    row("  reached from N(0, I)", &|set| set.best_elbo_from_prior, None);
    row("inference gap, log p(x) - ELBO", &|set| set.inference_gap, None);
    row("  approximation gap, log p(x) - ELBO of best q", &|set| set.approximation_gap, None);
    row("  amortization gap, ELBO of best q - ELBO", &|set| set.amortization_gap, None);
    let name = format!("effective sample size, of {k}");
    row(&name, &|set| set.effective_sample_size, r.simulated.effective_sample_size);
    let name = format!("growth by the last {} draws, L_{k} - L_{}", k - k / 10, k / 10);
    row(&name, &|set| set.growth_by_last_draws, r.simulated.growth_by_last_draws);
    row("length of the ELBO's gradient at the best q", &|set| set.gradient_norm, None);
    if let Some(overfitting) = r.encoder_overfitting {
        let name = "encoder's overfitting, test - train inference gap";
        let _ = writeln!(t, "{name:<50} {:>16}", shown(Some(overfitting)));
    }
    for (by, width) in [
        ("importance sampling", r.simulated.importance_width),
        ("annealing", r.simulated.annealed_width),
    ] {
        if let Some(width) = width {
            let _ = writeln!(
                t,
                "of the model's own images log p(x) is known to {} by {by}: U - L",
                shown(Some(width))
            );
        }
    }
    if let Some(of_chains) = &r.simulated.annealed {
        let line = chains(of_chains.schedule.settings, "the best q", of_chains.acceptance);
        let _ = writeln!(t, "{line}");
    }
    t.push_str(
        "of test and training images log p(x) is bounded from below alone: the gaps are at least as large\n",
    );
    if let Some(signals) = r.signal_to_noise {
        t.push_str(&lines(signals));
    }
    if let Some(line) = advice(&r) {
        let _ = writeln!(t, "{line}");
    }
    t
}

/// Which part of the gap is the largest, and what helps.
fn advice(r: &Report) -> Option<String> {
    let set = r.sets.get("test").or_else(|| r.sets.values().next())?;
    let (approximation, amortization) = (set.approximation_gap?.value, set.amortization_gap?.value);
    let overfitting = r.encoder_overfitting.map_or(0.0, |e| e.value);
    let parts = [
        (
            approximation,
            "the approximation gap, that of the family: no q of it comes closer. A richer one, of full \
             covariance or of flows, can, and training by the importance-weighted bound fits the decoder to more than one draw of q; a better encoder will \
             not help",
        ),
        (
            amortization - overfitting.max(0.0),
            "the amortization gap, that of the encoder: for each image there is a better q of the same family. A wider or \
             deeper encoder, or more epochs, can close it",
        ),
        (
            overfitting,
            "the encoder's overfitting: it is worse on test images than on those it has learnt. More data, mirrored \
             images, an end of the training by a validation set, or a smaller encoder help",
        ),
    ];
    let (size, what) = parts.into_iter().max_by(|a, b| a.0.total_cmp(&b.0))?;
    Some(format!("largest part of the gap: {what} ({size:.2} nats)"))
}

/// What of the figures is not to be taken at its face value, a line each.
pub fn warnings(found: &Found) -> Vec<String> {
    let r = report(found);
    let mut lines = Vec::new();
    for (name, set) in &r.sets {
        if let Some(harder) = set.harder_than_own {
            let beyond = |share: Estimate| {
                share.value > HARDER
                    && share.value - 2.0 * share.standard_error.unwrap_or(0.0) > 0.5
            };
            let Harder { effective_sample_size: size, growth } = harder;
            if beyond(size) || beyond(growth) {
                lines.push(format!(
                    "{name} images are harder than the model's own: in {:.0} % of the pairs of both they have the smaller \
                     effective sample size, in {:.0} % their L_{} still grows more; log p(x) is further below than the \
                     width says",
                    100.0 * size.value,
                    100.0 * growth.value,
                    r.samples
                ));
            }
        }
        if let Some(rise) = set.rise_in_last_tenth
            && rise.value > MOVED
        {
            lines.push(format!(
                "the best q of {name} images was still {:.2} nats better after the last tenth of its steps: more \
                 steps help",
                rise.value
            ));
        }
        if let Some(approximation) = set.approximation_gap
            && approximation.value < -2.0 * approximation.standard_error.unwrap_or(0.0)
        {
            lines.push(format!(
                "of {name} images log p(x) comes out below the ELBO of the best q: its estimate is too low; more \
                 temperatures or draws help"
            ));
        }
    }
    lines
}

fn shown(estimate: Option<Estimate>) -> String {
    match estimate {
        None => "-".to_string(),
        Some(Estimate { value, standard_error: None }) => format!("{value:.3}"),
        Some(Estimate { value, standard_error: Some(error) }) => format!("{value:.3} ± {error:.3}"),
    }
}
