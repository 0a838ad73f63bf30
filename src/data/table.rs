//! What a table's columns are, and how their values become what a model sees.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::pixels::Pixels;
use super::{Dataset, Images};
use crate::config_error::ConfigError;
pub use crate::kernels::seen::MISSING;
use crate::kernels::seen::is_missing;
use crate::vae::likelihood::Domain;
use crate::vae::step::Content;
use crate::vae::{Binarization, Likelihood};

/// Standard deviations from a column's mean beyond which a cell is refused: its square would overflow.
pub(super) const FARTHEST: f64 = 1e15;

/// Largest count: whole numbers up to it are exact in single precision.
pub(super) const LARGEST_COUNT: f64 = 16_777_216.0;

/// The columns of a table, as `config.json` keeps them: what brings other tables' cells to what the model was trained on,
/// and what the model gives back to the table's own units.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Table {
    /// Those that are modelled, in their order.
    pub columns: Vec<Column>,
    /// The name of the column of classes, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The names of the classes, in the order of their numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<String>,
}

/// A column: a cell v is (v - mean) / deviation to the model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Column {
    /// From the header, or the column's number from 1 on where there is none.
    pub name: String,
    /// Of the observed cells of the training rows; 0 of counts.
    pub mean: f64,
    /// Their standard deviation; 1 of counts.
    pub deviation: f64,
}

/// How tables are to be read.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TableOptions {
    /// Read arrays (N, D) as tables also where they could be images.
    pub table: bool,
    /// Names of columns to leave out.
    pub drop: Vec<String>,
    /// The name of the column of classes; without, one that is called label or class.
    pub label: Option<String>,
    /// Whether the cells are counts, which stay as they are.
    pub counts: bool,
    /// The columns to look for, and how they are standardised: those of a run. Others are left out.
    pub like: Option<Table>,
    /// Hold out nothing and look for no other file: every row is one of both sets.
    pub whole: bool,
}

impl TableOptions {
    /// # Errors
    ///
    /// Something is asked that tables alone have.
    pub(super) fn check_of_images(&self) -> Result<(), ConfigError> {
        let fields = [
            ("table", self.table, String::new()),
            ("drop", !self.drop.is_empty(), self.drop.join(",")),
            ("label", self.label.is_some(), self.label.clone().unwrap_or_default()),
        ];
        match fields.into_iter().find(|(_, is_given, _)| *is_given) {
            None => Ok(()),
            Some((field, _, value)) => {
                let why = "is for tables, and these are images";
                let right = "a table is a .csv file, or an array of two dimensions";
                Err(ConfigError::conflict(field, value, why, right))
            }
        }
    }
}

impl Table {
    /// The columns of training rows, standardised: `cells` (N, D) row by row, NaN where one is missing.
    ///
    /// A column that has one value or none in all of them has a deviation of 1.
    ///
    /// # Errors
    /// No columns, or no whole number of rows.
    pub fn of(names: &[String], cells: &[f64]) -> Result<Table, ConfigError> {
        let d = names.len();
        check_rows(cells, d)?;
        let moments = (0..d).map(|column| moments_of(cells.iter().skip(column).step_by(d)));
        let columns = names.iter().zip(moments).map(|(name, (mean, deviation))| Column {
            name: name.clone(),
            mean,
            deviation: if deviation > 0.0 { deviation } else { 1.0 },
        });
        Ok(Table { columns: columns.collect(), ..Table::default() })
    }

    /// Columns whose cells stay as they are: counts.
    pub fn unscaled(names: &[String]) -> Table {
        let column = |name: &String| Column { name: name.clone(), mean: 0.0, deviation: 1.0 };
        Table { columns: names.iter().map(column).collect(), ..Table::default() }
    }

    /// The sum of the logarithms of the columns' deviations: log p of cells in their own units is less than that of
    /// standardised cells by it, if none is missing.
    pub fn log_scale(&self) -> f64 {
        self.columns.iter().map(|column| column.deviation.ln()).sum()
    }

    /// A row of standardised values (D) in the columns' own units; NaN where one is missing.
    pub fn restore(&self, row: &[f32]) -> Vec<f64> {
        let restored = |(column, &v): (&Column, &f32)| match is_missing(v) {
            true => f64::NAN,
            false => f64::from(v) * column.deviation + column.mean,
        };
        self.columns.iter().zip(row).map(restored).collect()
    }
}

impl Column {
    /// What the model sees of a cell, [`MISSING`] of NaN; `None` if it is too far from the mean.
    pub(super) fn standardise(&self, cell: f64) -> Option<f32> {
        if cell.is_nan() {
            return Some(MISSING);
        }
        let v = (cell - self.mean) / self.deviation;
        (v.abs() <= FARTHEST).then_some(v as f32)
    }
}

impl Images {
    /// The rows of a table whose columns are known: `cells` (N, D) row by row in the columns' own units, NaN where one is
    /// missing.
    ///
    /// # Errors
    /// No whole number of rows, none, or a cell that is infinite or too far from its column's mean.
    ///
    /// ```
    /// let cells = [1.0, 10.0, 3.0, f64::NAN, 5.0, 30.0];
    /// let names = ["width".to_string(), "height".to_string()];
    /// let table = elbo::Table::of(&names, &cells)?;
    /// let rows = elbo::Images::of_table(table.into(), &cells)?;
    /// assert_eq!((rows.n_images, rows.n_pixels()), (3, 2));
    /// assert!(rows.has_missing());
    /// # Ok::<(), elbo::ConfigError>(())
    /// ```
    pub fn of_table(table: Arc<Table>, cells: &[f64]) -> Result<Images, ConfigError> {
        let d = table.columns.len();
        check_rows(cells, d)?;
        let value = |(i, &cell): (usize, &f64)| {
            table.columns[i % d].standardise(cell).ok_or_else(|| {
                let right = "must be finite, and near the others of its column";
                let name = &table.columns[i % d].name;
                let got = format!("{cell} in row {} of column {name}", i / d + 1);
                ConfigError::range("cells", right, got)
            })
        };
        let values = cells.iter().enumerate().map(value).collect::<Result<Vec<f32>, _>>()?;
        Ok(Images {
            n_images: values.len() / d,
            height: 1,
            width: d,
            channels: 1,
            pixels: Pixels::of_table(values, table),
            labels: None,
        })
    }

    /// The table whose rows they are; `None` of images.
    pub fn table(&self) -> Option<&Arc<Table>> {
        self.pixels.table()
    }

    /// The variance of each column of a table about its mean, (D), over the cells that are there; `None` of images.
    pub fn variances(&self) -> Option<Vec<f64>> {
        Some(moments(self.pixels.reals()?, self.n_pixels()).1)
    }

    /// How many cells of a table are missing.
    pub fn missing(&self) -> usize {
        let values = self.pixels.reals().unwrap_or_default();
        values.iter().filter(|v| is_missing(**v)).count()
    }

    /// Whether they are rows of a table with missing cells.
    pub fn has_missing(&self) -> bool {
        self.pixels.reals().is_some_and(|values| values.iter().any(|&v| is_missing(v)))
    }

    /// Of each row of a table how many cells are there, and the sum of the logarithms of their columns' deviations; `None` of
    /// images.
    pub(crate) fn observed(&self) -> Option<Vec<(usize, f64)>> {
        let (values, table) = (self.pixels.reals()?, self.table()?);
        let of_row = |row: &[f32]| {
            let there = row.iter().zip(&table.columns).filter(|(v, _)| !is_missing(**v));
            there.fold((0, 0.0), |(n, sum), (_, column)| (n + 1, sum + column.deviation.ln()))
        };
        Some(values.chunks_exact(self.n_pixels()).map(of_row).collect())
    }

    /// What a model with this likelihood draws minibatches of: of images as `binarization` makes them.
    pub(crate) fn content(&self, likelihood: Likelihood, binarization: Binarization) -> Content {
        match (self.table(), likelihood.module().domain()) {
            (None, _) => Content::Bytes(binarization),
            (Some(_), Domain::Counts) => Content::Counts,
            (Some(_), _) if self.has_missing() => Content::Masked,
            (Some(_), _) => Content::Reals,
        }
    }

    /// Whether a likelihood can be one of these: rows of a table need one of real values, or of counts.
    ///
    /// # Errors
    /// It cannot.
    pub(crate) fn check_domain(&self, likelihood: Likelihood) -> Result<(), ConfigError> {
        let domain = likelihood.module().domain();
        let conflict = |problem: &str, right: &str| {
            let field = "architecture.likelihood";
            Err(ConfigError::conflict(field, likelihood.kind(), problem, right))
        };
        let Some(values) = self.pixels.reals() else {
            return match domain {
                Domain::Counts => conflict(
                    "is for counts, and these are images",
                    "counts are a table: a .csv file, or an array of two dimensions with `table`",
                ),
                Domain::Levels | Domain::Reals => Ok(()),
            };
        };
        match domain {
            Domain::Levels => {
                conflict("is for pixels, and these are rows of a table", "gaussian is for tables")
            }
            Domain::Counts if !values.iter().all(|&v| v >= 0.0 && v.fract() == 0.0) => {
                conflict("is for counts", "cells must be whole numbers from 0 on")
            }
            _ if !likelihood.module().accepts_missing() && self.has_missing() => conflict(
                "needs every cell, and some are missing",
                "gaussian does without, with any `architecture.likelihood.variance` but learned",
            ),
            Domain::Counts | Domain::Reals => Ok(()),
        }
    }
}

impl Dataset {
    /// What the columns are, if it is a table.
    pub fn table(&self) -> Option<&Arc<Table>> {
        self.train.table()
    }
}

fn check_rows(cells: &[f64], d: usize) -> Result<(), ConfigError> {
    match d > 0 && !cells.is_empty() && cells.len().is_multiple_of(d) {
        true => Ok(()),
        false => {
            let right = format!("must be whole rows of {d} columns, one of each at least");
            Err(ConfigError::range("cells", right, format!("{} cells", cells.len())))
        }
    }
}

/// Mean and standard deviation of the cells that are not NaN; zeros where there are none.
fn moments_of<'a>(cells: impl Iterator<Item = &'a f64> + Clone) -> (f64, f64) {
    let observed = || cells.clone().copied().filter(|cell| !cell.is_nan());
    let n = observed().count().max(1) as f64;
    let (low, high) = observed()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), cell| (a.min(cell), b.max(cell)));
    if low >= high {
        return (if low == high { low } else { 0.0 }, 0.0);
    }
    // Numbers near the largest that there are do not overflow.
    let mean = observed().map(|cell| cell / n).sum::<f64>();
    let square = |cell: f64| ((cell - mean) / (high - low)).powi(2);
    let variance = observed().map(square).sum::<f64>() / n;
    (mean, (high - low) * variance.sqrt())
}

/// The mean of each column's observed values, and their variance.
pub(super) fn moments(values: &[f32], d: usize) -> (Vec<f64>, Vec<f64>) {
    let mut sums = vec![(0.0, 0.0, 0.0); d];
    for row in values.chunks_exact(d) {
        for ((n, sum, squares), &v) in sums.iter_mut().zip(row) {
            if !is_missing(v) {
                let v = f64::from(v);
                *n += 1.0;
                *sum += v;
                *squares += v * v;
            }
        }
    }
    let mean = |&(n, sum, _): &(f64, f64, f64)| if n > 0.0 { sum / n } else { 0.0 };
    let variance = |column: &(f64, f64, f64)| match column.0 {
        n if n > 0.0 => (column.2 / n - mean(column).powi(2)).max(0.0),
        _ => 0.0,
    };
    (sums.iter().map(mean).collect(), sums.iter().map(variance).collect())
}
