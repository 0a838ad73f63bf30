//! `elbo import`

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::Failure;
use super::options::{load_data, seed, size, values};
use super::settings::absolute;
use super::train::create_default;
use crate::checkpoint::{IMPORT, ProgressOutput, RunFolder};
use crate::data::{self, Channels, Dataset, Fit, MNIST};
use crate::interchange::import::{Imported, Rename};
use crate::interchange::weights::{Tensor, fit};
use crate::interchange::{Names, Trained};
use crate::kernels::activation::Activation;
use crate::nn::{Layers, Shape};
use crate::report::console::{note, say};
use crate::train::Settings;
use crate::vae::likelihood::{LikelihoodKind, Variance};
use crate::vae::objective::Kl;
use crate::vae::prior::{PSEUDO_INPUTS, PseudoValues};
use crate::vae::{Architecture, Binarization, Family, Likelihood, Objective, Prior};

/// Make a run folder of a VAE that was trained in PyTorch
///
/// The file is what torch.save(model.state_dict(), FILE) or safetensors.torch.save_file(model.state_dict(), FILE) writes, with
/// layers under the names of the VAE of pytorch/examples (fc1, fc21, fc22, fc3, fc4), of Pyro's tutorial
/// (encoder.fc1, encoder.fc21, ..., decoder.fc21), of nn.Sequential stacks (encoder.0, encoder.2, ...,
/// mu, log_variance, decoder.0, decoder.2, ...) or of pythae's default networks (encoder.layers.0.0, encoder.embedding, ...).
/// Sizes are those of the tensors. What they cannot tell is an option. A file that elbo wrote says how it was trained; of
/// any other it is guessed, and said.
///
/// Of PyTorch's own file the tensors alone are read: nothing in it is run, and what is more than tensors is refused.
///
/// eval, sample, reconstruct, curve and export work on the run as on any other.
#[derive(clap::Args)]
pub struct Args {
    /// A safetensors file, or a zip archive of torch.save: FILE.pt, FILE.pth or FILE.bin
    file: PathBuf,
    /// Call tensors otherwise before they are looked at: one, or all of a module, as in --rename net.enc=encoder; with nothing
    /// behind the = the module's name is left out. May be given several times, and is done in that order
    #[arg(long, value_name = "OLD=NEW", value_parser = renaming)]
    rename: Vec<Rename>,
    /// The folder to write, which must be new or empty [default: runs/<date-time>]
    #[arg(long, value_name = "DIR", alias = "out")]
    run: Option<PathBuf>,
    /// The encoder's hidden layers, as for train, where they are not all fully connected [default: what the file says]
    #[arg(long, value_name = "LAYERS", alias = "encoder")]
    hidden: Option<Layers>,
    /// The decoder's hidden layers, as for train [default: --hidden reversed]
    #[arg(long, value_name = "LAYERS", alias = "decoder", requires = "hidden")]
    decoder_hidden: Option<Layers>,
    /// Non-linearity of the hidden layers [default: the file's own if elbo wrote it, softplus with Pyro's
    /// names, else relu]
    #[arg(long, value_parser = values::<Activation>())]
    activation: Option<Activation>,
    /// What the decoder's output means [default: gaussian if there is an observation_log_variance, else
    /// bernoulli]
    #[arg(long, value_parser = values::<LikelihoodKind>())]
    likelihood: Option<LikelihoodKind>,
    /// Variance of the Gaussian likelihood [default: the file's observation_log_variance]
    #[arg(long, value_name = "S", allow_negative_numbers = true)]
    variance: Option<f64>,
    /// The images that it was trained on, as for train [default: what the file says, mnist or fashion-mnist,
    /// else mnist if it has 784 pixels]
    #[arg(long, value_name = "PATH")]
    data: Option<String>,
    /// Height and width to bring the images to, as for train [default: what the file says]
    #[arg(long, value_name = "HxW", value_parser = size)]
    size: Option<(usize, usize)>,
    /// What --size does to images of another shape [default: what the file says, else crop]
    #[arg(long, value_parser = values::<Fit>())]
    fit: Option<Fit>,
    /// Read the images as grey or in colour, as for train [default: what the file says, else in colour if any
    /// pixel has one]
    #[arg(long, value_parser = values::<Channels>())]
    channels: Option<Channels>,
    /// What a pixel's byte v becomes [default: what the file says; else none with the names of
    /// pytorch/examples or Pyro, whose VAEs are trained so; else as for train]
    #[arg(long, value_parser = values::<Binarization>())]
    binarization: Option<Binarization>,
    /// Seed of noise and dynamic binarization
    #[arg(long, default_value_t = 0, value_parser = seed, allow_negative_numbers = true)]
    seed: u64,
}

impl Args {
    /// The file's word goes with the file's size.
    fn fit(&self, trained: &Trained) -> Fit {
        let told = if self.size.is_none() { trained.fit } else { None };
        self.fit.or(told).unwrap_or_default()
    }
}

/// What [`IMPORT`] holds.
#[derive(Serialize)]
struct Source {
    file: String,
    sha256: String,
    names: String,
    /// Types that were converted to F32.
    converted: Vec<String>,
}

pub fn run(args: Args) -> Result<u8, Failure> {
    let at = |message: String| Failure::input(format!("{}: {message}", args.file.display()));
    args.run.as_deref().map_or(Ok(()), RunFolder::check_free).map_err(Failure::input)?;
    let bytes = read(&args.file).map_err(at)?;
    let mut imported = Imported::read(&bytes, &args.rename).map_err(at)?;
    let (data, dataset, left_out) = data(&args, &imported)?;
    let mut guessed = Vec::new();
    let settings = settings(&args, &imported, data, &dataset, &mut guessed).map_err(at)?;
    settings.check_with(&dataset).map_err(|e| at(e.to_string()))?;
    let a = &settings.architecture;
    if let (Likelihood::Gaussian { variance: Variance::Given(s) }, None) =
        (a.likelihood, imported.variance())
    {
        let tensor = Tensor { shape: vec![1], values: vec![s.ln() as f32] };
        imported.tensors.insert(imported.names.observation_log_variance().to_string(), tensor);
    }
    let parameters = fit(a, imported.names, &imported.tensors).map_err(at)?;

    let folder = match &args.run {
        Some(path) => RunFolder::create(path, &settings),
        None => create_default(&settings, ProgressOutput::default()),
    }
    .map_err(Failure::input)?;
    let converted: Vec<String> = imported.converted.iter().cloned().collect();
    let source = Source {
        file: absolute(&args.file.to_string_lossy()),
        sha256: Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect(),
        names: imported.names.whose().to_string(),
        converted: converted.clone(),
    };
    let write = || {
        folder.write_json(IMPORT, &source)?;
        folder.write_model(&settings, &parameters)
    };
    write().map_err(|e| {
        let _ = fs::remove_file(folder.file(IMPORT));
        folder.discard();
        Failure::run(e)
    })?;

    let path = folder.path().display();
    let (file, whose) = (args.file.display(), imported.names.whose());
    say(format_args!(
        "{path}: {a} of {file}, which bears {whose}; images of {}, {}",
        dataset.name,
        settings.binarization.label()
    ));
    if let Some(within) = &imported.within {
        say(format_args!("the tensors are those of the file's {}", within.escape_debug()));
    }
    if !converted.is_empty() {
        say(format_args!("converted to F32: {}", converted.join(", ")));
    }
    left_out.iter().for_each(note);
    if !guessed.is_empty() {
        say(format_args!(
            "guessed, as the file does not say, with the option that changes it: {}",
            guessed.join("; ")
        ));
    }
    say(format_args!("elbo eval {path} shows what it is worth"));
    Ok(0)
}

/// Two names, as in old=new.
fn renaming(text: &str) -> Result<Rename, String> {
    match text.split_once('=') {
        Some((from, to)) if !from.is_empty() => {
            Ok(Rename { from: from.to_string(), to: to.to_string() })
        }
        _ => Err("write the old name and the new one, as in net.enc=encoder".to_string()),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    match path.metadata() {
        Ok(m) if !m.is_file() => Err("not a file".to_string()),
        _ => crate::read::at_most(path, u64::MAX).map_err(|e| format!("cannot read: {e}")),
    }
}

/// What names the images, the images, and what was left out of them.
type Data = (String, Dataset, Vec<String>);

fn data(args: &Args, imported: &Imported) -> Result<Data, Failure> {
    let own = imported.architecture.as_ref().map(Architecture::pixels);
    let pixels = imported.widths.as_ref().map(|widths| widths.pixels).or(own);
    let file = args.file.display();
    if pixels.is_none() && args.hidden.is_none() {
        return Err(Failure::input(format!(
            "{file}: it has convolutions or normalisations, of which the tensors do not tell strides and groups: give \
             the layers by --encoder, as in --encoder \"conv 32 4/2, conv 64 4/2, 256\""
        )));
    }
    let trained = &imported.trained;
    let name = match args.data.as_ref().or(trained.data.as_ref()) {
        Some(name) => name,
        None if pixels == Some(784) => MNIST,
        None => {
            let has = pixels.map_or("images".to_string(), |pixels| format!("{pixels} pixels"));
            return Err(Failure::input(format!(
                "{file}: it has {has}, MNIST has 784: name the images that it was trained on by --data"
            )));
        }
    };
    let channels = imported.architecture.as_ref().map(|own| Channels::of(own.channels));
    let options = data::Options {
        size: args.size.or(trained.size),
        fit: args.fit(trained),
        valid: trained.valid,
        channels: args.channels.or(channels),
        table: None,
        whole: false,
    };
    let (dataset, left_out) = load_data(name, options).map_err(Failure::input)?;
    if dataset.table().is_some() {
        return Err(Failure::input(format!(
            "--data {name} is a table, whose columns the file does not tell how to standardise; it is imported with images"
        )));
    }
    match pixels {
        Some(pixels) if dataset.train.n_pixels() != pixels => Err(Failure::input(format!(
            "{file}: it has {pixels} pixels, the images of --data {name} have {} = {}",
            dataset.train.shape(),
            dataset.train.n_pixels()
        ))),
        _ => Ok((absolute(name), dataset, left_out)),
    }
}

/// The run's settings: of the options, else of the file, else assumed.
fn settings(
    args: &Args,
    imported: &Imported,
    data: String,
    dataset: &Dataset,
    guessed: &mut Vec<String>,
) -> Result<Settings, String> {
    let own = imported.architecture.as_ref();
    let trained = &imported.trained;
    let mut guess = |is_known: bool, what: String, option: &str| {
        if !is_known {
            guessed.push(format!("{what} ({option})"));
        }
    };
    let activation =
        args.activation.or(own.map(|a| a.activation)).unwrap_or(match imported.names {
            Names::Pyro => Activation::Softplus,
            _ => Activation::Relu,
        });
    let known = args.activation.is_some() || own.is_some();
    guess(known, format!("activation {activation}"), "--activation");

    let gaussian = |variance| Likelihood::Gaussian { variance };
    let likelihood = match (args.likelihood, args.variance, imported.variance()) {
        (Some(kind), Some(_), _) if kind != LikelihoodKind::Gaussian => {
            return Err("--variance needs --likelihood gaussian".to_string());
        }
        (_, Some(_), Some(_)) => {
            return Err(
                "it has an observation_log_variance, so --variance cannot be given".to_string()
            );
        }
        (_, Some(variance), None) => gaussian(Variance::Given(variance)),
        (Some(LikelihoodKind::Gaussian), None, None) => {
            return Err(
                "it has no observation_log_variance: --likelihood gaussian needs --variance"
                    .to_string(),
            );
        }
        (Some(kind), None, None) => Likelihood::of_kind(kind, None).expect("none is given"),
        (Some(LikelihoodKind::Gaussian) | None, None, Some(_)) => {
            let values = imported.variance().map_or(1, |tensor| tensor.values.len());
            let variance = match values {
                1 => Variance::Learned,
                n if n == dataset.train.channels => Variance::Channel,
                _ => Variance::Pixel,
            };
            own.map_or(gaussian(variance), |own| own.likelihood)
        }
        (Some(kind), None, Some(_)) => Likelihood::of_kind(kind, None).expect("none is given"),
        (None, None, None) => own.map_or(Likelihood::Bernoulli, |own| own.likelihood),
    };
    let known = likelihood != Likelihood::Bernoulli || args.likelihood.is_some() || own.is_some();
    guess(known, "likelihood bernoulli".to_string(), "--likelihood");
    let known = args.data.is_some() || trained.data.is_some();
    guess(known, format!("images of {}", dataset.name), "--data");

    let told = match likelihood.module().accepts(Binarization::Dynamic) {
        true => trained.binarization,
        false => Some(Binarization::None), // no other can be
    };
    let told = args.binarization.or(told);
    let binarization = told.unwrap_or(match imported.names {
        Names::Example | Names::Pyro if own.is_none() => Binarization::None,
        _ if dataset.train.is_binary() => Binarization::Fixed,
        _ => Binarization::Dynamic,
    });
    guess(told.is_some(), binarization.label().to_string(), "--binarization");

    let defaults = Settings::default();
    let image = [dataset.train.height, dataset.train.width, dataset.train.channels];
    let (hidden, decoder_hidden) = match (&args.hidden, own, &imported.widths) {
        (Some(hidden), ..) => {
            let mirrored = || {
                let back = hidden.mirrored(Shape::Map(image));
                back.map_err(|problem| format!("--hidden {hidden} does not meet: {problem}"))
            };
            (hidden.clone(), args.decoder_hidden.clone().map_or_else(mirrored, Ok)?)
        }
        (None, Some(own), _) => (own.hidden.clone(), own.decoder_hidden.clone()),
        (None, None, Some(widths)) => {
            (widths.hidden.clone().into(), widths.decoder_hidden.clone().into())
        }
        (None, None, None) => unreachable!("it was asked for when the images were read"),
    };
    let embedding = imported.tensors.get("encoder_embedding.weight");
    let classes = match (own, embedding) {
        (Some(own), _) => own.classes.clone(),
        (None, None) => Vec::new(),
        (None, Some(embedding)) => {
            let (classes, n) = (dataset.train.classes(), embedding.shape.first());
            if n != Some(&classes.len()) {
                return Err(format!(
                    "it has an embedding of {} classes, the images of {} have {}: name the images that it was \
                     trained on by --data",
                    n.unwrap_or(&0),
                    dataset.name,
                    classes.len()
                ));
            }
            classes
        }
    };
    let pseudo_inputs = imported.tensors.get(PSEUDO_INPUTS).and_then(|t| t.shape.first());
    let prior = match (own, pseudo_inputs) {
        (Some(own), _) => own.prior,
        (None, None) => Prior::Normal,
        // No table can be imported.
        (None, Some(&pseudo_inputs)) => Prior::Vamp { pseudo_inputs, values: PseudoValues::Pixels },
    };
    let head = |name: &str| imported.tensors.get(&format!("{name}.bias"));
    let told =
        match (head(Names::LOWER), head(Names::FLOW_OFFSET), head(&Names::layer_of_flow(0, 0))) {
            (Some(_), ..) => Family::Full,
            (None, Some(offsets), _) => Family::Planar { steps: offsets.values.len() },
            (None, None, Some(bias)) => {
                let steps = (0..).take_while(|&t| head(&Names::layer_of_flow(t, 0)).is_some());
                Family::Iaf { steps: steps.count(), hidden: bias.values.len() }
            }
            (None, None, None) => Family::Diagonal,
        };
    let architecture = Architecture {
        image: (dataset.train.height, dataset.train.width),
        channels: dataset.train.channels,
        hidden,
        decoder_hidden,
        latent: imported.latent,
        activation,
        posterior: own.map_or(told, |own| own.posterior),
        likelihood,
        classes,
        prior,
    };
    let kl = if architecture.has_closed_kl() { Kl::Analytic } else { Kl::Sampled };
    Ok(Settings {
        data,
        size: args.size.or(trained.size),
        fit: args.fit(trained),
        valid: trained.valid,
        architecture,
        objective: Objective { kl, ..defaults.objective },
        binarization,
        batch: defaults.batch.min(dataset.train.n_images),
        seed: args.seed,
        ..defaults
    })
}
