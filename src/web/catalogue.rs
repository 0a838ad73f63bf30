//! What can be chosen on the page: a document for each choice. Learning rate and seed are in none of them; the page writes them.

use serde::Serialize;

use crate::data::Dataset;
use crate::nn::Layers;
use crate::train::Settings;
use crate::vae::objective::{Bound, Kl};
use crate::vae::{Architecture, Binarization, Likelihood, Objective};

/// K of the importance-weighted bound.
const WEIGHTED: usize = 5;
/// Hidden layers of the encoder, from the pixels; the decoder has them the other way round.
const NETWORKS: [&[usize]; 3] = [&[64], &[400], &[200, 200]];
const LATENT: [usize; 3] = [2, 10, 20];
const BATCHES: [usize; 4] = [20, 128, 512, 2048];

/// Everything that can be chosen.
#[derive(Debug, Clone, Serialize)]
pub struct Choices {
    /// Each with how it is named in a choice, and as people write it.
    pub networks: Vec<Named>,
    pub latent: Vec<usize>,
    pub objectives: Vec<Named>,
    pub batches: Vec<usize>,
}

/// An entry of a list.
#[derive(Debug, Clone, Serialize)]
pub struct Named {
    pub name: String,
    pub label: String,
}

/// One network with its latent units.
pub struct Model {
    /// As in "400-20".
    pub name: String,
    pub settings: Settings,
}

/// One way to train it.
pub struct Run {
    /// As in "400-20-elbo-128".
    pub name: String,
    pub settings: Settings,
}

/// What can be chosen for a data set of grey images; no batch has more than `images`.
pub fn choices(pixels: usize, images: usize) -> Choices {
    let network = |hidden: &&[usize]| Named {
        name: joined(hidden, "x"),
        label: format!("{pixels}-{}-z", joined(hidden, "-")),
    };
    let objectives = [
        ("elbo".to_string(), "ELBO".to_string()),
        (format!("iwae{WEIGHTED}"), format!("IWAE, K = {WEIGHTED}")),
    ];
    let mut batches: Vec<usize> = BATCHES.into_iter().filter(|&b| b <= images).collect();
    if batches.is_empty() {
        batches.push(images);
    }
    Choices {
        networks: NETWORKS.iter().map(network).collect(),
        latent: LATENT.to_vec(),
        objectives: objectives.map(|(name, label)| Named { name, label }).to_vec(),
        batches,
    }
}

/// The networks of the catalogue for a data set.
pub fn models(dataset: &Dataset, binarization: Binarization) -> Vec<Model> {
    let mut all = Vec::new();
    for hidden in NETWORKS {
        for latent in LATENT {
            let mut settings = Settings::of(dataset);
            let back: Vec<usize> = hidden.iter().rev().copied().collect();
            settings.architecture = Architecture {
                hidden: Layers::from(hidden.to_vec()),
                decoder_hidden: Layers::from(back),
                latent,
                likelihood: Likelihood::Bernoulli,
                ..settings.architecture
            };
            settings.binarization = binarization;
            all.push(Model { name: format!("{}-{latent}", joined(hidden, "x")), settings });
        }
    }
    all
}

/// The ways to train one of them.
pub fn runs(model: &Model, choices: &Choices) -> Vec<Run> {
    let mut all = Vec::new();
    for (objective, bound) in choices.objectives.iter().zip([Bound::Elbo, Bound::Iwae]) {
        for &batch in &choices.batches {
            let mut settings = model.settings.clone();
            settings.batch = batch;
            if bound == Bound::Iwae {
                settings.samples = WEIGHTED;
                settings.objective = Objective { bound, kl: Kl::Sampled, ..settings.objective };
            }
            all.push(Run { name: format!("{}-{}-{batch}", model.name, objective.name), settings });
        }
    }
    all
}

fn joined(numbers: &[usize], between: &str) -> String {
    numbers.iter().map(usize::to_string).collect::<Vec<_>>().join(between)
}
