//! Adamax: steps of the gradient's mean over the largest gradient of late (Kingma and Ba 2015, section 7.1), with
//! PyTorch's epsilon.

use serde::{Deserialize, Serialize};

use super::{Rule, check_decay, check_epsilon};
use crate::config_error::ConfigError;
use crate::kernels::optimizer;

/// The constants of Adamax besides its learning rate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Adamax {
    /// Decay of the gradient's mean.
    pub beta1: f64,
    /// Decay of the largest gradient.
    pub beta2: f64,
    /// Added to the size of each gradient.
    pub epsilon: f64,
}

impl Default for Adamax {
    fn default() -> Self {
        Adamax { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 }
    }
}

impl Rule for Adamax {
    fn planes(&self) -> &'static [&'static str] {
        &["moment1", "largest"]
    }

    /// A decay outside (0, 1), or an epsilon that is not positive.
    fn check(&self) -> Result<(), ConfigError> {
        check_decay("adamax.beta1", self.beta1)?;
        check_decay("adamax.beta2", self.beta2)?;
        check_epsilon("adamax.epsilon", self.epsilon)
    }

    fn constants(&self) -> Vec<(&'static str, f64)> {
        vec![
            ("OPTIMIZER", optimizer::ADAMAX),
            ("BETA1", self.beta1),
            ("BETA2", self.beta2),
            ("EPSILON", self.epsilon),
        ]
    }

    fn corrected(&self) -> Option<[f64; 2]> {
        Some([self.beta1, self.beta2])
    }
}
