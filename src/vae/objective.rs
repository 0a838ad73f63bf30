//! What training ascends, and by which estimator of its gradient.

use serde::{Deserialize, Serialize};

use super::config::ConfigError;

/// The bound on log p(x) that is ascended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Bound {
    /// mean_k log p(x|z_k) - beta KL
    #[default]
    Elbo,
    /// The importance-weighted bound L_K = log mean_k w_k (Burda et al. 2015)
    Iwae,
}

/// How the encoder's gradient is estimated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Estimator {
    /// The gradient of the sampled objective itself
    #[default]
    Reparameterized,
    /// Without the score of q (Roeder et al. 2017): less noise near the optimum; biased with iwae
    StickingTheLanding,
    /// iwae's gradient without the score of q and without bias (Tucker et al. 2018)
    DoublyReparameterized,
}

/// How the KL to the prior enters the objective.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Kl {
    /// 1/2 sum of mu^2 + sigma^2 - 1 - ln sigma^2
    #[default]
    Analytic,
    /// log q(z|x) - log p(z) at the samples
    Sampled,
}

/// What a training run ascends. In `config.json` these stand among the other settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Objective {
    /// The bound on log p(x).
    #[serde(rename = "objective")]
    pub bound: Bound,
    /// How the encoder's gradient is estimated.
    #[serde(rename = "gradient")]
    pub estimator: Estimator,
    /// How the KL enters.
    pub kl: Kl,
    /// Weight of the KL in the objective. Reported ELBOs have it at 1.
    pub beta: f64,
    /// Epochs in which the weight of the KL rises from zero to beta.
    pub warm_up: u32,
    /// Nats of each unit's KL, averaged over the minibatch, that cost nothing; zero for none.
    pub free_bits: f64,
}

impl Default for Objective {
    fn default() -> Self {
        Objective {
            bound: Bound::Elbo,
            estimator: Estimator::Reparameterized,
            kl: Kl::Analytic,
            beta: 1.0,
            warm_up: 0,
            free_bits: 0.0,
        }
    }
}

impl Objective {
    /// # Errors
    /// A value out of its range, or a combination that means nothing.
    pub fn check(&self) -> Result<(), ConfigError> {
        let fail = |message: String| Err(ConfigError(message));
        if !(self.beta >= 0.0 && self.beta.is_finite()) {
            return fail(format!("--beta must be zero or a positive number, got {}", self.beta));
        }
        if !(self.free_bits >= 0.0 && self.free_bits.is_finite()) {
            return fail(format!(
                "--free-bits must be zero or a positive number of nats, got {}",
                self.free_bits
            ));
        }
        let sampled = self.kl == Kl::Sampled;
        let refuse = |what: &str, why: &str| Err(ConfigError(format!("{what} {why}")));
        match self.bound {
            Bound::Iwae if self.beta != 1.0 => {
                refuse("--objective iwae needs --beta 1:", "another weight is no bound on log p(x)")
            }
            Bound::Iwae if self.warm_up > 0 => refuse(
                "--warm-up needs --objective elbo:",
                "iwae's samples are weighted by p and q as they are",
            ),
            Bound::Iwae if !sampled => refuse(
                "--objective iwae needs --kl sampled:",
                "its weights are densities at the samples",
            ),
            _ if self.free_bits > 0.0 && sampled => refuse(
                "--free-bits needs --kl analytic, hence --objective elbo:",
                "a sampled KL can be negative in any unit",
            ),
            Bound::Elbo if self.estimator == Estimator::DoublyReparameterized => refuse(
                "--gradient doubly-reparameterized needs --objective iwae:",
                "the ELBO has no importance weights",
            ),
            _ if self.estimator == Estimator::StickingTheLanding && !sampled => refuse(
                "--gradient sticking-the-landing needs --kl sampled:",
                "an analytic KL has no score to drop",
            ),
            _ => Ok(()),
        }
    }

    /// As a line of the console has it.
    pub fn describe(&self, samples: usize) -> String {
        let mut parts = vec![match (self.bound, samples) {
            (Bound::Elbo, 1) => "ELBO".to_string(),
            (Bound::Elbo, k) => format!("ELBO of {k} samples"),
            (Bound::Iwae, k) => format!("importance-weighted bound of {k} samples"),
        }];
        if self.bound == Bound::Elbo && self.kl == Kl::Sampled {
            parts.push("sampled KL".to_string());
        }
        match self.estimator {
            Estimator::Reparameterized => {}
            Estimator::StickingTheLanding => parts.push("sticking the landing".to_string()),
            Estimator::DoublyReparameterized => parts.push("doubly reparameterized".to_string()),
        }
        if self.beta != 1.0 {
            parts.push(format!("beta {}", self.beta));
        }
        if self.warm_up > 0 {
            parts.push(format!("warm-up of {} epochs", self.warm_up));
        }
        if self.free_bits > 0.0 {
            parts.push(format!("{} free nats a unit", self.free_bits));
        }
        parts.join(", ")
    }
}
