//! `elbo gaps`

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Instant;

use super::Failure;
use super::bounds::{AnnealingOptions, told};
use super::evaluate::check_samples;
use super::gaps_file::{Kept, Set, key};
use super::options::{DeviceOption, seed};
use super::stop::Stop;
use super::trained::{DataOption, ModelOption, Trained};
use crate::bounds::signal::{Signals, check, signals};
use crate::bounds::{
    EvaluateError, Finding, Gaps, GapsOfImage, Observed, Refining, Simulated, Subjects, Tempering,
    blocks, check_path, find, observe, prepare, simulate, unconditional,
};
use crate::checkpoint::{check_writable, write_whole};
use crate::data::Dataset;
use crate::device::Device;
use crate::loaded::Model;
use crate::report::bounds::Subject;
use crate::report::console::{note, print};
use crate::report::gaps::{Found, json, table, warnings};
use crate::report::gaps_figure::figure;
use crate::report::progress::Progress;
use crate::report::signal::chart;
use crate::vae::step::Content;

/// Say what the gap between log p(x) and the ELBO is made of: the family of q, the encoder, its overfitting
///
/// For each image the ELBO is ascended in what the encoder gives of its own q, by Adam from where the encoder puts it and once
/// more from N(0, I), with a learning rate that falls to zero along a cosine; the better end is taken. log p(x) is the highest
/// of three bounds from below: importance sampling with K draws from q(z|x), with K draws from the best q, and annealed
/// importance sampling from the best q. Then log p(x) - ELBO, the inference gap,
/// is the approximation gap (what the best q lacks) plus the amortization gap (what the encoder's q lacks beside it). The
/// encoder's overfitting is the inference gap of test images less that of training images (Cremer et al. 2018).
///
/// How good the bounds are is measured on images drawn from the model itself, of which log p(x) is bounded from above too
/// (see elbo bounds). All of it takes minutes: Ctrl-C prints what is finished. With --per-image it is kept, and the same
/// command goes on from there. --shard I/N does one of N parts, for as many machines; --merge adds their files up, to the same
/// bits where the machines are alike.
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
    /// Write the figures of each image to a CSV file as they are found; go on from what it has of them
    #[arg(long, value_name = "FILE")]
    per_image: Option<PathBuf>,
    /// Do the I-th of N parts alone, and print nothing but where it is
    #[arg(long, value_name = "I/N", requires = "per_image")]
    shard: Option<Shard>,
    /// Take over what these files of --per-image have; what none has is found as usual
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with = "shard")]
    merge: Vec<PathBuf>,
    /// Draw what the gap is made of, an SVG
    #[arg(long, value_name = "FILE", conflicts_with = "shard")]
    figure: Option<PathBuf>,
    /// Draw the signal-to-noise ratios of the gradients of iwae's bound over the number of draws, of the first 16 test images,
    /// an SVG; the table has them too
    #[arg(long, value_name = "FILE", conflicts_with = "shard")]
    snr: Option<PathBuf>,
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

/// One of so many parts of the work; 0 is the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shard {
    part: usize,
    of: usize,
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split_once('/').and_then(|(part, of)| {
            let (part, of): (usize, usize) = (part.parse().ok()?, of.parse().ok()?);
            (1..=of).contains(&part).then_some(Shard { part: part - 1, of })
        });
        numbers.ok_or_else(|| "must be a part and how many there are, as 1/8 to 8/8".to_string())
    }
}

/// Temperatures if none are named.
const TEMPERATURES: usize = 100;
/// Images whose mean gradient is looked at, with how many draws, and how often for each.
const SIGNAL_IMAGES: usize = 16;
const SIGNAL_DRAWS: [usize; 4] = [1, 4, 16, 64];
const SIGNAL_REPEATS: usize = 100;

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
    if args.snr.is_some() {
        check(&trained.settings.architecture).map_err(|e| trained.failure(e))?;
    }
    let dataset = trained.data(&args.data)?;
    let most = dataset.test.n_images.min(dataset.train.n_images);
    if !(1..=most).contains(&args.images) {
        return Err(Failure::input(format!(
            "--images must be from 1 to {most}, test images and training images of {}, got {}",
            dataset.name, args.images
        )));
    }
    for file in [&args.per_image, &args.figure, &args.snr].into_iter().flatten() {
        check_writable(file).map_err(Failure::input)?;
    }
    trained.has_other(&dataset, &args.data);
    let seed = args.seed.unwrap_or(trained.settings.seed);
    let architecture = &trained.settings.architecture;
    let model = Model {
        architecture,
        parameters: &trained.parameters,
        binarization: trained.settings.binarization,
        seed,
    };
    let (steps, weighed) = (args.refine_steps, args.samples);
    let refining = Refining { steps, weighed, from_prior: true, ..Refining::default() };
    let tenth = Some(args.samples / 10).filter(|&k| k > 0);
    let ks = tenth.into_iter().chain([args.samples]).collect();
    let finding = Finding { ks, refining, annealing };
    let mut kept = Kept::new(key(model, &dataset, args.images, &finding), &finding.ks);
    let before = args.per_image.iter().filter(|file| file.exists());
    for file in args.merge.iter().chain(before) {
        let had = kept.images.len();
        kept.take_over(file)?;
        note(format_args!("{}: {} images are taken over", file.display(), kept.images.len() - had));
    }
    let device = args.device.open()?;
    let stop = Stop::listen()?;
    let code = |interrupted: bool| if interrupted { stop.code() } else { 0 };
    let begin = Instant::now();
    let (images, sets) = (args.images, BTreeMap::new());
    let mut work = Work {
        device: &device,
        model,
        finding: &finding,
        dataset: &dataset,
        images,
        sets,
        stop: &stop,
    };
    let mut interrupted = false;
    for (set, range) in work.todo(args.shard, &kept) {
        match work.find(set, range.clone()) {
            Ok(found) => kept.images.extend(range.map(|image| (set, image)).zip(found)),
            Err(EvaluateError::Interrupted) => {
                interrupted = true;
                break;
            }
            Err(error) => return Err(trained.failure(error)),
        }
        if let Some(file) = &args.per_image {
            kept.write(file)?;
        }
    }
    if let (Some(Shard { part, of }), Some(file)) = (args.shard, &args.per_image) {
        kept.write(file)?; // there may have been nothing to do
        let what = if interrupted { "interrupted: " } else { "" };
        note(format_args!(
            "{what}part {} of {of}: {} has {} images; --merge adds the parts up",
            part + 1,
            file.display(),
            kept.images.len()
        ));
        return Ok(code(interrupted));
    }
    if let Some(file) = &args.per_image {
        kept.write(file)?;
    }
    let of = |set: Set| {
        let images = kept.images.range((set, 0)..(set, usize::MAX));
        Gaps(images.map(|(_, image)| image.clone()).collect())
    };
    let simulated = of(Set::Own);
    // What was taken over does not say how it was annealed; the same is found again.
    let tempering = match simulated.0.is_empty() {
        true => None,
        false => match work.prepare(Set::Own) {
            Ok(prepared) => Some(prepared.tempering.clone()),
            Err(EvaluateError::Interrupted) => None,
            Err(error) => return Err(trained.failure(error)),
        },
    };
    let signals = match (&args.snr, interrupted) {
        (Some(_), false) => match work.signals() {
            Ok(signals) => Some(signals),
            Err(EvaluateError::Interrupted) => {
                interrupted = true;
                None
            }
            Err(error) => return Err(trained.failure(error)),
        },
        _ => None,
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
        sets: &[("test", of(Set::Test)), ("train", of(Set::Train))],
        simulated: &simulated,
        tempering: tempering.as_ref(),
        signals: signals.as_ref(),
    };
    if let (Some(file), Some(signals)) = (&args.snr, &signals) {
        match chart(signals, &subject.run, work.images.min(SIGNAL_IMAGES)) {
            Some(svg) => {
                write_whole(file, svg.as_bytes()).map_err(Failure::run)?;
                note(format_args!("{}: signal and noise of the gradients", file.display()));
            }
            None => note("no chart: no gradient is above its noise"),
        }
    }
    if let Some(file) = &args.figure {
        match figure(&found) {
            Some(svg) => {
                write_whole(file, svg.as_bytes()).map_err(Failure::run)?;
                note(format_args!("{}: what the gap is made of", file.display()));
            }
            None => note("no figure: no test image is finished"),
        }
    }
    let text = match args.json {
        true => json(&found).map_err(Failure::run)? + "\n",
        false => table(&found),
    };
    print(&text);
    warnings(&found).iter().for_each(|line| note(format_args!("warning: {line}")));
    if interrupted {
        note("interrupted: these are the figures that are finished");
    }
    Ok(code(interrupted))
}

/// Images of one set on their way to being looked at.
struct Prepared {
    images: Source,
    tempering: Tempering,
}

enum Source {
    Own(Simulated),
    Real(Vec<f32>, Content),
}

impl Source {
    fn subjects(&self) -> Subjects<'_> {
        match self {
            Source::Own(simulated) => Subjects::Simulated(simulated),
            Source::Real(x, content) => {
                let (content, z, starts) = (*content, None, None);
                Subjects::Real(Observed { x, first: 0, content, z, starts })
            }
        }
    }
}

/// What is to be done with every set of images.
struct Work<'a> {
    device: &'a Device,
    model: Model<'a>,
    finding: &'a Finding,
    dataset: &'a Dataset,
    /// Of each set.
    images: usize,
    /// Those that have been looked at.
    sets: BTreeMap<Set, Prepared>,
    stop: &'a Stop,
}

impl Work<'_> {
    /// Images of which something is still to be found. The sets take turns, so that early figures are of all of them.
    fn todo(&self, shard: Option<Shard>, kept: &Kept) -> Vec<(Set, Range<usize>)> {
        let Shard { part, of } = shard.unwrap_or(Shard { part: 0, of: 1 });
        let all = blocks(self.device, self.images)
            .flat_map(|range| Set::ALL.map(|set| (set, range.clone())));
        let own = all.skip(part).step_by(of);
        let lacks = |&(set, ref range): &(Set, Range<usize>)| {
            range.clone().any(|image| !kept.images.contains_key(&(set, image)))
        };
        own.filter(lacks).collect()
    }

    /// The images of a set, and the step sizes of their chains, which the first of them all give, whichever are looked at.
    fn prepare(&mut self, set: Set) -> Result<&Prepared, EvaluateError> {
        if !self.sets.contains_key(&set) {
            let (device, model) = (self.device, self.model);
            let real = |images| {
                observe(device, model, images, self.images).map(|(x, of)| Source::Real(x, of))
            };
            let images = match set {
                Set::Own => Source::Own(simulate(device, model, self.images)?),
                Set::Test => real(&self.dataset.test)?,
                Set::Train => real(&self.dataset.train)?,
            };
            let label = format!(
                "{} images: step sizes at {} temperatures",
                set.name(),
                self.finding.annealing.temperatures
            );
            let mut progress = Progress::new(label);
            let on = &mut |share: f64| told(&mut progress, self.stop, share);
            let tempering = prepare(device, model, images.subjects(), self.finding, on)?;
            self.sets.insert(set, Prepared { images, tempering });
        }
        Ok(&self.sets[&set])
    }

    fn find(&mut self, set: Set, range: Range<usize>) -> Result<Vec<GapsOfImage>, EvaluateError> {
        let (device, model, finding, stop) = (self.device, self.model, self.finding, self.stop);
        let (name, of) = (set.name(), self.images);
        let Prepared { images, tempering } = self.prepare(set)?;
        let label = format!("{name} images {} to {} of {of}", range.start + 1, range.end);
        let mut progress = Progress::new(label);
        let on = &mut |share: f64| told(&mut progress, stop, share);
        find(device, model, images.subjects(), range, finding, tempering, on)
    }
    /// Of the gradients of test images.
    fn signals(&self) -> Result<Signals, EvaluateError> {
        let (device, model) = (self.device, self.model);
        let images = self.images.min(SIGNAL_IMAGES);
        let (x, content) = observe(device, model, &self.dataset.test, images)?;
        let observed = Observed { x: &x, first: 0, content, z: None, starts: None };
        let mut progress = Progress::new(format!("{images} test images: gradients"));
        let on = &mut |share: f64| told(&mut progress, self.stop, share);
        signals(device, model, observed, &SIGNAL_DRAWS, SIGNAL_REPEATS, on)
    }
}
