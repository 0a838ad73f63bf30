//! What becomes of each column of a table: its cells against their reconstructions.

use super::svg::{Anchor, COLUMN, MARGIN, Scale, Svg, TITLE, number, range};
use crate::data::{MISSING, Table};

/// Columns that are shown, at most.
const MOST: usize = 24;
/// Panels side by side.
const ACROSS: usize = 4;
/// Cells of a panel, at most.
const DOTS: usize = 500;
const COLOUR: &str = "#0072b2";

/// A panel for each column: each row's cell to the right, its reconstruction upwards, in the column's own units. `pairs`
/// are rows of standardised values (D), each followed by its reconstruction. `note` says what of.
pub fn columns(table: &Table, pairs: &[Vec<f32>], note: &str) -> String {
    let d = table.columns.len();
    let shown = d.min(MOST);
    let mut svg = Svg::new(COLUMN, "Cells and their reconstructions");
    svg.text((MARGIN, 20.0), Anchor::Start, TITLE, "Cells and their reconstructions");
    let gap = 14.0;
    let side = (COLUMN - 2.0 * MARGIN - gap * (ACROSS - 1) as f64) / ACROSS as f64;
    let height = side + 34.0;
    for (i, column) in table.columns.iter().take(shown).enumerate() {
        let left = MARGIN + (side + gap) * (i % ACROSS) as f64;
        let top = 50.0 + height * (i / ACROSS) as f64;
        let cells: Vec<(f64, f64)> = pairs
            .chunks_exact(2)
            .map(|pair| (pair[0][i], pair[1][i]))
            .filter(|(x, _)| *x < MISSING)
            .map(|(x, mean)| (f64::from(x), f64::from(mean)))
            .collect();
        let n = cells.len().max(1) as f64;
        let mean = cells.iter().map(|(x, _)| x).sum::<f64>() / n;
        let spread = cells.iter().map(|(x, _)| (x - mean).powi(2)).sum::<f64>();
        let error = cells.iter().map(|(x, mean)| (x - mean).powi(2)).sum::<f64>();
        let (low, high) =
            range(cells.iter().flat_map(|(x, mean)| [*x, *mean])).unwrap_or((-1.0, 1.0));
        let (low, high) = if low < high { (low, high) } else { (low - 1.0, high + 1.0) };
        let x = Scale { from: (low, high), to: (left + 3.0, left + side - 3.0) };
        let y = Scale { from: (low, high), to: (top + side - 3.0, top + 3.0) };
        let name: String = match column.name.chars().count() {
            0..=14 => column.name.clone(),
            _ => column.name.chars().take(13).chain(['…']).collect(),
        };
        svg.text((left, top - 5.0), Anchor::Start, "font-size=\"10\"", &name);
        let frame = "fill=\"none\" stroke=\"#999999\" stroke-width=\"0.7\"";
        svg.rect((left, top), (side, side), frame);
        let diagonal = "stroke=\"#bbbbbb\" stroke-width=\"0.7\"";
        svg.line((x.at(low), y.at(low)), (x.at(high), y.at(high)), diagonal);
        let step = cells.len().div_ceil(DOTS).max(1);
        let dots: Vec<_> = cells.iter().step_by(step).map(|c| (x.at(c.0), y.at(c.1))).collect();
        if !dots.is_empty() {
            svg.dots(&dots, 2.0, COLOUR);
        }
        let explained = match spread > 0.0 {
            true => format!("R² {}", number(1.0 - error / spread, 2)),
            false => String::new(),
        };
        svg.text((left + side, top + side + 11.0), Anchor::End, "font-size=\"9\"", &explained);
    }
    let more = match d - shown {
        0 => String::new(),
        more => format!(" The other {more} columns are left out."),
    };
    let bottom = 50.0 + height * shown.div_ceil(ACROSS) as f64 - 8.0;
    let note = format!(
        "To the right each cell that is there, upwards its reconstruction, the mean at the posterior mean; R² is the \
         share of the variance that it explains.{more} {note}"
    );
    let end = svg.note(bottom, &note);
    svg.finish(end)
}
