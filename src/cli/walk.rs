//! `elbo walk`

use std::f64::consts::FRAC_PI_2;
use std::path::PathBuf;

use super::Failure;
use super::fields::in_flags;
use super::generate::failure;
use super::options::{DeviceOption, seed};
use super::output::{Output, Sink};
use super::trained::{DataOption, ModelOption, Trained};
use crate::generate;
use crate::loaded::Model;
use crate::report::console::say;
use crate::report::figures::Layout;

/// Most frames of a walk.
const MOST: usize = 10_000;

/// Walk through the latent space of a model of images, as an animated GIF or a picture of each step
///
/// The walk goes from stop to stop and back to the first. Stops are draws from the prior, those of elbo sample with the same
/// seed. Where it is N(0, I), the way from a to b is cos(t) a + sin(t) b: every step of it is a draw from the prior, too, so that
/// the decoder sees what it was trained on. Else, and with --images, whose stops are the posterior means of these images, ways
/// are straight.
///
/// FILE.gif shows small images enlarged, over and over. FOLDER/ has a picture of each step, 0001.png and so on, FILE.npy
/// is an array of their levels, and FILE.png one picture of all.
#[derive(clap::Args)]
#[command(after_long_help = "Examples:
  elbo walk runs/a --out walk.gif
  elbo walk runs/a --images 0,7,12 --frames 30 --out between.gif
  elbo walk runs/a --stops 2 --frames 10 --out steps/")]
pub struct Args {
    /// The folder of a run
    run: PathBuf,
    /// Where to write: FILE.gif, FOLDER/, FILE.npy or FILE.png
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Draws from the prior to walk between
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u16).range(2..))]
    stops: u16,
    /// Walk between these test images, by their numbers, the first is 0 [default: none]
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',', conflicts_with = "stops")]
    images: Vec<usize>,
    /// Steps from stop to stop
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..))]
    frames: u16,
    /// Steps that a GIF shows in a second
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=50))]
    rate: u32,
    /// The class whose images are shown, by its name or number, of a model that was trained with --condition labels
    #[arg(long, value_name = "NAME")]
    class: Option<String>,
    /// Seed of the draws, and of binarization [default: the run's own]
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
    let trained = Trained::open(&args.run, &args.model)?;
    let (settings, a) = (&trained.settings, &trained.settings.architecture);
    if settings.table.is_some() {
        let run = args.run.display();
        return Err(Failure::input(format!(
            "{run} is a run of a table; elbo walk shows images, elbo sample draws rows"
        )));
    }
    let output = Output::of_movie(args.out, &trained.folder, args.rate)?;
    let stops = if args.images.is_empty() { usize::from(args.stops) } else { args.images.len() };
    if stops < 2 {
        return Err(Failure::input("--images: name two at least, as in --images 0,7"));
    }
    let count = stops * usize::from(args.frames);
    if count > MOST {
        return Err(Failure::input(format!(
            "{stops} stops of --frames {} are {count} steps, {MOST} at most can be",
            args.frames
        )));
    }
    let class = match (&args.class, a.classes.is_empty()) {
        (None, false) => {
            return Err(Failure::input(
                "--class NAME is needed: the model is told a class, and shows images of it",
            ));
        }
        (class, _) => class.as_ref().map(|class| a.class(class)).transpose(),
    };
    let class = class
        .map_err(|e| Failure::input(format!("--{}", in_flags(&e.to_string()).replace('`', ""))))?;
    let seed = args.seed.unwrap_or(settings.seed);
    // Before a device is opened, which takes longer.
    let shown = match args.images.iter().max() {
        None => None,
        Some(&last) => {
            let dataset = trained.data(&args.data)?;
            trained.has_other(&dataset, &args.data);
            let there = dataset.test.n_images;
            if last >= there {
                return Err(Failure::input(format!(
                    "--images {last}: there are {there} test images in {}, from 0 to {}",
                    dataset.name,
                    there - 1
                )));
            }
            Some(dataset.test.first(last + 1))
        }
    };
    let device = args.device.open()?;
    let stops: Vec<Vec<f64>> = match &shown {
        None => {
            let codes = generate::sample_codes(&device, a, &trained.parameters, stops, seed);
            let codes = codes.map_err(failure)?;
            let code = |code: &[f32]| code.iter().map(|&v| f64::from(v)).collect();
            codes.chunks_exact(a.latent).map(code).collect()
        }
        Some(images) => {
            let model = Model {
                architecture: a,
                parameters: &trained.parameters,
                binarization: settings.binarization,
                seed,
            };
            let q = generate::posteriors(&device, model, images, images.n_images);
            let q = q.map_err(failure)?;
            let mean = |&image: &usize| q.mean[image * a.latent..][..a.latent].to_vec();
            args.images.iter().map(mean).collect()
        }
    };
    // Of draws from another prior a mixture of two is no draw.
    let way = if shown.is_none() && a.prior.is_normal() { round } else { straight };
    let codes = steps(&stops, usize::from(args.frames), way);
    let classes = class.map_or(Vec::new(), |class| vec![class; count]);
    let images = generate::decode(&device, a, &trained.parameters, &codes, &classes);
    let images = images.map_err(failure)?;
    let mut sink = Sink::new(&output, a.shape(), None, count)?;
    images.iter().try_for_each(|image| sink.add(image))?;
    sink.finish(Layout::Square)?;
    let between = if shown.is_some() { "posterior means" } else { "draws from the prior" };
    let n = stops.len();
    say(format_args!("{}: {count} steps between {n} {between} and back", output.path.display()));
    Ok(0)
}

/// Where a way is at `t` in [0, 1] between two values of a unit.
type Way = fn(f64, f64, f64) -> f64;

fn straight(a: f64, b: f64, t: f64) -> f64 {
    a + (b - a) * t
}

/// Of two independent draws from N(0, 1) one as well, at every t.
fn round(a: f64, b: f64, t: f64) -> f64 {
    (FRAC_PI_2 * t).cos() * a + (FRAC_PI_2 * t).sin() * b
}

/// The codes of a walk, one row behind the other: `frames` from each stop to the one before the next, and from the last
/// stop back to the first.
fn steps(stops: &[Vec<f64>], frames: usize, way: Way) -> Vec<f32> {
    let pairs = stops.iter().zip(stops.iter().cycle().skip(1));
    let leg = |(from, to): (&Vec<f64>, &Vec<f64>)| -> Vec<f32> {
        let at = |frame: usize| {
            let t = frame as f64 / frames as f64;
            from.iter().zip(to).map(move |(&a, &b)| way(a, b, t) as f32)
        };
        (0..frames).flat_map(at).collect()
    };
    pairs.flat_map(leg).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_is_at_its_stops_and_comes_back() {
        let stops = [vec![0.0, 1.0], vec![2.0, 5.0], vec![-4.0, 3.0]];
        let codes = steps(&stops, 4, straight);
        let at = |step: usize| [codes[2 * step], codes[2 * step + 1]];
        assert_eq!(codes.len(), 2 * 3 * 4);
        assert_eq!([at(0), at(4), at(8)], [[0.0, 1.0], [2.0, 5.0], [-4.0, 3.0]]);
        assert_eq!([at(1), at(6), at(11)], [[0.5, 2.0], [-1.0, 4.0], [-1.0, 1.5]]);
    }

    /// Half way between draws there is a draw: the weights' squares add up to 1.
    #[test]
    fn round_ways_keep_the_prior() {
        for t in [0.0, 0.2, 0.5, 0.9, 1.0] {
            let (a, b) = (round(1.0, 0.0, t), round(0.0, 1.0, t));
            assert!((a * a + b * b - 1.0).abs() < 1e-12);
        }
        assert!((round(3.0, 7.0, 0.0) - 3.0).abs() < 1e-12);
        assert!((round(3.0, 7.0, 1.0) - 7.0).abs() < 1e-12);
    }
}
