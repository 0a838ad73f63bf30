//! How much of everything a row of counts has, and what likelihoods of counts share besides.

use super::{Observed, OnnxGraph, OnnxOutput, OwnParameter};
use crate::kernels::counts;
use crate::named::named;
use crate::plan::{PlanError, Recorder, TensorId};

named! {
    /// The size factor s of a row of counts, by which its rates s e^eta are larger than those of other rows.
    #[derive(Default)]
    pub enum SizeFactor {
        /// The total of its counts over the mean total of the training rows
        Total = "total" (default),
        /// 1: how much a row has of everything is for the latent units to tell
        None = "none",
    }
}

/// What the mean total is called in files.
const STORED: &str = "observation_mean_total";

impl SizeFactor {
    /// The mean total, which is 0 where rows are all of one size, as the kernels have it.
    pub(super) fn parameter(self) -> OwnParameter {
        let first = match self {
            SizeFactor::Total => 1.0,
            SizeFactor::None => 0.0,
        };
        OwnParameter {
            name: "mean_total",
            stored: STORED,
            dims: vec![1],
            initial: vec![first],
            frozen: true,
        }
    }

    /// Sets the mean total, if it has one, from the means of the columns.
    pub(super) fn begin_at(self, means: &[f64], mean_total: &mut [f32]) {
        let total: f64 = means.iter().sum();
        if self == SizeFactor::Total && total > 0.0 {
            mean_total[0] = total as f32;
        }
    }

    /// How it is told in a likelihood's label.
    pub(super) fn label(self) -> &'static str {
        match self {
            SizeFactor::Total => "",
            SizeFactor::None => " without size factor",
        }
    }

    /// Records E[x|z] of rows whose counts are known, (B*K, D).
    pub(super) fn sized_mean(
        self,
        r: &mut Recorder,
        of: Observed,
        mean_total: TensorId,
    ) -> Result<TensorId, PlanError> {
        match self {
            SizeFactor::Total => {
                let mean = r.tensor("mean", &r.dims(of.eta));
                let tensors =
                    [("x", of.x), ("eta", of.eta), ("mean_total", mean_total), ("mean", mean)];
                r.dispatch(&counts::SIZED_RATES, &tensors, &[("K", of.samples as f64)])?;
                Ok(mean)
            }
            SizeFactor::None => mean_of_mean_size(r, of.eta),
        }
    }

    /// What the decoder in ONNX tells of it.
    pub(super) fn onnx(self) -> Option<OnnxOutput> {
        (self == SizeFactor::Total).then_some(OnnxOutput {
            name: "mean_total",
            of: Some(("Identity", STORED)),
            of_pixels: false,
            meaning: Some("the mean of the training rows' totals: a row of another has so much more or less of all"),
        })
    }
}

/// Records E[x|z] of rows of size factor 1, (B*K, D).
pub(super) fn mean_of_mean_size(r: &mut Recorder, eta: TensorId) -> Result<TensorId, PlanError> {
    let mean = r.tensor("mean", &r.dims(eta));
    r.dispatch(&counts::RATES, &[("eta", eta), ("mean", mean)], &[("K", 1.0)])?;
    Ok(mean)
}

/// The bias at which counts of these means, (D), are expected; of a column that never was counted, next to nothing.
pub(super) fn first_bias(means: &[f64]) -> Vec<f32> {
    means.iter().map(|mean| mean.max(1e-4).ln() as f32).collect()
}

/// The first output of a decoder in ONNX, and what computes it of the last layer.
pub(super) fn onnx_mean() -> (OnnxOutput, OnnxGraph) {
    let output = OnnxOutput {
        name: "mean",
        of: None,
        of_pixels: true,
        meaning: Some("the counts expected of a row of size factor 1"),
    };
    let mut graph = OnnxGraph::default();
    graph.number("highest", counts::HIGHEST_ETA);
    graph.node("Min", &[LOG_RATES, "highest"], "log_rates_bounded");
    graph.node("Exp", &["log_rates_bounded"], "mean");
    (output, graph)
}

/// What the decoder's last layer is called.
pub(super) const LOG_RATES: &str = "log_rates";
