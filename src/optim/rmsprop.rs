//! RMSprop: steps of the gradient over the root of its mean square (Hinton, lecture 6e of Neural Networks for
//! Machine Learning, 2012), with PyTorch's defaults.

use serde::{Deserialize, Serialize};

use super::{Rule, check_decay, check_epsilon};
use crate::config_error::ConfigError;
use crate::kernels::optimizer;

/// The constants of RMSprop besides its learning rate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RmsProp {
    /// Decay of the gradient's mean square, PyTorch's alpha.
    pub decay: f64,
    /// Added to the root of the mean square.
    pub epsilon: f64,
}

impl Default for RmsProp {
    fn default() -> Self {
        RmsProp { decay: 0.99, epsilon: 1e-8 }
    }
}

impl Rule for RmsProp {
    fn planes(&self) -> &'static [&'static str] {
        &["mean_square"]
    }

    /// A decay outside (0, 1), or an epsilon that is not positive.
    fn check(&self) -> Result<(), ConfigError> {
        check_decay("rmsprop.decay", self.decay)?;
        check_epsilon("rmsprop.epsilon", self.epsilon)
    }

    fn constants(&self) -> Vec<(&'static str, f64)> {
        vec![("OPTIMIZER", optimizer::RMSPROP), ("BETA2", self.decay), ("EPSILON", self.epsilon)]
    }
}
