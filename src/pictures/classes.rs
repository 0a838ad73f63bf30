//! The pictures of a model that is told classes: a row for each.

use super::{POSTERIORS, PictureError, Pictures};
use crate::data::Images;
use crate::evaluate::Posteriors;
use crate::generate::{self, GenerateError};
use crate::report::figures::{Layout, rows_of_classes};
use crate::report::latent::quantiles;
use crate::report::tiles::{Group, Tiles};

/// Classes that have a row, at most.
const SHOWN: usize = 20;
/// Images of a row, at most.
const COLUMNS: usize = 10;
/// Tiles of a row for each unit of a manifold.
const MANIFOLD: usize = 7;

impl Pictures<'_> {
    /// How many classes have a row; 0 of a model that is told none.
    pub(super) fn classes(&self) -> usize {
        self.settings.architecture.classes.len().min(SHOWN)
    }

    /// The classes that the network is told of the first test images; none where it is told none.
    pub(super) fn told(&self, test: &Images) -> Result<Vec<u32>, GenerateError> {
        let names = &self.settings.architecture.classes;
        let told = test.first(POSTERIORS).classes_among(names, "the test images")?;
        Ok(told.into_iter().map(u32::from).collect())
    }

    /// How draws are laid out.
    pub(super) fn layout(&self) -> Layout {
        match self.classes() {
            0 => Layout::Square,
            classes => Layout::Classes(classes),
        }
    }

    /// The classes of at most `draws` draws from the prior, as many of each; or one of each.
    pub(super) fn drawn_classes(&self, draws: usize) -> Vec<u32> {
        let each = (draws / self.classes()).clamp(1, COLUMNS);
        generate::by_class(each * self.classes(), self.classes())
    }

    /// The names of the classes that have a row.
    fn names(&self) -> Vec<[String; 2]> {
        let names = self.settings.architecture.classes.iter();
        names.take(SHOWN).map(|name| [shortened(name), String::new()]).collect()
    }

    /// Which classes are shown, where not all are.
    fn of_all(&self) -> String {
        match self.settings.architecture.classes.len() {
            n if n > SHOWN => format!(" The first {SHOWN} of {n} classes."),
            _ => String::new(),
        }
    }

    fn tiles(
        &self,
        title: &str,
        row_labels: &[[String; 2]],
        groups: &[Group],
        note: &str,
    ) -> Result<String, PictureError> {
        let tiles = Tiles { title, row_labels, groups, note };
        tiles.svg(self.settings.architecture.shape()).map_err(PictureError::Encode)
    }

    pub(super) fn samples_of_classes(
        &self,
        draws: &[Vec<f32>],
        note: &str,
    ) -> Result<String, PictureError> {
        let rows: Vec<Vec<Vec<f32>>> = rows_of_classes(draws, self.classes())
            .map(|row| row.into_iter().map(<[f32]>::to_vec).collect())
            .collect();
        let groups = [Group { labels: vec![String::new(); rows[0].len()], rows }];
        let note = format!(
            "Expected pixels at draws z from N(0, I), each row as images of a class.{} {note}",
            self.of_all()
        );
        self.tiles("Draws of each class", &self.names(), &groups, &note)
    }

    pub(super) fn manifold_of_classes(
        &self,
        parameters: &[Vec<f32>],
        note: &str,
    ) -> Result<String, PictureError> {
        let at = quantiles(
            self.fitting(2 * self.classes(), 2 * self.classes() * MANIFOLD) / 2 / self.classes(),
        );
        let n = at.len();
        let (mut z, mut classes) = (Vec::new(), Vec::new());
        for class in 0..self.classes() {
            z.extend(at.iter().flat_map(|&v| [v as f32, 0.0]));
            z.extend(at.iter().flat_map(|&v| [0.0, v as f32]));
            classes.extend(std::iter::repeat_n(class as u32, 2 * n));
        }
        let images = self.decode(parameters, &z, &classes)?;
        let group = |unit: usize| Group {
            labels: (0..n)
                .map(|i| if i == n / 2 { format!("unit {unit}") } else { String::new() })
                .collect(),
            rows: images.chunks_exact(2 * n).map(|row| row[unit * n..][..n].to_vec()).collect(),
        };
        let note = format!(
            "Each row as images of a class: one unit at {n} quantiles of N(0,1) from low to high, the other at 0.{} \
             {note}",
            self.of_all()
        );
        self.tiles("Latent manifold of each class", &self.names(), &[group(0), group(1)], &note)
    }

    /// `pairs` are reconstructed test images, up to the last of the `chosen`.
    pub(super) fn styles(
        &self,
        parameters: &[Vec<f32>],
        (posteriors, pairs): (&Posteriors, &[Vec<f32>]),
        chosen: &[usize],
        note: &str,
    ) -> Result<String, PictureError> {
        let rows = self.classes();
        let columns = chosen.len().min(COLUMNS).min(self.fitting(rows, rows * COLUMNS) / rows);
        let chosen = &chosen[..columns];
        let width = posteriors.latent;
        let (mut z, mut classes) = (Vec::new(), Vec::new());
        for class in 0..rows {
            for &image in chosen {
                z.extend(posteriors.mean[image * width..][..width].iter().map(|&v| v as f32));
                classes.push(class as u32);
            }
        }
        let images = self.decode(parameters, &z, &classes)?;
        let first: Vec<Vec<f32>> = chosen.iter().map(|&image| pairs[2 * image].clone()).collect();
        let rows = std::iter::once(first).chain(images.chunks_exact(columns).map(<[_]>::to_vec));
        let groups = [Group { labels: vec![String::new(); columns], rows: rows.collect() }];
        let mut row_labels = vec![["data".to_string(), String::new()]];
        row_labels.extend(self.names());
        let note = format!(
            "Above, test images as the encoder sees them; below each, its posterior mean decoded as an image of every \
             class: what z holds beside the class.{} {note}",
            self.of_all()
        );
        self.tiles("The same z as images of each class", &row_labels, &groups, &note)
    }
}

fn shortened(name: &str) -> String {
    const MOST: usize = 14;
    match name.chars().count() {
        0..=MOST => name.to_string(),
        _ => name.chars().take(MOST - 1).chain(['…']).collect(),
    }
}
