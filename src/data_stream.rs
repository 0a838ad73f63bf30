//! Data sets that are too large for a device: it holds a window of the images that are drawn next, and
//! while it computes on one half of that, the host gathers the other.
//!
//! The order is that of the kernel `gather`, which finds the same images in the window as it would in the
//! whole set, so that not a bit of a result depends on where the images are.

use std::ops::Range;
use std::thread::{self, JoinHandle};

use crate::data::{Images, Pixels};
use crate::device::{Device, DeviceError, Executor};
use crate::kernels::gather::window_row;
use crate::numeric::philox::permute;
use crate::plan::{Program, TensorId};

/// Most bytes of a window: so many images that the pauses between halves do not show, and less memory than
/// any device is short of.
const WINDOW: usize = 1 << 25;
/// On the CPU device, data sets above this many bytes are streamed instead of copied.
const CPU_RESIDENT: usize = 1 << 28;

/// Rows of the window for a data set of `images` rows of `row` bytes, from which `batch` are drawn at a
/// time; `None` if it is no larger than `resident` bytes, or than its window would be.
pub fn window(images: usize, row: usize, batch: usize, resident: usize) -> Option<usize> {
    if images.saturating_mul(row) <= resident {
        return None;
    }
    let half = (resident.min(WINDOW) / 2 / row).max(1);
    let half = (1 << half.ilog2()).max(batch.next_power_of_two()).max(4); // words are written whole
    (2 * half < images).then_some(2 * half)
}

/// Loads the program of `record`, which is told how many bytes of a data set may be on the device. Where
/// `resident` does not say, that is all that the device takes.
///
/// # Errors
/// As of `record`, and the device's.
pub fn load<T, E: From<DeviceError>>(
    device: &Device,
    resident: Option<usize>,
    program: impl Fn(&T) -> &Program,
    record: impl Fn(usize) -> Result<T, E>,
) -> Result<(Box<dyn Executor>, T), E> {
    let first = resident.unwrap_or(match device {
        Device::Cpu(_) => CPU_RESIDENT,
        Device::Gpu(_) => usize::MAX,
    });
    let plan = record(first)?;
    match device.load(program(&plan).clone()) {
        Ok(executor) => Ok((executor, plan)),
        Err(error @ DeviceError::Lost { .. }) => Err(error.into()),
        // It may have no room for the data: with windows of them there is more.
        Err(error) => {
            let smaller = record(WINDOW)?;
            let (bytes, before) = (bytes(program(&smaller)), bytes(program(&plan)));
            if bytes == before {
                return Err(error.into());
            }
            Ok((device.load(program(&smaller).clone())?, smaller))
        }
    }
}

fn bytes(program: &Program) -> usize {
    program.stored().map(|t| t.size_bytes()).sum()
}

/// Images on their way to a device's window.
pub struct DataStream {
    images: Pixels,
    order: Order,
    tensor: TensorId,
    /// Rows of the window.
    rows: usize,
    /// The draws, counted on through the epochs, that are in the window: half of it, or all.
    held: Range<u64>,
    /// The half window from this draw on, while it is gathered.
    coming: Option<(u64, JoinHandle<Vec<u8>>)>,
    /// What is in a window of as many rows beside it.
    beside: Option<Box<DataStream>>,
}

/// Which images are drawn when.
#[derive(Clone, Copy)]
struct Order {
    n_images: usize,
    /// Bytes of an image.
    size: usize,
    /// Of the shuffle; without, images come as they are.
    key: Option<[u32; 2]>,
}

impl Order {
    /// The images of `count` draws from `first` on, one after the other.
    fn gather(self, images: &[u8], first: u64, count: usize) -> Vec<u8> {
        let (n, d) = (self.n_images, self.size);
        let mut rows = Vec::with_capacity(count * d);
        for draw in first..first + count as u64 {
            let (epoch, place) = ((draw / n as u64) as u32, (draw % n as u64) as usize);
            let image = self.key.map_or(place, |key| permute(place, n, key, epoch));
            rows.extend_from_slice(&images[image * d..][..d]);
        }
        rows
    }
}

impl DataStream {
    /// For the window `tensor` of `rows` rows; `seed` is that of the shuffle, if the images are shuffled.
    pub fn new(images: &Images, tensor: TensorId, rows: usize, seed: Option<u64>) -> Self {
        let key = seed.map(|seed| [seed as u32, (seed >> 32) as u32]);
        let (n_images, size) = (images.n_images, images.image_bytes());
        DataStream::of(images.pixels.clone(), Order { n_images, size, key }, tensor, rows)
    }

    fn of(images: Pixels, order: Order, tensor: TensorId, rows: usize) -> Self {
        DataStream { images, order, tensor, rows, held: 0..0, coming: None, beside: None }
    }

    /// The same with the window `tensor` of the images' classes beside it, where there is one: two bytes each.
    pub fn with_labels(self, tensor: Option<TensorId>, labels: Vec<u8>) -> Self {
        let Some(tensor) = tensor else { return self };
        let order = Order { size: 2, ..self.order };
        let labels = DataStream::of(labels.into(), order, tensor, self.rows);
        DataStream { beside: Some(Box::new(labels)), ..self }
    }

    /// Sees to it that the draws from `first` on are in the window, and returns the first that is not:
    /// more than half a window on. Draws before `first` may be gone.
    ///
    /// # Errors
    /// The device failed.
    pub fn prepare(&mut self, executor: &mut dyn Executor, first: u64) -> Result<u64, DeviceError> {
        if let Some(beside) = &mut self.beside {
            beside.prepare(executor, first)?;
        }
        let half = self.rows as u64 / 2;
        let start = first / half * half;
        for part in [start, start + half] {
            if !self.held.contains(&part) {
                let bytes = self.take(part);
                let n = self.order.n_images as u64;
                let (epoch, place) = ((part / n) as u32, (part % n) as usize);
                let row = window_row(epoch, place, n as usize, self.rows);
                executor.write_part(self.tensor, row * self.order.size, &bytes)?;
            }
        }
        self.held = start..start + 2 * half;
        self.gather(start + 2 * half);
        Ok(self.held.end)
    }

    /// Starts to gather a half window.
    fn gather(&mut self, part: u64) {
        if self.coming.as_ref().is_some_and(|(coming, _)| *coming == part) {
            return;
        }
        let (images, order, count) = (self.images.clone(), self.order, self.rows / 2);
        let gather = move || order.gather(&images, part, count);
        // Where the system gives no thread, it is gathered when it is wanted.
        let gathered = thread::Builder::new().name("gather".to_string()).spawn(gather);
        self.coming = gathered.ok().map(|gathered| (part, gathered));
    }

    /// A half window, gathered by now if it was expected.
    fn take(&mut self, part: u64) -> Vec<u8> {
        self.gather(part);
        let Some((_, gathered)) = self.coming.take() else {
            return self.order.gather(&self.images, part, self.rows / 2);
        };
        gathered.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}
