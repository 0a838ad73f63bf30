//! `elbo score`

use std::path::PathBuf;
use std::time::Instant;

use super::Failure;
use super::bounds::told;
use super::evaluate::check_samples;
use super::options::{DeviceOption, seed, values};
use super::stop::Stop;
use super::trained::{DataOption, ModelOption, Trained};
use crate::bounds::{
    EvaluateError, Observed, Refining, Score, Scoring, observe, score, unconditional,
};
use crate::checkpoint::{check_writable, write_whole};
use crate::data::{Images, Records};
use crate::device::Device;
use crate::loaded::Model;
use crate::named::Named;
use crate::report::bounds::Subject;
use crate::report::console::{note, print};
use crate::report::progress::Progress;
use crate::report::scores::{Found, Scored, csv, json, table};

/// Score images or rows one by one, as CSV: log p(x), ELBO, likelihood regret, quantiles among the training images
///
/// log p(x) is the highest of bounds from below: by K draws from q(z|x) with importance weights, of whose logarithms the ELBO is
/// the mean, by K draws from the best q for this image alone, and the ELBO of that.
/// The likelihood regret is how much the ELBO gains from the one q to the other (found as elbo gaps does it): it tells what the encoder has not seen, where log p(x) may not (Xiao et al. 2020). The quantiles are the shares
/// of the run's training images that score at most as much, with the same draws and steps.
///
/// --against scores another data set too, and says how well each score tells the two apart: the area under the ROC curve,
/// for log p(x) and the ELBO the probability that an image of the run's kind has the higher one, for the regret that it has
/// the lower one.
///
/// Of a table, --data names another with the run's columns, whose rows are all scored.
#[derive(clap::Args)]
pub struct Args {
    /// The folder of a run
    run: PathBuf,
    /// Which records: of the data as they were parted for the run
    #[arg(long, value_name = "PART", default_value_t = Records::Test, value_parser = values::<Records>())]
    split: Records,
    /// The first N of each part [default: all]
    #[arg(long, value_name = "N")]
    images: Option<usize>,
    /// Another data set to tell the images from, as train's --data
    #[arg(long, value_name = "DATA")]
    against: Option<String>,
    /// Draws of z an image, K, from each q
    #[arg(long, value_name = "K", default_value_t = 1000)]
    samples: usize,
    /// Steps by which the best q is found; 0 leaves it and the regret out, and most of the time that it takes
    #[arg(long, value_name = "N", default_value_t = Refining::default().steps)]
    refine_steps: usize,
    /// The first N training images of the run, for the quantiles; 0 leaves them out
    #[arg(long, value_name = "N", default_value_t = 1000)]
    reference: usize,
    /// The CSV file to write [default: to stdout]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print one JSON object, with means and rows, in place of CSV or, with --out, of the table
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

pub fn run(args: Args) -> Result<u8, Failure> {
    check_samples(args.samples)?;
    if args.refine_steps > 1_000_000 {
        return Err(Failure::input(format!(
            "--refine-steps must be from 0 to 1000000, got {}",
            args.refine_steps
        )));
    }
    if let Some(file) = &args.out {
        check_writable(file).map_err(Failure::input)?;
    }
    let trained = Trained::open(&args.run, &args.model)?;
    let architecture = &trained.settings.architecture;
    unconditional(architecture).map_err(|e| trained.failure(e))?;
    let own = trained.records(&args.data, args.split)?;
    let other = DataOption::named(args.against.clone());
    let other = match other.is_default() {
        true => None,
        false => Some(trained.records(&other, args.split)?),
    };
    let reference = reference(&args, &trained)?;
    let mut sets = Vec::new();
    for (taken, other) in
        [Some((&own, false)), other.as_ref().map(|o| (o, true))].into_iter().flatten()
    {
        for (split, images) in &taken.sets {
            let what = format!("{split} images of {}", taken.name);
            sets.push((&*taken.source, split.name(), other, first(images, args.images, &what)?));
        }
    }
    let device = args.device.open()?;
    let seed = args.seed.unwrap_or(trained.settings.seed);
    let model = Model {
        architecture,
        parameters: &trained.parameters,
        binarization: trained.settings.binarization,
        seed,
    };
    let refining = Some(Refining { steps: args.refine_steps, ..Refining::default() })
        .filter(|refining| refining.steps > 0);
    let stop = Stop::listen()?;
    let begin = Instant::now();
    let scoring = Scoring { samples: args.samples, refining };
    let work = Work { device: &device, model, scoring, stop };
    let whole = || -> Result<_, EvaluateError> {
        let mut scored = Vec::new();
        for (data, split, other, images) in &sets {
            let scores = work.score(images, &format!("{split} images of {data}"))?;
            scored.push(Scored { data, split, other: *other, images, scores });
        }
        let training = match &reference {
            Some(images) => Some(work.score(images, "training images")?),
            None => None,
        };
        Ok((scored, training))
    };
    let (scored, training) = match whole() {
        Err(EvaluateError::Interrupted) => {
            note("interrupted; nothing was written");
            return Ok(work.stop.code());
        }
        result => result.map_err(|e| trained.failure(e))?,
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
        likelihood: architecture.likelihood,
        sets: &scored,
        training: training.as_deref(),
    };
    if let Some(file) = &args.out {
        write_whole(file, csv(&found).as_bytes()).map_err(Failure::run)?;
    }
    match (args.json, &args.out) {
        (true, _) => print(&(json(&found).map_err(Failure::run)? + "\n")),
        (false, Some(_)) => print(&table(&found)),
        (false, None) => {
            print(&csv(&found));
            table(&found).lines().for_each(note);
        }
    }
    Ok(0)
}

/// The first images that the run was trained on, by which quantiles are told.
fn reference(args: &Args, trained: &Trained) -> Result<Option<Images>, Failure> {
    if args.reference == 0 {
        return Ok(None);
    }
    let option = DataOption::default();
    let own = trained.data_if_there(&option, "the quantiles are left out")?;
    if let (Some(own), false) = (&own, args.data.is_default()) {
        trained.has_other(own, &option);
    }
    Ok(own.map(|own| own.train.first(args.reference)))
}

fn first(images: &Images, asked: Option<usize>, what: &str) -> Result<Images, Failure> {
    let all = images.n_images;
    match asked {
        None => Ok(images.clone()),
        Some(n) if (1..=all).contains(&n) => Ok(images.first(n)),
        Some(n) => {
            Err(Failure::input(format!("--images must be from 1 to {all}, the {what}, got {n}")))
        }
    }
}

/// What is to be done with every set of images.
struct Work<'a> {
    device: &'a Device,
    model: Model<'a>,
    scoring: Scoring,
    stop: Stop,
}

impl Work<'_> {
    fn score(&self, images: &Images, what: &str) -> Result<Vec<Score>, EvaluateError> {
        let Work { device, model, scoring, stop } = self;
        let (x, content) = observe(device, *model, images, images.n_images)?;
        let observed = Observed { x: &x, first: 0, content, z: None, starts: None };
        let mut progress = Progress::new(format!("{} {what}", images.n_images));
        score(device, *model, observed, *scoring, &mut |share| told(&mut progress, stop, share))
    }
}
