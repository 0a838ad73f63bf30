//! What the gap between log p(x) and the ELBO is made of, as bars.

use super::gaps::Found;
use super::svg::{Anchor, Axes, COLUMN, MARGIN, Scale, Svg, TICK, TITLE, colour, number};
use crate::bounds::{Estimate, Gaps};

/// Sizes in pixels.
const LEFT: f64 = 52.0;
const TOP: f64 = 66.0;
const BAR: f64 = 34.0;
const GAP: f64 = 30.0;

/// The parts of a bar: how it is called, its share of the gap, and how much of the gap is up to its end.
type Part = (&'static str, fn(&Gaps) -> Option<Estimate>, fn(&Gaps) -> Option<Estimate>);
const PARTS: [Part; 2] = [
    ("approximation gap, of the family", Gaps::approximation, Gaps::approximation),
    ("amortization gap, of the encoder", Gaps::amortization, Gaps::inference),
];

/// A bar for each set, from log p(x) to the ELBO, of the parts of the gap, each with its standard error; an SVG. None where
/// nothing is finished.
pub fn figure(found: &Found) -> Option<String> {
    let sets: Vec<_> = found.sets.iter().filter(|(_, gaps)| gaps.inference().is_some()).collect();
    let ends = || sets.iter().flat_map(|(_, gaps)| PARTS.iter().filter_map(|(.., end)| end(gaps)));
    let longest = ends()
        .map(|e| e.value + error(e))
        .fold(None, |most: Option<f64>, v| Some(most.map_or(v, |most| most.max(v))))?;
    let shortest = ends().map(|e| e.value - error(e)).fold(0.0, f64::min);
    let bottom = TOP + GAP / 2.0 + (BAR + GAP) * sets.len() as f64;
    let axes = Axes {
        x: Scale { from: (1.04 * shortest, 1.08 * longest.max(1e-3)), to: (LEFT, COLUMN - MARGIN) },
        y: Scale { from: (0.0, 1.0), to: (bottom, TOP) },
    };
    let title = "What the gap log p(x) − ELBO is made of";
    let mut svg = Svg::new(COLUMN, &format!("{}: {title}", found.subject.run));
    svg.text((MARGIN, 20.0), Anchor::Start, TITLE, title);
    for (i, (name, ..)) in PARTS.iter().enumerate() {
        let left = MARGIN + i as f64 * (COLUMN - MARGIN) / 2.0;
        svg.rect((left, 34.0), (10.0, 10.0), &format!("fill=\"{}\"", colour(i)));
        svg.text((left + 15.0, 43.0), Anchor::Start, "font-size=\"10\"", name);
    }
    axes.x_ticks(&mut svg, 6.0, 0.0, true);
    for (i, (name, gaps)) in sets.iter().enumerate() {
        let top = TOP + GAP + (BAR + GAP) * i as f64;
        let middle = top + BAR / 2.0;
        svg.text((LEFT - 7.0, middle + 4.0), Anchor::End, "", name);
        let mut from = 0.0;
        for (j, (_, share, end)) in PARTS.iter().enumerate() {
            let (Some(share), Some(end)) = (share(gaps), end(gaps)) else { continue };
            let [low, high] = [from, end.value].map(|v| axes.x.at(v));
            let size = ((high - low).abs(), BAR);
            svg.rect((low.min(high), top), size, &format!("fill=\"{}\"", colour(j)));
            let label = match share.standard_error {
                Some(error) => format!("{} ± {}", number(share.value, 2), number(error, 2)),
                None => number(share.value, 2),
            };
            let at = low.midpoint(high);
            // A part that is too narrow for its label has it below.
            let (place, fill) = match size.0 > 64.0 {
                true => (middle + 4.0, "white"),
                false => (top + BAR + 12.0 + 11.0 * j as f64, "#222222"),
            };
            let style = format!("font-size=\"11\" fill=\"{fill}\"");
            svg.text((at, place), Anchor::Middle, &style, &label);
            let [less, more] = [-1.0, 1.0].map(|s| axes.x.at(end.value + s * error(end)));
            svg.line((less, top - 6.0), (more, top - 6.0), TICK);
            for end in [less, more] {
                svg.line((end, top - 9.0), (end, top - 3.0), TICK);
            }
            from = end.value;
        }
    }
    axes.frame(&mut svg);
    svg.text(
        (LEFT.midpoint(COLUMN - MARGIN), bottom + 36.0),
        Anchor::Middle,
        "",
        "nats between log p(x) and the ELBO, per image",
    );
    let known =
        found.simulated.annealed_width().into_iter().chain(found.simulated.importance_width());
    let known =
        known.min_by(|a, b| a.value.total_cmp(&b.value)).map_or_else(String::new, |width| {
            format!(
                " Of the model's own images log p(x) is known to {} nats.",
                number(width.value, 3)
            )
        });
    let images = sets.iter().map(|(_, gaps)| gaps.0.len()).max().unwrap_or(0);
    let note = format!(
        "{}, {images} images of each set; above each end its standard error over images. log p(x) is bounded from below: the \
         approximation gap is at least as large.{known}",
        found.subject.run
    );
    let end = svg.note(bottom + 50.0, &note);
    Some(svg.finish(end))
}

fn error(estimate: Estimate) -> f64 {
    estimate.standard_error.unwrap_or(0.0)
}
