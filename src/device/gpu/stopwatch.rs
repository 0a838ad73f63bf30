//! Durations by the adapter's own clock.

use super::GpuDevice;
use crate::device::DeviceError;

/// Two timestamps, at the beginning and the end of one compute pass.
pub struct Stopwatch {
    queries: wgpu::QuerySet,
    ticks: wgpu::Buffer,
}

impl Stopwatch {
    /// None where the adapter has no timestamps.
    ///
    /// # Errors
    /// The device failed.
    pub fn new(gpu: &GpuDevice) -> Result<Option<Self>, DeviceError> {
        if !gpu.device.features().contains(wgpu::Features::TIMESTAMP_QUERY) {
            return Ok(None);
        }
        gpu.scoped("timestamps", || {
            let queries = gpu.device.create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("timestamps"),
                ty: wgpu::QueryType::Timestamp,
                count: 2,
            });
            let ticks = gpu.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("timestamps"),
                size: 16,
                usage: wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
                mapped_at_creation: false,
            });
            Some(Stopwatch { queries, ticks })
        })
    }

    pub fn writes(&self) -> wgpu::ComputePassTimestampWrites<'_> {
        wgpu::ComputePassTimestampWrites {
            query_set: &self.queries,
            beginning_of_pass_write_index: Some(0),
            end_of_pass_write_index: Some(1),
        }
    }

    /// To be recorded after the pass.
    pub fn resolve(&self, encoder: &mut wgpu::CommandEncoder) {
        encoder.resolve_query_set(&self.queries, 0..2, &self.ticks, 0);
    }

    /// Seconds from the beginning to the end of the pass, once it has run.
    ///
    /// # Errors
    /// The device failed.
    pub fn read(&self, gpu: &GpuDevice) -> Result<f64, DeviceError> {
        let ticks: Vec<u64> = bytemuck::pod_collect_to_vec(&gpu.read(
            &self.ticks,
            0..self.ticks.size(),
            "timestamps",
        )?);
        let period = f64::from(gpu.queue.get_timestamp_period()) * 1e-9;
        Ok(ticks[1].saturating_sub(ticks[0]) as f64 * period)
    }
}
