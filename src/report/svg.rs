//! SVG text: what every chart is made of.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Width in pixels of a picture for one column of a paper: its words of 12 pixels are 7 points high in a
/// column of 3.3 inches.
pub const COLUMN: f64 = 400.0;

/// Colours that stay apart in print and for the colour-blind (Okabe and Ito), then greys.
const COLOURS: [&str; 8] =
    ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#555555", "#000000"];

/// Left and right of what spans the picture.
pub const MARGIN: f64 = 10.0;

pub const TITLE: &str = "font-size=\"13\" font-weight=\"bold\"";
/// Of words that say how a picture came about.
const NOTE: &str = "font-size=\"10\"";
pub const FRAME: &str = "fill=\"none\" stroke=\"#333333\"";
const GRID: &str = "stroke=\"#e4e4e4\"";
pub const TICK: &str = "stroke=\"#333333\"";

/// One of the colours of lines, again from the first after the last.
pub fn colour(i: usize) -> &'static str {
    COLOURS[i % COLOURS.len()]
}

/// Where text is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anchor {
    Start,
    Middle,
    End,
}

/// A picture that is being drawn, on white: it is read in the dark too. Places and sizes are pixels from
/// the upper left.
pub struct Svg {
    body: String,
    width: f64,
    title: String,
}

impl Svg {
    pub fn new(width: f64, title: &str) -> Self {
        Svg { body: String::new(), width, title: escaped(title) }
    }

    pub fn text(&mut self, (x, y): (f64, f64), anchor: Anchor, style: &str, content: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        self.add(format_args!(
            "<text x=\"{x:.2}\" y=\"{y:.2}\" text-anchor=\"{anchor}\" {style}>{}</text>",
            escaped(content)
        ));
    }

    /// Text that reads upwards, around its middle.
    pub fn upright(&mut self, (x, y): (f64, f64), content: &str) {
        let turn = format!("transform=\"rotate(-90 {x} {y})\"");
        self.text((x, y), Anchor::Middle, &turn, content);
    }

    pub fn line(&mut self, from: (f64, f64), to: (f64, f64), style: &str) {
        self.add(format_args!(
            "<line x1=\"{:.2}\" y1=\"{:.2}\" x2=\"{:.2}\" y2=\"{:.2}\" {style}/>",
            from.0, from.1, to.0, to.1
        ));
    }

    pub fn polyline(&mut self, points: &[(f64, f64)], style: &str) {
        let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.2},{y:.2}")).collect();
        self.add(format_args!("<polyline points=\"{}\" fill=\"none\" {style}/>", points.join(" ")));
    }

    pub fn rect(&mut self, (x, y): (f64, f64), (width, height): (f64, f64), style: &str) {
        self.add(format_args!(
            "<rect x=\"{x:.2}\" y=\"{y:.2}\" width=\"{width:.2}\" height=\"{height:.2}\" {style}/>"
        ));
    }

    /// A dot of `diameter` pixels at each point, all in one path: thousands of them stay quick to draw.
    pub fn dots(&mut self, points: &[(f64, f64)], diameter: f64, colour: &str) {
        let mut path = String::with_capacity(16 * points.len());
        for (x, y) in points {
            // Writing to a string cannot fail.
            let _ = write!(path, "M{x:.1} {y:.1}h.01");
        }
        self.add(format_args!(
            "<path d=\"{path}\" stroke=\"{colour}\" stroke-width=\"{diameter}\" stroke-linecap=\"round\"/>"
        ));
    }

    /// A PNG, stretched over a rectangle.
    pub fn png(&mut self, (x, y): (f64, f64), (width, height): (f64, f64), bytes: &[u8]) {
        // The older name of href is the one that every reader knows.
        self.add(format_args!(
            "<image x=\"{x:.2}\" y=\"{y:.2}\" width=\"{width:.2}\" height=\"{height:.2}\" \
             preserveAspectRatio=\"none\" xlink:href=\"data:image/png;base64,{}\"/>",
            STANDARD.encode(bytes)
        ));
    }

    /// What `draw` draws, cut off at the edges of a rectangle.
    pub fn within(
        &mut self,
        (x, y): (f64, f64),
        (width, height): (f64, f64),
        draw: impl FnOnce(&mut Self),
    ) {
        self.add(format_args!(
            "<svg x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"{x} {y} {width} {height}\">"
        ));
        draw(self);
        self.add(format_args!("</svg>"));
    }

    /// Small print from `top` on, in as many lines as it takes. Returns where it ends.
    pub fn note(&mut self, top: f64, content: &str) -> f64 {
        const LINE: f64 = 13.0;
        let mut baseline = top + 10.0;
        // The widest usual font has letters of 5.5 pixels at this size.
        for line in wrapped(content, ((self.width - 2.0 * MARGIN) / 5.5) as usize) {
            self.text((MARGIN, baseline), Anchor::Start, NOTE, &line);
            baseline += LINE;
        }
        baseline - LINE + 8.0
    }

    /// The whole picture, `height` pixels high.
    pub fn finish(self, height: f64) -> String {
        let Svg { body, width, title } = self;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" xmlns:xlink=\"http://www.w3.org/1999/xlink\" \
             width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
             font-family=\"Helvetica, Arial, sans-serif\" font-size=\"12\" fill=\"#222222\">\n<title>{title}</title>\n\
             <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{body}</svg>\n"
        )
    }

    fn add(&mut self, element: std::fmt::Arguments) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.body, "{element}");
    }
}

fn escaped(content: &str) -> String {
    // XML has no place for other control characters, not even escaped.
    let content: String = content.chars().filter(|c| !c.is_control()).collect();
    content.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Lines of at most `width` letters, cut between words; a longer word has a line of its own.
fn wrapped(content: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in content.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_string()),
        }
    }
    lines
}

/// A linear scale from values to pixels.
#[derive(Debug, Clone, Copy)]
pub struct Scale {
    pub from: (f64, f64),
    pub to: (f64, f64),
}

impl Scale {
    pub fn at(&self, v: f64) -> f64 {
        let share = (v - self.from.0) / (self.from.1 - self.from.0);
        self.to.0 + share * (self.to.1 - self.to.0)
    }
}

/// The least and the greatest of finite values.
pub fn range(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.filter(|v| v.is_finite()).fold(None, |range, v| match range {
        None => Some((v, v)),
        Some((low, high)) => Some((low.min(v), high.max(v))),
    })
}

/// Round numbers that divide low..high into about `n` parts of at least `least`, and the decimals to
/// write them with.
pub fn ticks((low, high): (f64, f64), n: f64, least: f64) -> (Vec<f64>, usize) {
    let raw = ((high - low) / n).max(least);
    let power = 10.0_f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|m| m * power).into_iter().find(|s| *s >= raw);
    let step = step.unwrap_or(raw);
    let decimals = (-step.log10().floor()).max(0.0) as usize;
    let (first, last) = ((low / step).ceil() as i64, (high / step).floor() as i64);
    ((first..=last).map(|i| i as f64 * step).collect(), decimals)
}

/// A number with a minus as wide as a plus; one that would not fit beside a frame in scientific form.
pub fn number(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    let text = match decimals {
        0 if text.len() > 7 => format!("{value:e}"), // round, and to be told from its neighbours
        1.. if text.len() > 9 => format!("{value:.2e}"),
        _ => text,
    };
    text.replace('-', "−")
}

/// A frame between two scales; y grows upwards.
#[derive(Debug, Clone, Copy)]
pub struct Axes {
    pub x: Scale,
    pub y: Scale,
}

impl Axes {
    /// Lines across the frame and numbers left of it.
    pub fn y_ticks(&self, svg: &mut Svg, n: f64) {
        let (left, right) = self.x.to;
        let (values, decimals) = ticks(self.y.from, n, 0.0);
        for v in values {
            let at = self.y.at(v);
            svg.line((left, at), (right, at), GRID);
            svg.text((left - 7.0, at + 4.0), Anchor::End, "", &number(v, decimals));
        }
    }

    /// Lines up the frame and, where `labelled`, numbers below it.
    pub fn x_ticks(&self, svg: &mut Svg, n: f64, least: f64, labelled: bool) {
        let (bottom, top) = self.y.to;
        let (values, decimals) = ticks(self.x.from, n, least);
        for v in values {
            let at = self.x.at(v);
            svg.line((at, top), (at, bottom), GRID);
            if labelled {
                svg.text((at, bottom + 17.0), Anchor::Middle, "", &number(v, decimals));
            }
        }
    }

    /// The same where x is a logarithm to base 10.
    pub fn log_x_ticks(&self, svg: &mut Svg) {
        let (bottom, top) = self.y.to;
        for power in self.x.from.0.floor() as i32..=self.x.from.1.ceil() as i32 {
            for digit in 1..10 {
                let v = f64::from(digit) * 10.0_f64.powi(power);
                if !(self.x.from.0..=self.x.from.1).contains(&v.log10()) {
                    continue;
                }
                let (at, major) = (self.x.at(v.log10()), digit == 1);
                if major {
                    svg.line((at, top), (at, bottom), GRID);
                    svg.text((at, bottom + 20.0), Anchor::Middle, "", &format!("{v}"));
                }
                let length = if major { 6.0 } else { 3.0 };
                svg.line((at, bottom), (at, bottom + length), TICK);
            }
        }
    }

    pub fn frame(&self, svg: &mut Svg) {
        let ((left, right), (bottom, top)) = (self.x.to, self.y.to);
        svg.rect((left, top), (right - left, bottom - top), FRAME);
    }
}
