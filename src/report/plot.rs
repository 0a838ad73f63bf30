//! Line charts with error bars as SVG text.

use super::svg::{Anchor, Axes, Scale, Svg, colour, range};

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

/// Sizes in pixels.
const PANEL: (f64, f64) = (380.0, 300.0);
const LEFT: f64 = 74.0;
const GAP: f64 = 66.0;
const RIGHT: f64 = 190.0;
const TOP: f64 = 62.0;
const BOTTOM: f64 = 56.0;

impl Dash {
    fn style(self, stroke: &str) -> String {
        let pattern = match self {
            Dash::Solid => "none",
            Dash::Dashed => "7 4",
            Dash::Dotted => "1.5 4",
        };
        format!(
            "{stroke} stroke-width=\"1.8\" stroke-dasharray=\"{pattern}\" stroke-linecap=\"round\""
        )
    }
}

impl Chart {
    /// # Panics
    /// A panel without points.
    pub fn svg(&self) -> String {
        let n = self.panels.len() as f64;
        let width = LEFT + n * PANEL.0 + (n - 1.0) * GAP + RIGHT;
        let mut svg = Svg::new(width, &self.title);
        svg.text((LEFT, 22.0), Anchor::Start, "font-size=\"14\" font-weight=\"bold\"", &self.title);
        for (i, panel) in self.panels.iter().enumerate() {
            self.panel(&mut svg, panel, LEFT + i as f64 * (PANEL.0 + GAP));
        }
        svg.upright((18.0, TOP + PANEL.1 / 2.0), &self.y_label);
        self.legend(&mut svg, width - RIGHT + 22.0);
        svg.finish(TOP + PANEL.1 + BOTTOM)
    }

    fn panel(&self, svg: &mut Svg, panel: &Panel, left: f64) {
        let points = || panel.lines.iter().flat_map(|l| &l.points);
        let x_range = range(points().map(|p| p.0.log10()));
        let y_range = range(points().flat_map(|p| [p.1 - p.2, p.1 + p.2]));
        let (Some((x_low, x_high)), Some((low, high))) = (x_range, y_range) else {
            panic!("a panel without points");
        };
        let margin = 0.06 * (high - low).max(1e-3);
        let x_margin = 0.04 * (x_high - x_low).max(1e-3);
        let x = Scale { from: (x_low - x_margin, x_high + x_margin), to: (left, left + PANEL.0) };
        let y = Scale { from: (low - margin, high + margin), to: (TOP + PANEL.1, TOP) };
        let axes = Axes { x, y };

        svg.text((left, TOP - 10.0), Anchor::Start, "", &panel.title);
        axes.y_ticks(svg, 6.0);
        axes.log_x_ticks(svg);
        axes.frame(svg);
        let middle = (left + PANEL.0 / 2.0, TOP + PANEL.1 + 42.0);
        svg.text(middle, Anchor::Middle, "", &self.x_label);
        for l in &panel.lines {
            let stroke = format!("stroke=\"{}\"", colour(l.colour));
            let path: Vec<_> = l.points.iter().map(|p| (x.at(p.0.log10()), y.at(p.1))).collect();
            svg.polyline(&path, &l.dash.style(&stroke));
            for &(v, mean, error) in &l.points {
                let (at, above, below) = (x.at(v.log10()), y.at(mean + error), y.at(mean - error));
                svg.line((at, above), (at, below), &stroke);
                for end in [above, below] {
                    svg.line((at - 2.5, end), (at + 2.5, end), &stroke);
                }
            }
        }
    }

    fn legend(&self, svg: &mut Svg, left: f64) {
        let dashes = self.dashes.iter().map(|(dash, label)| ("#333333", *dash, label));
        let colours = self.colours.iter().enumerate();
        let colours = colours.map(|(i, label)| (colour(i), Dash::Solid, label));
        for (i, (stroke, dash, label)) in dashes.chain(colours).enumerate() {
            let at = TOP + 10.0 + 20.0 * i as f64;
            let style = dash.style(&format!("stroke=\"{stroke}\""));
            svg.line((left, at), (left + 30.0, at), &style);
            svg.text((left + 38.0, at + 4.0), Anchor::Start, "", label);
        }
    }
}
