//! `elbo gaps`

use std::path::PathBuf;
use std::time::Instant;

use super::Failure;
use super::bounds::{AnnealingOptions, anneal_with_progress, told};
use super::evaluate::check_samples;
use super::options::{DeviceOption, seed};
use super::stop::Stop;
use super::trained::{DataOption, ModelOption, Trained};
use crate::bounds::{
    Annealing, EvaluateError, Gaps, Observed, Refining, check_path, lower, observe, refine,
    sandwich, simulate, unconditional,
};
use crate::device::Device;
use crate::loaded::Model;
use crate::report::bounds::Subject;
use crate::report::console::{note, print};
use crate::report::gaps::{Found, json, table, warnings};
use crate::report::progress::Progress;

/// Say what the gap between log p(x) and the ELBO is made of: the family of q, the encoder, its overfitting
///
/// log p(x) is the higher of two bounds from below, importance sampling with K draws from q(z|x) and annealed importance
/// sampling. For each image the ELBO is also ascended in the mean and the log variance of its own q, by Adam from where
/// the encoder puts it, with a learning rate that falls to zero along a cosine. Then log p(x) - ELBO, the inference gap,
/// is the approximation gap (what the best q lacks) plus the amortization gap (what the encoder's q lacks beside it). The
/// encoder's overfitting is the inference gap of test images less that of training images (Cremer et al. 2018).
///
/// How good the bounds are is measured on images drawn from the model itself, of which log p(x) is bounded from above too
/// (see elbo bounds). All of it takes minutes: Ctrl-C prints what is finished.
#[derive(clap::Args)]
pub struct Args {
    /// The folder of a run
    run: PathBuf,
    /// The first N test images, the first N training images, and as many of the model's own
    #[arg(long, value_name = "N", default_value_t = 200)]
    images: usize,
    /// Draws of z an image by which log p(x) is estimated, K
    #[arg(long, value_name = "K", default_value_t = 5000)]
    samples: usize,
    /// Steps by which the best q is found
    #[arg(long, value_name = "N", default_value_t = Refining::default().steps)]
    refine_steps: usize,
    #[command(flatten)]
    annealing: AnnealingOptions,
    /// Print one JSON object instead of the table
    #[arg(long)]
    json: bool,
    /// Seed of binarization and draws [default: the run's own]
    #[arg(long, value_parser = seed, allow_negative_numbers = true)]
    seed: Option<u64>,
    #[command(flatten)]
    model: ModelOption,
    #[command(flatten)]
    data: DataOption,
    #[command(flatten)]
    device: DeviceOption,
}

/// Temperatures if none are named.
const TEMPERATURES: usize = 100;

pub fn run(args: Args) -> Result<u8, Failure> {
    check_samples(args.samples)?;
    if !(1..=1_000_000).contains(&args.refine_steps) {
        return Err(Failure::input(format!(
            "--refine-steps must be from 1 to 1000000, got {}",
            args.refine_steps
        )));
    }
    let annealing = args.annealing.settings(Some(TEMPERATURES))?;
    let annealing = annealing.expect("there is a default");
    let trained = Trained::open(&args.run, &args.model)?;
    unconditional(&trained.settings.architecture).map_err(|e| trained.failure(e))?;
    check_path(&trained.settings.architecture, annealing.path).map_err(|e| trained.failure(e))?;
    let dataset = trained.data(&args.data)?;
    let most = dataset.test.n_images.min(dataset.train.n_images);
    if !(1..=most).contains(&args.images) {
        return Err(Failure::input(format!(
            "--images must be from 1 to {most}, test images and training images of {}, got {}",
            dataset.name, args.images
        )));
    }
    trained.has_other(&dataset, &args.data);
    let device = args.device.open()?;
    let seed = args.seed.unwrap_or(trained.settings.seed);
    let architecture = &trained.settings.architecture;
    let model = Model {
        architecture,
        parameters: &trained.parameters,
        binarization: trained.settings.binarization,
        seed,
    };
    let refining = Refining { steps: args.refine_steps, ..Refining::default() };
    let stop = Stop::listen()?;
    let begin = Instant::now();
    let work = Work { device: &device, model, annealing, refining, samples: args.samples, stop };

    let mut sets =
        [("test", args.images, Gaps::default()), ("train", args.images, Gaps::default())];
    let mut simulated = Gaps::default();
    let mut whole = || -> Result<(), EvaluateError> {
        work.of_own(args.images, &mut simulated)?;
        for ((name, n, gaps), images) in sets.iter_mut().zip([&dataset.test, &dataset.train]) {
            let (x, content) = observe(&device, model, images, *n)?;
            work.of_images(name, Observed { x: &x, content, z: None }, gaps)?;
        }
        Ok(())
    };
    let interrupted = match whole() {
        Ok(()) => false,
        Err(EvaluateError::Interrupted) => true,
        Err(error) => return Err(trained.failure(error)),
    };
    let subject = Subject {
        run: trained.name(),
        model: architecture.to_string(),
        seed,
        device: device.description().clone(),
        seconds: begin.elapsed().as_secs_f64(),
    };
    let found = Found {
        subject: &subject,
        samples: args.samples,
        refining,
        sets: &sets,
        simulated: &simulated,
        simulated_images: args.images,
    };
    let text = match args.json {
        true => json(&found).map_err(Failure::run)? + "\n",
        false => table(&found),
    };
    print(&text);
    warnings(&found).iter().for_each(|line| note(format_args!("warning: {line}")));
    if interrupted {
        note("interrupted: these are the figures that are finished");
        return Ok(work.stop.code());
    }
    Ok(0)
}

/// What is to be done with every set of images.
struct Work<'a> {
    device: &'a Device,
    model: Model<'a>,
    annealing: Annealing,
    refining: Refining,
    samples: usize,
    stop: Stop,
}

impl Work<'_> {
    /// A tenth of the draws, and all.
    fn ks(&self) -> Vec<usize> {
        let tenth = Some(self.samples / 10).filter(|&k| k > 0);
        tenth.into_iter().chain([self.samples]).collect()
    }

    fn of_own(&self, images: usize, gaps: &mut Gaps) -> Result<(), EvaluateError> {
        let simulated = simulate(self.device, self.model, images)?;
        let label = format!("the model's own {images} images: {} samples each", self.samples);
        let mut progress = Progress::new(label);
        let on = &mut |share: f64| told(&mut progress, &self.stop, share);
        gaps.importance =
            Some(sandwich(self.device, self.model, &simulated, &self.ks(), None, on)?);
        drop(progress);
        let observed = simulated.observed();
        let (device, model) = (self.device, self.model);
        let annealed = anneal_with_progress(device, model, observed, self.annealing, &self.stop);
        gaps.annealed = Some(annealed?);
        Ok(())
    }

    fn of_images(
        &self,
        name: &str,
        observed: Observed,
        gaps: &mut Gaps,
    ) -> Result<(), EvaluateError> {
        let (device, model) = (self.device, self.model);
        let images = observed.x.len() / model.architecture.pixels();
        let label = |what: String| Progress::new(format!("{images} {name} images: {what}"));
        let mut progress = label(format!("{} samples each", self.samples));
        let on = &mut |share: f64| told(&mut progress, &self.stop, share);
        gaps.importance = Some(lower(device, model, observed, &self.ks(), on)?);
        drop(progress);
        let mut progress = label("the best q".to_string());
        let on = &mut |share: f64| told(&mut progress, &self.stop, share);
        gaps.refined = Some(refine(device, model, observed, self.refining, on)?.0);
        drop(progress);
        let annealed = anneal_with_progress(device, model, observed, self.annealing, &self.stop);
        gaps.annealed = Some(annealed?);
        Ok(())
    }
}
