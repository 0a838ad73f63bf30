//! Bounds on log p(x) from both sides, for people and for programs.

use std::fmt::Write;

use serde::Serialize;

use super::svg::{Anchor, Axes, Scale, Svg, colour, range};
use crate::bounds::{Annealed, Annealing, Estimate, RatePoint, Sandwich, Tempering};
use crate::device::Description;
use crate::vae::anneal::Path;

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

/// What annealing found, with all that it takes to do it again.
#[derive(Serialize)]
struct OfChains<'a> {
    lower: Estimate,
    upper: Option<Estimate>,
    width: Option<Estimate>,
    /// Forward and backward.
    acceptance: [Option<f64>; 2],
    #[serde(skip_serializing_if = "<[RatePoint]>::is_empty")]
    rate_distortion: &'a [RatePoint],
    schedule: &'a Tempering,
}

impl<'a> OfChains<'a> {
    /// Of the chains' weights.
    fn new(annealed: &'a Annealed) -> Self {
        OfChains {
            lower: annealed.lower(),
            upper: annealed.upper(),
            width: annealed.width(),
            acceptance: annealed.acceptance(),
            rate_distortion: &annealed.curve,
            schedule: &annealed.tempering,
        }
    }
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
    #[serde(skip_serializing_if = "Option::is_none")]
    annealed: Option<OfChains<'a>>,
    elbo_version: &'static str,
}

fn report<'a>(
    sandwich: &Sandwich,
    annealed: Option<&'a Annealed>,
    subject: &'a Subject,
) -> Report<'a> {
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
        effective_sample_size: sandwich.effective_size(),
        annealed: annealed.map(OfChains::new),
        elbo_version: env!("CARGO_PKG_VERSION"),
    }
}

/// One object.
///
/// # Errors
/// The encoder's.
pub fn json(
    sandwich: &Sandwich,
    annealed: Option<&Annealed>,
    subject: &Subject,
) -> Result<String, String> {
    serde_json::to_string_pretty(&report(sandwich, annealed, subject)).map_err(|e| e.to_string())
}

/// A row for each k, and what they say.
pub fn table(sandwich: &Sandwich, annealed: Option<&Annealed>, subject: &Subject) -> String {
    let r = report(sandwich, annealed, subject);
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
    let mut row = |name: String, [lower, upper, width]: [Estimate; 3]| {
        let [a, b, c] = [lower, upper, width].map(error);
        let [lower, upper, width] = [lower, upper, width].map(|e| e.value);
        let _ =
            writeln!(t, "{name:>9} {lower:>10.3} {a:>7} {upper:>10.3} {b:>7} {width:>10.3} {c:>7}");
    };
    for AtK { k, lower, upper, width } in &r.importance_sampling {
        row(k.to_string(), [*lower, *upper, *width]);
    }
    if let Some(OfChains { lower, upper: Some(upper), width: Some(width), .. }) = &r.annealed {
        row("annealed".to_string(), [*lower, *upper, *width]);
    }
    let size = r.effective_sample_size;
    let _ =
        writeln!(t, "effective sample size, of {}: {:.1} ± {}", r.samples, size.value, error(size));
    if let Some(of_chains) = &r.annealed {
        let OfChains { schedule, acceptance, .. } = of_chains;
        let _ = writeln!(t, "{}", chains(schedule.settings, "q(z|x)", *acceptance));
    }
    let last = r.importance_sampling.last().expect("at least one k");
    let (name, width) = match &r.annealed {
        Some(OfChains { width: Some(width), .. }) if width.value < last.width.value => {
            ("annealing".to_string(), *width)
        }
        _ => (format!("importance sampling with {} draws", last.k), last.width),
    };
    let most = width.value + 2.0 * width.standard_error.unwrap_or(0.0);
    let _ = writeln!(
        t,
        "of these images {name} is at most {most:.3} nats too low, on average; of images that the model did not make, \
         only bounds from below are known"
    );
    t
}

/// How the chains went; `q` is what they begin at where it is not the prior.
pub fn chains(settings: Annealing, q: &str, acceptance: [Option<f64>; 2]) -> String {
    let Annealing { path, temperatures, chains, leapfrogs } = settings;
    let from = match path {
        Path::Posterior => q,
        Path::Prior => "the prior",
    };
    let accepted = acceptance.iter().flatten().map(|a| format!("{:.0} %", 100.0 * a));
    format!(
        "annealed from {from}: {chains} chains an image, {temperatures} temperatures, {leapfrogs} leapfrogs; {} of the \
         proposals were accepted",
        accepted.collect::<Vec<_>>().join(" and backward ")
    )
}

/// The rate over the distortion at the temperatures that were looked at, an SVG. None where there are no two points.
pub fn rate_distortion(annealed: &Annealed, run: &str) -> Option<String> {
    const FRAME: (f64, f64) = (520.0, 320.0);
    const LEFT: f64 = 74.0;
    const TOP: f64 = 62.0;
    let curve = &annealed.curve;
    let (least, greatest) = range(curve.iter().map(|p| p.distortion))?;
    let (low, high) = range(curve.iter().map(|p| p.rate))?;
    if curve.len() < 2 {
        return None;
    }
    let [x_margin, y_margin] = [greatest - least, high - low].map(|v| 0.04 * v.max(1e-3));
    let axes = Axes {
        x: Scale { from: (least - x_margin, greatest + x_margin), to: (LEFT, LEFT + FRAME.0) },
        y: Scale { from: (low - y_margin, high + y_margin), to: (TOP + FRAME.1, TOP) },
    };
    let title =
        format!("{run}: rate and distortion of the decoder, {} images", annealed.images.len());
    let mut svg = Svg::new(LEFT + FRAME.0 + 30.0, &title);
    svg.text((LEFT, 22.0), Anchor::Start, "font-size=\"14\" font-weight=\"bold\"", &title);
    let about = "annealed from the prior, one point a temperature; rates are bounds from above";
    svg.text((LEFT, 44.0), Anchor::Start, "", about);
    axes.y_ticks(&mut svg, 6.0);
    axes.x_ticks(&mut svg, 7.0, 0.0, true);
    axes.frame(&mut svg);
    let points: Vec<(f64, f64)> =
        curve.iter().map(|p| (axes.x.at(p.distortion), axes.y.at(p.rate))).collect();
    let stroke = format!("stroke=\"{}\" stroke-width=\"1.8\"", colour(0));
    svg.polyline(&points, &stroke);
    svg.dots(&points, 5.0, colour(0));
    svg.upright((18.0, TOP + FRAME.1 / 2.0), "rate, KL to the prior, nats");
    let middle = (LEFT + FRAME.0 / 2.0, TOP + FRAME.1 + 42.0);
    svg.text(middle, Anchor::Middle, "", "distortion, -E log p(x|z), nats");
    Some(svg.finish(TOP + FRAME.1 + 60.0))
}

fn error(estimate: Estimate) -> String {
    estimate.standard_error.map_or("-".to_string(), |e| format!("{e:.3}"))
}
