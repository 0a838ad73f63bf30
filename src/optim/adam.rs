//! Adam: steps of the gradient's mean over the root of its mean square.

use serde::{Deserialize, Serialize};

use super::Rule;
use crate::config_error::ConfigError;
use crate::kernels::optimizer;

/// The constants of Adam besides its learning rate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Adam {
    /// Decay of the gradient's mean.
    pub beta1: f64,
    /// Decay of its mean square.
    pub beta2: f64,
    /// Added to the root of the mean square.
    pub epsilon: f64,
}

impl Default for Adam {
    fn default() -> Self {
        Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 }
    }
}

impl Rule for Adam {
    fn planes(&self) -> &'static [&'static str] {
        &["moment1", "moment2"]
    }

    /// A decay outside [0, 1), or an epsilon that is not positive.
    fn check(&self) -> Result<(), ConfigError> {
        for (field, decay) in [("adam.beta1", self.beta1), ("adam.beta2", self.beta2)] {
            // The kernels compute with its logarithm, and in single precision.
            if !(decay > 0.0 && decay <= 0.999999) {
                return Err(ConfigError::range(
                    field,
                    "must be above 0 and at most 0.999999",
                    decay,
                ));
            }
        }
        if !(self.epsilon >= 1e-30 && self.epsilon.is_finite()) {
            return Err(ConfigError::range(
                "adam.epsilon",
                "must be a positive number, 1e-30 at least",
                self.epsilon,
            ));
        }
        Ok(())
    }

    fn constants(&self) -> Vec<(&'static str, f64)> {
        vec![
            ("OPTIMIZER", optimizer::ADAM),
            ("BETA1", self.beta1),
            ("BETA2", self.beta2),
            ("EPSILON", self.epsilon),
        ]
    }

    fn corrected(&self) -> Option<[f64; 2]> {
        Some([self.beta1, self.beta2])
    }
}
