//! What the latent units hold: the KL of each, and where a plane of them puts the images.

use std::f64::consts::SQRT_2;

use statrs::function::erf::{erf, erf_inv};

use super::figures::{Gap, embedded};
use super::svg::{Anchor, Axes, COLUMN, FRAME, Scale, Svg, TICK, TITLE, number, range};
use crate::evaluate::{ACTIVE, Posteriors, Unit};

const LEFT: f64 = 56.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 52.0;
const INACTIVE: &str = "#bbbbbb";
const ACTIVE_COLOUR: &str = "#0072b2";

/// Colours of ten classes that stay apart for the colour-blind (Paul Tol's "muted"), again from the first
/// after the last; each class is named where it lies too.
const CLASSES: [&str; 10] = [
    "#332288", "#cc6677", "#117733", "#ddcc77", "#88ccee", "#882255", "#44aa99", "#999933",
    "#aa4499", "#777777",
];

/// The units in the order of their KL, the largest first.
pub fn by_kl(units: &[Unit]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..units.len()).collect();
    order.sort_by(|&a, &b| units[b].kl.value.total_cmp(&units[a].kl.value));
    order
}

/// A bar for the KL of each unit, sorted, with the active ones marked. `note` says what of.
pub fn units(units: &[Unit], note: &str) -> String {
    let (height, n) = (150.0, units.len());
    let order = by_kl(units);
    let mut svg = Svg::new(COLUMN, "KL of each latent unit, nats per image");
    svg.text((LEFT, 20.0), Anchor::Start, TITLE, "KL of each latent unit, nats per image");
    let active = units.iter().filter(|u| u.active).count();
    let sum: f64 = units.iter().map(|u| u.kl.value).sum();
    let mut left = LEFT;
    let kinds = [(active, "active", ACTIVE_COLOUR), (n - active, "inactive", INACTIVE)];
    for (count, kind, fill) in kinds.into_iter().filter(|(count, ..)| *count > 0) {
        let label = format!("{count} {kind}");
        svg.rect((left, 31.0), (10.0, 10.0), &format!("fill=\"{fill}\""));
        svg.text((left + 15.0, 40.0), Anchor::Start, "font-size=\"11\"", &label);
        left += 78.0;
    }
    svg.text((COLUMN - RIGHT, 40.0), Anchor::End, "font-size=\"11\"", &format!("sum {sum:.2}"));

    let most = units.iter().map(|u| u.kl.value).fold(1e-3, f64::max);
    let x = Scale { from: (0.0, n as f64), to: (LEFT, COLUMN - RIGHT) };
    let y = Scale { from: (0.0, 1.06 * most), to: (TOP + height, TOP) };
    let axes = Axes { x, y };
    axes.y_ticks(&mut svg, 5.0);
    // Bars too narrow for a gap touch.
    let gap = if n <= 80 { 0.12 } else { 0.0 };
    let width = (x.to.1 - x.to.0) / n as f64;
    for (place, &unit) in order.iter().enumerate() {
        let Unit { kl, active, .. } = units[unit];
        let (left, top) = (x.at(place as f64 + gap), y.at(kl.value));
        let fill = if active { ACTIVE_COLOUR } else { INACTIVE };
        let size = (width * (1.0 - 2.0 * gap), TOP + height - top);
        svg.rect((left, top), size, &format!("fill=\"{fill}\""));
        if n <= 26 {
            let at = (x.at(place as f64 + 0.5), TOP + height + 14.0);
            svg.text(at, Anchor::Middle, "font-size=\"10\"", &unit.to_string());
        }
    }
    axes.frame(&mut svg);
    let (label, below) = match n <= 26 {
        true => ("unit".to_string(), 30.0),
        false => (format!("{n} units, sorted"), 17.0),
    };
    let middle = (LEFT + COLUMN - RIGHT) / 2.0;
    svg.text((middle, TOP + height + below), Anchor::Middle, "", &label);
    svg.upright((16.0, TOP + height / 2.0), "KL(q(z|x) ‖ p(z)), nats");
    let note = format!(
        "Active: the variance of the posterior mean over the images is above {ACTIVE}. {note}"
    );
    let end = svg.note(TOP + height + below + 10.0, &note);
    svg.finish(end)
}

/// The posterior means of two latent units as dots, coloured and named by class where there are labels.
/// `note` says what of.
///
/// # Panics
/// Other than 2 units, or labels of other than all images.
pub fn scatter(posteriors: &Posteriors, labels: Option<&[u8]>, note: &str) -> String {
    assert_eq!(posteriors.latent, 2, "a plane has two units");
    let n = posteriors.images();
    assert!(labels.is_none_or(|l| l.len() == n), "a label for each image");
    let side = COLUMN - LEFT - 50.0;
    let top = 34.0;
    let mut svg = Svg::new(COLUMN, "Posterior means of the test images");
    svg.text((LEFT, 20.0), Anchor::Start, TITLE, "Posterior means of the test images");
    // One range for both, so that a round cloud is round.
    let (low, high) = range(posteriors.mean.iter().copied()).unwrap_or((-1.0, 1.0));
    let reach = 1.04 * low.abs().max(high.abs()).max(1.0);
    let x = Scale { from: (-reach, reach), to: (LEFT, LEFT + side) };
    let y = Scale { from: (-reach, reach), to: (top + side, top) };
    let axes = Axes { x, y };
    axes.y_ticks(&mut svg, 7.0);
    axes.x_ticks(&mut svg, 7.0, 0.0, true);
    let at =
        |image: usize| (x.at(posteriors.mean[2 * image]), y.at(posteriors.mean[2 * image + 1]));
    let class = |image: usize| labels.map_or(0, |labels| labels[image]);
    let mut classes: Vec<u8> = (0..n).map(class).collect();
    classes.sort_unstable();
    classes.dedup();
    let fill = |class: u8| {
        let place = classes.binary_search(&class).unwrap_or(0);
        CLASSES[place % CLASSES.len()]
    };
    // A share of every class in turn, so that none lies on top of all others.
    let shares = n.div_ceil(500);
    for share in 0..shares {
        for &c in &classes {
            let of_class = (share..n).step_by(shares).filter(|&image| class(image) == c);
            let points: Vec<_> = of_class.map(at).collect();
            if !points.is_empty() {
                svg.dots(&points, 2.0, fill(c));
            }
        }
    }
    axes.frame(&mut svg);
    if labels.is_some() {
        for (place, &c) in classes.iter().enumerate() {
            let of_class: Vec<usize> = (0..n).filter(|&image| class(image) == c).collect();
            let middle = |axis: usize| {
                let mut values: Vec<f64> =
                    of_class.iter().map(|i| posteriors.mean[2 * i + axis]).collect();
                values.sort_by(f64::total_cmp);
                values[values.len() / 2]
            };
            let style = "font-size=\"14\" font-weight=\"bold\" stroke=\"white\" stroke-width=\"3\" \
                         stroke-linejoin=\"round\" paint-order=\"stroke\"";
            let centre = (x.at(middle(0)), y.at(middle(1)) + 5.0);
            svg.text(centre, Anchor::Middle, style, &c.to_string());
            let (left, row) = (LEFT + side + 14.0, top + 12.0 + 18.0 * place as f64);
            if row < top + side {
                svg.dots(&[(left, row)], 8.0, fill(c));
                svg.text((left + 9.0, row + 4.0), Anchor::Start, "", &c.to_string());
            }
        }
    }
    svg.text((LEFT + side / 2.0, top + side + 34.0), Anchor::Middle, "", "mean of unit 0");
    svg.upright((16.0, top + side / 2.0), "mean of unit 1");
    let end = svg.note(top + side + 44.0, note);
    svg.finish(end)
}

/// Tiles along each side of a [`manifold`].
pub const MANIFOLD: usize = 20;

/// The quantile (i + 1/2) / n of N(0, 1) for each i: n values that the prior finds equally likely.
pub fn quantiles(n: usize) -> Vec<f64> {
    (0..n).map(|i| SQRT_2 * erf_inv((2 * i + 1) as f64 / n as f64 - 1.0)).collect()
}

/// The codes of a [`manifold`]'s tiles, row by row from the top: unit 0 grows to the right, unit 1 upwards.
pub fn manifold_codes() -> Vec<f32> {
    let at = quantiles(MANIFOLD);
    let rows = at.iter().rev();
    rows.flat_map(|&up| at.iter().flat_map(move |&right| [right as f32, up as f32])).collect()
}

/// Images of `size`, decoded from [`manifold_codes`], as a map of the latent plane.
///
/// # Errors
/// As [`embedded`].
pub fn manifold(images: &[Vec<f32>], size: (usize, usize), note: &str) -> Result<String, String> {
    let side = COLUMN - LEFT - RIGHT;
    let height = side * size.0 as f64 / size.1 as f64;
    let top = 34.0;
    let mut svg = Svg::new(COLUMN, "Latent manifold");
    svg.text((LEFT, 20.0), Anchor::Start, TITLE, "Latent manifold");
    let tiles: Vec<Option<&[f32]>> = images.iter().map(|image| Some(&image[..])).collect();
    let gap = Gap { width: 0, grey: 0, around: false };
    let png = embedded(&tiles, size, MANIFOLD, gap, side)?;
    svg.png((LEFT, top), (side, height), &png);
    svg.rect((LEFT, top), (side, height), FRAME);
    for half in -3..=3 {
        let z = f64::from(half) / 2.0;
        // The share of the prior below it.
        let share = 0.5 + 0.5 * erf(z / SQRT_2);
        let (across, up) = (LEFT + share * side, top + (1.0 - share) * height);
        svg.line((across, top + height), (across, top + height + 4.0), TICK);
        svg.line((LEFT - 4.0, up), (LEFT, up), TICK);
        svg.text((across, top + height + 17.0), Anchor::Middle, "", &number(z, 1));
        svg.text((LEFT - 7.0, up + 4.0), Anchor::End, "", &number(z, 1));
    }
    svg.text((LEFT + side / 2.0, top + height + 34.0), Anchor::Middle, "", "unit 0");
    svg.upright((16.0, top + height / 2.0), "unit 1");
    let end = svg.note(top + height + 44.0, note);
    Ok(svg.finish(end))
}
