//! Options that several commands share.

use std::path::Path;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use super::Failure;
use super::fields::in_flags;
use crate::data::{self, DataError, Dataset};
use crate::device::gpu::{Adapters, Tuning, adapter};
use crate::device::{Choice, Description, Device};
use crate::named::Named;
use crate::report::console::note;
use crate::train::Settings;

#[derive(clap::Args)]
pub struct DeviceOption {
    /// Where to compute: auto (a hardware GPU if there is one, else the CPU), gpu (the best adapter, a
    /// software one if need be), cpu, or an adapter's index or part of its name as `elbo devices` lists
    #[arg(long, value_name = "WHICH", default_value = "auto", env = "ELBO_DEVICE")]
    device: String,

    /// Threads of the CPU device and of everything else that is computed on the CPU [default: one a core]
    #[arg(long, value_name = "N", env = "ELBO_THREADS", value_parser = clap::value_parser!(u16).range(1..=4096))]
    threads: Option<u16>,

    /// Do not measure which variant of a kernel is the fastest on this GPU; take the usual one
    #[arg(long)]
    no_autotune: bool,
}

impl Default for DeviceOption {
    fn default() -> Self {
        DeviceOption { device: "auto".to_string(), threads: None, no_autotune: false }
    }
}

impl DeviceOption {
    /// The device of this description, or auto where it is no longer there.
    pub fn like(&self, description: &Description) -> Self {
        let device = match description.kind.as_str() {
            "cpu" => "cpu",
            _ if Adapters::enumerate().find(&description.name).is_ok() => &description.name,
            _ => "auto",
        };
        DeviceOption { device: device.to_string(), ..*self }
    }

    /// Opens the device and says in one line what was taken and what else there is.
    pub fn open(&self) -> Result<Device, Failure> {
        let choice = Choice::of(&self.device).map_err(|e| Failure::device(&e, &e))?;
        if let Some(error) = choice.fallen_back {
            note(in_flags(&error.to_string()));
        }
        let description = describe(choice.device.description());
        let Some(adapters) = choice.adapters else {
            note(format_args!("device: {description}"));
            return Ok(choice.device);
        };
        let mut others: Vec<String> = adapters
            .all()
            .iter()
            .enumerate()
            .filter(|(_, a)| choice.adapter.as_ref() != Some(*a))
            .map(|(i, a)| format!("{} (--device {i})", adapter::describe(&a.get_info()).name))
            .collect();
        let why = match (&choice.adapter, adapters.hardware()) {
            (None, None) => "; no hardware GPU found",
            _ => "",
        };
        if choice.adapter.is_some() {
            others.push("the CPU (--device cpu)".to_string());
        }
        let others = match others.is_empty() {
            true => String::new(),
            false => format!("; also there: {}", others.join(", ")),
        };
        note(format_args!("device: {description}{why}{others}"));
        Ok(match choice.device {
            // On a software adapter compiling the variants would take longer than the worse one costs, and the
            // rule is right by far; what it compiles Mesa keeps, and tells nobody else.
            Device::Gpu(device) if device.description().kind != "software" => {
                let device = device.keeping_compiled_of_user();
                Device::Gpu(Box::new(match self.no_autotune {
                    true => device,
                    false => device.tuned(Tuning::of_user(|line| note(line))),
                }))
            }
            device => device,
        })
    }
}

fn describe(d: &Description) -> String {
    match d.kind.as_str() {
        "cpu" => format!("{} ({})", d.name, d.driver),
        _ => format!("{} ({}, {}, {})", d.name, d.kind, d.backend, d.driver),
    }
}

/// Takes the values of a library's enum by their names.
pub fn values<T: Named + Send + Sync>() -> impl TypedValueParser<Value = T> {
    values_but(&[])
}

/// Takes the values of a library's enum by their names, but for some.
pub fn values_but<T: Named + Send + Sync>(
    without: &'static [T],
) -> impl TypedValueParser<Value = T> {
    let values = T::VALUES.iter().filter(|v| !without.contains(&v.value)).map(|v| {
        let meaning = v.meaning.trim();
        PossibleValue::new(v.name).help(meaning.strip_suffix('.').unwrap_or(meaning))
    });
    PossibleValuesParser::new(values).try_map(|name| T::named(&name))
}

/// Height and width, as in 28x28.
pub fn size(text: &str) -> Result<(usize, usize), String> {
    let sides = text.split_once('x').map(|(height, width)| (height.parse(), width.parse()));
    match sides {
        Some((Ok(height), Ok(width))) => Ok((height, width)),
        _ => Err("write height and width in pixels, as in 28x28".to_string()),
    }
}

/// A seed.
pub fn seed(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("a seed is a whole number from 0 to {}", u64::MAX))
}

/// Loads what `--data` names. Beside it, lines of what of that was left out or mixed, to be said when all is
/// well.
pub fn load_data(name: &str, options: data::Options) -> Result<(Dataset, Vec<String>), String> {
    let mut lines = Vec::new();
    let dataset = data::open_with(name, options, &mut |line| lines.push(in_flags(&line)));
    let dataset = dataset.map_err(|error| match error {
        DataError::Options(error) => error.to_string(),
        error => format!("--data {error}"),
    })?;
    Ok((dataset, lines))
}

/// Loads the data of a run.
pub fn load_data_of(
    config: &Path,
    settings: &Settings,
    options: data::Options,
) -> Result<Dataset, Failure> {
    data::open(&settings.data, options).map_err(|e| {
        let moved = match &e {
            DataError::NotFound { .. } | DataError::NoFashionMnist { .. } => {
                "; --data PATH says where they are now"
            }
            _ => "",
        };
        Failure::input(format!("the data that {} names: {e}{moved}", config.display()))
    })
}
