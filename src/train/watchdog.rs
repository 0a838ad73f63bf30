//! Finds where a NaN or an infinity came from. A step is a function of its snapshot, so the run is
//! replayed to the step in question and every tensor looked at between kernels: nothing is spent on this
//! while all is well.

use std::ops::ControlFlow;

use super::{Snapshot, TrainError, Trainer};
use crate::device::{DeviceError, Precision};
use crate::plan::DType;
use crate::vae::step::Pass;

/// Where a NaN or an infinity first appeared.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error(
    "step {step}: element {element} of {tensor} is {value}, written by {kernel}; \
     a smaller `learning_rate` than {learning_rate:?}{} may help",
    beside(.precision)
)]
pub struct Divergence {
    /// The step's number; the first is 1.
    pub step: u64,
    /// The kernel that wrote it.
    pub kernel: String,
    /// The tensor that holds it.
    pub tensor: String,
    /// Its place there, row by row.
    pub element: usize,
    /// NaN or an infinity.
    pub value: f32,
    /// The learning rate then.
    pub learning_rate: f64,
    /// Of the run: mixed precision has no number beyond 65504 to multiply, and takes it for NaN.
    pub precision: Precision,
}

fn beside(precision: &Precision) -> &'static str {
    match precision {
        Precision::F32 => "",
        Precision::Mixed => ", or `precision` f32, whose numbers go beyond 65504,",
    }
}

impl Trainer {
    /// Why the metrics or parameters of step `bad` (the first is 0) were not finite, by replay from a
    /// snapshot before it.
    pub(super) fn explain(&mut self, snapshot: &Snapshot, bad: u64) -> TrainError {
        match self.replay(snapshot, bad) {
            Ok(Some(divergence)) => TrainError::Diverged(Box::new(divergence)),
            Ok(None) => self.unreliable(),
            Err(error) => error.into(),
        }
    }

    fn replay(&mut self, snapshot: &Snapshot, bad: u64) -> Result<Option<Divergence>, DeviceError> {
        self.restore(snapshot)?;
        // Rows of the failed run would be taken for the replay's.
        let train = self.program().train;
        for tensor in
            [Some(train.history), train.norms.map(|(norms, _)| norms)].into_iter().flatten()
        {
            let rows = vec![0.0; self.program().program.get(tensor).len()];
            self.executor().write_f32(tensor, &rows)?;
        }
        // The step before may have spoilt a parameter that only this one's metrics show.
        let look_from = bad.saturating_sub(1).max(snapshot.step);
        self.advance(look_from, |_| ControlFlow::Continue(()))?;
        for step in look_from..=bad {
            self.feed_train()?;
            if let Some(divergence) = self.look_through(self.program().train, step + 1)? {
                return Ok(Some(divergence));
            }
            self.set_step(step + 1);
        }
        Ok(None)
    }

    /// Why parameters or moments are not finite although every metric is: a moment that overflows stills
    /// its parameter and shows nowhere else. The step is found by halving.
    pub(super) fn explain_state(&mut self, snapshot: &Snapshot) -> TrainError {
        let (mut finite, mut spoilt) = (snapshot.step, self.step());
        while spoilt - finite > 1 {
            let middle = finite + (spoilt - finite) / 2;
            let state = self
                .restore(snapshot)
                .and_then(|()| self.advance(middle, |_| ControlFlow::Continue(())))
                .and_then(|()| self.snapshot());
            match state {
                Ok(state) if state.is_finite() => finite = middle,
                Ok(_) => spoilt = middle,
                Err(error) => return error.into(),
            }
        }
        self.explain(snapshot, finite)
    }

    /// The same for step `bad` of the pass over the test set, which follows the current step.
    pub(super) fn explain_evaluation(&mut self, bad: u64) -> TrainError {
        let pass = self.program().test;
        let found = self.rewind(pass).and_then(|()| {
            self.run_test(0, bad)?;
            self.look_through(pass, self.step())
        });
        match found {
            Ok(Some(divergence)) => TrainError::Diverged(Box::new(divergence)),
            Ok(None) => self.unreliable(),
            Err(error) => error.into(),
        }
    }

    fn unreliable(&mut self) -> TrainError {
        let adapter = self.executor().description().name.clone();
        let message =
            "a step was not finite, but its replay was: this device does not repeat itself";
        DeviceError::Adapter { adapter, message: message.to_string() }.into()
    }

    /// Runs one step of a pass kernel by kernel until an output is not finite.
    fn look_through(&mut self, pass: Pass, step: u64) -> Result<Option<Divergence>, DeviceError> {
        let plan = self.program().program.plan(pass.plan).clone();
        for (index, dispatch) in plan.dispatches.iter().enumerate() {
            self.executor().run_dispatch(pass.plan, index)?;
            let written = dispatch.bindings.iter().filter(|b| b.access.writes());
            let program = &self.program().program;
            let tensors: Vec<_> = written.flat_map(|b| program.parts_of(b.tensor)).collect();
            for tensor in tensors {
                let declared = self.program().program.get(tensor).clone();
                if declared.dtype != DType::F32 {
                    continue;
                }
                let values = self.executor().read_f32(tensor)?;
                if let Some(element) = values.iter().position(|v| !v.is_finite()) {
                    return Ok(Some(Divergence {
                        step,
                        kernel: dispatch.kernel.to_string(),
                        tensor: declared.name,
                        element,
                        value: values[element],
                        learning_rate: self.settings().learning_rate,
                        precision: self.settings().precision,
                    }));
                }
            }
        }
        Ok(None)
    }
}
