//! The layers of a network as a table.

use super::table::{Column, lines};
use crate::nn::Embedding;
use crate::vae::Architecture;

/// A line for each layer, with what it takes and gives and how many numbers its parameters are, and one for all: of a
/// network of fully connected layers alone, which its widths describe, none.
pub fn network(architecture: &Architecture) -> Vec<String> {
    let dense = architecture.hidden.are_dense() && architecture.decoder_hidden.are_dense();
    let Ok(layout) = architecture.layout() else { return Vec::new() };
    if dense {
        return Vec::new();
    }
    let layers: Vec<_> = layout.encoder.iter().chain(&layout.decoder).collect();
    let column = |title, is_number, cell: &dyn Fn(usize) -> String| Column {
        title,
        is_number,
        cells: (0..layers.len()).map(cell).collect(),
    };
    let mut table = lines(&[
        column("layer", false, &|i| layers[i].name.clone()),
        column("kind", false, &|i| layers[i].spec.to_string()),
        column("from", false, &|i| layers[i].from.to_string()),
        column("to", false, &|i| layers[i].to.to_string()),
        column("parameters", true, &|i| layers[i].parameters().to_string()),
    ]);
    let embeddings = [layout.encoder[0].to, layout.decoder[0].to]
        .map(|shape| Embedding::parameters_of(shape, architecture.classes.len()));
    let of_prior = architecture.prior.module().parameters(architecture.pixels());
    let of_prior = of_prior.iter().map(|own| own.dims.iter().product::<usize>()).sum::<usize>();
    let of_layers = layers.iter().map(|layer| layer.parameters());
    let all: usize = of_layers.chain(embeddings).chain([of_prior]).sum();
    if !architecture.classes.is_empty() {
        let [encoder, decoder] = embeddings;
        table.push(format!("{encoder} and {decoder} of the classes' embeddings"));
    }
    if of_prior > 0 {
        table.push(format!("{of_prior} of the pseudo-inputs"));
    }
    table.push(format!("{all} parameters"));
    table
}
