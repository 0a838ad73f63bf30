//! The bound on log p(x) that is ascended, at the samples of a minibatch.

use super::minibatch::Source;
use super::objective::Bound;
use super::posterior::{Draw, Posterior};
use super::prior::Ratio;
use crate::kernels::importance;
use crate::plan::{PlanError, Recorder, TensorId};

/// The weight of each row, (B*K), where it is known before its log p(x|z): 1 / (B K) in the ELBO.
pub(super) fn known_weight(r: &mut Recorder, bound: Bound, source: Source) -> Option<TensorId> {
    let rows = source.batch * source.samples;
    match bound {
        Bound::Elbo => Some(r.filled("weight", rows, 1.0 / rows as f32)),
        Bound::Iwae => None,
    }
}

/// Records the weight of each row of `log_px`, (B*K), in the objective: its derivative with respect to the
/// row's log p(x|z). It is `known` in the ELBO, and softmax_k(log w) / B in the importance-weighted bound, whose
/// value L_K, (B) nats, comes with it. `prior` is that of the same rows.
pub(super) fn weigh(
    r: &mut Recorder,
    known: Option<TensorId>,
    source: Source,
    posterior: &dyn Posterior,
    draw: &Draw,
    log_px: TensorId,
    prior: Ratio,
) -> Result<(TensorId, Option<TensorId>), PlanError> {
    match known {
        Some(weight) => Ok((weight, None)),
        None => {
            let (weight, value) = importance_weighted(r, source, posterior, draw, log_px, prior)?;
            Ok((weight, Some(value)))
        }
    }
}

/// Records L_K of each image, (B) nats, where it is the objective.
pub(super) fn value(
    r: &mut Recorder,
    bound: Bound,
    source: Source,
    posterior: &dyn Posterior,
    draw: &Draw,
    log_px: TensorId,
    prior: Ratio,
) -> Result<Option<TensorId>, PlanError> {
    match bound {
        Bound::Elbo => Ok(None),
        Bound::Iwae => Ok(Some(importance_weighted(r, source, posterior, draw, log_px, prior)?.1)),
    }
}

fn importance_weighted(
    r: &mut Recorder,
    source: Source,
    posterior: &dyn Posterior,
    draw: &Draw,
    log_px: TensorId,
    prior: Ratio,
) -> Result<(TensorId, TensorId), PlanError> {
    let Source { batch, samples, .. } = source;
    let joined = prior.joined(r, log_px)?;
    let log_w = posterior.log_weights(r, draw, joined, samples)?;
    let (bound, weight) = (r.tensor("bound", &[batch]), r.tensor("weight", &[batch * samples]));
    r.dispatch(
        &importance::NORMALIZE,
        &[("log_weights", log_w), ("weight", weight), ("bound", bound)],
        &[("K", samples as f64)],
    )?;
    Ok((weight, bound))
}
