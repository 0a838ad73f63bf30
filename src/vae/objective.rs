//! What training ascends, and by which estimator of its gradient.

use serde::{Deserialize, Serialize};

use crate::config_error::ConfigError;
use crate::named::named;

named! {
    /// The bound on log p(x) that is ascended.
    #[derive(Default)]
    pub enum Bound {
        /// mean_k log p(x|z_k) - beta KL
        Elbo = "elbo" (default),
        /// The importance-weighted bound L_K = log mean_k w_k (Burda et al. 2015)
        Iwae = "iwae",
    }
}

named! {
    /// How the encoder's gradient is estimated.
    #[derive(Default)]
    pub enum Estimator {
        /// The gradient of the sampled objective itself
        Reparameterized = "reparameterized" (default),
        /// Without the score of q (Roeder et al. 2017): less noise near the optimum; biased with iwae
        StickingTheLanding = "sticking-the-landing",
        /// iwae's gradient without the score of q and without bias (Tucker et al. 2018)
        DoublyReparameterized = "doubly-reparameterized",
    }
}

named! {
    /// How the KL to the prior enters the objective.
    #[derive(Default)]
    pub enum Kl {
        /// 1/2 sum of mu^2 + sigma^2 - 1 - ln sigma^2
        Analytic = "analytic" (default),
        /// log q(z|x) - log p(z) at the samples
        Sampled = "sampled",
    }
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
        let range = |field, right: &str, got| Err(ConfigError::range(field, right, got));
        // The steps are taken in single precision.
        if !(self.beta >= 0.0 && (self.beta as f32).is_finite()) {
            let right = "must be zero or a positive number, 3.4e38 at most";
            return range("objective.beta", right, self.beta);
        }
        if !(self.free_bits >= 0.0 && (self.free_bits as f32).is_finite()) {
            let right = "must be zero or a positive number of nats, 3.4e38 at most";
            return range("objective.free_bits", right, self.free_bits);
        }
        let sampled = self.kl == Kl::Sampled;
        let refuse = |field, value: &str, problem: &str, right: &str| {
            Err(ConfigError::conflict(field, value, problem, right))
        };
        match self.bound {
            Bound::Iwae if self.beta != 1.0 => refuse(
                "objective.bound",
                "iwae",
                "is no bound on log p(x) with another weight of the KL than 1",
                "give `objective.beta` 1",
            ),
            Bound::Iwae if self.warm_up > 0 => refuse(
                "objective.warm_up",
                &self.warm_up.to_string(),
                "cannot change the weights of iwae's samples, which are those of p and q",
                "it needs `objective.bound` elbo",
            ),
            Bound::Iwae if !sampled => refuse(
                "objective.bound",
                "iwae",
                "weights its samples by their densities",
                "it needs `objective.kl` sampled",
            ),
            _ if self.free_bits > 0.0 && sampled => refuse(
                "objective.free_bits",
                &self.free_bits.to_string(),
                "cannot be of a sampled KL, which can be negative in any unit",
                "it needs `objective.kl` analytic, hence `objective.bound` elbo",
            ),
            Bound::Elbo if self.estimator == Estimator::DoublyReparameterized => refuse(
                "objective.estimator",
                "doubly-reparameterized",
                "uses importance weights, which the ELBO has not",
                "it needs `objective.bound` iwae",
            ),
            _ if self.estimator == Estimator::StickingTheLanding && !sampled => refuse(
                "objective.estimator",
                "sticking-the-landing",
                "drops a score, which an analytic KL has not",
                "it needs `objective.kl` sampled",
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
