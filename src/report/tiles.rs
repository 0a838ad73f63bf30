//! Rows of images with words beside and above them.

use super::figures::{Gap, embedded, padded, shown_ratio};
use super::svg::{Anchor, COLUMN, MARGIN, Svg, TITLE};
use crate::image_shape::ImageShape;

/// Where tiles begin below words, and below the title alone.
const TOP: f64 = 44.0;
const BARE_TOP: f64 = 28.0;
/// Between groups of columns.
const GAP: f64 = 8.0;
/// Words beside rows.
const SMALL: &str = "font-size=\"11\"";
const SMALLER: &str = "font-size=\"9.5\"";
/// Least height of a row with two lines beside it.
const TWO_LINES: f64 = 24.0;

/// Columns that belong together.
pub struct Group {
    /// Above each column; empty for none.
    pub labels: Vec<String>,
    /// One image a column in each row; the last may have fewer.
    pub rows: Vec<Vec<Vec<f32>>>,
}

/// A picture of groups of columns side by side.
pub struct Tiles<'a> {
    pub title: &'a str,
    /// Left of each row: one line or two; empty for none.
    pub row_labels: &'a [[String; 2]],
    pub groups: &'a [Group],
    /// What it is of.
    pub note: &'a str,
}

impl Tiles<'_> {
    /// # Errors
    /// As [`embedded`].
    pub fn svg(&self, shape: ImageShape) -> Result<String, String> {
        let columns: usize = self.groups.iter().map(|g| g.labels.len()).sum();
        let tile_beside = |left: f64| {
            (COLUMN - left - MARGIN - GAP * (self.groups.len() - 1) as f64) / columns as f64
        };
        let row_beside = |left: f64| tile_beside(left) * shown_ratio(shape);
        // The widest usual font has letters of 5.8 pixels at the larger size, of 5 at the smaller.
        let label_width = |letters: Option<usize>, letter: f64| {
            letters.map_or(MARGIN, |n| (MARGIN + 6.0 + letter * n as f64).max(68.0))
        };
        let letters = |text: &String| text.chars().count();
        let mut left =
            label_width(self.row_labels.iter().map(|[first, _]| letters(first)).max(), 5.8);
        let mut labels: Vec<(String, Option<&String>)> = self
            .row_labels
            .iter()
            .map(|[first, second]| (first.clone(), Some(second).filter(|s| !s.is_empty())))
            .collect();
        // In a low row the two lines are one.
        let low = row_beside(left) < TWO_LINES && labels.iter().any(|(_, second)| second.is_some());
        if low {
            for (first, second) in &mut labels {
                if let Some(second) = second.take() {
                    *first = format!("{first}, {second}");
                }
            }
            left = label_width(labels.iter().map(|(first, _)| letters(first)).max(), 5.0);
        }
        let (tile, row) = (tile_beside(left), row_beside(left));
        let rows = self.groups.iter().map(|g| g.rows.len()).max().unwrap_or(0);

        let labelled = self.groups.iter().flat_map(|g| &g.labels).any(|label| !label.is_empty());
        let top = if labelled { TOP } else { BARE_TOP };

        let mut svg = Svg::new(COLUMN, self.title);
        svg.text((MARGIN, 18.0), Anchor::Start, TITLE, self.title);
        for (i, (first, second)) in labels.iter().enumerate() {
            let middle = top + (i as f64 + 0.5) * row;
            let baseline = if second.is_none() { middle + 4.0 } else { middle - 1.5 };
            let style = if low { SMALLER } else { SMALL };
            svg.text((left - 6.0, baseline), Anchor::End, style, first);
            if let Some(second) = second {
                svg.text((left - 6.0, baseline + 11.0), Anchor::End, SMALLER, second);
            }
        }
        let mut at = left;
        for group in self.groups {
            let n = group.labels.len();
            let labels = group.labels.iter().enumerate().filter(|(_, label)| !label.is_empty());
            for (i, label) in labels {
                svg.text((at + (i as f64 + 0.5) * tile, top - 6.0), Anchor::Middle, SMALL, label);
            }
            let rows = group.rows.iter();
            let tiles: Vec<Option<&[f32]>> =
                rows.flat_map(|row| padded(row.iter().map(Vec::as_slice), n)).collect();
            let gap = Gap { width: 2, grey: 255, around: false };
            let across = tile * n as f64;
            let shown = (across, row * group.rows.len() as f64);
            let png = embedded(&tiles, shape, n, gap, shown)?;
            svg.png((at, top), shown, &png);
            at += across + GAP;
        }
        let end = svg.note(top + row * rows as f64 + 6.0, self.note);
        Ok(svg.finish(end))
    }
}
