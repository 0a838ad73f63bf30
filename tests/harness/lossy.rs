//! A device that is lost.
#![allow(dead_code)] // each test crate uses its part

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use elbo::device::{Clock, Description, DeviceError, Executor, Progress};
use elbo::plan::{PlanId, Program, TensorId};

/// What is said then.
pub const LOST: &str = "test: the device was lost: unplugged";

/// An executor whose device is lost when so many runs of its plans are over.
pub struct Lossy {
    pub inner: Box<dyn Executor>,
    pub left: Arc<AtomicU64>,
}

impl Executor for Lossy {
    fn description(&self) -> &Description {
        self.inner.description()
    }
    fn program(&self) -> &Program {
        self.inner.program()
    }
    fn run(&mut self, plan: PlanId, n: u64, progress: &mut Progress) -> Result<u64, DeviceError> {
        let left = self.left.load(Ordering::Relaxed);
        let n = self.inner.run(plan, n.min(left), progress)?;
        self.left.store(left - n, Ordering::Relaxed);
        match left - n {
            0 => Err(DeviceError::Lost { adapter: "test".into(), message: "unplugged".into() }),
            _ => Ok(n),
        }
    }
    fn run_dispatch(&mut self, plan: PlanId, index: usize) -> Result<(), DeviceError> {
        self.inner.run_dispatch(plan, index)
    }
    fn time(
        &mut self,
        plan: PlanId,
        dispatches: Range<usize>,
        n: usize,
    ) -> Result<(f64, Clock), DeviceError> {
        self.inner.time(plan, dispatches, n)
    }
    fn write_bytes(&mut self, tensor: TensorId, bytes: &[u8]) -> Result<(), DeviceError> {
        self.inner.write_bytes(tensor, bytes)
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
        self.inner.read_bytes(tensor)
    }
}
