//! Adam: steps of the gradient's mean over the root of its mean square.

use serde::{Deserialize, Serialize};

use super::{Rule, check_decay, check_epsilon};
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
        check_decay("adam.beta1", self.beta1)?;
        check_decay("adam.beta2", self.beta2)?;
        check_epsilon("adam.epsilon", self.epsilon)
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
