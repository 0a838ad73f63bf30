//! What the metadata of this program's models say of their training, one plain word or number a key.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use crate::data::{FASHION_MNIST, Fit, MNIST};
use crate::named::Named;
use crate::train::{Moment, Settings};
use crate::vae::Binarization;

const BINARIZATION: &str = "binarization";
const DATA: &str = "data";
const SIZE: &str = "size";
const FIT: &str = "fit";
const VALID: &str = "valid";
const EPOCH: &str = "epoch";
const STEP: &str = "step";

/// How a model was trained, as far as it is known and means the same elsewhere.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Trained {
    /// What a pixel's byte became.
    pub binarization: Option<Binarization>,
    /// The name of a known data set; a path means nothing on another machine.
    pub data: Option<String>,
    /// Height and width that the images were brought to.
    pub size: Option<(usize, usize)>,
    /// How, where there is a size.
    pub fit: Option<Fit>,
    /// Share of the training images that was held out.
    pub valid: Option<f64>,
    /// When in its run, where it is not the last of it.
    pub after: Option<Moment>,
}

impl Trained {
    /// What the settings of a run say.
    pub fn of(settings: &Settings) -> Self {
        let is_known = |data: &&String| [MNIST, FASHION_MNIST].contains(&data.as_str());
        Trained {
            binarization: Some(settings.binarization),
            data: Some(&settings.data).filter(is_known).cloned(),
            size: settings.size,
            fit: settings.size.map(|_| settings.fit),
            valid: settings.valid,
            after: None,
        }
    }

    /// As it stands in a file.
    pub fn metadata(&self) -> BTreeMap<String, String> {
        let binarization = self.binarization.and_then(|b| serde_json::to_value(b).ok());
        let all = [
            (BINARIZATION, binarization.and_then(|b| b.as_str().map(str::to_string))),
            (DATA, self.data.clone()),
            (SIZE, self.size.map(|(height, width)| format!("{height}x{width}"))),
            (FIT, self.fit.map(|fit| fit.name().to_string())),
            (VALID, self.valid.map(|share| share.to_string())),
            (EPOCH, self.after.map(|after| after.epoch.to_string())),
            (STEP, self.after.map(|after| after.step.to_string())),
        ];
        all.into_iter().filter_map(|(key, text)| Some((key.to_string(), text?))).collect()
    }

    /// What a file says; a word that is not known says nothing.
    pub fn read(metadata: &HashMap<String, String>) -> Self {
        let text = |key| metadata.get(key).map(String::as_str);
        let number = |key| text(key).and_then(|number| number.parse::<u64>().ok());
        let known = |name: &&str| [MNIST, FASHION_MNIST].contains(name);
        let size = |text: &str| {
            let (height, width) = text.split_once('x')?;
            Some((height.parse().ok()?, width.parse().ok()?))
        };
        Trained {
            binarization: text(BINARIZATION)
                .and_then(|word| serde_json::from_value(Value::from(word)).ok()),
            data: text(DATA).filter(known).map(str::to_string),
            size: text(SIZE).and_then(size),
            fit: text(SIZE)
                .map(|_| text(FIT).and_then(|fit| fit.parse().ok()).unwrap_or(Fit::unsaid())),
            valid: text(VALID)
                .and_then(|share| share.parse().ok())
                .filter(|share| *share > 0.0 && *share < 1.0),
            after: number(EPOCH)
                .zip(number(STEP))
                .and_then(|(epoch, step)| Some(Moment { epoch: u32::try_from(epoch).ok()?, step })),
        }
    }
}
