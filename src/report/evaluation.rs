//! An evaluation for people, for programs, and image by image.

use std::fmt::Write;

use serde::Serialize;

use crate::data::Images;
use crate::device::Description;
use crate::evaluate::{ACTIVE, Estimate, Evaluation};
use crate::vae::likelihood::Domain;
use crate::vae::{Binarization, Likelihood};

/// What was evaluated.
#[derive(Debug, Clone, Serialize)]
pub struct Subject {
    pub run: String,
    /// As people write it: 784-400-20-400-784 relu.
    pub model: String,
    /// Of binarization and draws.
    pub seed: u64,
    /// Whether the images are known not to be those of the training.
    pub other_data: bool,
    /// Whether log p(x) is one: a Bernoulli likelihood of grey pixels is a cross entropy.
    pub is_likelihood: bool,
    /// Of what.
    #[serde(skip)]
    pub likelihood: Likelihood,
    /// Whether the prior is N(0, I), to which a unit has a KL of its own.
    #[serde(skip)]
    pub normal: bool,
    /// Whether the KL is exact given the image.
    #[serde(skip)]
    pub closed_kl: bool,
    /// D
    #[serde(skip)]
    pub pixels: usize,
    /// How many classes the model is told, of which the figures are given: then they are of p(x|y).
    #[serde(skip_serializing_if = "is_zero")]
    pub classes: usize,
    /// Of a table the sum of the logarithms of its columns' standard deviations: log p of cells in their own units is less
    /// than that of standardised ones by it, if none is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_scale: Option<f64>,
    pub device: Description,
    pub seconds: f64,
}

/// A figure and what it was computed from.
#[derive(Debug, Clone, Serialize)]
struct Figure {
    value: f64,
    /// Of log p(x) and bounds on it, where that is a probability of 256 levels.
    #[serde(skip_serializing_if = "Option::is_none")]
    bits_per_dimension: Option<f64>,
    /// Over images; null where there is one image only.
    standard_error: Option<f64>,
    /// Draws of z an image; null where the figure is exact given the image.
    samples: Option<usize>,
    images: usize,
    binarization: Binarization,
}

#[derive(Serialize)]
struct AtK {
    k: usize,
    #[serde(flatten)]
    figure: Figure,
}

#[derive(Serialize)]
struct OfUnit {
    unit: usize,
    #[serde(flatten)]
    kl: Figure,
    variance_of_mean: f64,
    active: bool,
}

/// Every figure; what `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    subject: &'a Subject,
    images: usize,
    samples: usize,
    binarization: Binarization,
    elbo: Figure,
    reconstruction: Figure,
    kl: Figure,
    importance_sampling: Vec<AtK>,
    prior_monte_carlo: Vec<AtK>,
    gap: Figure,
    effective_sample_size: Figure,
    mutual_information: Figure,
    marginal_kl: Figure,
    active_units: usize,
    latent_units: usize,
    kl_per_unit: Vec<OfUnit>,
    elbo_version: &'static str,
}

fn report<'a>(evaluation: &Evaluation, subject: &'a Subject) -> Report<'a> {
    let images = evaluation.images.len();
    let (samples, binarization) = (evaluation.samples(), evaluation.binarization);
    let figure = |estimate: Estimate, samples: Option<usize>, images: usize| {
        let Estimate { value, standard_error } = estimate;
        Figure { value, bits_per_dimension: None, standard_error, samples, images, binarization }
    };
    let in_bits = |figure: Figure| Figure {
        bits_per_dimension: subject.likelihood.bits_per_dimension(figure.value, subject.pixels),
        ..figure
    };
    let drawn = |estimate| figure(estimate, Some(samples), images);
    let at_k = |values: &dyn Fn(usize) -> Estimate| -> Vec<AtK> {
        let each = evaluation.ks.iter().enumerate();
        each.map(|(i, &k)| AtK { k, figure: in_bits(drawn(values(i))) }).collect()
    };
    let information = &evaluation.information;
    let informed = |estimate| figure(estimate, Some(1), information.images);
    let units = evaluation.units.iter().enumerate();
    Report {
        subject,
        images,
        samples,
        binarization,
        elbo: in_bits(drawn(evaluation.mean(|i| i.elbo()))),
        reconstruction: drawn(evaluation.mean(|i| i.reconstruction)),
        kl: figure(evaluation.mean(|i| i.kl), (!subject.closed_kl).then_some(samples), images),
        importance_sampling: at_k(&|k| evaluation.mean(move |i| i.importance[k])),
        prior_monte_carlo: at_k(&|k| evaluation.mean(move |i| i.prior[k])),
        gap: drawn(evaluation.mean(|i| i.gap())),
        effective_sample_size: drawn(evaluation.mean(|i| i.effective_size)),
        mutual_information: informed(information.mutual_information),
        marginal_kl: informed(information.marginal_kl),
        active_units: evaluation.units.iter().filter(|u| u.active).count(),
        latent_units: evaluation.units.len(),
        kl_per_unit: units
            .map(|(unit, u)| OfUnit {
                unit,
                kl: figure(u.kl, None, images),
                variance_of_mean: u.variance_of_mean,
                active: u.active,
            })
            .collect(),
        elbo_version: env!("CARGO_PKG_VERSION"),
    }
}

/// One object.
///
/// # Errors
/// The encoder's.
pub fn json(evaluation: &Evaluation, subject: &Subject) -> Result<String, String> {
    serde_json::to_string_pretty(&report(evaluation, subject)).map_err(|e| e.to_string())
}

/// A table, each figure with what it was computed from.
pub fn table(evaluation: &Evaluation, subject: &Subject) -> String {
    let r = report(evaluation, subject);
    let (binarization, many) = match subject.log_scale {
        Some(_) => (String::new(), "rows"),
        None => (format!("  {}", r.binarization.label()), "images"),
    };
    let mut t = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(
        t,
        "{}: {}, seed {}, {:.1} s",
        subject.run, subject.model, subject.seed, subject.seconds
    );
    let _ = writeln!(
        t,
        "nats per {}; ± is the standard error over {many}, draws' noise included\n\
         {:<47} {:>10} {:>8} {:>8} {:>7}{}",
        if subject.log_scale.is_some() { "row" } else { "test image" },
        "",
        "value",
        "±",
        "samples",
        many,
        if subject.log_scale.is_some() { "" } else { "  pixels" }
    );
    let mut row = |name: &str, f: &Figure| {
        let name = given(name, subject.classes);
        let samples = f.samples.map_or("exact".to_string(), |n| n.to_string());
        let _ = writeln!(
            t,
            "{name:<47} {:>10.3} {:>8} {samples:>8} {:>7}{binarization}",
            f.value,
            error(f.standard_error),
            f.images
        );
    };
    row("ELBO", &r.elbo);
    row("  reconstruction, E_q log p(x|z)", &r.reconstruction);
    row("  KL(q(z|x) || p(z))", &r.kl);
    for at in &r.importance_sampling {
        row(&format!("log p(x) by importance sampling, k = {}", at.k), &at.figure);
    }
    for at in &r.prior_monte_carlo {
        row(&format!("log p(x) by draws from the prior, k = {}", at.k), &at.figure);
    }
    row("gap, log p(x) - ELBO = KL(q(z|x) || p(z|x))", &r.gap);
    row(&format!("effective sample size, of {}", r.samples), &r.effective_sample_size);
    let most = (r.mutual_information.images as f64).ln();
    row(&format!("mutual information of x and z, at most {most:.3}"), &r.mutual_information);
    row("marginal KL(q(z) || p(z))", &r.marginal_kl);
    let _ = writeln!(
        t,
        "{} of {} latent units are active: the variance of their posterior mean over {} {many} is above {ACTIVE}",
        r.active_units, r.latent_units, r.images
    );
    let head = if subject.normal { "KL" } else { "to N(0, 1)" };
    let _ = writeln!(t, "{:>5} {:>10} {:>8} {:>18}", "unit", head, "±", "variance of mean");
    for u in &r.kl_per_unit {
        let _ = writeln!(
            t,
            "{:>5} {:>10.3} {:>8} {:>18.4}{}",
            u.unit,
            u.kl.value,
            error(u.kl.standard_error),
            u.variance_of_mean,
            if u.active { "" } else { "  inactive" }
        );
    }
    if let (Some(elbo), Some(best)) = (r.elbo.bits_per_dimension, r.importance_sampling.last())
        && let Some(log_px) = best.figure.bits_per_dimension
    {
        let _ = writeln!(
            t,
            "bits per dimension of 256 levels: {elbo:.4} by the ELBO, {log_px:.4} by importance sampling, k = {}",
            best.k
        );
    }
    if !subject.normal {
        t.push_str("the prior is none of independent units: the KL of a unit is that to N(0, 1), and their sum is not KL(q(z|x) || p(z))\n");
    }
    if subject.classes > 0 {
        t.push_str("y is the class of an image, which encoder and decoder are told: the ELBO bounds log p(x|y)\n");
    }
    if subject.likelihood.module().domain() == Domain::Counts {
        t.push_str("log probabilities of the counts\n");
    } else if let Some(log_scale) = subject.log_scale {
        let _ = writeln!(
            t,
            "log densities of the standardised cells that are there; in the columns' own units they are less by the sum \
             of the logarithms of their standard deviations, {log_scale:.3} where none is missing"
        );
    } else if !subject.is_likelihood {
        t.push_str("the pixels are not binarized: these are cross entropies, not likelihoods\n");
    } else if r.binarization == Binarization::None && r.elbo.bits_per_dimension.is_none() {
        t.push_str("log densities of the pixels' values, in [0, 1]: they can be positive\n");
    }
    t
}

/// Words on p(x) as words on p(x|y), of a model that is told classes.
pub fn given(text: &str, classes: usize) -> String {
    match classes {
        0 => text.to_string(),
        _ => text.replace("p(x)", "p(x|y)").replace("(x|z)", "(x|z,y)").replace("(z|x)", "(z|x,y)"),
    }
}

fn is_zero(n: &usize) -> bool {
    *n == 0
}

/// Effective draws of each image below which an estimate of log p(x) hangs on a few of them.
const FEW: f64 = 10.0;

/// What of the figures is not to be taken at its face value, a line each.
pub fn warnings(evaluation: &Evaluation) -> Vec<String> {
    let mut lines = Vec::new();
    let (active, units) =
        (evaluation.units.iter().filter(|u| u.active).count(), evaluation.units.len());
    if active == 0 {
        lines.push(format!(
            "none of the {units} latent units is active: the posterior has collapsed onto the prior, and the codes \
             tell nothing of the images"
        ));
    }
    let (samples, size) = (evaluation.samples(), evaluation.mean(|i| i.effective_size).value);
    if samples >= 100 && size < FEW {
        lines.push(format!(
            "the effective sample size is {size:.1} of {samples} draws: log p(x) is estimated by a few of them, from \
             far below; more draws help"
        ));
    }
    lines
}

fn error(standard_error: Option<f64>) -> String {
    standard_error.map_or("-".to_string(), |e| format!("{e:.3}"))
}

/// A row an image, with a head; of the rows of a table also how many cells are there, and the sum of the logarithms of their
/// columns' standard deviations.
pub fn per_image(evaluation: &Evaluation, of: &Images) -> String {
    let observed = of.observed();
    let first = if observed.is_some() { "row" } else { "image" };
    let mut t = format!("{first},elbo,reconstruction,kl");
    for name in ["importance", "prior"] {
        for k in &evaluation.ks {
            let _ = write!(t, ",{name}_{k}");
        }
    }
    t.push_str(",gap,effective_sample_size");
    t.push_str(if observed.is_some() { ",observed,log_scale\n" } else { "\n" });
    for (index, i) in evaluation.images.iter().enumerate() {
        let _ = write!(t, "{index},{},{},{}", i.elbo(), i.reconstruction, i.kl);
        for value in i.importance.iter().chain(&i.prior) {
            let _ = write!(t, ",{value}");
        }
        let _ = write!(t, ",{},{}", i.gap(), i.effective_size);
        if let Some((cells, log_scale)) = observed.as_ref().map(|observed| observed[index]) {
            let _ = write!(t, ",{cells},{log_scale}");
        }
        t.push('\n');
    }
    t
}
