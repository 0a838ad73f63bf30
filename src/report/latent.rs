//! What the latent units hold: the KL of each, and where a plane of them puts the images.

use std::f64::consts::SQRT_2;

use statrs::function::erf::{erf, erf_inv};

use super::figures::{Gap, embedded, shown_ratio};
use super::svg::{Anchor, Axes, COLUMN, FRAME, MARGIN, Scale, Svg, TICK, TITLE, number, range};
use crate::data::Labels;
use crate::evaluate::{ACTIVE, Posteriors, Unit};
use crate::image_shape::ImageShape;

const LEFT: f64 = 56.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 52.0;
const INACTIVE: &str = "#bbbbbb";
const ACTIVE_COLOUR: &str = "#0072b2";

/// Colours of ten classes that stay apart for the colour-blind as far as ten can (Paul Tol's "bright", with three of his and a
/// brown), on white and on the black of the page's map; again from the first after the last. Each class is named where it lies too.
/// The page of `elbo explore` has the same.
const CLASSES: [&str; 10] = [
    "#4477aa", "#ee7733", "#228833", "#ee6677", "#aa3377", "#aa7744", "#66ccee", "#999999",
    "#ccbb44", "#009988",
];

/// The units in the order of their KL, the largest first.
pub fn by_kl(units: &[Unit]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..units.len()).collect();
    order.sort_by(|&a, &b| units[b].kl.value.total_cmp(&units[a].kl.value));
    order
}

/// A bar for the KL of each unit, sorted, with the active ones marked: nats per `what`, an image or a row. `note` says
/// what of.
pub fn units(units: &[Unit], what: &str, note: &str) -> String {
    let (height, n) = (150.0, units.len());
    let order = by_kl(units);
    let title = format!("KL of each latent unit, nats per {what}");
    let mut svg = Svg::new(COLUMN, &title);
    svg.text((LEFT, 20.0), Anchor::Start, TITLE, &title);
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
    svg.upright((16.0, TOP + height / 2.0), "KL(q(z|x) ‖ N(0, 1)), nats");
    let note = format!(
        "Active: the variance of the posterior mean over the {what}s is above {ACTIVE}. {note}"
    );
    let end = svg.note(TOP + height + below + 10.0, &note);
    svg.finish(end)
}

/// The posterior means of two latent units as dots, coloured and named by class where there are labels,
/// which begin with those of these images. The note says what of, and `what` these are, images or rows.
///
/// # Panics
/// A unit that is not there, or fewer labels than images.
pub fn scatter(
    posteriors: &Posteriors,
    units: [usize; 2],
    labels: Option<&Labels>,
    (note, what): (&str, &str),
) -> String {
    let n = posteriors.images();
    let mean = |image: usize, unit: usize| posteriors.mean[posteriors.latent * image + units[unit]];
    let classes = classes(labels, n);
    let beside = classes.iter().all(|class| class.name.chars().count() <= 3);
    let side = COLUMN - LEFT - if beside { 50.0 } else { RIGHT };
    let top = 34.0;
    let title = format!("Posterior means of the test {what}");
    let mut svg = Svg::new(COLUMN, &title);
    svg.text((LEFT, 20.0), Anchor::Start, TITLE, &title);
    // One range for both, so that a round cloud is round.
    let all = (0..n).flat_map(|image| [mean(image, 0), mean(image, 1)]);
    let (low, high) = range(all).unwrap_or((-1.0, 1.0));
    let reach = 1.04 * low.abs().max(high.abs()).max(1.0);
    let x = Scale { from: (-reach, reach), to: (LEFT, LEFT + side) };
    let y = Scale { from: (-reach, reach), to: (top + side, top) };
    let axes = Axes { x, y };
    axes.y_ticks(&mut svg, 7.0);
    axes.x_ticks(&mut svg, 7.0, 0.0, true);
    let diameter = if n <= FEW { 4.0 } else { 2.0 };
    // A share of every class in turn, so that none lies on top of all others.
    let shares = n.div_ceil(500);
    for share in 0..shares {
        for class in &classes {
            let images = class.images.iter().skip(share).step_by(shares);
            let points: Vec<_> =
                images.map(|&image| (x.at(mean(image, 0)), y.at(mean(image, 1)))).collect();
            if !points.is_empty() {
                svg.dots(&points, diameter, class.colour);
            }
        }
    }
    axes.frame(&mut svg);
    if labels.is_some() {
        let size = if beside { 14 } else { 10 };
        let middle = |class: &Class, unit: usize| {
            let mut values: Vec<f64> = class.images.iter().map(|&i| mean(i, unit)).collect();
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        let named = &classes[..classes.len().min(MOST_NAMED)];
        let mut places: Vec<_> =
            named.iter().map(|class| (x.at(middle(class, 0)), y.at(middle(class, 1)))).collect();
        let (height, letter) = (f64::from(size) + 2.0, 0.62 * f64::from(size));
        let sizes: Vec<_> = named
            .iter()
            .map(|class| letter * class.name.chars().count() as f64 + 4.0)
            .map(|width| (width.max(height), height))
            .collect();
        spread(&mut places, &sizes, ((LEFT, top), (LEFT + side, top + side)));
        let style = format!(
            "font-size=\"{size}\" font-weight=\"bold\" stroke=\"white\" stroke-width=\"3\" \
             stroke-linejoin=\"round\" paint-order=\"stroke\""
        );
        for (class, (x, y)) in named.iter().zip(places) {
            let baseline = (x, y + 0.35 * f64::from(size));
            svg.text(baseline, Anchor::Middle, &style, &class.name);
        }
    }
    let of_unit = |unit: usize| format!("mean of unit {}", units[unit]);
    svg.text((LEFT + side / 2.0, top + side + 34.0), Anchor::Middle, "", &of_unit(0));
    svg.upright((16.0, top + side / 2.0), &of_unit(1));
    let mut bottom = top + side + 44.0;
    let mut entry = |(left, middle): (f64, f64), class: &Class| {
        svg.dots(&[(left + 4.0, middle)], 8.0, class.colour);
        svg.text((left + 13.0, middle + 4.0), Anchor::Start, "font-size=\"11\"", &class.name);
    };
    let labelled = classes.iter().take(if labels.is_some() { MOST_CLASSES } else { 0 });
    if beside {
        for (i, class) in labelled.enumerate() {
            entry((LEFT + side + 10.0, top + 12.0 + 17.0 * i as f64), class);
        }
    } else {
        let longest = classes.iter().map(|c| c.name.chars().count()).max().unwrap_or(0);
        // The widest usual font has letters of 6.5 pixels at this size.
        let width = 22.0 + 6.5 * longest as f64;
        let columns = ((COLUMN - 2.0 * MARGIN) / width).floor().max(1.0) as usize;
        for (i, class) in labelled.enumerate() {
            let row = bottom + 8.0 + 16.0 * (i / columns) as f64;
            entry((MARGIN + width * (i % columns) as f64, row), class);
        }
        bottom += 16.0 * classes.len().min(MOST_CLASSES).div_ceil(columns) as f64 + 4.0;
    }
    let end = svg.note(bottom, note);
    svg.finish(end)
}

/// Moves boxes of `sizes` (width, height) around their `places` apart where they overlap, a little at a
/// time, and keeps them between two corners.
fn spread(places: &mut [(f64, f64)], sizes: &[(f64, f64)], (low, high): ((f64, f64), (f64, f64))) {
    for _ in 0..300 {
        let mut moved = false;
        for i in 0..places.len() {
            for j in 0..i {
                let (dx, dy) = (places[i].0 - places[j].0, places[i].1 - places[j].1);
                let over_x = 0.5 * (sizes[i].0 + sizes[j].0) - dx.abs();
                let over_y = 0.5 * (sizes[i].1 + sizes[j].1) - dy.abs();
                if over_x <= 0.0 || over_y <= 0.0 {
                    continue;
                }
                moved = true;
                // The shorter way; those in one place go up and down.
                let step =
                    |over: f64, d: f64| (0.3 * over + 0.1) * if d < 0.0 { -1.0 } else { 1.0 };
                let (x, y) = match over_x < over_y {
                    true => (step(over_x, dx), 0.0),
                    false => (0.0, step(over_y, dy)),
                };
                places[i] = (places[i].0 + x, places[i].1 + y);
                places[j] = (places[j].0 - x, places[j].1 - y);
            }
        }
        for (place, size) in places.iter_mut().zip(sizes) {
            place.0 = place.0.clamp(low.0 + 0.5 * size.0, high.0 - 0.5 * size.0);
            place.1 = place.1.clamp(low.1 + 0.5 * size.1, high.1 - 0.5 * size.1);
        }
        if !moved {
            return;
        }
    }
}

/// Images whose dots are large, at most.
const FEW: usize = 500;

/// Classes that the legend names at most.
const MOST_CLASSES: usize = 18;

/// Classes that bear their names where they lie, at most.
const MOST_NAMED: usize = 40;

/// Images that bear one name.
struct Class {
    name: String,
    colour: &'static str,
    images: Vec<usize>,
}

/// The classes of the first `n` images that have any of them; one without labels.
fn classes(labels: Option<&Labels>, n: usize) -> Vec<Class> {
    let Some(labels) = labels else {
        let images = (0..n).collect();
        return vec![Class { name: String::new(), colour: ACTIVE_COLOUR, images }];
    };
    let named = labels.names.iter().enumerate();
    let mut classes: Vec<Class> = named
        .map(|(number, name)| Class {
            name: shortened(name),
            colour: CLASSES[number % CLASSES.len()],
            images: Vec::new(),
        })
        .collect();
    for image in 0..n {
        classes[usize::from(labels.classes[image])].images.push(image);
    }
    classes.retain(|class| !class.images.is_empty());
    classes
}

fn shortened(name: &str) -> String {
    const MOST: usize = 20;
    match name.chars().count() {
        0..=MOST => name.to_string(),
        _ => name.chars().take(MOST - 1).chain(['…']).collect(),
    }
}

/// Tiles along each side of a [`manifold`], of images that are not large.
pub const MANIFOLD: usize = 20;

/// The quantile (i + 1/2) / n of N(0, 1) for each i: n values that the prior finds equally likely.
pub fn quantiles(n: usize) -> Vec<f64> {
    (0..n).map(|i| SQRT_2 * erf_inv((2 * i + 1) as f64 / n as f64 - 1.0)).collect()
}

/// How a [`manifold`] lays out the latent plane.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Plane {
    /// Each unit at quantiles of N(0, 1).
    Quantiles,
    /// Each unit in equal steps, from minus this to this.
    Even(f64),
}

impl Plane {
    /// The values of a unit at so many tiles, ascending.
    fn values(self, tiles: usize) -> Vec<f64> {
        match self {
            Plane::Quantiles => quantiles(tiles),
            Plane::Even(end) => {
                (0..tiles).map(|i| end * ((2 * i + 1) as f64 / tiles as f64 - 1.0)).collect()
            }
        }
    }

    /// The share of a side that is below a value.
    fn share(self, z: f64) -> f64 {
        match self {
            Plane::Quantiles => 0.5 + 0.5 * erf(z / SQRT_2),
            Plane::Even(end) => 0.5 + 0.5 * z / end,
        }
    }

    /// Values that are marked along a side.
    fn ticks(self) -> Vec<f64> {
        match self {
            Plane::Quantiles => (-3..=3).map(|half| f64::from(half) / 2.0).collect(),
            Plane::Even(end) => (-2..=2).map(|quarter| end * 0.5 * f64::from(quarter)).collect(),
        }
    }
}

/// The codes of a [`manifold`] of `tiles` along each side, row by row from the top: unit 0 grows to the right,
/// unit 1 upwards.
pub fn manifold_codes(plane: Plane, tiles: usize) -> Vec<f32> {
    let at = plane.values(tiles);
    let rows = at.iter().rev();
    rows.flat_map(|&up| at.iter().flat_map(move |&right| [right as f32, up as f32])).collect()
}

/// Images of `shape`, decoded from [`manifold_codes`], as a map of the latent plane.
///
/// # Errors
/// As [`embedded`].
pub fn manifold(
    images: &[Vec<f32>],
    shape: ImageShape,
    plane: Plane,
    note: &str,
) -> Result<String, String> {
    let side = COLUMN - LEFT - RIGHT;
    let height = side * shown_ratio(shape);
    let top = 34.0;
    let mut svg = Svg::new(COLUMN, "Latent manifold");
    svg.text((LEFT, 20.0), Anchor::Start, TITLE, "Latent manifold");
    let tiles: Vec<Option<&[f32]>> = images.iter().map(|image| Some(&image[..])).collect();
    let gap = Gap { width: 0, grey: 0, around: false };
    let png = embedded(&tiles, shape, images.len().isqrt(), gap, (side, height))?;
    svg.png((LEFT, top), (side, height), &png);
    svg.rect((LEFT, top), (side, height), FRAME);
    for z in plane.ticks() {
        let share = plane.share(z);
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
