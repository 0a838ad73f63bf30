//! The scores of single images or rows, for people and for programs.

use std::fmt::Write;

use serde::Serialize;

use super::bounds::Subject;
use super::rows::quoted;
use crate::bounds::{Estimate, OfBest, Refining, Score, auroc, quantile};
use crate::data::Images;
use crate::vae::Likelihood;

/// One set of images and their scores, in their order.
pub struct Scored<'a> {
    /// What its data set is called.
    pub data: &'a str,
    /// Which of its parts.
    pub split: &'static str,
    /// Whether it is another data set, from which the first is to be told apart.
    pub other: bool,
    pub images: &'a Images,
    pub scores: Vec<Score>,
}

/// What was asked for, and what was found.
pub struct Found<'a> {
    pub subject: &'a Subject,
    /// K
    pub samples: usize,
    pub refining: Option<Refining>,
    pub likelihood: Likelihood,
    pub sets: &'a [Scored<'a>],
    /// Scores of images that the run was trained on.
    pub training: Option<&'a [Score]>,
}

/// One line of the CSV file.
#[derive(Serialize)]
struct Row<'a> {
    data: &'a str,
    split: &'static str,
    /// 0 is the first of its set.
    image: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<&'a str>,
    /// The highest bound.
    log_px: f64,
    importance_sampling: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    importance_sampling_from_best_q: Option<f64>,
    elbo: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    best_elbo: Option<f64>,
    effective_sample_size: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    regret: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bits_per_dimension: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log_px_quantile: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    regret_quantile: Option<f64>,
}

/// Means over a set.
#[derive(Serialize)]
struct OfSet<'a> {
    data: &'a str,
    split: &'static str,
    images: usize,
    log_px: Estimate,
    importance_sampling: Estimate,
    importance_sampling_from_best_q: Option<Estimate>,
    elbo: Estimate,
    best_elbo: Option<Estimate>,
    regret: Option<Estimate>,
    effective_sample_size: Estimate,
}

/// How well a score tells the images of the first data set from those of another.
#[derive(Serialize)]
struct Apart {
    /// log p(x) is higher in the first.
    log_px: Estimate,
    /// The ELBO is.
    elbo: Estimate,
    /// The regret is lower.
    regret: Option<Estimate>,
}

#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    subject: &'a Subject,
    samples: usize,
    refining: Option<Refining>,
    /// How many training images the quantiles are of.
    training_images: Option<usize>,
    sets: Vec<OfSet<'a>>,
    auroc: Option<Apart>,
    rows: Vec<Row<'a>>,
    elbo_version: &'static str,
}

fn rows<'a>(found: &Found<'a>) -> Vec<Row<'a>> {
    let sorted = |of: &dyn Fn(&Score) -> Option<f64>| -> Option<Vec<f64>> {
        let mut values = found.training?.iter().map(of).collect::<Option<Vec<f64>>>()?;
        values.sort_by(f64::total_cmp);
        Some(values)
    };
    let log_px = sorted(&|score| Some(score.log_px()));
    let regrets = sorted(&|score| score.refined.map(|best| best.regret));
    let of_set = |set: &'a Scored<'a>| {
        let (log_px, regrets) = (log_px.clone(), regrets.clone());
        set.scores.iter().enumerate().map(move |(image, score)| {
            let (highest, best) = (score.log_px(), score.refined);
            let regret = best.map(|best| best.regret);
            Row {
                data: set.data,
                split: set.split,
                image,
                class: set.images.labels.as_ref().map(|labels| labels.name(image)),
                log_px: highest,
                importance_sampling: score.importance,
                importance_sampling_from_best_q: best.map(|best| best.importance),
                elbo: score.elbo,
                best_elbo: best.map(|best| best.elbo),
                effective_sample_size: score.effective_size,
                regret,
                bits_per_dimension: found
                    .likelihood
                    .bits_per_dimension(highest, set.images.n_pixels()),
                log_px_quantile: log_px.as_ref().map(|all| quantile(all, highest)),
                regret_quantile: regrets.as_ref().zip(regret).map(|(all, r)| quantile(all, r)),
            }
        })
    };
    found.sets.iter().flat_map(of_set).collect()
}

fn of_sets<'a>(found: &Found<'a>) -> Vec<OfSet<'a>> {
    let of_set = |set: &'a Scored<'a>| {
        let scores = || set.scores.iter();
        let of_best = |figure: fn(OfBest) -> f64| {
            let each: Option<Vec<f64>> = scores().map(|score| score.refined.map(figure)).collect();
            each.map(|each| Estimate::of(each.into_iter()))
        };
        OfSet {
            data: set.data,
            split: set.split,
            images: set.scores.len(),
            log_px: Estimate::of(scores().map(Score::log_px)),
            importance_sampling: Estimate::of(scores().map(|score| score.importance)),
            importance_sampling_from_best_q: of_best(|best| best.importance),
            elbo: Estimate::of(scores().map(|score| score.elbo)),
            best_elbo: of_best(|best| best.elbo),
            regret: of_best(|best| best.regret),
            effective_sample_size: Estimate::of(scores().map(|score| score.effective_size)),
        }
    };
    found.sets.iter().map(of_set).collect()
}

fn apart(found: &Found) -> Option<Apart> {
    let of = |other: bool, score: &dyn Fn(&Score) -> Option<f64>| -> Option<Vec<f64>> {
        let sets = found.sets.iter().filter(|set| set.other == other);
        sets.flat_map(|set| &set.scores).map(score).collect()
    };
    let area = |score: &dyn Fn(&Score) -> Option<f64>| {
        let (own, others) = (of(false, score)?, of(true, score)?);
        (!own.is_empty() && !others.is_empty()).then(|| auroc(&own, &others))
    };
    Some(Apart {
        log_px: area(&|score| Some(score.log_px()))?,
        elbo: area(&|score| Some(score.elbo))?,
        regret: area(&|score| score.refined.map(|best| -best.regret)),
    })
}

/// One object.
///
/// # Errors
/// The encoder's.
pub fn json(found: &Found) -> Result<String, String> {
    let report = Report {
        subject: found.subject,
        samples: found.samples,
        refining: found.refining,
        training_images: found.training.map(<[Score]>::len),
        sets: of_sets(found),
        auroc: apart(found),
        rows: rows(found),
        elbo_version: env!("CARGO_PKG_VERSION"),
    };
    serde_json::to_string_pretty(&report).map_err(|e| e.to_string())
}

/// A head, and a line for each image or row. Columns of what no line has are left out.
pub fn csv(found: &Found) -> String {
    let rows = rows(found);
    let is_table = found.sets.iter().any(|set| set.images.table().is_some());
    let has = |of: &dyn Fn(&Row) -> bool| rows.iter().any(of);
    let classes = has(&|row| row.class.is_some());
    type Column = (&'static str, fn(&Row) -> Option<f64>);
    let columns: [Column; 10] = [
        ("log_px", |row| Some(row.log_px)),
        ("importance_sampling", |row| Some(row.importance_sampling)),
        ("importance_sampling_from_best_q", |row| row.importance_sampling_from_best_q),
        ("elbo", |row| Some(row.elbo)),
        ("best_elbo", |row| row.best_elbo),
        ("effective_sample_size", |row| Some(row.effective_sample_size)),
        ("regret", |row| row.regret),
        ("bits_per_dimension", |row| row.bits_per_dimension),
        ("log_px_quantile", |row| row.log_px_quantile),
        ("regret_quantile", |row| row.regret_quantile),
    ];
    let columns: Vec<Column> =
        columns.into_iter().filter(|(_, of)| has(&|row| of(row).is_some())).collect();
    let mut t = format!("data,split,{}", if is_table { "row" } else { "image" });
    if classes {
        t.push_str(",class");
    }
    for (name, _) in &columns {
        // Writing to a string cannot fail.
        let _ = write!(t, ",{name}");
    }
    t.push('\n');
    for row in &rows {
        let _ = write!(t, "{},{},{}", quoted(row.data), row.split, row.image);
        if classes {
            let _ = write!(t, ",{}", quoted(row.class.unwrap_or_default()));
        }
        for (_, of) in &columns {
            let _ = match of(row) {
                Some(v) => write!(t, ",{v}"),
                None => write!(t, ","),
            };
        }
        t.push('\n');
    }
    t
}

/// Means over each set, and how far the sets can be told apart.
pub fn table(found: &Found) -> String {
    let Subject { run, model, seed, seconds, .. } = found.subject;
    let sets = of_sets(found);
    let name = |set: &OfSet| format!("{}, {}", set.data, set.split);
    let width = sets.iter().map(|set| name(set).chars().count()).max().unwrap_or(0).max(20);
    let mut t = String::new();
    let _ = writeln!(t, "{run}: {model}, seed {seed}, {seconds:.1} s");
    let mut row = |name: &str, images: &str, cells: [&str; 4]| {
        let [log_px, elbo, regret, draws] = cells;
        let line =
            format!("{name:<width$} {images:>7} {log_px:>19} {elbo:>19} {regret:>17} {draws:>17}");
        let _ = writeln!(t, "{}", line.trim_end());
    };
    let by = format!("log p(x), k = {}", found.samples);
    row("nats ± error", "images", [&by, "ELBO", "regret", "effective draws"]);
    for set in &sets {
        let [highest, own, best] =
            [Some(set.log_px), Some(set.importance_sampling), set.importance_sampling_from_best_q]
                .map(shown);
        let [elbo, best_elbo, regret, draws] =
            [Some(set.elbo), set.best_elbo, set.regret, Some(set.effective_sample_size)].map(shown);
        let (name, images) = (name(set), set.images.to_string());
        if set.best_elbo.is_none() {
            row(&name, &images, [&own, &elbo, &regret, &draws]);
            continue;
        }
        row(&name, &images, [&highest, "", &regret, &draws]);
        row("  by the encoder's q", "", [&own, &elbo, "", ""]);
        row("  by the best q", "", [&best, &best_elbo, "", ""]);
    }
    if let Some(apart) = apart(found) {
        let _ = writeln!(
            t,
            "told apart, area under the ROC curve: by log p(x) {}, by the ELBO {}, by the regret {}",
            shown(Some(apart.log_px)),
            shown(Some(apart.elbo)),
            shown(apart.regret)
        );
    }
    if let Some(training) = found.training {
        let _ = writeln!(t, "quantiles are among {} training images", training.len());
    }
    t
}

fn shown(estimate: Option<Estimate>) -> String {
    match estimate {
        None => "-".to_string(),
        Some(Estimate { value, standard_error: None }) => format!("{value:.3}"),
        Some(Estimate { value, standard_error: Some(error) }) => format!("{value:.3} ± {error:.3}"),
    }
}
