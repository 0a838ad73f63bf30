//! TensorBoard's event files: records of protocol buffers, each between checksums.
//!
//! Of `tensorflow/core/util/event.proto` and `summary.proto`, and of `api.proto` and `plugin_data.proto` of TensorBoard's
//! hparams plugin, the fields that are written here; records as in `tensorflow/core/lib/io/record_writer.h`.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Cursor, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crc::{CRC_32_ISCSI, Crc};
use image::{ImageDecoder, ImageReader};
use prost::{Message, Oneof};

pub use crate::checkpoint::EVENTS;

#[derive(Clone, PartialEq, Message)]
struct Event {
    /// Seconds since 1970.
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(oneof = "What", tags = "3, 5")]
    what: Option<What>,
}

#[derive(Clone, PartialEq, Oneof)]
enum What {
    #[prost(string, tag = "3")]
    FileVersion(String),
    #[prost(message, tag = "5")]
    Summary(Summary),
}

#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<Value>,
}

/// A figure or a picture, by its name.
#[derive(Clone, PartialEq, Message)]
pub struct Value {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(oneof = "Content", tags = "2, 4")]
    content: Option<Content>,
    #[prost(message, optional, tag = "9")]
    metadata: Option<Metadata>,
}

/// What a plugin of TensorBoard's is to read.
#[derive(Clone, PartialEq, Message)]
struct Metadata {
    #[prost(message, optional, tag = "1")]
    plugin: Option<Plugin>,
}

#[derive(Clone, PartialEq, Message)]
struct Plugin {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(bytes = "vec", tag = "2")]
    content: Vec<u8>,
}

/// What the hparams plugin is told of a run.
#[derive(Clone, PartialEq, Message)]
struct Hparams {
    #[prost(message, optional, tag = "3")]
    start: Option<SessionStart>,
}

#[derive(Clone, PartialEq, Message)]
struct SessionStart {
    #[prost(btree_map = "string, message", tag = "1")]
    hparams: BTreeMap<String, Hparam>,
    #[prost(double, tag = "5")]
    start_time: f64,
}

#[derive(Clone, PartialEq, Message)]
struct Hparam {
    #[prost(oneof = "HparamKind", tags = "2, 3, 4")]
    kind: Option<HparamKind>,
}

#[derive(Clone, PartialEq, Oneof)]
enum HparamKind {
    #[prost(double, tag = "2")]
    Number(f64),
    #[prost(string, tag = "3")]
    Text(String),
    #[prost(bool, tag = "4")]
    Truth(bool),
}

#[derive(Clone, PartialEq, Oneof)]
enum Content {
    #[prost(float, tag = "2")]
    Scalar(f32),
    #[prost(message, tag = "4")]
    Image(Image),
}

#[derive(Clone, PartialEq, Message)]
struct Image {
    #[prost(int32, tag = "1")]
    height: i32,
    #[prost(int32, tag = "2")]
    width: i32,
    /// Channels: 1 is grey, 3 is red, green and blue.
    #[prost(int32, tag = "3")]
    colorspace: i32,
    #[prost(bytes = "vec", tag = "4")]
    encoded: Vec<u8>,
}

impl Value {
    pub fn scalar(tag: impl Into<String>, value: f64) -> Self {
        Value { tag: tag.into(), content: Some(Content::Scalar(value as f32)), metadata: None }
    }

    /// What a run is a function of, by which TensorBoard compares runs: the fields of its configuration, those of an
    /// object within it as in "architecture.latent", lists as JSON; neither digests nor a table's columns.
    pub fn settings(configuration: &serde_json::Value) -> Self {
        let mut hparams = BTreeMap::new();
        flatten(configuration, String::new(), &mut hparams);
        let start = Some(SessionStart { hparams, start_time: now() });
        let (name, content) = ("hparams".to_string(), Hparams { start }.encode_to_vec());
        let metadata = Some(Metadata { plugin: Some(Plugin { name, content }) });
        Value { tag: "_hparams_/session_start_info".to_string(), content: None, metadata }
    }

    /// A PNG, grey or in colour.
    ///
    /// # Errors
    /// Bytes that are no picture.
    pub fn image(tag: impl Into<String>, png: Vec<u8>) -> io::Result<Self> {
        let reader = ImageReader::new(Cursor::new(&png)).with_guessed_format()?;
        let decoder = reader.into_decoder().map_err(io::Error::other)?;
        let (width, height) = decoder.dimensions();
        let channels = decoder.color_type().channel_count();
        drop(decoder);
        let image = Image {
            height: height as i32,
            width: width as i32,
            colorspace: channels.into(),
            encoded: png,
        };
        Ok(Value { tag: tag.into(), content: Some(Content::Image(image)), metadata: None })
    }
}

/// What stands in a configuration, by its place.
fn flatten(value: &serde_json::Value, name: String, hparams: &mut BTreeMap<String, Hparam>) {
    use serde_json::Value as Json;
    let is_left_out = name == "table" || name.ends_with("sha256");
    let kind = match value {
        _ if is_left_out => return,
        Json::Null => return,
        Json::Object(fields) => {
            let within = if name.is_empty() { name } else { name + "." };
            for (field, value) in fields {
                flatten(value, format!("{within}{field}"), hparams);
            }
            return;
        }
        Json::Bool(truth) => HparamKind::Truth(*truth),
        Json::Number(number) => HparamKind::Number(number.as_f64().unwrap_or(f64::NAN)),
        Json::String(text) => HparamKind::Text(text.clone()),
        Json::Array(_) => HparamKind::Text(value.to_string()),
    };
    hparams.insert(name, Hparam { kind: Some(kind) });
}

/// An event file that grows. TensorBoard reads all those of a folder as one log, so a run that is resumed
/// has another.
pub struct EventFile {
    path: PathBuf,
    file: File,
}

impl EventFile {
    /// Whether a folder has one already.
    pub fn is_in(folder: &Path) -> bool {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries
            .map(|entry| entry.file_name())
            .any(|name| name.to_string_lossy().starts_with(EVENTS))
    }

    /// Begins a file in `folder`, which is made if need be.
    ///
    /// # Errors
    /// The disk.
    pub fn create(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let (seconds, process) = (now() as u64, std::process::id());
        let path = folder.join(format!("{EVENTS}.{seconds:010}.elbo.{process}"));
        let file = OpenOptions::new().append(true).create_new(true).open(&path)?;
        let mut events = EventFile { path, file };
        events.append(0, What::FileVersion("brain.Event:2".to_string()))?;
        Ok(events)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds one record with all `values`, which can be read at once.
    ///
    /// # Errors
    /// The disk.
    pub fn write(&mut self, step: u64, value: Vec<Value>) -> io::Result<()> {
        self.append(step, What::Summary(Summary { value }))
    }

    fn append(&mut self, step: u64, what: What) -> io::Result<()> {
        let event = Event { wall_time: now(), step: step as i64, what: Some(what) };
        self.file.write_all(&record(&event.encode_to_vec()))
    }
}

/// Length, its checksum, the bytes, their checksum; numbers little-endian.
fn record(bytes: &[u8]) -> Vec<u8> {
    let length = (bytes.len() as u64).to_le_bytes();
    [&length[..], &checksum(&length), bytes, &checksum(bytes)].concat()
}

/// CRC-32C, turned and shifted, so that checksums of data that hold checksums stay good ones.
fn checksum(bytes: &[u8]) -> [u8; 4] {
    let crc = Crc::<u32>::new(&CRC_32_ISCSI).checksum(bytes);
    crc.rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}
