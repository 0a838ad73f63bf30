//! `elbo web`

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use tokio::sync::watch;

use super::Failure;
use super::explore::has_desktop;
use super::options::{load_data, values};
use super::stop::Stop;
use super::trained::{DataOption, ModelOption, Trained};
use crate::checkpoint::NewFolder;
use crate::data::{self, MNIST};
use crate::explore::End;
use crate::explore::server::{self, Served};
use crate::report::console::{note, say};
use crate::vae::Binarization;
use crate::web::site::{Asked, Explored, File, MANIFEST, files, written_with};

/// Write a page that trains, explores and measures on its visitor's own GPU, with nothing installed
///
/// The page runs the kernels of elbo train by WebGPU: it trains networks that can be chosen there, explores them as elbo explore
/// does, and measures the GPU. It is a folder of files that any web server or static host serves, under any path, and asks for
/// nothing else; --serve serves it on this machine alone until Ctrl-C.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  elbo web --serve
  elbo web --out site --run runs/a
  elbo web --out site --data my-pictures")]
pub struct Args {
    /// The folder to write: a new one, an empty one, or one that elbo web has written, which is replaced
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Serve the page on this machine until Ctrl-C, written or not
    #[arg(long)]
    serve: bool,
    /// Port of --serve; 0 takes a free one
    #[arg(long, default_value_t = 0, requires = "serve")]
    port: u16,
    /// Print the address of --serve only, open no browser
    #[arg(long, requires = "serve")]
    no_open: bool,
    /// The folder of a run to explore on the page
    #[arg(long, value_name = "RUN")]
    run: Option<PathBuf>,
    #[command(flatten)]
    model: ModelOption,
    /// The images of the page, as train's --data [default: those of --run, else mnist]
    #[arg(long, value_name = "PATH")]
    data: Option<String>,
    /// What a pixel's level becomes where the page trains; fixed makes them bits, which are the smallest files
    #[arg(long, default_value = "fixed", value_parser = values::<Binarization>())]
    binarization: Binarization,
    /// Draws of z for each estimate of log p(x), K, 100000 at most
    #[arg(long, value_name = "K", default_value_t = 1000)]
    samples: usize,
}

pub fn run(args: Args) -> Result<u8, Failure> {
    if args.out.is_none() && !args.serve {
        return Err(Failure::input(
            "give --out DIR to write the page, or --serve to serve it here",
        ));
    }
    if !(1..=100_000).contains(&args.samples) {
        let got = args.samples;
        return Err(Failure::input(format!("--samples must be from 1 to 100000, got {got}")));
    }
    let replaces = args.out.as_deref().map(check_folder).transpose()?.unwrap_or(false);
    let files = page(&args)?;
    if let Some(out) = &args.out {
        write(out, &files, replaces)?;
    }
    match args.serve {
        true => serve(&args, files),
        false => Ok(0),
    }
}

/// The files of the page.
fn page(args: &Args) -> Result<Vec<File>, Failure> {
    let trained = args.run.as_ref().map(|run| Trained::open(run, &args.model)).transpose()?;
    if trained.as_ref().is_some_and(|trained| trained.settings.table.is_some()) {
        let run = args.run.iter().map(|run| run.display().to_string()).collect::<String>();
        return Err(Failure::input(format!(
            "{run} is a run of a table, and the page shows images"
        )));
    }
    let (dataset, left_out) = match (&args.data, &trained) {
        (Some(data), Some(trained)) => {
            let option = DataOption::named(Some(data.clone()));
            (trained.data(&option)?, Vec::new())
        }
        (None, Some(trained)) => (trained.data(&DataOption::named(None))?, Vec::new()),
        (data, None) => {
            let data = data.as_deref().unwrap_or(MNIST);
            load_data(data, data::Options::default()).map_err(Failure::input)?
        }
    };
    left_out.iter().for_each(note);
    // A path says more of this machine than a page should.
    let last = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    let name = match dataset.source() {
        known if known == MNIST || known == data::FASHION_MNIST => known.to_string(),
        path => last(Path::new(path)).unwrap_or_else(|| path.to_string()),
    };
    let run_name = args.run.as_deref().map(|run| {
        let whole = fs::canonicalize(run).unwrap_or_else(|_| run.to_path_buf());
        last(&whole).unwrap_or_else(|| "run".to_string())
    });
    let run = trained.as_ref().zip(run_name.as_deref()).map(|(trained, name)| Explored {
        name,
        settings: &trained.settings,
        parameters: &trained.parameters,
    });
    let asked = Asked {
        dataset: &dataset,
        name: &name,
        binarization: args.binarization,
        run,
        samples: args.samples,
    };
    files(&asked).map_err(Failure::input)
}

/// Whether a folder is there that elbo web has written, and nobody else.
fn check_folder(out: &Path) -> Result<bool, Failure> {
    let Ok(manifest) = fs::read(out.join(MANIFEST)) else {
        NewFolder::check(out).map_err(Failure::input)?;
        return Ok(false);
    };
    let at = |what: String| Failure::input(format!("{}: {what}", out.display()));
    let written = written_with(&manifest).ok_or_else(|| {
        at(format!("its {MANIFEST} is none that this program wrote; name a new folder"))
    })?;
    let foreign = others(out, out, &written).map_err(|e| at(format!("cannot read it: {e}")))?;
    match foreign {
        None => Ok(true),
        Some(file) => Err(at(format!(
            "it has {file}, which elbo web has not written and would remove; move it away or name a new folder"
        ))),
    }
}

/// The first file below a folder that is not among those `written` in `root`.
fn others(
    root: &Path,
    folder: &Path,
    written: &std::collections::BTreeSet<String>,
) -> std::io::Result<Option<String>> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            if let Some(other) = others(root, &path, written)? {
                return Ok(Some(other));
            }
            continue;
        }
        let within = path.strip_prefix(root).unwrap_or(&path);
        let parts: Vec<_> = within.iter().map(|part| part.to_string_lossy()).collect();
        let name = parts.join("/");
        if !written.contains(&name) {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

fn write(out: &Path, files: &[File], replaces: bool) -> Result<(), Failure> {
    let write = || {
        let folder = match replaces {
            true => NewFolder::begin_in_place_of(out)?,
            false => NewFolder::begin(out)?,
        };
        for file in files {
            folder.write(&file.path, &file.bytes)?;
        }
        folder.finish()
    };
    write().map_err(Failure::run)?;
    let bytes: usize = files.iter().map(|file| file.bytes.len()).sum();
    let (n, mb) = (files.len(), bytes as f64 / 1e6);
    say(format_args!(
        "{}: {n} files, {mb:.1} MB; any web server serves it, from https or from this machine",
        out.display()
    ));
    Ok(())
}

fn serve(args: &Args, files: Vec<File>) -> Result<u8, Failure> {
    let listener = server::listen(args.port)
        .map_err(|e| Failure::input(format!("--port {}: {e}", args.port)))?;
    let address = listener.local_addr().map_err(Failure::run)?;
    let (end, ended) = watch::channel(None);
    Stop::listen_and(move || {
        end.send_replace(Some(End::Interrupted));
    })?;
    let page = format!("http://{address}/");
    say(format_args!("{page} (Ctrl-C ends it)"));
    if !args.no_open && has_desktop() {
        // Somebody whose browser does not open has the address.
        let _ = open::that_detached(&page);
    }
    let files: BTreeMap<String, Vec<u8>> =
        files.into_iter().map(|file| (file.path, file.bytes)).collect();
    server::serve(listener, Served::Files(files), ended).map_err(Failure::run)?;
    note("interrupted; the page is down");
    Ok(0)
}
