//! The likelihoods, each a room of kernels: what stands between the decoder's output and log p(x|z).

use serde::{Deserialize, Serialize};

use super::backward::Training;
use super::network::Network;
use super::recorder::{Recorder, Sampled};
use crate::kernels::{adam, bernoulli, decode, gaussian};
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

/// What the decoder and the likelihood leave for the way back.
pub(super) struct Decoded {
    /// Of the decoder's layers, as far as the way back needs them: all but the last.
    pub outputs: Vec<TensorId>,
    /// (B*K, T), or (B*K)
    pub log_px: TensorId,
    /// (B*K, D)
    pub d_eta: TensorId,
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

    /// log p(x|z) of the decoder's output for the samples, in parts (B*K, T), as the metrics take it;
    /// where one row's is needed, see [`Recorder::log_likelihood`].
    pub fn decoded_log_likelihood(
        &mut self,
        network: &Network,
        x: TensorId,
        sampled: &Sampled,
    ) -> Result<TensorId, PlanError> {
        let rows = self.rows();
        if network.log_variance.is_some() {
            let decoded = self.decode(&network.decoder, sampled)?;
            let eta = *decoded.last().expect("a decoder has layers");
            return self.log_likelihood(network, Observed { x, eta });
        }
        let (last, hidden) = network.decoder.split_last().expect("a decoder has layers");
        let h = self.decode(hidden, sampled)?.pop().unwrap_or(sampled.z);
        let log_px = self.tensor("log_px", &[rows, last.outputs.div_ceil(decode::PART)]);
        self.dispatch(
            &decode::DECODE_LOG_LIKELIHOOD,
            &[("h", h), ("weight", last.weight), ("bias", last.bias), ("x", x), ("log_px", log_px)],
            &[("K", self.samples() as f64)],
        )?;
        Ok(log_px)
    }

    /// The decoder of the samples, and log p(x|z) in parts (B*K, T) together with the gradient for its
    /// output, where the rows' weights are known beforehand.
    pub fn decoded_likelihood_and_gradient(
        &mut self,
        network: &Network,
        training: Training,
        x: TensorId,
        sampled: &Sampled,
        weight: TensorId,
    ) -> Result<Decoded, PlanError> {
        let rows = self.rows();
        if network.log_variance.is_some() {
            let outputs = self.decode(&network.decoder, sampled)?;
            let observed = Observed { x, eta: *outputs.last().expect("a decoder has layers") };
            let (log_px, d_eta) =
                self.gaussian_and_gradient(network, training, observed, weight)?;
            return Ok(Decoded { outputs, log_px, d_eta });
        }
        let (last, hidden) = network.decoder.split_last().expect("a decoder has layers");
        let outputs = self.decode(hidden, sampled)?;
        let h = outputs.last().copied().unwrap_or(sampled.z);
        let d_eta = self.tensor("d_eta", &[rows, last.outputs]);
        let log_px = self.tensor("log_px", &[rows, last.outputs.div_ceil(decode::PART)]);
        self.dispatch(
            &decode::DECODE,
            &[
                ("h", h),
                ("weight", last.weight),
                ("bias", last.bias),
                ("x", x),
                ("row_weight", weight),
                ("d_eta", d_eta),
                ("log_px", log_px),
            ],
            &[("K", self.samples() as f64)],
        )?;
        Ok(Decoded { outputs, log_px, d_eta })
    }

    fn gaussian_and_gradient(
        &mut self,
        network: &Network,
        training: Training,
        Observed { x, eta }: Observed,
        weight: TensorId,
    ) -> Result<(TensorId, TensorId), PlanError> {
        let rows = self.rows();
        let log_px = self.tensor("log_px", &[rows]);
        let d_eta = self.tensor("d_eta", &[rows, network.architecture.pixels()]);
        let squares = self.tensor("squares", &[rows]);
        let v = network.log_variance.expect("a Gaussian likelihood has one");
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
            &[("K", self.samples() as f64)],
        )?;
        self.variance_update(network, training, weight, squares)?;
        Ok((log_px, d_eta))
    }

    /// The gradient for `eta` alone, where the rows' weights depend on log p(x|z).
    pub fn likelihood_backward(
        &mut self,
        network: &Network,
        training: Training,
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
                self.variance_update(network, training, weight, squares)?;
            }
        }
        Ok(d_eta)
    }

    /// Adam's step of a learned log variance, which nothing later in the plan reads; a given one stays.
    fn variance_update(
        &mut self,
        network: &Network,
        training: Training,
        weight: TensorId,
        squares: TensorId,
    ) -> Result<(), PlanError> {
        let learned = training.trained.iter().find(|t| Some(t.parameter) == network.log_variance);
        let Some(t) = learned.filter(|t| !t.frozen) else { return Ok(()) };
        let gradient = self.tensor("d_log_variance", &[1]);
        self.dispatch(
            &gaussian::VARIANCE,
            &[
                ("log_variance", t.parameter),
                ("weight", weight),
                ("row_squares", squares),
                ("d_log_variance", gradient),
            ],
            &[("K", self.samples() as f64), ("D", network.architecture.pixels() as f64)],
        )?;
        self.dispatch(
            &adam::ADAM,
            &[
                ("gradient", gradient),
                ("rates", training.rates),
                ("parameter", t.parameter),
                ("moments", t.moments),
            ],
            &training.constants(),
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
