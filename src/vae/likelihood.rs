//! The likelihoods, each a room of kernels: what stands between the decoder's output and log p(x|z).

use serde::{Deserialize, Serialize};

use super::network::{Network, Trained};
use super::recorder::Recorder;
use crate::kernels::{bernoulli, gaussian};
use crate::plan::{PlanError, TensorId};

/// What the decoder's output means.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Likelihood {
    /// Logits of pixels in [0, 1].
    #[default]
    Bernoulli,
    /// Means of real values, which have one variance: learned, or given.
    Gaussian {
        /// Of every pixel; `None` is learned.
        variance: Option<f64>,
    },
}

impl Likelihood {
    /// What the decoder's last layer is called.
    pub fn output_name(self) -> &'static str {
        match self {
            Likelihood::Bernoulli => "logits",
            Likelihood::Gaussian { .. } => "mean",
        }
    }
}

/// The tensors of one row of z each, between decoder and objective.
#[derive(Clone, Copy)]
pub(super) struct Observed {
    /// (B, D)
    pub x: TensorId,
    /// (B*K, D) the decoder's output
    pub eta: TensorId,
}

impl Recorder<'_> {
    /// log p(x|z), (B*K).
    pub fn log_likelihood(
        &mut self,
        network: &Network,
        Observed { x, eta }: Observed,
    ) -> Result<TensorId, PlanError> {
        let log_px = self.tensor("log_px", &[self.rows()]);
        let k = [("K", self.samples() as f64)];
        match network.log_variance {
            None => self.dispatch(
                &bernoulli::LOG_LIKELIHOOD,
                &[("x", x), ("logits", eta), ("log_px", log_px)],
                &k,
            )?,
            Some(v) => self.dispatch(
                &gaussian::LOG_LIKELIHOOD,
                &[("x", x), ("eta", eta), ("log_variance", v), ("log_px", log_px)],
                &k,
            )?,
        }
        Ok(log_px)
    }

    /// log p(x|z) together with the gradient for `eta`, where the rows' weights are known beforehand.
    pub fn likelihood_and_gradient(
        &mut self,
        network: &Network,
        trained: &[Trained],
        Observed { x, eta }: Observed,
        weight: TensorId,
    ) -> Result<(TensorId, TensorId), PlanError> {
        let rows = self.rows();
        let log_px = self.tensor("log_px", &[rows]);
        let d_eta = self.tensor("d_eta", &[rows, network.architecture.pixels()]);
        let k = [("K", self.samples() as f64)];
        match network.log_variance {
            None => self.dispatch(
                &bernoulli::GRADIENT,
                &[
                    ("x", x),
                    ("logits", eta),
                    ("weight", weight),
                    ("log_px", log_px),
                    ("d_logits", d_eta),
                ],
                &k,
            )?,
            Some(v) => {
                let squares = self.tensor("squares", &[rows]);
                self.dispatch(
                    &gaussian::GRADIENT,
                    &[
                        ("x", x),
                        ("eta", eta),
                        ("log_variance", v),
                        ("weight", weight),
                        ("log_px", log_px),
                        ("d_eta", d_eta),
                        ("squares", squares),
                    ],
                    &k,
                )?;
                self.variance_gradient(network, trained, weight, squares)?;
            }
        }
        Ok((log_px, d_eta))
    }

    /// The gradient for `eta` alone, where the rows' weights depend on log p(x|z).
    pub fn likelihood_backward(
        &mut self,
        network: &Network,
        trained: &[Trained],
        Observed { x, eta }: Observed,
        weight: TensorId,
    ) -> Result<TensorId, PlanError> {
        let rows = self.rows();
        let d_eta = self.tensor("d_eta", &[rows, network.architecture.pixels()]);
        let k = [("K", self.samples() as f64)];
        match network.log_variance {
            None => self.dispatch(
                &bernoulli::BACKWARD,
                &[("x", x), ("logits", eta), ("weight", weight), ("d_logits", d_eta)],
                &k,
            )?,
            Some(v) => {
                let squares = self.tensor("squares", &[rows]);
                self.dispatch(
                    &gaussian::BACKWARD,
                    &[
                        ("x", x),
                        ("eta", eta),
                        ("log_variance", v),
                        ("weight", weight),
                        ("d_eta", d_eta),
                        ("squares", squares),
                    ],
                    &k,
                )?;
                self.variance_gradient(network, trained, weight, squares)?;
            }
        }
        Ok(d_eta)
    }

    /// That of the learned log variance; a given one has none.
    fn variance_gradient(
        &mut self,
        network: &Network,
        trained: &[Trained],
        weight: TensorId,
        squares: TensorId,
    ) -> Result<(), PlanError> {
        let learned = trained.iter().find(|t| Some(t.parameter) == network.log_variance);
        let Some(t) = learned.filter(|t| !t.frozen) else { return Ok(()) };
        self.dispatch(
            &gaussian::VARIANCE,
            &[
                ("log_variance", t.parameter),
                ("weight", weight),
                ("row_squares", squares),
                ("d_log_variance", t.gradient),
            ],
            &[("K", self.samples() as f64), ("D", network.architecture.pixels() as f64)],
        )
    }

    /// E[x|z], (B*K, D).
    pub fn expectation(&mut self, network: &Network, z: TensorId) -> Result<TensorId, PlanError> {
        let rows = self.rows();
        let decoded = self.stack(&network.decoder, z, rows)?;
        let eta = *decoded.last().expect("a decoder has layers");
        if network.log_variance.is_some() {
            return Ok(eta);
        }
        let mean = self.tensor("mean", &[rows, network.architecture.pixels()]);
        self.dispatch(&bernoulli::EXPECTATION, &[("logits", eta), ("mean", mean)], &[("K", 1.0)])?;
        Ok(mean)
    }
}
