//! A device that hands every call on to another, but for what a test changes: faults are planted so.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use elbo::device::{Description, DeviceError, Executor, Progress, TimedBy};
use elbo::plan::variant::Choices;
use elbo::plan::{PlanId, Program, TensorId};

/// What becomes of a call: unless it is overridden, the inner device answers it.
pub trait Hooks {
    fn run(
        &mut self,
        inner: &mut dyn Executor,
        plan: PlanId,
        n: u64,
        progress: &mut Progress,
    ) -> Result<u64, DeviceError> {
        inner.run(plan, n, progress)
    }

    fn run_dispatch(
        &mut self,
        inner: &mut dyn Executor,
        plan: PlanId,
        index: usize,
    ) -> Result<(), DeviceError> {
        inner.run_dispatch(plan, index)
    }

    fn time(
        &mut self,
        inner: &mut dyn Executor,
        plan: PlanId,
        dispatches: Range<usize>,
        n: usize,
    ) -> Result<(f64, TimedBy), DeviceError> {
        inner.time(plan, dispatches, n)
    }

    fn write_bytes(
        &mut self,
        inner: &mut dyn Executor,
        tensor: TensorId,
        bytes: &[u8],
    ) -> Result<(), DeviceError> {
        inner.write_bytes(tensor, bytes)
    }

    fn read_bytes(
        &mut self,
        inner: &mut dyn Executor,
        tensor: TensorId,
    ) -> Result<Vec<u8>, DeviceError> {
        inner.read_bytes(tensor)
    }
}

/// An executor with hooks.
pub struct Wrapped<H> {
    pub inner: Box<dyn Executor>,
    pub hooks: H,
}

impl<H: Hooks> Executor for Wrapped<H> {
    fn description(&self) -> &Description {
        self.inner.description()
    }

    fn program(&self) -> &Program {
        self.inner.program()
    }

    fn variants(&self) -> Choices {
        self.inner.variants()
    }

    fn run(&mut self, plan: PlanId, n: u64, progress: &mut Progress) -> Result<u64, DeviceError> {
        self.hooks.run(&mut *self.inner, plan, n, progress)
    }

    fn run_dispatch(&mut self, plan: PlanId, index: usize) -> Result<(), DeviceError> {
        self.hooks.run_dispatch(&mut *self.inner, plan, index)
    }

    fn time(
        &mut self,
        plan: PlanId,
        dispatches: Range<usize>,
        n: usize,
    ) -> Result<(f64, TimedBy), DeviceError> {
        self.hooks.time(&mut *self.inner, plan, dispatches, n)
    }

    fn write_bytes(&mut self, tensor: TensorId, bytes: &[u8]) -> Result<(), DeviceError> {
        self.hooks.write_bytes(&mut *self.inner, tensor, bytes)
    }

    fn write_part(
        &mut self,
        tensor: TensorId,
        start: usize,
        bytes: &[u8],
    ) -> Result<(), DeviceError> {
        self.inner.write_part(tensor, start, bytes)
    }

    fn read_bytes(&mut self, tensor: TensorId) -> Result<Vec<u8>, DeviceError> {
        self.hooks.read_bytes(&mut *self.inner, tensor)
    }
}

/// What is said of a device that is lost.
pub const LOST: &str = "test: the device was lost: unplugged";

/// A device that is lost when so many runs of its plans are over.
pub struct LostAfter(pub Arc<AtomicU64>);

impl Hooks for LostAfter {
    fn run(
        &mut self,
        inner: &mut dyn Executor,
        plan: PlanId,
        n: u64,
        progress: &mut Progress,
    ) -> Result<u64, DeviceError> {
        let left = self.0.load(Ordering::Relaxed);
        let n = inner.run(plan, n.min(left), progress)?;
        self.0.store(left - n, Ordering::Relaxed);
        match left - n {
            0 => Err(DeviceError::Lost { adapter: "test".into(), message: "unplugged".into() }),
            _ => Ok(n),
        }
    }
}
