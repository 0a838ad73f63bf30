//! `elbo curve`

use std::fmt::Write;
use std::path::{Path, PathBuf};

use super::Failure;
use super::evaluate::check_samples;
use super::options::{DeviceOption, seed};
use super::stop::Stop;
use super::trained::{DataOption, ModelOption, Trained};
use crate::checkpoint::{check_writable, write_whole};
use crate::evaluate::{Estimate, Evaluation, ImageFigures, Request};
use crate::report::console::{note, print};
use crate::report::plot::{Chart, Dash, Line, Panel};
use crate::train::Settings;
use crate::vae::Architecture;

/// Draw the three estimates of log p(x) against the number of draws, for one run or for several
///
/// The ELBO, importance sampling with draws from q(z|x), and simple Monte Carlo with draws from the
/// prior, each with its standard error over images, as an SVG picture and as numbers. Runs of different
/// latent size show how the prior's draws become useless as Z grows while importance sampling does not.
#[derive(clap::Args)]
pub struct Args {
    /// Folders of runs on the same data with the same binarization
    #[arg(required = true)]
    runs: Vec<PathBuf>,
    /// Draws of z an image at the right end
    #[arg(long, value_name = "K", default_value_t = 5000)]
    samples: usize,
    /// Use the first N test images
    #[arg(long, value_name = "N", default_value_t = 1000)]
    images: usize,
    /// The picture
    #[arg(long, value_name = "FILE.svg", default_value = "curve.svg")]
    out: PathBuf,
    /// The numbers [default: --out with .csv]
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Seed of binarization and draws [default: each run's own]
    #[arg(long, value_parser = seed, allow_negative_numbers = true)]
    seed: Option<u64>,
    #[command(flatten)]
    model: ModelOption,
    #[command(flatten)]
    data: DataOption,
    #[command(flatten)]
    device: DeviceOption,
}

/// A run and what came of it.
struct Curve {
    run: String,
    architecture: Architecture,
    evaluation: Evaluation,
    is_of_rows: bool,
}

/// Name in the CSV, label in the legend, the figure at the i-th k.
type Estimator = (&'static str, &'static str, Dash, fn(&ImageFigures, usize) -> f64);

const ESTIMATORS: [Estimator; 3] = [
    ("importance", "importance sampling", Dash::Solid, |i, k| i.importance[k]),
    ("elbo", "ELBO", Dash::Dotted, |i, _| i.elbo()),
    ("prior", "draws from the prior", Dash::Dashed, |i, k| i.prior[k]),
];

/// Image by image, so that what images differ in is no part of its error.
const ABOVE_ELBO: Estimator =
    ("importance_above_elbo", "", Dash::Solid, |i, k| i.importance[k] - i.elbo());

pub fn run(args: Args) -> Result<u8, Failure> {
    check_samples(args.samples)?;
    if args.out.extension().is_none_or(|e| !e.eq_ignore_ascii_case("svg")) {
        return Err(Failure::input(format!(
            "--out {}: the picture is an SVG, name it FILE.svg",
            args.out.display()
        )));
    }
    if args.images == 0 {
        return Err(Failure::input("--images must be at least 1, got 0"));
    }
    let csv = args.csv.clone().unwrap_or_else(|| args.out.with_extension("csv"));
    if csv == args.out {
        return Err(Failure::input(format!("{}: named twice", csv.display())));
    }
    check_writable(&args.out).map_err(Failure::input)?;
    check_writable(&csv).map_err(Failure::input)?;
    let trained: Vec<Trained> =
        args.runs.iter().map(|run| Trained::open(run, &args.model)).collect::<Result<_, _>>()?;
    let first = &trained[0].settings;
    for (run, t) in args.runs.iter().zip(&trained) {
        let named = |s: &Settings| args.data.is_default().then(|| s.data.clone());
        let fitted = |s: &Settings| s.size.map(|size| (size, s.fit));
        let data = |s: &Settings| (named(s), fitted(s), s.valid, s.binarization);
        if data(&t.settings) != data(first) {
            return Err(Failure::input(format!(
                "{}: trained on {} with {}, {} on {} with {}; their likelihoods do not compare",
                run.display(),
                t.settings.data,
                t.settings.binarization.label(),
                args.runs[0].display(),
                first.data,
                first.binarization.label()
            )));
        }
    }
    let of_levels = |s: &Settings| s.architecture.likelihood.module().is_of_levels();
    if let Some((run, _)) =
        args.runs.iter().zip(&trained).find(|(_, t)| of_levels(&t.settings) != of_levels(first))
    {
        let (levels, other) = match of_levels(first) {
            true => (&args.runs[0], run),
            false => (run, &args.runs[0]),
        };
        return Err(Failure::input(format!(
            "{}: the likelihood is one of 256 levels, that of {} is not; they do not compare",
            levels.display(),
            other.display()
        )));
    }
    let told = |s: &Settings| s.architecture.log_likelihood();
    if let Some((run, other)) =
        args.runs.iter().zip(&trained).find(|(_, t)| told(&t.settings) != told(first))
    {
        return Err(Failure::input(format!(
            "{}: its figures are of {}, those of {} of {}; they do not compare",
            run.display(),
            told(&other.settings),
            args.runs[0].display(),
            told(first)
        )));
    }
    let dataset = trained[0].data(&args.data)?;
    for (run, t) in args.runs.iter().zip(&trained) {
        let (shape, first) = (t.settings.architecture.shape(), first.architecture.shape());
        if shape != first {
            return Err(Failure::input(format!(
                "{}: its images are {shape}, those of {} {first}",
                run.display(),
                args.runs[0].display(),
            )));
        }
        t.has_other(&dataset, &args.data);
    }
    let device = args.device.open()?;
    let stop = Stop::listen()?;
    let mut curves = Vec::new();
    let images = args.images.min(dataset.test.n_images);
    for t in &trained {
        let request = Request { images, ks: ks(args.samples), rows: None, resident: None };
        let seed = args.seed.unwrap_or(t.settings.seed);
        let label = t.name();
        let Some(evaluation) = t.evaluate(&device, &dataset, &request, seed, label, &stop)? else {
            note("interrupted; nothing was written");
            return Ok(stop.code());
        };
        let architecture = t.settings.architecture.clone();
        let is_of_rows = t.settings.table.is_some();
        curves.push(Curve { run: t.name(), architecture, evaluation, is_of_rows });
    }
    write(&csv, &numbers(&curves))?;
    write(&args.out, &picture(&curves).svg())?;
    print(&format!("{}\n{}\n", args.out.display(), csv.display()));
    Ok(0)
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    write_whole(path, text.as_bytes()).map_err(Failure::run)
}

/// 1, 2, 5, 10, 20, 50 and so on below `samples`, then `samples`.
fn ks(samples: usize) -> Vec<usize> {
    let decades = (0..).map(|power| 10_usize.pow(power));
    let steps = decades.flat_map(|decade| [decade, 2 * decade, 5 * decade]);
    steps.take_while(|&k| k < samples).chain([samples]).collect()
}

impl Curve {
    fn estimates(&self, estimator: &Estimator) -> Vec<(usize, Estimate)> {
        let each = self.evaluation.ks.iter().enumerate();
        each.map(|(i, &k)| (k, self.evaluation.mean(|image| estimator.3(image, i)))).collect()
    }
}

fn numbers(curves: &[Curve]) -> String {
    let mut t =
        String::from("run,latent,estimator,k,value,standard_error,samples,images,binarization");
    let of = |curve: &Curve, nats: f64| {
        let a = &curve.architecture;
        a.likelihood.bits_per_dimension(nats, a.pixels())
    };
    let has_bits = of(&curves[0], 0.0).is_some();
    t.push_str(if has_bits { ",bits_per_dimension\n" } else { "\n" });
    for curve in curves {
        let e = &curve.evaluation;
        let run = match curve.run.contains([',', '"', '\n']) {
            true => format!("\"{}\"", curve.run.replace('"', "\"\"")),
            false => curve.run.clone(),
        };
        let binarization = format!("{:?}", e.binarization).to_lowercase();
        for estimator in ESTIMATORS.iter().chain([&ABOVE_ELBO]) {
            for (k, Estimate { value, standard_error }) in curve.estimates(estimator) {
                let error = standard_error.map_or(String::new(), |e| e.to_string());
                // A difference of two estimates is none of log p(x).
                let bits = match estimator.0 == ABOVE_ELBO.0 {
                    true => has_bits.then(String::new),
                    false => of(curve, value).map(|bits| bits.to_string()),
                };
                let bits = bits.map_or(String::new(), |bits| format!(",{bits}"));
                // Writing to a string cannot fail.
                let _ = writeln!(
                    t,
                    "{run},{},{},{k},{value},{error},{},{},{binarization}{bits}",
                    curve.architecture.latent,
                    estimator.0,
                    e.samples(),
                    e.images.len()
                );
            }
        }
    }
    t
}

fn picture(curves: &[Curve]) -> Chart {
    let lines = |estimators: &[Estimator]| {
        let each = curves.iter().enumerate();
        each.flat_map(|(colour, curve)| estimators.iter().map(move |e| (colour, curve, e)))
            .map(|(colour, curve, estimator)| {
                let last = curve.evaluation.ks.len() - 1;
                // The ELBO is the same at every k: error bars at its ends will do.
                let points = curve.estimates(estimator).into_iter().enumerate();
                let points = points
                    .filter(|(i, _)| estimator.2 != Dash::Dotted || *i == 0 || *i == last)
                    .map(|(_, at)| at)
                    .map(|(k, e)| (k as f64, e.value, e.standard_error.unwrap_or(0.0)))
                    .collect();
                Line { colour, dash: estimator.2, points }
            })
            .collect()
    };
    // Two runs of one latent size are told apart by their names.
    let distinct = curves.iter().all(|c| {
        curves.iter().filter(|o| o.architecture.latent == c.architecture.latent).count() == 1
    });
    let colours = curves.iter().map(|c| match distinct {
        true => format!("Z = {}", c.architecture.latent),
        false => format!("Z = {}, {}", c.architecture.latent, c.run),
    });
    let e = &curves[0].evaluation;
    let n = e.images.len();
    let likelihood = curves[0].architecture.log_likelihood();
    let (one, each, mean) = match curves[0].is_of_rows {
        true => ("row", "a row", format!("mean of {n} rows ± standard error")),
        false => {
            let how = e.binarization.label();
            ("image", "an image", format!("mean of {n} test images ± standard error, {how}"))
        }
    };
    Chart {
        title: format!("{likelihood}, {mean}"),
        x_label: format!("draws of z {each}, k"),
        y_label: format!("nats per {one}"),
        panels: vec![
            Panel { title: "all estimates".to_string(), lines: lines(&ESTIMATORS) },
            Panel {
                title: "importance sampling above the ELBO, paired by image".to_string(),
                lines: lines(&[ABOVE_ELBO]),
            },
        ],
        colours: colours.collect(),
        dashes: ESTIMATORS.iter().map(|e| (e.2, e.1.to_string())).collect(),
    }
}
