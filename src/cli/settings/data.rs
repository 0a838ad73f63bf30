//! What `elbo train` says of its data: how they are read, and what a run keeps of where they are.

use std::sync::Arc;

use super::Args;
use crate::data::{self, Dataset, FASHION_MNIST, MNIST, TableOptions};
use crate::train::Settings;
use crate::vae::Likelihood;
use crate::vae::likelihood::Domain;

/// Whether the cells of a table are counts to it.
pub(super) fn is_of_counts(likelihood: Likelihood) -> bool {
    likelihood.module().domain() == Domain::Counts
}

impl Args {
    /// Reads cells as the run to begin from has them, unless something says otherwise.
    pub fn begin_like(&mut self, run: &Settings) {
        self.counts.get_or_insert(is_of_counts(run.architecture.likelihood));
    }

    /// How the data are to be read.
    pub fn data_options(&self) -> data::Options {
        let kind = self.model.likelihood;
        let counts = kind.and_then(|kind| Likelihood::of_kind(kind, None));
        let table = TableOptions {
            table: self.table,
            drop: self.drop.clone(),
            label: self.label.clone(),
            counts: counts.map_or(self.counts.unwrap_or(false), is_of_counts),
            like: self.like.clone(),
            ..TableOptions::default()
        };
        let table = Some(Arc::new(table));
        let Args { size, fit, valid, channels, .. } = *self;
        data::Options { size, fit, valid, channels, table, whole: false }
    }
}

/// The classes of the training images.
pub(super) fn classes(dataset: &Dataset) -> Result<Vec<String>, String> {
    match dataset.train.classes() {
        classes if classes.len() >= 2 => Ok(classes),
        classes => Err(format!(
            "--condition labels needs images of two classes at least, and the training images of {} have {}: give \
             labels, as in sub-folders by class, or leave --condition out",
            dataset.name,
            if classes.is_empty() { "no labels" } else { "one" }
        )),
    }
}

/// The path of data that are there, as it can be found from any folder, or the name of a known set.
pub fn absolute(data: &str) -> String {
    match std::fs::canonicalize(data) {
        Ok(path) if ![MNIST, FASHION_MNIST].contains(&data) => path.to_str().map(str::to_string),
        _ => None,
    }
    .unwrap_or_else(|| data.to_string())
}
