//! What `elbo gaps` has found so far, an image a line of CSV: what an interrupted command goes on from, and what the parts
//! of a job that is spread over machines are put together from.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::Failure;
use crate::bounds::{Finding, GapsOfImage, Refined};
use crate::checkpoint::write_whole;
use crate::data::Dataset;
use crate::loaded::Model;

/// Where images are from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Set {
    /// The model itself.
    Own,
    Test,
    Train,
}

impl Set {
    pub const ALL: [Set; 3] = [Set::Own, Set::Test, Set::Train];

    pub fn name(self) -> &'static str {
        match self {
            Set::Own => "own",
            Set::Test => "test",
            Set::Train => "train",
        }
    }
}

/// All that the figures of an image follow from, but the kind of device, in 16 digits.
pub fn key(model: Model, dataset: &Dataset, images: usize, finding: &Finding) -> String {
    #[derive(Serialize)]
    struct Settings<'a> {
        architecture: &'a crate::vae::Architecture,
        binarization: &'static str,
        seed: u64,
        data: String,
        images: usize,
        finding: &'a Finding,
        elbo_version: &'static str,
    }
    let settings = Settings {
        architecture: model.architecture,
        binarization: model.binarization.label(),
        seed: model.seed,
        data: dataset.digest(),
        images,
        finding,
        elbo_version: env!("CARGO_PKG_VERSION"),
    };
    let mut hash = Sha256::new();
    hash.update(serde_json::to_vec(&settings).expect("settings are plain values"));
    for values in model.parameters {
        values.iter().for_each(|v| hash.update(v.to_le_bytes()));
    }
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// The images that are finished.
pub struct Kept {
    key: String,
    ks: Vec<usize>,
    pub images: BTreeMap<(Set, usize), GapsOfImage>,
}

impl Kept {
    /// None yet.
    pub fn new(key: String, ks: &[usize]) -> Self {
        Kept { key, ks: ks.to_vec(), images: BTreeMap::new() }
    }

    /// Takes over what is in a file.
    ///
    /// # Errors
    /// It cannot be read, is none of these files, or its figures follow from other settings.
    pub fn take_over(&mut self, file: &Path) -> Result<(), Failure> {
        let name = file.display();
        let wrong = |line: u64, what: &str| Failure::input(format!("{name}: line {line}: {what}"));
        let mut reader = csv::Reader::from_path(file)
            .map_err(|e| Failure::input(format!("{name}: it cannot be read: {e}")))?;
        let head = reader.headers().map_err(|e| Failure::input(format!("{name}: {e}")))?;
        let (head, expected) = (head.iter().collect::<Vec<_>>().join(","), self.head());
        // Other numbers of draws have other columns.
        if !head.starts_with("settings,set,image,") {
            return Err(wrong(1, "it is no file of elbo gaps --per-image"));
        }
        for (i, record) in reader.records().enumerate() {
            let line = i as u64 + 2;
            let record = record.map_err(|e| wrong(line, &e.to_string()))?;
            if head != expected || record.get(0) != Some(&self.key) {
                let what = "its figures are of other settings: another run, data, seed, number of images, draws, steps or \
                            temperatures, or another version; name another file";
                return Err(wrong(line, what));
            }
            let cells: Vec<&str> = record.iter().collect();
            let (place, image) = self
                .parse(&cells)
                .ok_or_else(|| wrong(line, "a cell is not as elbo gaps writes it"))?;
            self.images.entry(place).or_insert(image);
        }
        Ok(())
    }

    /// Writes the finished images, set after set, in their order.
    ///
    /// # Errors
    /// The disk's.
    pub fn write(&self, file: &Path) -> Result<(), Failure> {
        let mut t = self.head() + "\n";
        for (&(set, place), image) in &self.images {
            // Writing to a string cannot fail.
            let _ = write!(t, "{},{},{place}", self.key, set.name());
            for value in figures(image, self.ks.len()) {
                let _ = match value {
                    Some(value) => write!(t, ",{value}"),
                    None => write!(t, ","),
                };
            }
            t.push('\n');
        }
        write_whole(file, t.as_bytes()).map_err(Failure::run)
    }

    fn head(&self) -> String {
        let mut head = "settings,set,image".to_string();
        for name in ["importance", "importance_upper"] {
            for k in &self.ks {
                let _ = write!(head, ",{name}_{k}");
            }
        }
        for name in FIGURES {
            let _ = write!(head, ",{name}");
        }
        head
    }

    fn parse(&self, cells: &[&str]) -> Option<((Set, usize), GapsOfImage)> {
        let set = Set::ALL.into_iter().find(|set| set.name() == cells[1])?;
        let image: usize = cells[2].parse().ok()?;
        let values: Option<Vec<Option<f64>>> = cells[3..]
            .iter()
            .map(|cell| match cell.is_empty() {
                true => Some(None),
                false => cell.parse().ok().map(Some),
            })
            .collect();
        Some(((set, image), of_figures(&values?, self.ks.len())?))
    }
}

/// Columns after the bounds at each k.
const FIGURES: [&str; 12] = [
    "effective_sample_size",
    "annealing",
    "annealing_upper",
    "acceptance",
    "acceptance_backward",
    "elbo",
    "best_elbo",
    "best_elbo_from_encoder",
    "best_elbo_from_prior",
    "best_elbo_before_last_tenth",
    "gradient_norm",
    "importance_from_best_q",
];

/// The columns' values.
fn figures(image: &GapsOfImage, ks: usize) -> Vec<Option<f64>> {
    let refined = image.refined.as_ref();
    let bounds = |values: &[f64]| (0..ks).map(|k| values.get(k).copied()).collect::<Vec<_>>();
    let rest: [Option<f64>; FIGURES.len()] = [
        Some(image.effective_size),
        Some(image.annealed),
        image.annealed_upper,
        image.acceptance[0],
        image.acceptance[1],
        refined.map(|r| r.encoder),
        refined.map(|r| r.best),
        refined.map(|r| r.from_encoder),
        refined.and_then(|r| r.from_prior),
        refined.map(|r| r.before_last),
        refined.map(|r| r.gradient_norm),
        refined.and_then(|r| r.importance),
    ];
    [bounds(&image.lower), bounds(&image.upper), rest.to_vec()].concat()
}

/// And back.
fn of_figures(values: &[Option<f64>], ks: usize) -> Option<GapsOfImage> {
    let rest: &[Option<f64>; FIGURES.len()] = values.get(2 * ks..)?.try_into().ok()?;
    let &[
        size,
        annealed,
        annealed_upper,
        forward,
        backward,
        encoder,
        best,
        from_encoder,
        from_prior,
        before_last,
        gradient_norm,
        importance,
    ] = rest;
    let refined = match best {
        None => None,
        Some(best) => Some(Refined {
            encoder: encoder?,
            best,
            from_encoder: from_encoder?,
            from_prior,
            before_last: before_last?,
            gradient_norm: gradient_norm?,
            importance,
        }),
    };
    let upper: Vec<f64> = values[ks..2 * ks].iter().flatten().copied().collect();
    Some(GapsOfImage {
        lower: values[..ks].iter().copied().collect::<Option<_>>()?,
        upper: if upper.is_empty() || upper.len() == ks { upper } else { return None },
        effective_size: size?,
        annealed: annealed?,
        annealed_upper,
        acceptance: [forward, backward],
        refined,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every bit comes back from a file; files of other settings and other files are refused.
    #[test]
    fn images_come_back_to_the_last_bit() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("a.csv");
        let third = |i: usize| -(i as f64 + 1.0) / 3.0;
        let real = GapsOfImage {
            lower: vec![third(0), third(1)],
            upper: Vec::new(),
            effective_size: 1.0 / 7.0,
            annealed: third(2),
            annealed_upper: None,
            acceptance: [Some(0.7), None],
            refined: Some(Refined {
                encoder: third(3),
                best: third(4),
                from_encoder: third(4),
                from_prior: Some(-1e-300),
                before_last: third(5),
                gradient_norm: 0.1 + 0.2,
                importance: Some(third(9)),
            }),
        };
        let own = GapsOfImage {
            upper: vec![third(6), third(7)],
            annealed_upper: Some(third(8)),
            acceptance: [Some(0.7), Some(0.1)],
            refined: None,
            ..real.clone()
        };
        let kept = |key: &str, ks: &[usize]| Kept::new(key.to_string(), ks);
        let mut all = kept("0123", &[5, 50]);
        all.images =
            [((Set::Own, 3), own), ((Set::Test, 0), real.clone()), ((Set::Train, 9), real)].into();
        all.write(&file).ok().expect("it is written");
        let mut again = kept("0123", &[5, 50]);
        again.take_over(&file).ok().expect("it is read");
        assert_eq!(again.images, all.images);
        let message = |mut kept: Kept| kept.take_over(&file).expect_err("it is refused").message;
        for other in [kept("0124", &[5, 50]), kept("0123", &[5, 500])] {
            let message = message(other);
            assert!(message.contains("line 2") && message.contains("other settings"), "{message}");
        }
        for (text, words) in [
            ("a,b\n1,2\n", "line 1: it is no file of"),
            (&std::fs::read_to_string(&file).expect("text").replace("0.7", "x"), "line 2: a cell"),
        ] {
            std::fs::write(&file, text).expect("a file");
            let message = message(kept("0123", &[5, 50]));
            assert!(message.contains(words), "{message}");
        }
    }
}
