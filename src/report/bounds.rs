//! Bounds on log p(x) from both sides, for people and for programs.

use std::fmt::Write;

use serde::Serialize;

use crate::bounds::{Estimate, Sandwich};
use crate::device::Description;

/// What the bounds are of.
#[derive(Debug, Clone, Serialize)]
pub struct Subject {
    pub run: String,
    /// As people write it: 784-400-20-400-784 relu.
    pub model: String,
    /// Of the images and the draws.
    pub seed: u64,
    pub device: Description,
    pub seconds: f64,
}

#[derive(Serialize)]
struct AtK {
    k: usize,
    lower: Estimate,
    upper: Estimate,
    width: Estimate,
}

/// Every figure; what `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    subject: &'a Subject,
    images: usize,
    samples: usize,
    importance_sampling: Vec<AtK>,
    effective_sample_size: Estimate,
    elbo_version: &'static str,
}

fn report<'a>(sandwich: &Sandwich, subject: &'a Subject) -> Report<'a> {
    let at = |(i, &k): (usize, &usize)| AtK {
        k,
        lower: sandwich.lower(i),
        upper: sandwich.upper(i),
        width: sandwich.width(i),
    };
    Report {
        subject,
        images: sandwich.images.len(),
        samples: *sandwich.ks.last().expect("at least one k"),
        importance_sampling: sandwich.ks.iter().enumerate().map(at).collect(),
        effective_sample_size: Estimate::of(sandwich.images.iter().map(|i| i.effective_size)),
        elbo_version: env!("CARGO_PKG_VERSION"),
    }
}

/// One object.
///
/// # Errors
/// The encoder's.
pub fn json(sandwich: &Sandwich, subject: &Subject) -> Result<String, String> {
    serde_json::to_string_pretty(&report(sandwich, subject)).map_err(|e| e.to_string())
}

/// A row for each k, and what they say.
pub fn table(sandwich: &Sandwich, subject: &Subject) -> String {
    let r = report(sandwich, subject);
    let Subject { run, model, seed, seconds, .. } = subject;
    let mut t = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(t, "{run}: {model}, seed {seed}, {seconds:.1} s");
    let _ = writeln!(
        t,
        "nats per image, {} images drawn from the model; ± is the standard error over images, draws' noise included\n\
         {:>9} {:>10} {:>7} {:>10} {:>7} {:>10} {:>7}",
        r.images, "draws k", "L_k", "±", "U_k", "±", "U_k - L_k", "±"
    );
    for AtK { k, lower, upper, width } in &r.importance_sampling {
        let _ = writeln!(
            t,
            "{k:>9} {:>10.3} {:>7} {:>10.3} {:>7} {:>10.3} {:>7}",
            lower.value,
            error(*lower),
            upper.value,
            error(*upper),
            width.value,
            error(*width)
        );
    }
    let size = r.effective_sample_size;
    let _ =
        writeln!(t, "effective sample size, of {}: {:.1} ± {}", r.samples, size.value, error(size));
    if let Some(last) = r.importance_sampling.last() {
        let _ = writeln!(t, "{}", verdict(last.k, last.width));
    }
    t
}

/// What the width says.
fn verdict(k: usize, width: Estimate) -> String {
    format!(
        "log p(x) of these images is between L_{k} and U_{k}: on average importance sampling with {k} draws is at \
         most {:.3} nats too low. Of images that the model did not make only L_k is known to hold, as a bound from below",
        width.value + 2.0 * width.standard_error.unwrap_or(0.0)
    )
}

fn error(estimate: Estimate) -> String {
    estimate.standard_error.map_or("-".to_string(), |e| format!("{e:.3}"))
}
