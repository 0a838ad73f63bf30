//! The files of the page.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use serde::Serialize;
use serde_json::{Value, json};

use super::catalogue::{self, Choices};
use super::explored::{ExploredProgram, ROWS};
use super::images::{PackedImages, pack, pack_classes};
use super::measured;
use crate::bench;
use crate::data::{Dataset, Images};
use crate::device::gpu::portable_variant;
use crate::interchange::document::{of_model, of_training};
use crate::interchange::{Names, Trained, weights};
use crate::plan::document::{Document, DocumentError, write};
use crate::plan::{PlanError, Program};
use crate::train::Settings;
use crate::vae::step::Content;
use crate::vae::{Architecture, Binarization, Family};

/// The file by which a folder is known to be a page of this program.
pub const MANIFEST: &str = "elbo-web.json";
const FORMAT: &str = "elbo page";
/// Bytes of a data set on the device at most, what WebGPU lets every adapter bind.
const BOUND: usize = 128 << 20;

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum SiteError {
    /// Sizes beyond what a kernel can cover.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A plan that is no document.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// Data that could not be packed, parameters that could not be written.
    #[error("{0}")]
    Pack(String),
    /// What the page has no means for.
    #[error("{0}")]
    Unfit(String),
}

impl From<io::Error> for SiteError {
    fn from(error: io::Error) -> Self {
        SiteError::Pack(error.to_string())
    }
}

/// What the page is of.
pub struct Asked<'a> {
    /// The images to train on and to test on.
    pub dataset: &'a Dataset,
    /// What they are called.
    pub name: &'a str,
    /// What a level becomes where the page trains.
    pub binarization: Binarization,
    /// A run to explore.
    pub run: Option<Explored<'a>>,
    /// K, draws of an estimate of log p(x).
    pub samples: usize,
}

/// A trained model.
pub struct Explored<'a> {
    /// What it is called.
    pub name: &'a str,
    /// How it was trained.
    pub settings: &'a Settings,
    /// In the order of [`crate::vae::Network::parameters`].
    pub parameters: &'a [Vec<f32>],
}

/// A file of the page: its path there, with slashes, and what it holds.
pub struct File {
    pub path: String,
    pub bytes: Vec<u8>,
}

/// What the page has to know of a model that it explores.
#[derive(Serialize)]
struct About<'a> {
    document: String,
    architecture: &'a Architecture,
    model: String,
    height: usize,
    width: usize,
    channels: usize,
    latent: usize,
    family: Family,
    prior: Option<String>,
    closed_kl: bool,
    classes: &'a [String],
    pixels: &'static str,
    probability: bool,
    samples: usize,
    chunk: usize,
    rows: usize,
    coded: usize,
    tiles: Option<usize>,
}

/// Documents while they are made, each beside its path.
#[derive(Default)]
struct Documents {
    files: Vec<File>,
    modules: BTreeMap<String, String>,
}

impl Documents {
    fn add(&mut self, name: &str, document: Document) -> String {
        let path = format!("plans/{name}.json");
        self.files.push(File { path: path.clone(), bytes: document.plan.into_bytes() });
        self.modules.extend(document.modules);
        path
    }

    /// A model's program as a document, and what is known of it.
    fn add_model<'a>(
        &mut self,
        name: &str,
        settings: &'a Settings,
        images: usize,
        samples: usize,
    ) -> Result<About<'a>, SiteError> {
        let Settings { architecture, binarization, .. } = settings;
        let content = Content::Bytes(*binarization);
        let program = ExploredProgram::record(architecture, content, images, samples)?;
        let document = of_model(&program, settings, &program.roles)?;
        let Architecture { image: (height, width), channels, latent, .. } = *architecture;
        Ok(About {
            document: self.add(name, document),
            architecture,
            model: architecture.to_string(),
            height,
            width,
            channels,
            latent,
            family: architecture.posterior,
            prior: architecture.prior.label(),
            closed_kl: architecture.has_closed_kl(),
            classes: &architecture.classes,
            pixels: binarization.label(),
            probability: architecture.likelihood.module().is_likelihood_of(*binarization),
            samples,
            chunk: program.chunk,
            rows: ROWS,
            coded: program.coded,
            tiles: program.tiles,
        })
    }

    fn add_program(&mut self, name: &str, program: &Program) -> Result<String, SiteError> {
        let document = write(program, &portable_variant, json!({ "kind": "measured" }))?;
        Ok(self.add(name, document))
    }
}

/// All files of the page, the manifest last.
///
/// # Errors
/// Data or a run that the page has no means for.
pub fn files(asked: &Asked) -> Result<Vec<File>, SiteError> {
    let Asked { dataset, run, samples, .. } = asked;
    check(asked)?;
    let most = BOUND / dataset.train.n_pixels();
    let (train, test) = (dataset.train.first(most), dataset.test.first(most));
    let within = Dataset { train, test, valid: None, name: dataset.name.clone() };
    let tested = within.test.n_images;

    let mut documents = Documents::default();
    let mut packed = Vec::new();
    let trains = within.train.channels == 1;
    let as_bits = asked.binarization == Binarization::Fixed || dataset.train.is_binary();
    let grey_run = run.as_ref().is_some_and(|run| run.settings.binarization != Binarization::Fixed);
    let test_bits = as_bits && trains && (!grey_run || dataset.test.is_binary());
    let mut pack = |images: &Images, bits, name: &str| -> Result<PackedImages, SiteError> {
        let (packed_images, files) = pack(images, images.n_images, bits, name)?;
        packed.extend(files.into_iter().map(|(path, bytes)| File { path, bytes }));
        Ok(packed_images)
    };
    let data = json!({
        "name": asked.name,
        "height": within.train.height,
        "width": within.train.width,
        "channels": within.train.channels,
        "pixels": asked.binarization.label(),
        "train": if trains { Some(pack(&within.train, as_bits, "train")?) } else { None },
        "test": pack(&within.test, test_bits, "test")?,
    });

    let (choices, models, trainings) = match trains {
        true => catalogue_of(&within, asked, &mut documents)?,
        false => (Value::Null, Value::Null, Value::Null),
    };
    let run = match run {
        None => Value::Null,
        Some(run) => {
            let about = documents.add_model("run", run.settings, tested, *samples)?;
            let a = &run.settings.architecture;
            let trained = Trained::of(run.settings);
            let file = weights::encode(a, Names::of(a), run.parameters, &trained);
            let bytes = file.map_err(SiteError::Pack)?;
            packed.push(File { path: "run.safetensors".to_string(), bytes });
            let unfit = |e| SiteError::Unfit(format!("{e}"));
            let told = within.test.classes_among(&a.classes, "the test images").map_err(unfit)?;
            let classes = (!told.is_empty()).then_some("run.classes");
            if let Some(path) = classes {
                packed.push(File { path: path.to_string(), bytes: pack_classes(&told)? });
            }
            let seed = run.settings.seed.to_string(); // 64 bits are more than a number has
            json!({
                "name": run.name,
                "about": about,
                "weights": "run.safetensors",
                "classes": classes,
                "seed": seed,
            })
        }
    };
    let measured = measured_of(&mut documents)?;

    let mut files: Vec<File> = page();
    files.extend(packed);
    let modules = documents.modules.into_iter();
    files.extend(modules.map(|(hash, text)| File {
        path: format!("modules/{hash}.wgsl"),
        bytes: text.into_bytes(),
    }));
    files.extend(documents.files);
    let mut written: Vec<&str> = files.iter().map(|file| &*file.path).collect();
    written.push(MANIFEST);
    let manifest = json!({
        "format": FORMAT,
        "version": 1,
        "by": concat!("elbo ", env!("CARGO_PKG_VERSION")),
        "data": data,
        "choices": choices,
        "models": models,
        "trainings": trainings,
        "run": run,
        "measured": measured,
        "files": written,
    });
    files.push(File { path: MANIFEST.to_string(), bytes: manifest.to_string().into_bytes() });
    Ok(files)
}

/// The files that a manifest says were written with it, if it is one.
pub fn written_with(manifest: &[u8]) -> Option<BTreeSet<String>> {
    let manifest: Value = serde_json::from_slice(manifest).ok()?;
    if manifest["format"] != FORMAT {
        return None;
    }
    let files = manifest["files"].as_array()?.iter();
    files.map(|file| file.as_str().map(str::to_string)).collect()
}

/// What the page has no means for.
fn check(asked: &Asked) -> Result<(), SiteError> {
    let unfit = |reason: String| Err(SiteError::Unfit(reason));
    let dataset = asked.dataset;
    if dataset.table().is_some() {
        return unfit(format!("{} is a table, and the page shows images", asked.name));
    }
    let Some(run) = &asked.run else {
        return match dataset.train.channels {
            1 => Ok(()),
            _ => unfit(format!(
                "{} is in colour, and the page trains on grey images; it explores a run on them",
                asked.name
            )),
        };
    };
    let architecture = &run.settings.architecture;
    let (images, own) = (dataset.test.shape(), architecture.shape());
    if images != own {
        return unfit(format!("the images of {} are {images}, those of the run {own}", asked.name));
    }
    match architecture.posterior {
        Family::Diagonal | Family::Full => Ok(()),
        family => unfit(format!(
            "the page has posteriors diagonal and full, {} has {family}; a page with the program behind it has all",
            run.name
        )),
    }
}

/// What can be chosen, and the documents of each choice.
fn catalogue_of(
    dataset: &Dataset,
    asked: &Asked,
    documents: &mut Documents,
) -> Result<(Value, Value, Value), SiteError> {
    let train = &dataset.train;
    let choices: Choices = catalogue::choices(train.n_pixels(), train.n_images);
    let (mut models, mut trainings) = (serde_json::Map::new(), serde_json::Map::new());
    for model in catalogue::models(dataset, asked.binarization) {
        let name = format!("explore-{}", model.name);
        let tested = dataset.test.n_images;
        let about = documents.add_model(&name, &model.settings, tested, asked.samples)?;
        models.insert(model.name.clone(), json!(about));
        for run in catalogue::runs(&model, &choices) {
            let settings = Settings { data: asked.name.to_string(), ..run.settings };
            let document = of_training(dataset, &settings)?;
            let path = documents.add(&format!("train-{}", run.name), document);
            trainings.insert(run.name, json!(path));
        }
    }
    Ok((json!(choices), Value::Object(models), Value::Object(trainings)))
}

fn measured_of(documents: &mut Documents) -> Result<Value, SiteError> {
    let ceilings = documents.add_program("ceilings", &measured::ceilings()?)?;
    let mut products = Vec::new();
    for n in measured::SIZES {
        let path = documents.add_program(&format!("matmul-{n}"), &bench::product(n)?.program)?;
        products.push(json!({ "size": n, "document": path }));
    }
    Ok(json!({ "ceilings": ceilings, "chain": measured::CHAIN, "products": products }))
}

/// The page itself.
fn page() -> Vec<File> {
    macro_rules! file {
        ($path:literal, $source:literal) => {
            ($path, include_str!($source))
        };
    }
    let all = [
        (
            "index.html",
            concat!(
                include_str!("page/head.html"),
                include_str!("../explore/page/explore.html"),
                include_str!("page/tail.html")
            ),
        ),
        file!("style.css", "../explore/page/style.css"),
        file!("web.css", "page/web.css"),
        file!("dom.js", "../explore/page/dom.js"),
        file!("classes.js", "../explore/page/classes.js"),
        file!("explore.js", "../explore/page/explore.js"),
        file!("latent.js", "../explore/page/latent.js"),
        file!("figures.js", "../explore/page/figures.js"),
        file!("sheet.js", "../explore/page/sheet.js"),
        file!("web.js", "page/web.js"),
        file!("site.js", "page/site.js"),
        file!("source.js", "page/source.js"),
        file!("train.js", "page/train.js"),
        file!("chart.js", "page/chart.js"),
        file!("pictures.js", "page/pictures.js"),
        file!("benchmark.js", "page/benchmark.js"),
        file!("executor.js", "page/executor.js"),
        file!("document.js", "page/document.js"),
        file!("training.js", "page/training.js"),
        file!("weights.js", "page/weights.js"),
    ];
    let file = |(path, text): (&str, &str)| File { path: path.to_string(), bytes: text.into() };
    all.into_iter().map(file).collect()
}
