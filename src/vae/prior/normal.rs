//! p(z) = N(0, I), of which h is zero.

use std::sync::Arc;

use super::{Arriving, Backward, Density, Module, Ratio};
use crate::kernels::prior;
use crate::nn::{Layer, Tape};
use crate::numeric::philox::Stream;
use crate::plan::{PlanError, Recorder, TensorId};

/// The standard normal distribution.
pub struct Normal;

impl Module for Normal {
    fn record(
        &self,
        _: &mut Recorder,
        _: &mut Tape,
        _: &[Arc<dyn Layer>],
        _: &[TensorId],
    ) -> Result<Box<dyn Density>, PlanError> {
        Ok(Box::new(Normal))
    }
}

impl Density for Normal {
    fn sample(
        &self,
        r: &mut Recorder,
        clock: TensorId,
        [rows, latent]: [usize; 2],
        samples: usize,
        stream: Stream,
    ) -> Result<TensorId, PlanError> {
        let z = r.tensor("z", &[rows, latent]);
        r.dispatch(
            &prior::SAMPLE,
            &[("clock", clock), ("z", z)],
            &[("STREAM", stream.number()), ("K", samples as f64)],
        )?;
        Ok(z)
    }

    fn ratio(&self, _: &mut Recorder, z: TensorId) -> Result<Ratio, PlanError> {
        Ok(Ratio { z, h: None })
    }

    fn backward(&self, _: &mut Recorder, _: Ratio, of: Arriving) -> Result<Backward, PlanError> {
        Ok(Backward { d_z: of.d_z, outputs: Vec::new() })
    }

    fn backward_to(
        &self,
        _: &mut Recorder,
        _: Ratio,
        d_z: TensorId,
        _: TensorId,
    ) -> Result<TensorId, PlanError> {
        Ok(d_z)
    }
}
