//! A training run on a device: steps, metrics, evaluation, snapshots.

use std::ops::ControlFlow;

use super::begin::{begin, host_bytes, labels, record_within, rewind};
use super::metrics::{Metrics, Sums, average, read_history};
use super::snapshot::{Saved, Snapshot, digest};
use super::{Figures, Settings, StepReport, TrainError};
use crate::data::{Dataset, Images};
use crate::data_stream::{self, DataStream};
use crate::device::{Device, DeviceError, Executor, check_host_memory};
use crate::kernels::{fusions, rates};
use crate::vae::step::{Pass, TrainProgram};

/// A training run on a device.
pub struct Trainer {
    executor: Box<dyn Executor>,
    plan: TrainProgram,
    settings: Settings,
    train_images: u64,
    /// Its images, which are shared and not copied; None where they were on the executor already.
    dataset: Option<Dataset>,
    /// Whether the watched images are validation images.
    validates: bool,
    /// Streams of the training and the watched images, where these are not on the device as a whole.
    streams: [Option<DataStream>; 2],
    step: u64,
    /// The learning rate that is on the device, if that is known.
    rate: Option<f32>,
}

impl Trainer {
    /// Records the plans, puts the data on the device, initialises the parameters.
    ///
    /// # Errors
    /// Settings that do not fit the data or the device, mixed precision among them.
    pub fn new(
        device: &Device,
        dataset: &Dataset,
        settings: &Settings,
    ) -> Result<Self, TrainError> {
        Trainer::within(device, dataset, settings, None)
    }

    /// The same with at most `resident` bytes of either data set on the device, beyond which it holds a
    /// window of the images that are drawn next. Nothing but the speed depends on it.
    ///
    /// # Errors
    /// As [`Trainer::new`].
    pub fn within(
        device: &Device,
        dataset: &Dataset,
        settings: &Settings,
        resident: Option<usize>,
    ) -> Result<Self, TrainError> {
        settings.check_with(dataset)?;
        let device = &device.in_precision(settings.precision)?;
        let record =
            |resident| Ok::<_, TrainError>(record_within(dataset, settings, &fusions(), resident)?);
        // What fits in no way is refused before anything is allocated; of the data there may be less.
        let least = record(0)?;
        check_host_memory(device, &least.program, host_bytes(&least))?;
        let (executor, plan) =
            data_stream::load(device, resident, |plan: &TrainProgram| &plan.program, record)?;
        Ok(Trainer::on(executor, plan, dataset, settings)?)
    }

    /// The beginning of a run on an executor that holds the plan's program.
    ///
    /// # Errors
    /// The device failed.
    pub fn on(
        mut executor: Box<dyn Executor>,
        plan: TrainProgram,
        dataset: &Dataset,
        settings: &Settings,
    ) -> Result<Self, DeviceError> {
        begin(&mut *executor, &plan, dataset, settings)?;
        let names = &settings.architecture.classes;
        let stream = |pass: Pass, images: &Images, seed| {
            let stream =
                pass.source.window.map(|rows| DataStream::new(images, pass.data, rows, seed));
            stream.map(|stream| stream.with_labels(pass.labels, labels(images, names)))
        };
        let train = stream(plan.train, &dataset.train, Some(settings.seed));
        let test = stream(plan.test, dataset.watched().1, None);
        let (streams, validates) = ([train, test], dataset.valid.is_some());
        let dataset = Some(dataset.clone());
        Ok(Trainer { streams, dataset, validates, ..Trainer::begun(executor, plan, settings) })
    }

    /// The same where data and parameters are on the executor already.
    pub fn begun(executor: Box<dyn Executor>, plan: TrainProgram, settings: &Settings) -> Self {
        let train_images = plan.train.source.images as u64;
        let warm_up = settings.learning_rate_warm_up > 0.0;
        let rate = (!warm_up).then(|| settings.learning_rate_in(1) as f32);
        let (settings, streams) = (settings.clone(), [None, None]);
        let (dataset, validates) = (None, false);
        Trainer {
            executor,
            plan,
            settings,
            train_images,
            dataset,
            validates,
            streams,
            step: 0,
            rate,
        }
    }

    /// What it trains on, where it was given it.
    pub(crate) fn dataset(&self) -> Option<&Dataset> {
        self.dataset.as_ref()
    }

    /// Steps finished.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// Whether evaluation is of validation images rather than the test set.
    pub fn validates(&self) -> bool {
        self.validates
    }

    /// What the run is a function of.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Where it runs.
    pub fn executor(&mut self) -> &mut dyn Executor {
        &mut *self.executor
    }

    /// The plans that it runs.
    pub fn program(&self) -> &TrainProgram {
        &self.plan
    }

    /// Steps from the beginning of the run to the end of `epoch` (1 is the first): the first step at
    /// whose end every image has been drawn `epoch` times.
    pub fn steps_until(&self, epoch: u32) -> u64 {
        self.settings.steps_until(epoch, self.train_images)
    }

    /// Steps of the whole run.
    pub fn steps_total(&self) -> u64 {
        self.settings.steps_total(self.train_images)
    }

    /// The epoch that the next step belongs to, by its first image; 1 is the first.
    fn epoch(&self) -> u32 {
        self.settings.epoch_of(self.step + 1, self.train_images)
    }

    /// The averages over the steps up to the last, `sums` in all, and what that step was taken by.
    pub(super) fn report_steps(&self, sums: Sums, images_per_second: f64) -> StepReport {
        let (step, settings) = (self.step, &self.settings);
        let train = Figures::from(self.average(sums));
        let beta = settings.beta_of(step, self.train_images);
        let objective = match train.bound {
            Some(bound) => Some(bound),
            None if settings.objective.free_bits > 0.0 => None,
            None => Some(train.reconstruction - beta * train.kl),
        };
        let learning_rate = settings.learning_rate_of(step, self.train_images);
        let epoch = settings.epoch_of(step, self.train_images);
        StepReport { step, epoch, train, objective, beta, learning_rate, images_per_second }
    }

    /// The first step after the warm-up of the learning rate.
    fn warm_up_end(&self) -> u64 {
        self.settings.warm_up_steps(self.train_images).ceil() as u64
    }

    /// Puts the next step's learning rate on the device. After the warm-up, in which the device computes it, it is a
    /// function of the epoch, and changes nowhere else, so the host is not asked within one.
    fn schedule(&mut self) -> Result<(), DeviceError> {
        if self.step < self.warm_up_end() {
            self.rate = None;
            return Ok(());
        }
        let rate = self.settings.learning_rate_in(self.epoch()) as f32;
        if self.rate != Some(rate) {
            let mut words = self.executor.read_f32(self.plan.train.rates)?;
            words[rates::LEARNING_RATE] = rate;
            self.executor.write_f32(self.plan.train.rates, &words)?;
            self.rate = Some(rate);
        }
        Ok(())
    }

    /// Takes steps until `end` steps are finished, or until `progress` says no more. `progress` is called with the
    /// number of steps finished.
    ///
    /// # Errors
    /// The device failed.
    pub fn advance(
        &mut self,
        end: u64,
        mut progress: impl FnMut(u64) -> ControlFlow<()>,
    ) -> Result<(), DeviceError> {
        let mut ended = false;
        while self.step < end && !ended {
            let start = self.step;
            let mut end = end.min(self.steps_until(self.epoch())).min(self.feed_train()?);
            if self.step < self.warm_up_end() {
                end = end.min(self.warm_up_end()); // from there on the rate is the schedule's
            }
            let n = end - start;
            let done = self.executor.run(self.plan.train.plan, n, &mut |done| {
                let flow = progress(start + done);
                ended |= flow.is_break();
                flow
            })?;
            self.step += done;
            self.schedule()?;
        }
        Ok(())
    }

    /// Sees to it that the images of the next training step are on the device, and returns the step up to
    /// which they are.
    pub(super) fn feed_train(&mut self) -> Result<u64, DeviceError> {
        let [stream, _] = &mut self.streams;
        let batch = self.settings.batch as u64;
        Ok(match stream {
            Some(stream) => stream.prepare(&mut *self.executor, self.step * batch)? / batch,
            None => u64::MAX,
        })
    }

    /// Takes steps `start..end` of the pass over the watched images, and sees to it that those of step
    /// `end` are on the device.
    pub(super) fn run_test(&mut self, mut start: u64, end: u64) -> Result<(), DeviceError> {
        let pass = self.plan.test;
        let batch = pass.source.batch as u64;
        let [_, stream] = &mut self.streams;
        loop {
            let ready = match stream {
                Some(stream) => stream.prepare(&mut *self.executor, start * batch)? / batch,
                None => u64::MAX,
            };
            if start == end {
                return Ok(());
            }
            let n = end.min(ready) - start;
            self.executor.run_all(pass.plan, n)?;
            start += n;
        }
    }

    /// The averages over the steps since `from`, which the history must still hold, or the first step
    /// among them whose metrics are not finite.
    ///
    /// # Errors
    /// The device failed.
    pub fn metrics_since(&mut self, from: u64) -> Result<Result<Metrics, u64>, DeviceError> {
        let sums = self.sums_since(from, Sums::default())?;
        Ok(sums.map(|sums| self.average(sums)))
    }

    /// The sums over the steps since `from`, added to those of the steps before: as
    /// [`Trainer::metrics_since`].
    ///
    /// # Errors
    /// The device failed.
    pub fn sums_since(
        &mut self,
        from: u64,
        before: Sums,
    ) -> Result<Result<Sums, u64>, DeviceError> {
        let pass = self.plan.train;
        let steps = read_history(&mut *self.executor, pass, from..self.step)?;
        Ok(steps.map(|steps| before.and(&steps)))
    }

    /// What each step since `from` adds to the sums: as [`Trainer::metrics_since`].
    ///
    /// # Errors
    /// The device failed.
    pub fn steps_since(&mut self, from: u64) -> Result<Result<Vec<Sums>, u64>, DeviceError> {
        read_history(&mut *self.executor, self.plan.train, from..self.step)
    }

    /// The averages that sums over training steps come to.
    pub fn average(&self, sums: Sums) -> Metrics {
        average(self.plan.train, sums)
    }

    /// The ELBO of the watched images, with z sampled from q, under the average of the parameters where one is kept.
    /// The same noise each time, so that epochs compare.
    ///
    /// # Errors
    /// The device failed, or the ELBO is not finite.
    pub fn evaluate(&mut self) -> Result<Metrics, TrainError> {
        self.swap_averages()?;
        let evaluated = self.evaluate_as_it_is();
        self.swap_averages()?;
        evaluated
    }

    /// Exchanges parameters and averages, where averages are kept.
    fn swap_averages(&mut self) -> Result<(), DeviceError> {
        match self.plan.swap {
            Some(swap) => self.executor.run_all(swap, 1),
            None => Ok(()),
        }
    }

    fn evaluate_as_it_is(&mut self) -> Result<Metrics, TrainError> {
        let pass = self.plan.test;
        let steps = pass.history_steps as u64 - 1;
        rewind(&mut *self.executor, pass, &self.settings)?;
        self.run_test(0, steps)?;
        match read_history(&mut *self.executor, pass, 0..steps)? {
            Ok(steps) => Ok(average(pass, Sums::default().and(&steps))),
            Err(bad_step) => Err(self.explain_evaluation(bad_step)),
        }
    }

    /// Parameter values, in the order of [`crate::vae::Network::parameters`]: their averages where these are kept.
    ///
    /// # Errors
    /// The device failed.
    pub fn parameters(&mut self) -> Result<Vec<Vec<f32>>, DeviceError> {
        let tensors = match &self.plan.averages[..] {
            [] => self.plan.trained.iter().map(|t| t.parameter).collect(),
            averages => averages.to_vec(),
        };
        tensors.into_iter().map(|tensor| self.executor.read_f32(tensor)).collect()
    }

    /// Begins with these parameters, in the order of [`crate::vae::Network::parameters`], in place of random ones.
    ///
    /// # Errors
    /// The device failed.
    ///
    /// # Panics
    /// If a step was taken, or they are not those of this network.
    pub fn begin_with(&mut self, parameters: &[Vec<f32>]) -> Result<(), DeviceError> {
        assert_eq!(self.step, 0, "it has begun");
        let executor = &mut *self.executor;
        assert_eq!(self.plan.trained.len(), parameters.len(), "parameters of another network");
        for (t, values) in self.plan.trained.iter().zip(parameters) {
            executor.write_f32(t.parameter, values)?;
        }
        for (&average, values) in self.plan.averages.iter().zip(parameters) {
            executor.write_f32(average, values)?;
        }
        Ok(())
    }

    /// # Errors
    /// The device failed.
    pub fn snapshot(&mut self) -> Result<Snapshot, DeviceError> {
        let executor = &mut *self.executor;
        let parameters = self
            .plan
            .trained
            .iter()
            .enumerate()
            .map(|(i, t)| {
                let values = executor.read_f32(t.parameter)?;
                let state = executor.read_f32(t.state)?;
                let planes = state.chunks_exact(values.len()).map(<[f32]>::to_vec).collect();
                let average = self.plan.averages.get(i).map(|&average| executor.read_f32(average));
                Ok(Saved { values, planes, average: average.transpose()? })
            })
            .collect::<Result<_, DeviceError>>()?;
        Ok(Snapshot {
            step: self.step,
            parameters,
            clock: executor.read_u32(self.plan.train.clock)?,
            rates: executor.read_f32(self.plan.train.rates)?,
        })
    }

    /// Goes back (or on) to a snapshot of the same run.
    ///
    /// # Errors
    /// The device failed.
    pub fn restore(&mut self, snapshot: &Snapshot) -> Result<(), DeviceError> {
        let executor = &mut *self.executor;
        for (t, saved) in self.plan.trained.iter().zip(&snapshot.parameters) {
            executor.write_f32(t.parameter, &saved.values)?;
            executor.write_f32(t.state, &saved.planes.concat())?;
        }
        for (&tensor, saved) in self.plan.averages.iter().zip(&snapshot.parameters) {
            // A model that has none begins its average.
            executor.write_f32(tensor, saved.average.as_ref().unwrap_or(&saved.values))?;
        }
        executor.write_u32(self.plan.train.clock, &snapshot.clock)?;
        executor.write_f32(self.plan.train.rates, &snapshot.rates)?;
        self.step = snapshot.step;
        self.rate = None;
        self.schedule()
    }

    /// SHA-256 of all parameters in the network's order, each little-endian: equal for equal runs.
    ///
    /// # Errors
    /// The device failed.
    pub fn digest(&mut self) -> Result<String, DeviceError> {
        Ok(digest(&self.parameters()?))
    }

    pub(super) fn set_step(&mut self, step: u64) {
        self.step = step;
    }

    /// The clock of a pass at its beginning.
    pub(super) fn rewind(&mut self, pass: Pass) -> Result<(), DeviceError> {
        rewind(&mut *self.executor, pass, &self.settings)
    }
}
