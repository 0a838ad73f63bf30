//! What the page may ask, and what it is answered: JSON both ways, images as levels in rows from the top, the channels of a
//! pixel side by side.

use std::fmt::Display;

use image::{DynamicImage, GrayImage, ImageFormat, RgbImage};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::model::{About, ExploreError, Explorer, FURTHEST, Inferred, Map};
use crate::image_shape::ImageShape;

/// An answer: status, type and body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Of HTTP.
    pub status: u16,
    /// MIME type of the body.
    pub content_type: &'static str,
    /// What is sent.
    pub body: Vec<u8>,
}

impl Reply {
    /// Status 200.
    pub fn ok(content_type: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Reply { status: 200, content_type, body: body.into() }
    }

    /// `{"error": reason}`
    pub fn error(status: u16, reason: impl Display) -> Self {
        let body = serde_json::json!({ "error": reason.to_string() }).to_string();
        Reply { status, content_type: JSON, body: body.into_bytes() }
    }

    fn json(value: &impl Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => Reply::ok(JSON, body),
            Err(e) => Reply::error(500, e),
        }
    }
}

const JSON: &str = "application/json";
const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

/// The type of a file by its name.
pub fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => HTML,
        Some("css") => CSS,
        Some("js") => JAVASCRIPT,
        Some("json") => JSON,
        Some("wgsl") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

/// A question that has been checked.
#[derive(Debug, Clone, PartialEq)]
pub enum Question {
    About,
    /// Of a class, as the following; 0 of a model that is told none.
    Map(u32),
    Scatter,
    /// (Z)
    Decode(Vec<f32>, u32),
    /// The seed of a draw from the prior.
    Sample(u64, u32),
    /// The number of a test image, to be judged under a class or under its own.
    Test(usize, Option<u32>),
    /// (D) levels
    Drawn(Vec<u8>, u32),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DecodeBody {
    z: Vec<f32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SampleBody {
    seed: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum InferBody {
    Image(Vec<u8>),
    Test(usize),
}

/// The page: where each file is, its type and its text.
const PAGE: [(&str, &str, &str); 10] = [
    (
        "/",
        HTML,
        concat!(
            include_str!("page/head.html"),
            include_str!("page/explore.html"),
            include_str!("page/tail.html")
        ),
    ),
    ("/style.css", CSS, include_str!("page/style.css")),
    ("/page.js", JAVASCRIPT, include_str!("page/page.js")),
    ("/http.js", JAVASCRIPT, include_str!("page/http.js")),
    ("/dom.js", JAVASCRIPT, include_str!("page/dom.js")),
    ("/explore.js", JAVASCRIPT, include_str!("page/explore.js")),
    ("/latent.js", JAVASCRIPT, include_str!("page/latent.js")),
    ("/sheet.js", JAVASCRIPT, include_str!("page/sheet.js")),
    ("/figures.js", JAVASCRIPT, include_str!("page/figures.js")),
    ("/classes.js", JAVASCRIPT, include_str!("page/classes.js")),
];

/// What can be asked at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    Page(&'static str, &'static str),
    About,
    /// Of a class.
    Map(u32),
    Scatter,
    Decode,
    Sample,
    Infer,
}

impl Endpoint {
    /// What a path names, if anything.
    pub fn at(path: &str) -> Option<Self> {
        if let Some((_, content_type, text)) = PAGE.iter().find(|(at, ..)| *at == path) {
            return Some(Endpoint::Page(content_type, text));
        }
        Some(match path {
            "/model" => Endpoint::About,
            "/map.png" => Endpoint::Map(0),
            "/scatter" => Endpoint::Scatter,
            "/decode" => Endpoint::Decode,
            "/sample" => Endpoint::Sample,
            "/infer" => Endpoint::Infer,
            _ => {
                let class = path.strip_prefix("/map/")?.strip_suffix(".png")?;
                Endpoint::Map(class.parse().ok()?)
            }
        })
    }

    /// The only method that it takes.
    pub fn method(self) -> &'static str {
        match self {
            Endpoint::Decode | Endpoint::Sample | Endpoint::Infer => "POST",
            _ => "GET",
        }
    }

    /// The question that a body asks, or the reply that says why it asks none.
    ///
    /// # Errors
    /// The reply to bad input.
    pub fn question(self, body: &[u8], about: &About) -> Result<Question, Reply> {
        let bad = |reason: String| Err(Reply::error(400, reason));
        Ok(match self {
            Endpoint::Page(content_type, text) => return Err(Reply::ok(content_type, text)),
            Endpoint::About => Question::About,
            Endpoint::Map(class) => Question::Map(check_class(class, about)?),
            Endpoint::Scatter => Question::Scatter,
            Endpoint::Decode => {
                let (DecodeBody { z }, class) = parse_with_class(body, about)?;
                if z.len() != about.latent {
                    return bad(format!("z must have {} numbers, got {}", about.latent, z.len()));
                }
                if let Some(unit) = z.iter().position(|v| !(-FURTHEST..=FURTHEST).contains(v)) {
                    return bad(format!(
                        "z[{unit}] must be from -{FURTHEST} to {FURTHEST}, got {}",
                        z[unit]
                    ));
                }
                Question::Decode(z, told(class, about)?)
            }
            Endpoint::Sample => {
                let (SampleBody { seed }, class) = parse_with_class(body, about)?;
                Question::Sample(seed, told(class, about)?)
            }
            Endpoint::Infer => match parse_with_class(body, about)? {
                (InferBody::Test(n), class) if n < about.test_images => Question::Test(n, class),
                (InferBody::Test(n), _) => {
                    return bad(format!(
                        "test must be from 0 to {}, got {n}",
                        about.test_images - 1
                    ));
                }
                (InferBody::Image(pixels), class) if pixels.len() == shape(about).values() => {
                    Question::Drawn(pixels, told(class, about)?)
                }
                (InferBody::Image(pixels), _) => {
                    let shape = shape(about);
                    let levels = if shape.channels == 1 { "grey levels" } else { "levels" };
                    return bad(format!(
                        "image must have {shape} = {} {levels}, got {}",
                        shape.values(),
                        pixels.len()
                    ));
                }
            },
        })
    }
}

/// Bytes that a question takes at most: every number at its longest, and some blanks.
pub fn largest_body(about: &About) -> usize {
    4096 + 8 * shape(about).values() + 64 * about.latent
}

fn shape(about: &About) -> ImageShape {
    ImageShape { height: about.height, width: about.width, channels: about.channels }
}

/// What the page has to know beforehand.
pub fn about(about: &About) -> Reply {
    Reply::json(about)
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Reply> {
    // A list would stand for the fields in their order.
    if body.trim_ascii_start().first().is_some_and(|&first| first != b'{') {
        return Err(Reply::error(400, "not the JSON wanted: expected an object"));
    }
    serde_json::from_slice(body).map_err(|e| Reply::error(400, format!("not the JSON wanted: {e}")))
}

/// A body, and the class beside it where the model is told one.
fn parse_with_class<T: DeserializeOwned>(
    body: &[u8],
    about: &About,
) -> Result<(T, Option<u32>), Reply> {
    if about.classes.is_empty() {
        return Ok((parse(body)?, None));
    }
    let mut fields: serde_json::Map<String, Value> = parse(body)?;
    let wrong = |e| Reply::error(400, format!("not the JSON wanted: {e}"));
    let class = fields.remove("class").map(serde_json::from_value::<u32>).transpose();
    let class = class.map_err(|e| Reply::error(400, format!("class must be a number: {e}")))?;
    let class = class.map(|class| check_class(class, about)).transpose()?;
    Ok((serde_json::from_value(Value::Object(fields)).map_err(wrong)?, class))
}

/// The class that a question has to tell, of a model that is told one.
fn told(class: Option<u32>, about: &About) -> Result<u32, Reply> {
    match (class, about.classes.len()) {
        (Some(class), _) => Ok(class),
        (None, 0) => Ok(0),
        (None, n) => {
            let reason = format!("class is missing: the model is told one, from 0 to {}", n - 1);
            Err(Reply::error(400, reason))
        }
    }
}

fn check_class(class: u32, about: &About) -> Result<u32, Reply> {
    match about.classes.len().max(1) {
        n if (class as usize) < n => Ok(class),
        1 => Err(Reply::error(400, format!("the model is told no class, got {class}"))),
        n => Err(Reply::error(400, format!("class must be from 0 to {}, got {class}", n - 1))),
    }
}

#[derive(Serialize)]
struct Drawn {
    z: Vec<f32>,
    image: Vec<u8>,
}

#[derive(Serialize)]
struct Judged<'a> {
    /// (D)
    image: &'a [u8],
    label: Option<&'a str>,
    #[serde(flatten)]
    inferred: Inferred,
}

/// Asks the model.
///
/// # Errors
/// The device failed, or the numbers did.
pub fn answer(explorer: &mut Explorer, question: Question) -> Result<Reply, ExploreError> {
    let no_map = || Reply::error(404, "there is a map for 2 latent units only");
    Ok(match question {
        Question::About => Reply::json(explorer.about()),
        Question::Map(class) => explorer.map_of(class)?.as_ref().map_or_else(no_map, png),
        Question::Scatter => explorer.map().map_or_else(no_map, |map| Reply::json(&map.scatter)),
        Question::Decode(z, class) => {
            let image = explorer.decode(&z, class)?;
            Reply::json(&Drawn { z, image })
        }
        Question::Sample(seed, class) => {
            let z = explorer.draw(seed)?;
            let image = explorer.decode(&z, class)?;
            Reply::json(&Drawn { z, image })
        }
        Question::Test(n, class) => {
            let inferred = explorer.infer_test(n, class)?;
            let (image, label) = explorer.test_image(n);
            Reply::json(&Judged { image, label, inferred })
        }
        Question::Drawn(image, class) => {
            let inferred = explorer.infer(&image, class)?;
            Reply::json(&Judged { image: &image, label: None, inferred })
        }
    })
}

fn png(map: &Map) -> Reply {
    let encode = || {
        let (width, height) = (map.width as u32, map.height as u32);
        let levels = map.pixels.clone();
        let picture = match map.channels {
            1 => DynamicImage::from(GrayImage::from_raw(width, height, levels)?),
            _ => DynamicImage::from(RgbImage::from_raw(width, height, levels)?),
        };
        let mut bytes = std::io::Cursor::new(Vec::new());
        picture.write_to(&mut bytes, ImageFormat::Png).ok()?;
        Some(bytes.into_inner())
    };
    match encode() {
        Some(bytes) => Reply::ok("image/png", bytes),
        None => Reply::error(500, "the map could not be encoded"),
    }
}
