//! `elbo export`

use std::path::{Path, PathBuf};

use super::Failure;
use super::options::{values, values_but};
use super::trained::{ModelOption, Trained};
use crate::checkpoint::{check_writable, write_whole};
use crate::interchange::onnx::{self, OPSET, Part};
use crate::interchange::{self, Names, weights};
use crate::kernels::activation::Activation;
use crate::report::console::say;
use crate::vae::Architecture;

/// Write a trained model for PyTorch or as ONNX
///
/// The encoder takes x (N, D), pixels in rows from the top in [0, 1], to mu and log_variance (N, Z). The
/// decoder takes z (N, Z) to probabilities and logits (N, D), or to mean (N, D) and variance (1) where the
/// likelihood is Gaussian. With convolutions x and what the decoder gives are (N, channels, height, width). N is any
/// number of rows.
#[derive(clap::Args)]
#[command(
    group = clap::ArgGroup::new("format").args(["onnx", "pytorch"]).required(true).multiple(true),
    after_long_help = "Examples:
  elbo export runs/a --onnx encoder.onnx --onnx decoder.onnx
  elbo export runs/a --onnx model.onnx --part decoder
  elbo export runs/a --pytorch vae.safetensors --names pyro"
)]
pub struct Args {
    /// The folder of a run
    run: PathBuf,
    /// Write an ONNX model of the part that the file's name says, encoder or decoder; may be given twice
    #[arg(long, value_name = "FILE")]
    onnx: Vec<PathBuf>,
    /// The part in the file of --onnx, whatever its name
    #[arg(long, value_parser = values::<Part>(), requires = "onnx")]
    part: Option<Part>,
    /// Write a safetensors file of PyTorch parameters
    #[arg(long, value_name = "FILE")]
    pytorch: Option<PathBuf>,
    /// Whose parameter names the file of --pytorch bears [default: example if they fit, else sequential]
    #[arg(long, value_parser = values_but(&[Names::First]), requires = "pytorch")]
    names: Option<Names>,
    #[command(flatten)]
    model: ModelOption,
}

pub fn run(args: Args) -> Result<u8, Failure> {
    let parts = parts(&args).map_err(Failure::input)?;
    let files: Vec<&PathBuf> = args.onnx.iter().chain(&args.pytorch).collect();
    for (i, path) in files.iter().enumerate() {
        if files[..i].contains(path) {
            return Err(Failure::input(format!("{}: named twice", path.display())));
        }
        check_writable(path).map_err(Failure::input)?;
    }
    if let Some(path) = &args.pytorch
        && path
            .extension()
            .is_some_and(|e| ["pt", "pth", "bin"].iter().any(|p| e.eq_ignore_ascii_case(p)))
    {
        return Err(Failure::input(format!(
            "--pytorch {}: torch.load could not open it, the file is a safetensors file, for \
             safetensors.torch.load_file: name it FILE.safetensors",
            path.display()
        )));
    }
    let trained = Trained::open(&args.run, &args.model)?;
    let Trained { settings, parameters, .. } = &trained;
    let a = &settings.architecture;
    let names = args.names.unwrap_or(Names::of(a));
    if !names.fit(a) {
        return Err(Failure::input(format!(
            "{}: it is {a}, and {} are for one hidden layer each side and Bernoulli pixels; \
             --names sequential fits every network",
            args.run.display(),
            names.whose()
        )));
    }
    let mut all = Vec::new();
    for (path, part) in parts {
        let fail = |message| Failure::run(format!("{}: {message}", path.display()));
        let (bytes, interface) = onnx::encode(a, parameters, part).map_err(fail)?;
        all.push((path, bytes, format!("the {part}, {interface}; ONNX, opset {OPSET}")));
    }
    if let Some(path) = &args.pytorch {
        let fail = |message| Failure::run(format!("{}: {message}", path.display()));
        let about =
            interchange::Trained { after: trained.after(), ..interchange::Trained::of(settings) };
        let bytes = weights::encode(a, names, parameters, &about).map_err(fail)?;
        all.push((path, bytes, pytorch(a, names)));
    }
    for (path, bytes, description) in all {
        write_whole(path, &bytes).map_err(Failure::run)?;
        say(format_args!("{}: {description}", path.display()));
    }
    Ok(0)
}

/// What each file of `--onnx` is to hold.
fn parts(args: &Args) -> Result<Vec<(&Path, Part)>, String> {
    if args.part.is_some() && args.onnx.len() != 1 {
        return Err("--part is for one file of --onnx, and there are several".to_string());
    }
    let of = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        match (name.contains("encoder"), name.contains("decoder")) {
            (true, false) => Some(Part::Encoder),
            (false, true) => Some(Part::Decoder),
            _ => None,
        }
    };
    args.onnx
        .iter()
        .map(|path| match args.part.or(of(path)) {
            Some(part) => Ok((path.as_path(), part)),
            None => Err(format!(
                "--onnx {}: the name says neither encoder nor decoder: add --part encoder or --part decoder",
                path.display()
            )),
        })
        .collect()
}

/// Names, and where the module they are from computes something else.
fn pytorch(a: &Architecture, names: Names) -> String {
    let mut text = format!("{a}, {}", names.whose());
    let expected = match names {
        Names::Example => Activation::Relu,
        Names::Pyro => Activation::Softplus,
        Names::Sequential | Names::First => a.activation,
    };
    if names == Names::Pyro {
        text += ", encoder.fc22 for ln σ";
    }
    if expected != a.activation {
        let ours = a.activation;
        text += &format!("; that module has {expected}, which must be {ours} for this network");
    }
    text
}
