//! A checkpoint as a file: a safetensors file with its own checksum, so that numpy and PyTorch read it too.

use std::collections::HashMap;
use std::num::NonZeroU64;
use std::path::Path;

use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize};
use serde::{Deserialize, Serialize};

use super::seal;
use crate::device::Description;
use crate::kernels::{clock, rates};
use crate::plan::Program;
use crate::plan::variant::Choices;
use crate::train::{EpochReport, OpenEpoch, Saved, Settings, Snapshot, State, Sums};
use crate::vae::Network;

/// How the moment is written at which a run began.
pub const BEGUN: &str = "%Y-%m-%dT%H:%M:%S%:z";

/// Date and time. A clock beyond the years that can be written shows 1970.
pub fn now() -> jiff::Zoned {
    let now = jiff::Timestamp::try_from(std::time::SystemTime::now()).unwrap_or_default();
    now.to_zoned(time_zone())
}

/// The system's, or UTC where TZ names what is no file: a device would be read without an end.
fn time_zone() -> jiff::tz::TimeZone {
    let named = std::env::var("TZ").unwrap_or_default();
    let path = Path::new(named.trim_start_matches(':'));
    match path.is_absolute() && !path.is_file() {
        true => jiff::tz::TimeZone::UTC,
        false => jiff::tz::TimeZone::system(),
    }
}

/// This moment as [`BEGUN`] has it.
pub fn begun() -> String {
    now().strftime(BEGUN).to_string()
}

/// When a run began, what it was computed on, and what it shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    /// Date and time of the first step.
    pub begun: String,
    /// Each device in its turn.
    pub computed_on: Vec<Session>,
    /// What was asked for beside the settings.
    #[serde(default)]
    pub shown: ProgressOutput,
}

/// What a run shows of itself while it goes on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProgressOutput {
    /// Epochs between pictures of its progress.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub figures_every: Option<u32>,
    /// Steps between the rows of steps.jsonl.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_every: Option<NonZeroU64>,
    /// Whether it writes TensorBoard's events.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub tensorboard: bool,
}

/// The steps that one device and one version have computed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// Steps finished before.
    pub from_step: u64,
    pub device: Description,
    /// Version of this program.
    pub elbo: String,
    /// Of the kernels that have several on that device.
    #[serde(default, skip_serializing_if = "Choices::is_empty")]
    pub variants: Choices,
}

/// All that a run needs to go on, besides its data.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    pub settings: Settings,
    pub origin: Origin,
    pub state: State,
}

/// What stands in the file's metadata beside the tensors, as JSON.
#[derive(Serialize, Deserialize)]
struct About {
    step: u64,
    settings: Settings,
    origin: Origin,
    open: OpenEpoch,
    #[serde(default, skip_serializing_if = "is_none")]
    open_row: Sums,
    reports: Vec<EpochReport>,
}

fn is_none(sums: &Sums) -> bool {
    *sums == Sums::default()
}

/// The key of [`About`]. One key only: the crate writes them in no fixed order.
const ABOUT: &str = "run";
const CLOCK: &str = "clock";
const RATES: &str = "rates";

/// The names of a parameter, of the planes that the optimizer keeps of it, and of its average where one is kept, and
/// their shape.
fn names(settings: &Settings) -> Vec<(Vec<String>, Vec<usize>)> {
    let mut program = Program::new();
    let network = Network::declare(&mut program, &settings.architecture);
    let planes = settings.optimizer.rule().planes();
    let parameters = network.parameters().into_iter().map(|p| program.get(p));
    parameters
        .map(|p| {
            let average = settings.average.map(|_| "average");
            let beside = planes.iter().copied().chain(average);
            let planes = beside.map(|plane| format!("{}.{plane}", p.name));
            (std::iter::once(p.name.clone()).chain(planes).collect(), p.dims.clone())
        })
        .collect()
}

pub fn encode(
    settings: &Settings,
    origin: &Origin,
    State { snapshot, reports, open, open_row }: &State,
) -> Result<Vec<u8>, String> {
    let view =
        |dtype, shape, bytes| TensorView::new(dtype, shape, bytes).map_err(|e| e.to_string());
    let mut views = vec![
        (
            CLOCK.to_string(),
            view(Dtype::U32, vec![snapshot.clock.len()], bytemuck::cast_slice(&snapshot.clock))?,
        ),
        (
            RATES.to_string(),
            view(Dtype::F32, vec![snapshot.rates.len()], bytemuck::cast_slice(&snapshot.rates))?,
        ),
    ];
    for ((names, shape), saved) in names(settings).iter().zip(&snapshot.parameters) {
        let all = std::iter::once(&saved.values).chain(&saved.planes).chain(&saved.average);
        for (name, values) in names.iter().zip(all) {
            let bytes = bytemuck::cast_slice(values);
            views.push((name.clone(), view(Dtype::F32, shape.clone(), bytes)?));
        }
    }
    let about = About {
        step: snapshot.step,
        settings: settings.clone(),
        origin: origin.clone(),
        open: *open,
        open_row: *open_row,
        reports: reports.clone(),
    };
    let about = serde_json::to_string(&about).map_err(|e| e.to_string())?;
    let metadata = HashMap::from([(ABOUT.to_string(), about)]);
    seal::seal(&serialize(views, Some(metadata)).map_err(|e| e.to_string())?)
}

pub fn decode(bytes: &[u8]) -> Result<Checkpoint, String> {
    seal::check(bytes)?;
    let not = |what: String| format!("not a checkpoint of this version: {what}");
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|e| not(e.to_string()))?;
    let about = metadata.metadata().as_ref().and_then(|m| m.get(ABOUT));
    let about = about.ok_or_else(|| not(format!("no {ABOUT:?} in its metadata")))?;
    let About { step, settings, origin, open, open_row, reports } =
        serde_json::from_str(about).map_err(|e| not(e.to_string()))?;
    settings.check().map_err(|e| not(e.to_string()))?;
    let file = SafeTensors::deserialize(bytes).map_err(|e| not(e.to_string()))?;
    let data = |name: &str, dtype, shape: &[usize]| match file.tensor(name) {
        Ok(view) if view.dtype() == dtype && view.shape() == shape => Ok(view.data()),
        Ok(view) => Err(not(format!("{name} is {:?} {:?}", view.dtype(), view.shape()))),
        Err(e) => Err(not(e.to_string())),
    };
    let floats = |name: &str, shape: &[usize]| -> Result<Vec<f32>, String> {
        Ok(bytemuck::pod_collect_to_vec(data(name, Dtype::F32, shape)?))
    };
    let clock = bytemuck::pod_collect_to_vec(data(CLOCK, Dtype::U32, &[clock::WORDS])?);
    let rates = floats(RATES, &[rates::WORDS])?;
    let mut parameters = Vec::new();
    for (names, shape) in names(&settings) {
        let mut all: Vec<Vec<f32>> =
            names.iter().map(|name| floats(name, &shape)).collect::<Result<_, _>>()?;
        let average = settings.average.and_then(|_| all.pop());
        let planes = all.split_off(1);
        let values = all.pop().expect("the parameter's own name is the first");
        parameters.push(Saved { values, planes, average });
    }
    let snapshot = Snapshot { step, parameters, clock, rates }.into();
    Ok(Checkpoint { settings, origin, state: State { snapshot, reports, open, open_row } })
}
