//! The training curve: figures of training and test against epochs.

use super::svg::{Anchor, Axes, COLUMN, Scale, Svg, TITLE, colour, number, range};
use crate::train::{EpochReport, Figures};

const LEFT: f64 = 68.0;
/// Room for the last value.
const RIGHT: f64 = 62.0;
const TOP: f64 = 50.0;
const PANEL: f64 = 112.0;
const GAP: f64 = 14.0;

/// Colours.
const TRAIN: usize = 0;
const TEST: usize = 1;

type Figure = (String, fn(&Figures) -> f64);

/// A panel each for ELBO, reconstruction and KL, and L_K where that is the objective; none without epochs.
/// The frames show every value but the first epoch's average over training, from the first parameters
/// on, where it would press all others together: then it is told below. `samples` is K; `note` says what
/// was trained, on images or on rows: nats are of one `what`.
pub fn training(
    epochs: &[EpochReport],
    samples: Option<usize>,
    what: &str,
    note: &str,
) -> Option<String> {
    let (first, last) = (epochs.first()?, epochs.last()?);
    let mut figures: Vec<Figure> = vec![("ELBO".to_string(), |f| f.elbo)];
    if let (Some(k), Some(_)) = (samples, last.test.bound) {
        figures.push((format!("bound L_{k}"), |f| f.bound.unwrap_or(f64::NAN)));
    }
    figures.push(("reconstruction".to_string(), |f| f.reconstruction));
    figures.push(("KL".to_string(), |f| f.kl));

    let title = format!("Training curve, nats per {what}");
    let mut svg = Svg::new(COLUMN, &title);
    svg.text((LEFT, 20.0), Anchor::Start, TITLE, &title);
    let mut left = LEFT;
    let watched = if last.validation { "validation set" } else { "test set" };
    for (label, of) in [(watched, TEST), ("training set, epoch average", TRAIN)] {
        svg.line((left, 36.0), (left + 18.0, 36.0), &stroke(of));
        svg.text((left + 23.0, 40.0), Anchor::Start, "font-size=\"11\"", label);
        // The widest usual font has letters of 6.2 pixels at this size.
        left += 37.0 + 6.2 * label.len() as f64;
    }

    let (first, last) = (f64::from(first.epoch), f64::from(last.epoch));
    let margin = if first == last { 0.5 } else { 0.02 * (last - first) };
    let x = Scale { from: (first - margin, last + margin), to: (LEFT, COLUMN - RIGHT) };
    let mut top = TOP;
    let mut outside = Vec::new();
    for (i, (name, of)) in figures.iter().enumerate() {
        let axes = Axes { x, y: scale(epochs, *of, top) };
        let (low, high) = axes.y.from;
        if !(low..=high).contains(&of(&epochs[0].train)) {
            outside.push(format!("{name} {}", number(of(&epochs[0].train), 2)));
        }
        axes.y_ticks(&mut svg, 4.0);
        let labelled = i + 1 == figures.len();
        axes.x_ticks(&mut svg, 8.0, 1.0, labelled);
        let (left, right) = x.to;
        svg.within((left, top), (right - left, PANEL), |svg| {
            for (colour, set) in [(TRAIN, false), (TEST, true)] {
                let at = |e: &EpochReport| {
                    let value = of(if set { &e.test } else { &e.train });
                    (x.at(f64::from(e.epoch)), axes.y.at(value))
                };
                let points: Vec<_> = epochs.iter().map(at).collect();
                svg.polyline(&points, &stroke(colour));
                if points.len() <= 30 {
                    svg.dots(&points, 5.0, super::svg::colour(colour));
                }
            }
        });
        axes.frame(&mut svg);
        svg.upright((16.0, top + PANEL / 2.0), name);
        if let Some(last) = epochs.last() {
            let value = of(&last.test);
            let style = format!("fill=\"{}\"", colour(TEST));
            let at = (right + 6.0, axes.y.at(value) + 4.0);
            svg.text(at, Anchor::Start, &style, &number(value, 2));
        }
        top += PANEL + GAP;
    }
    let bottom = top - GAP;
    svg.text(((LEFT + COLUMN - RIGHT) / 2.0, bottom + 34.0), Anchor::Middle, "", "epoch");
    let outside = match outside.is_empty() {
        true => String::new(),
        false => {
            format!("Outside of the frames: training in the first epoch, {}. ", outside.join(", "))
        }
    };
    let end = svg.note(bottom + 44.0, &format!("{outside}{note}"));
    Some(svg.finish(end))
}

fn stroke(of: usize) -> String {
    format!("stroke=\"{}\" stroke-width=\"1.6\" stroke-linejoin=\"round\"", colour(of))
}

fn scale(epochs: &[EpochReport], of: fn(&Figures) -> f64, top: f64) -> Scale {
    let test = epochs.iter().map(|e| of(&e.test));
    let train = |skip| epochs.iter().skip(skip).map(|e| of(&e.train));
    let whole = range(test.clone().chain(train(0))).unwrap_or((0.0, 1.0));
    let without = range(test.chain(train(1))).unwrap_or(whole);
    // It takes a few epochs to see that the first is unlike the others.
    let pressed = epochs.len() > 2 && whole.1 - whole.0 > 1.5 * (without.1 - without.0);
    let (low, high) = if pressed { without } else { whole };
    let margin = 0.08 * (high - low).max(1e-3 * high.abs().max(1e-3));
    Scale { from: (low - margin, high + margin), to: (top + PANEL, top) }
}
