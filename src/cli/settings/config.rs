//! `elbo train --config`: settings from a file, which is a run's config.json or has some of its fields.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::{Args, is_of_counts};
use crate::checkpoint::{CONFIG, MAX_TEXT, ProgressOutput};
use crate::cli::Failure;
use crate::data::{Channels, Table};
use crate::nn::Shape;
use crate::optim::Optimizer;
use crate::read;
use crate::text::one_line;
use crate::train::{FirstParameters, Settings};
use crate::vae::{Architecture, Likelihood};

/// The field whose own fields may be given one by one.
const ARCHITECTURE: &str = "architecture";
/// What a file says of the data that it was made with, which is found out anew.
const FOUND: [&str; 3] = ["data_sha256", "classes_sha256", "init_from"];

/// The settings that a file names.
pub struct ConfigFile {
    path: PathBuf,
    fields: Map<String, Value>,
}

/// Whether a field of an object has a meaning as a part of `T`: only then some value of it is wrong.
fn is_known<T: DeserializeOwned>(whole: &Value, name: &str) -> bool {
    [json!(true), json!({ "": 0 })].into_iter().any(|odd| {
        let mut whole = whole.clone();
        whole[name] = odd;
        serde_json::from_value::<T>(whole).is_err()
    })
}

fn value<T: serde::Serialize>(of: &T) -> Value {
    serde_json::to_value(of).expect("settings are JSON")
}

impl ConfigFile {
    /// Reads a file, or that of a run folder.
    ///
    /// # Errors
    /// It cannot be read, or has a field that is no setting.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let path = if path.is_dir() { path.join(CONFIG) } else { path.to_path_buf() };
        let at =
            |message: String| Failure::input(format!("--config {}: {message}", path.display()));
        let text = read::at_most(&path, MAX_TEXT).map_err(|e| at(format!("cannot read: {e}")))?;
        let parsed: Value = serde_json::from_slice(&text)
            .map_err(|e| at(format!("not JSON: {}", one_line(&e.to_string()))))?;
        let Value::Object(fields) = parsed else {
            return Err(at("it is no object of settings, as a run's config.json is".to_string()));
        };
        let (usual, shown) = (value(&Settings::default()), value(&ProgressOutput::default()));
        let known = |name: &str| {
            is_known::<Settings>(&usual, name) || is_known::<ProgressOutput>(&shown, name)
        };
        let mut unknown: Vec<String> = fields.keys().filter(|name| !known(name)).cloned().collect();
        if let Some(Value::Object(inner)) = fields.get(ARCHITECTURE) {
            let usual = &usual[ARCHITECTURE];
            let names = inner.keys().filter(|name| !is_known::<Architecture>(usual, name));
            unknown.extend(names.map(|name| format!("{ARCHITECTURE}.{name}")));
        }
        match unknown.is_empty() {
            true => Ok(ConfigFile { path, fields }),
            false => Err(at(format!(
                "there is no setting {}; their names are those of a run's config.json",
                unknown.join(", ")
            ))),
        }
    }

    /// A field of its own type, if there is one.
    fn field<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Failure> {
        self.typed(name, self.fields.get(name))
    }

    fn of_architecture<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Failure> {
        let inner = self.fields.get(ARCHITECTURE).and_then(|a| a.get(name));
        self.typed(&format!("{ARCHITECTURE}.{name}"), inner)
    }

    fn typed<T: DeserializeOwned>(
        &self,
        name: &str,
        value: Option<&Value>,
    ) -> Result<Option<T>, Failure> {
        let Some(value) = value else { return Ok(None) };
        serde_json::from_value(value.clone()).map_err(|e| self.wrong(name, &e))
    }

    fn wrong(&self, name: &str, error: &serde_json::Error) -> Failure {
        let problem = one_line(&error.to_string());
        Failure::input(format!("--config {}: {name}: {problem}", self.path.display()))
    }

    /// Puts what it says of the data, the seed and the like in the place of options that are not on the command line.
    ///
    /// # Errors
    /// A value of another type.
    pub fn fill(&self, args: &mut Args, given: &[String]) -> Result<(), Failure> {
        let is_free = |options: &[&str]| {
            !options.iter().any(|option| given.iter().any(|given| given == option))
        };
        let data: Option<String> = self.field("data")?;
        let own_data = data.is_some() && is_free(&["data"]);
        if let (Some(data), true) = (data, own_data) {
            args.data = data;
        }
        if is_free(&["size"]) {
            args.size = self.field::<Option<_>>("size")?.flatten();
        }
        if let (Some(fit), true) = (self.field("fit")?, is_free(&["fit"])) {
            args.fit = fit;
        }
        if is_free(&["valid"]) {
            args.valid = self.field::<Option<_>>("valid")?.flatten();
        }
        args.flip |= self.field("flip")?.unwrap_or(false);
        if let (Some(seed), true) = (self.field("seed")?, is_free(&["seed"])) {
            args.seed = seed;
        }
        if let (Some(precision), true) = (self.field("precision")?, is_free(&["precision"])) {
            args.precision = precision;
        }
        let every: Option<u32> = self.field::<Option<_>>("figures_every")?.flatten();
        args.figures_every = args.figures_every.or(every.filter(|&every| every > 0));
        args.log_every = args.log_every.or(self.field::<Option<_>>("log_every")?.flatten());
        args.tensorboard |= self.field("tensorboard")?.unwrap_or(false);
        // As the images of the run were read; of others it is seen anew.
        let image: Option<(usize, usize)> = self.of_architecture("image")?;
        if image.is_some() && own_data && is_free(&["channels"]) {
            args.channels = Some(Channels::of(self.of_architecture("channels")?.unwrap_or(1)));
        }
        if let Some(Some(table)) = self.field::<Option<Table>>("table")?
            && is_free(&["label", "drop"])
        {
            match own_data {
                true => args.like = Some(table),
                false => args.label = table.label,
            }
        }
        let likelihood: Option<Likelihood> = self.of_architecture("likelihood")?;
        args.counts = likelihood.map(is_of_counts);
        let first: Option<FirstParameters> = self.field::<Option<_>>("init_from")?.flatten();
        if let (Some(first), true) = (first, is_free(&["init-from", "init"])) {
            args.init_from = Some(first.path.into());
        }
        Ok(())
    }

    /// Its settings in the place of others.
    ///
    /// # Errors
    /// A value of another type.
    pub fn over(&self, base: &Settings) -> Result<Settings, Failure> {
        let mut whole = value(base);
        let read = |name: &str, whole: &Value| -> Result<Settings, Failure> {
            serde_json::from_value(whole.clone()).map_err(|e| self.wrong(name, &e))
        };
        let own = value(&base.optimizer);
        for (name, given) in self.fields.iter().filter(|(name, _)| !FOUND.contains(&name.as_str()))
        {
            match given {
                Value::Object(inner) if name == ARCHITECTURE => {
                    for (part, given) in inner {
                        whole[ARCHITECTURE][part] = given.clone();
                        read(&format!("{ARCHITECTURE}.{part}"), &whole)?;
                    }
                }
                // One optimizer takes the place of the other, its constants that of those that it has.
                Value::Object(constants) if is_known::<Optimizer>(&json!({}), name) => {
                    if let (Value::Object(whole), Value::Object(own)) = (&mut whole, &own) {
                        own.keys().filter(|own| *own != name).for_each(|own| _ = whole.remove(own));
                    }
                    for (constant, given) in constants {
                        whole[name][constant] = given.clone();
                    }
                    read(name, &whole)?;
                }
                given => {
                    whole[name] = given.clone();
                    read(name, &whole)?;
                }
            }
        }
        let mut settings = read("its settings together", &whole)?;
        let has = |name: &str| self.fields.get(ARCHITECTURE).is_some_and(|a| a.get(name).is_some());
        let a = &mut settings.architecture;
        if has("hidden") && !has("decoder_hidden") {
            let (height, width) = base.architecture.image;
            let image = Shape::Map([height, width, base.architecture.channels]);
            a.decoder_hidden = a.hidden.mirrored(image).map_err(|problem| {
                let (path, hidden) = (self.path.display(), &a.hidden);
                Failure::input(format!("--config {path}: hidden {hidden} does not meet: {problem}"))
            })?;
        }
        Ok(settings)
    }

    /// The SHA-256 of the images, or of the first parameters, that it was made with.
    pub fn sha256(&self, of: &str) -> Option<&str> {
        match of {
            "init_from" => self.fields.get(of)?.get("sha256")?.as_str(),
            of => self.fields.get(of)?.as_str(),
        }
    }

    /// Where the settings come from, in a line.
    pub fn said(&self, given: &[String]) -> String {
        let beside: Vec<String> = given
            .iter()
            .filter(|option| {
                !["config", "run", "device", "quiet", "threads"].contains(&option.as_str())
            })
            .map(|option| format!("--{option}"))
            .collect();
        let beside = match beside.is_empty() {
            true => String::new(),
            false => format!(", {} of the command line", beside.join(", ")),
        };
        format!("settings: those of {}{beside}, else the defaults", self.path.display())
    }
}
