//! `elbo explore`

use std::ops::ControlFlow;
use std::path::PathBuf;

use tokio::sync::watch;

use super::Failure;
use super::options::{DeviceOption, seed};
use super::stop::Stop;
use super::trained::{DataOption, ModelOption, Trained};
use crate::data::{Images, Labels};
use crate::device::Device;
use crate::evaluate::{EvaluateError, Model};
use crate::explore::End;
use crate::explore::model::{ExploreError, Explorer, Subject};
use crate::explore::server::{self, Explored, Served};
use crate::explore::worker::Worker;
use crate::generate;
use crate::report::console::{note, say};
use crate::report::progress::Progress;

/// Walk a trained model's latent space in the browser, and draw digits for it to judge
///
/// Serves a page on this machine alone until Ctrl-C, to whoever has the token in its address: a map of the latent space, or sliders over the units
/// with the largest KL, with the decoded image beside it; and a canvas to draw on, with the posterior of
/// what was drawn, its reconstruction, and log p(x) estimated in three ways. The ± of an estimate is the
/// standard error over its draws.
#[derive(clap::Args)]
pub struct Args {
    /// The folder of a run
    run: PathBuf,
    /// Port of the page; 0 takes a free one
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Print the page's address only, open no browser
    #[arg(long)]
    no_open: bool,
    /// Draws of z for each estimate of log p(x), K, 100000 at most
    #[arg(long, value_name = "K", default_value_t = 1000)]
    samples: usize,
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
    if !(1..=100_000).contains(&args.samples) {
        let got = args.samples;
        return Err(Failure::input(format!("--samples must be from 1 to 100000, got {got}")));
    }
    let trained = Trained::open(&args.run, &args.model)?;
    if trained.settings.table.is_some() {
        let run = args.run.display();
        return Err(Failure::input(format!(
            "{run} is a run of a table, and the page shows images; elbo sample, reconstruct, eval and impute take tables"
        )));
    }
    let instead = "draws from the prior stand for test images";
    let test = trained.data_if_there(&args.data, instead)?.map(|dataset| {
        trained.has_other(&dataset, &args.data);
        dataset.test // the training images are not kept
    });
    let listener = server::listen(args.port)
        .map_err(|e| Failure::input(format!("--port {}: {e}", args.port)))?;
    let address = listener.local_addr().map_err(Failure::run)?;
    let device = args.device.open()?;
    let (end, ended) = watch::channel(None);
    let interrupt = end.clone();
    Stop::listen_and(move || {
        interrupt.send_replace(Some(End::Interrupted));
    })?;

    let seed = args.seed;
    let (run, test) = match test {
        Some(test) => (trained.name(), test),
        None => (format!("{} ({instead})", trained.name()), drawn(&device, &trained)?),
    };
    let stop = ended.clone();
    let load = move || {
        let settings = &trained.settings;
        let model = Model {
            architecture: &settings.architecture,
            parameters: &trained.parameters,
            binarization: settings.binarization,
            seed: seed.unwrap_or(settings.seed),
        };
        let subject = Subject { run: &run, model, test, samples: args.samples };
        let mut progress = Progress::new("loading".to_string());
        Explorer::load(&device, subject, &mut |share| {
            progress.set(share);
            match stop.borrow().is_some() {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        })
    };
    let (worker, about, thread) = match Worker::start(load, end) {
        Ok(started) => started,
        Err(ExploreError::Evaluate(EvaluateError::Interrupted)) => return Ok(0),
        Err(e @ (ExploreError::Plan(_) | ExploreError::Evaluate(EvaluateError::Plan(_)))) => {
            return Err(Failure::input(e));
        }
        Err(ExploreError::Device(e) | ExploreError::Evaluate(EvaluateError::Device(e))) => {
            return Err(Failure::device(&e, &e));
        }
        Err(e) => return Err(Failure::run(format!("{}: {e}", args.run.display()))),
    };
    let token = token();
    let page = format!("http://{address}/?token={token}");
    say(format_args!("{}: {page} (Ctrl-C ends it)", about.run));
    if !args.no_open && has_desktop() {
        // Somebody whose browser does not open has the address.
        let _ = open::that_detached(&page);
    }
    let served = Served::Explorer(Box::new(Explored { token, about, worker }));
    let ended = server::serve(listener, served, ended).map_err(Failure::run)?;
    // A device in the middle of its work is not to be torn down; an answer takes moments.
    let _ = thread.join();
    match ended {
        End::Interrupted => {
            note("interrupted; the page is down");
            Ok(0)
        }
        End::Failed(message) => {
            let run = args.run.display();
            Err(Failure::run(format!(
                "{message}; elbo explore {run} starts again, on another --device too"
            )))
        }
    }
}

/// Images that the model draws, as grey levels or colours.
fn drawn(device: &Device, trained: &Trained) -> Result<Images, Failure> {
    /// As many as fill the page's list of them.
    const DRAWS: usize = 100;
    let architecture = &trained.settings.architecture;
    let seed = trained.settings.seed;
    let draws = generate::sample(device, architecture, &trained.parameters, DRAWS, seed);
    let levels = draws.map_err(Failure::run)?.concat();
    let pixels = levels.iter().map(|v| (255.0 * v.clamp(0.0, 1.0)).round() as u8).collect();
    let images = Images::of(architecture.shape(), pixels).map_err(Failure::run)?;
    let names = &architecture.classes;
    let classes = generate::by_class(DRAWS, names.len()).into_iter().map(|class| class as u16);
    let labels = Labels { classes: classes.collect(), names: names.iter().cloned().collect() };
    Ok(Images { labels: (!names.is_empty()).then_some(labels), ..images })
}

/// 128 bits that nobody can guess: the keys of the standard library's hash come from the operating system.
fn token() -> String {
    use std::hash::{BuildHasher, RandomState};
    let bits = || RandomState::new().hash_one(std::process::id());
    format!("{:016x}{:016x}", bits(), bits())
}

/// Whether there is somebody to see a browser.
pub(super) fn has_desktop() -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|v| !v.is_empty());
    cfg!(any(windows, target_os = "macos")) || set("DISPLAY") || set("WAYLAND_DISPLAY")
}
