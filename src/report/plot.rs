//! Line charts with error bars as SVG text.

use std::fmt::Write;

/// How a line is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dash {
    Solid,
    Dashed,
    Dotted,
}

/// A line of a chart, points from left to right.
#[derive(Debug, Clone)]
pub struct Line {
    /// Index into the chart's colours.
    pub colour: usize,
    pub dash: Dash,
    /// (x, y, half the height of the error bar)
    pub points: Vec<(f64, f64, f64)>,
}

/// Lines over a logarithmic x axis.
#[derive(Debug, Clone)]
pub struct Panel {
    pub title: String,
    pub lines: Vec<Line>,
}

/// Panels side by side under one legend.
#[derive(Debug, Clone)]
pub struct Chart {
    pub title: String,
    pub x_label: String,
    pub y_label: String,
    pub panels: Vec<Panel>,
    /// What the colours mean.
    pub colours: Vec<String>,
    /// What the dashes mean.
    pub dashes: Vec<(Dash, String)>,
}

/// Colours that stay apart in print and for the colour-blind (Okabe and Ito), then greys.
const COLOURS: [&str; 8] =
    ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#555555", "#000000"];

/// Sizes in pixels.
const PANEL: (f64, f64) = (380.0, 300.0);
const LEFT: f64 = 74.0;
const GAP: f64 = 66.0;
const RIGHT: f64 = 190.0;
const TOP: f64 = 62.0;
const BOTTOM: f64 = 56.0;

/// A linear scale from values to pixels.
struct Scale {
    from: (f64, f64),
    to: (f64, f64),
}

impl Scale {
    fn at(&self, v: f64) -> f64 {
        let share = (v - self.from.0) / (self.from.1 - self.from.0);
        self.to.0 + share * (self.to.1 - self.to.0)
    }
}

/// Round numbers that divide low..high into about `n` parts, and the decimals to write them with.
fn ticks(low: f64, high: f64, n: f64) -> (Vec<f64>, usize) {
    let raw = (high - low) / n;
    let power = 10.0_f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|m| m * power).into_iter().find(|s| *s >= raw);
    let step = step.unwrap_or(raw);
    let decimals = (-step.log10().floor()).max(0.0) as usize;
    let (first, last) = ((low / step).ceil() as i64, (high / step).floor() as i64);
    ((first..=last).map(|i| i as f64 * step).collect(), decimals)
}

impl Dash {
    fn pattern(self) -> &'static str {
        match self {
            Dash::Solid => "none",
            Dash::Dashed => "7 4",
            Dash::Dotted => "1.5 4",
        }
    }
}

impl Chart {
    /// # Panics
    /// A panel without points.
    pub fn svg(&self) -> String {
        let n = self.panels.len() as f64;
        let width = LEFT + n * PANEL.0 + (n - 1.0) * GAP + RIGHT;
        let height = TOP + PANEL.1 + BOTTOM;
        let mut s = String::new();
        // Writing to a string cannot fail.
        let _ = writeln!(
            s,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" font-family=\"Helvetica, Arial, sans-serif\" \
             font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>"
        );
        text(&mut s, LEFT, 22.0, "start", "font-size=\"14\" font-weight=\"bold\"", &self.title);
        for (i, panel) in self.panels.iter().enumerate() {
            self.panel(&mut s, panel, LEFT + i as f64 * (PANEL.0 + GAP));
        }
        let turn = format!("transform=\"rotate(-90 18 {})\"", TOP + PANEL.1 / 2.0);
        text(&mut s, 18.0, TOP + PANEL.1 / 2.0, "middle", &turn, &self.y_label);
        self.legend(&mut s, width - RIGHT + 22.0);
        s.push_str("</svg>\n");
        s
    }

    fn panel(&self, s: &mut String, panel: &Panel, left: f64) {
        let points = || panel.lines.iter().flat_map(|l| &l.points);
        let range = |values: &mut dyn Iterator<Item = f64>| {
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)))
        };
        let (x_low, x_high) = range(&mut points().map(|p| p.0.log10()));
        let (low, high) = range(&mut points().flat_map(|p| [p.1 - p.2, p.1 + p.2]));
        assert!(low.is_finite() && high.is_finite(), "a panel without points");
        let margin = 0.06 * (high - low).max(1e-3);
        let x_margin = 0.04 * (x_high - x_low).max(1e-3);
        let x = Scale { from: (x_low - x_margin, x_high + x_margin), to: (left, left + PANEL.0) };
        let y = Scale { from: (low - margin, high + margin), to: (TOP + PANEL.1, TOP) };

        let bottom = TOP + PANEL.1;
        text(s, left, TOP - 10.0, "start", "", &panel.title);
        let (y_ticks, decimals) = ticks(y.from.0, y.from.1, 6.0);
        for v in y_ticks {
            let at = y.at(v);
            line(s, (left, at), (left + PANEL.0, at), "stroke=\"#e4e4e4\"");
            text(s, left - 7.0, at + 4.0, "end", "", &format!("{v:.decimals$}").replace('-', "−"));
        }
        for power in x.from.0.floor() as i32..=x.from.1.ceil() as i32 {
            for digit in 1..10 {
                let v = f64::from(digit) * 10.0_f64.powi(power);
                if !(x.from.0..=x.from.1).contains(&v.log10()) {
                    continue;
                }
                let (at, major) = (x.at(v.log10()), digit == 1);
                if major {
                    line(s, (at, TOP), (at, bottom), "stroke=\"#e4e4e4\"");
                    text(s, at, bottom + 20.0, "middle", "", &format!("{v}"));
                }
                let length = if major { 6.0 } else { 3.0 };
                line(s, (at, bottom), (at, bottom + length), "stroke=\"#333333\"");
            }
        }
        let _ = writeln!(
            s,
            "<rect x=\"{left}\" y=\"{TOP}\" width=\"{}\" height=\"{}\" fill=\"none\" stroke=\"#333333\"/>",
            PANEL.0, PANEL.1
        );
        text(s, left + PANEL.0 / 2.0, bottom + 42.0, "middle", "", &self.x_label);
        for l in &panel.lines {
            let stroke = format!("stroke=\"{}\"", colour(l.colour));
            let path: Vec<String> = l
                .points
                .iter()
                .map(|p| format!("{:.2},{:.2}", x.at(p.0.log10()), y.at(p.1)))
                .collect();
            let _ = writeln!(
                s,
                "<polyline points=\"{}\" fill=\"none\" {stroke} stroke-width=\"1.8\" \
                 stroke-dasharray=\"{}\" stroke-linecap=\"round\"/>",
                path.join(" "),
                l.dash.pattern()
            );
            for &(v, mean, error) in &l.points {
                let (at, above, below) = (x.at(v.log10()), y.at(mean + error), y.at(mean - error));
                line(s, (at, above), (at, below), &stroke);
                for end in [above, below] {
                    line(s, (at - 2.5, end), (at + 2.5, end), &stroke);
                }
            }
        }
    }

    fn legend(&self, s: &mut String, left: f64) {
        let mut at = TOP + 10.0;
        let mut entry = |s: &mut String, stroke: &str, dash: Dash, label: &str| {
            let style = format!(
                "stroke=\"{stroke}\" stroke-width=\"1.8\" stroke-dasharray=\"{}\" stroke-linecap=\"round\"",
                dash.pattern()
            );
            line(s, (left, at), (left + 30.0, at), &style);
            text(s, left + 38.0, at + 4.0, "start", "", label);
            at += 20.0;
        };
        for (dash, label) in &self.dashes {
            entry(s, "#333333", *dash, label);
        }
        for (i, label) in self.colours.iter().enumerate() {
            entry(s, colour(i), Dash::Solid, label);
        }
    }
}

fn colour(i: usize) -> &'static str {
    COLOURS[i % COLOURS.len()]
}

fn line(s: &mut String, from: (f64, f64), to: (f64, f64), style: &str) {
    let _ = writeln!(
        s,
        "<line x1=\"{:.2}\" y1=\"{:.2}\" x2=\"{:.2}\" y2=\"{:.2}\" {style}/>",
        from.0, from.1, to.0, to.1
    );
}

fn text(s: &mut String, x: f64, y: f64, anchor: &str, style: &str, content: &str) {
    let content = content.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let _ = writeln!(
        s,
        "<text x=\"{x:.2}\" y=\"{y:.2}\" text-anchor=\"{anchor}\" fill=\"#222222\" {style}>{content}</text>"
    );
}
