//! A trained model on a device: its parameters are there, and one of its programs is ready to run.

use crate::config_error::ConfigError;
use crate::data::{self, Images};
use crate::data_stream::{self, DataStream};
use crate::device::{Device, DeviceError, Executor};
use crate::kernels::clock;
use crate::plan::{PlanError, PlanId, Program, TensorId};
use crate::vae::decode::{DecodeProgram, ReconstructProgram, SampleProgram};
use crate::vae::estimate::{Chunks, EstimateProgram};
use crate::vae::impute::ImputeProgram;
use crate::vae::step::Content;
use crate::vae::{Architecture, Binarization, Network};

/// A model and how its pixels and draws come about.
#[derive(Debug, Clone, Copy)]
pub struct Model<'a> {
    /// The layers.
    pub architecture: &'a Architecture,
    /// In the order of [`crate::vae::Network::parameters`].
    pub parameters: &'a [Vec<f32>],
    /// What a pixel's byte becomes.
    pub binarization: Binarization,
    /// Of binarization and draws.
    pub seed: u64,
}

/// A program that computes with a network's parameters, and does not change them.
pub trait ModelProgram {
    /// What a device loads, the network whose parameters it has, and its clock, (8) u32, if it draws at random.
    fn parts(&self) -> (&Program, &Network, Option<TensorId>);
}

/// A program on its device, with the parameters of a model.
pub struct LoadedModel<P> {
    /// The device.
    pub executor: Box<dyn Executor>,
    /// What it runs.
    pub program: P,
    /// Of binarization and draws.
    seed: u64,
    /// The images, where the device holds a window of them.
    stream: Option<DataStream>,
}

impl<P: ModelProgram> LoadedModel<P> {
    /// Loads a program and writes the model's parameters.
    ///
    /// # Errors
    /// The device has no room for it, or failed.
    pub fn load(
        device: &Device,
        program: P,
        parameters: &[Vec<f32>],
        seed: u64,
    ) -> Result<Self, DeviceError> {
        let executor = device.load(program.parts().0.clone())?;
        LoadedModel::on(executor, program, parameters, seed)
    }

    /// The same on an executor that has the program already.
    fn on(
        mut executor: Box<dyn Executor>,
        program: P,
        parameters: &[Vec<f32>],
        seed: u64,
    ) -> Result<Self, DeviceError> {
        let (_, network, _) = program.parts();
        for (tensor, values) in network.parameters().into_iter().zip(parameters) {
            executor.write_f32(tensor, values)?;
        }
        Ok(LoadedModel { executor, program, seed, stream: None })
    }

    /// Sets the clock before the first draw of the image `position`, and has the images from there on ready.
    /// In training the test ELBO has the same clock.
    ///
    /// # Errors
    /// The device failed.
    ///
    /// # Panics
    /// If the program draws nothing at random.
    pub fn begin_at(&mut self, position: usize) -> Result<(), DeviceError> {
        if let Some(stream) = &mut self.stream {
            stream.prepare(&mut *self.executor, position as u64)?;
        }
        let tensor = self.program.parts().2.expect("a program that draws");
        self.executor.write_u32(tensor, &clock::at(self.seed, position))
    }

    /// Writes the classes of rows, where the network is told them.
    fn tell(&mut self, tensor: Option<TensorId>, classes: &[u32]) -> Result<(), DeviceError> {
        match tensor {
            Some(tensor) => self.executor.write_u32(tensor, classes),
            None => Ok(()),
        }
    }

    /// Runs a plan once.
    ///
    /// # Errors
    /// The device failed.
    pub fn run(&mut self, plan: PlanId) -> Result<(), DeviceError> {
        self.executor.run_all(plan, 1)
    }

    /// The values of a tensor.
    ///
    /// # Errors
    /// The device failed.
    pub fn read(&mut self, tensor: TensorId) -> Result<Vec<f32>, DeviceError> {
        self.executor.read_f32(tensor)
    }
}

impl LoadedModel<SampleProgram> {
    /// Draws z from the prior, the draw `first` and those behind it, and returns what the program makes of them, a row each, as
    /// images of `classes`, (R), where the network is told them.
    ///
    /// # Errors
    /// The device failed.
    pub fn sample(&mut self, first: usize, classes: &[u32]) -> Result<Vec<f32>, DeviceError> {
        self.tell(self.program.classes, classes)?;
        let mut words = clock::at(self.seed, 0);
        words[clock::SAMPLE] = first as u32;
        self.executor.write_u32(self.program.clock, &words)?;
        self.run(self.program.plan)?;
        self.read(self.program.values)
    }
}

impl LoadedModel<DecodeProgram> {
    /// The expected pixels, (R, D), of the codes `z`, (R, Z), as images of `classes`, (R), where the network is told them.
    ///
    /// # Errors
    /// The device failed.
    pub fn decode(&mut self, z: &[f32], classes: &[u32]) -> Result<Vec<f32>, DeviceError> {
        self.tell(self.program.classes, classes)?;
        self.executor.write_f32(self.program.z, z)?;
        self.run(self.program.plan)?;
        self.read(self.program.mean)
    }
}

impl LoadedModel<ReconstructProgram> {
    /// The images of the batch that begins where the clock stands, (B, D), as they are binarized, and their expected
    /// pixels at the posterior mean.
    ///
    /// # Errors
    /// The device failed.
    pub fn reconstruct(&mut self) -> Result<[Vec<f32>; 2], DeviceError> {
        self.run(self.program.plan)?;
        Ok([self.read(self.program.x)?, self.read(self.program.mean)?])
    }
}

/// A program that walks a data set in batches.
pub trait DataProgram: ModelProgram + Sized {
    /// Records it for `images` images, of which the device holds a `window`, or all.
    ///
    /// # Errors
    /// Sizes beyond what a kernel's grid can cover.
    fn record(
        architecture: &Architecture,
        content: Content,
        images: usize,
        window: Option<usize>,
        chunks: Chunks,
    ) -> Result<Self, PlanError>;

    /// (N, D), or (ROWS, D) of a window
    fn data(&self) -> TensorId;

    /// (N, 2) or (ROWS, 2), the classes of the images, where the network is told them
    fn labels(&self) -> Option<TensorId>;
}

impl<P: DataProgram> LoadedModel<P> {
    /// Loads what is to be computed of `images`. Of those the device holds at most `resident` bytes at a time, if not
    /// as many as it takes; no figure depends on it.
    ///
    /// # Errors
    /// Sizes beyond what a kernel's grid can cover, images without the classes that the network is told, or the device.
    pub fn of_images<E: From<PlanError> + From<DeviceError> + From<ConfigError>>(
        device: &Device,
        model: Model,
        images: &Images,
        chunks: Chunks,
        resident: Option<usize>,
    ) -> Result<Self, E> {
        let (n, size) = (images.n_images, images.image_bytes());
        let content = images.content(model.architecture.likelihood, model.binarization);
        let labels = images.classes_among(&model.architecture.classes, "the images")?;
        let labels = data::bytes_of(&labels);
        let record = |resident| {
            let window = data_stream::window(n, size, chunks.batch, resident);
            P::record(model.architecture, content, n, window, chunks)
                .map(|program| (program, window))
                .map_err(E::from)
        };
        let (executor, (program, window)) =
            data_stream::load(device, resident, |(program, _): &(P, _)| program.parts().0, record)?;
        let mut loaded = LoadedModel::on(executor, program, model.parameters, model.seed)?;
        match window {
            Some(rows) => {
                let stream = DataStream::new(images, loaded.program.data(), rows, None);
                loaded.stream = Some(stream.with_labels(loaded.program.labels(), labels));
            }
            None => {
                loaded.executor.write_bytes(loaded.program.data(), &images.pixels)?;
                if let Some(tensor) = loaded.program.labels() {
                    loaded.executor.write_bytes(tensor, &labels)?;
                }
            }
        }
        Ok(loaded)
    }
}

impl LoadedModel<EstimateProgram> {
    /// Encodes the images of the batch that begins where the clock stands: heads (B, 2*Z), [mu | l].
    ///
    /// # Errors
    /// The device failed.
    pub fn encode(&mut self) -> Result<Vec<f32>, DeviceError> {
        self.run(self.program.encode)?;
        self.read(self.program.heads)
    }
}

/// Rows of a run that suit a device: on the CPU their logits stay in a core's cache, and they fill a GPU.
pub fn rows_of(device: &Device) -> usize {
    match device {
        Device::Cpu(_) => 1024,
        Device::Gpu(_) => 16_384,
    }
}

impl ModelProgram for SampleProgram {
    fn parts(&self) -> (&Program, &Network, Option<TensorId>) {
        (&self.program, &self.network, Some(self.clock))
    }
}

impl ModelProgram for DecodeProgram {
    fn parts(&self) -> (&Program, &Network, Option<TensorId>) {
        (&self.program, &self.network, None)
    }
}

impl ModelProgram for ReconstructProgram {
    fn parts(&self) -> (&Program, &Network, Option<TensorId>) {
        (&self.program, &self.network, Some(self.clock))
    }
}

impl ModelProgram for EstimateProgram {
    fn parts(&self) -> (&Program, &Network, Option<TensorId>) {
        (&self.program, &self.network, Some(self.clock))
    }
}

impl DataProgram for EstimateProgram {
    fn record(
        architecture: &Architecture,
        content: Content,
        images: usize,
        window: Option<usize>,
        chunks: Chunks,
    ) -> Result<Self, PlanError> {
        EstimateProgram::record(architecture, content, images, window, chunks)
    }

    fn data(&self) -> TensorId {
        self.data
    }

    fn labels(&self) -> Option<TensorId> {
        self.labels
    }
}

impl DataProgram for ReconstructProgram {
    fn record(
        architecture: &Architecture,
        content: Content,
        images: usize,
        window: Option<usize>,
        chunks: Chunks,
    ) -> Result<Self, PlanError> {
        ReconstructProgram::record(architecture, content, images, window, chunks)
    }

    fn data(&self) -> TensorId {
        self.data
    }

    fn labels(&self) -> Option<TensorId> {
        self.labels
    }
}

impl ModelProgram for ImputeProgram {
    fn parts(&self) -> (&Program, &Network, Option<TensorId>) {
        (&self.program, &self.network, Some(self.clock))
    }
}

impl DataProgram for ImputeProgram {
    fn record(
        architecture: &Architecture,
        content: Content,
        images: usize,
        window: Option<usize>,
        chunks: Chunks,
    ) -> Result<Self, PlanError> {
        ImputeProgram::record(architecture, content, images, window, chunks)
    }

    fn data(&self) -> TensorId {
        self.data
    }

    fn labels(&self) -> Option<TensorId> {
        self.labels
    }
}
