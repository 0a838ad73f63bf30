//! The signal-to-noise ratios of gradients, as text and as a chart.

use std::fmt::Write;

use super::plot::{Chart, Dash, Line, Panel};
use crate::bounds::signal::{Signal, Signals, slope};

/// What is looked at: how it is called, and where it is.
type Part = (&'static str, fn(&Signals) -> &[Signal], fn(&Signal) -> f64);
const PARTS: [Part; 3] = [
    ("decoder", |s| &s.reparameterized, |s| s.decoder),
    ("encoder", |s| &s.reparameterized, |s| s.encoder),
    ("encoder, doubly reparameterized", |s| &s.doubly_reparameterized, |s| s.encoder),
];

/// The ratios that are above the noise of their estimate.
fn points(signals: &Signals, (_, of, part): Part) -> Vec<(usize, f64)> {
    let points = of(signals).iter().map(|signal| (signal.samples, part(signal)));
    points.filter(|(_, v)| *v > 0.0).collect()
}

/// A line for each part: its ratios, and the exponent of K that they follow.
pub fn lines(signals: &Signals) -> String {
    let ks: Vec<String> = signals.reparameterized.iter().map(|s| s.samples.to_string()).collect();
    let mut t =
        format!("signal-to-noise ratio of the gradients of iwae's bound, K = {}\n", ks.join(", "));
    for part in PARTS {
        let (name, of, value) = part;
        let each: Vec<String> =
            of(signals).iter().map(|signal| format!("{:.2}", value(signal))).collect();
        let points = points(signals, part);
        // Writing to a string cannot fail.
        let _ = match points.len() {
            0 | 1 => writeln!(t, "  {name:<32} {}", each.join(", ")),
            _ => writeln!(
                t,
                "  {name:<32} {}, as K^{:.2}",
                each.join(", "),
                slope(points.into_iter())
            ),
        };
    }
    t
}

/// The ratios over K, both as logarithms, an SVG. None where none is above its noise.
pub fn chart(signals: &Signals, run: &str, images: usize) -> Option<String> {
    let of_part = |(i, part): (usize, Part)| Line {
        colour: i,
        dash: Dash::Solid,
        points: points(signals, part)
            .into_iter()
            .map(|(k, v)| (k as f64, v.log10(), 0.0))
            .collect(),
    };
    let lines = PARTS.into_iter().enumerate().map(of_part);
    let lines: Vec<Line> = lines.filter(|line| !line.points.is_empty()).collect();
    let chart = Chart {
        title: format!("{run}: signal and noise of the gradients of iwae's bound"),
        x_label: "draws of z an image, K".to_string(),
        y_label: "log₁₀ of the signal-to-noise ratio".to_string(),
        panels: vec![Panel {
            title: format!(
                "the mean gradient of {images} test images; DReG: doubly reparameterized"
            ),
            lines,
        }],
        // As it fits beside the frame.
        colours: PARTS
            .iter()
            .map(|(name, ..)| name.replace("doubly reparameterized", "DReG"))
            .collect(),
        dashes: Vec::new(),
    };
    (!chart.panels[0].lines.is_empty()).then(|| chart.svg())
}
