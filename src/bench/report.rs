//! What was measured, for programs and for people.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;

use super::{BoundsRow, Ceilings, Checked, FusionRow, KernelRow, Request, StepRow, Timing, bounds};
use crate::device::{Description, Precision};
use crate::versions::{commit, versions};

/// Everything that a run of the benchmark has measured; what `--json` prints. Times are in seconds.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    pub device: Description,
    pub commit: String,
    pub versions: BTreeMap<&'static str, &'static str>,
    /// When it began, with the offset from UTC.
    pub date: String,
    /// What the host can run at once.
    pub host_threads: usize,
    /// Of products of matrices.
    pub precision: Precision,
    /// Seconds asked for, of a step's measurement.
    pub seconds: f64,
    /// Seconds that opening the device took.
    pub open: f64,
    /// Seconds that loading the images took.
    pub data: f64,
    /// Seconds that all of it took.
    pub measured_for: f64,
    pub ceilings: Option<Ceilings>,
    pub kernels: Vec<KernelRow>,
    pub steps: Vec<StepRow>,
    pub fusions: Vec<FusionRow>,
    pub bounds: Vec<BoundsRow>,
}

/// This moment, in UTC. A clock beyond the years that can be written shows 1970.
fn now() -> String {
    let now = jiff::Timestamp::try_from(std::time::SystemTime::now()).unwrap_or_default();
    now.to_zoned(jiff::tz::TimeZone::UTC).strftime("%Y-%m-%d %H:%M:%S%:z").to_string()
}

impl Report {
    pub(super) fn new(device: Description, request: &Request) -> Self {
        Report {
            device,
            commit: commit(),
            versions: versions(),
            date: now(),
            host_threads: std::thread::available_parallelism().map_or(1, usize::from),
            precision: request.precision,
            seconds: request.seconds,
            open: 0.0,
            data: 0.0,
            measured_for: 0.0,
            ceilings: None,
            kernels: Vec::new(),
            steps: Vec::new(),
            fusions: Vec::new(),
            bounds: Vec::new(),
        }
    }

    /// What was wrong, a line each.
    pub fn wrong(&self) -> Vec<String> {
        let mut all = Vec::new();
        let mut add = |what: String, wrong: Option<&str>| {
            all.extend(wrong.map(|wrong| format!("{what}: {wrong}")));
        };
        if let Some(c) = &self.ceilings {
            add("no-op dispatch".to_string(), c.round_trip.wrong());
            add("independent dispatches".to_string(), c.independent.wrong());
            add("dependent dispatches".to_string(), c.dependent.wrong());
            add("copy".to_string(), c.copy.wrong());
            for m in &c.matmul {
                add(format!("matmul {0} x {0}", m.size), m.time.wrong());
            }
        }
        for k in &self.kernels {
            add(format!("{}, batch {}: {}", k.network, k.batch, k.kernel), k.time.wrong());
        }
        for s in &self.steps {
            add(format!("{}, batch {}: step", s.network, s.batch), s.figures.wrong());
        }
        for b in &self.bounds {
            for k in &b.kernels {
                add(format!("{}, {}: {}", b.network, b.work, k.kernel), k.time.wrong());
            }
        }
        all
    }
}

/// The report as aligned text.
pub fn table(report: &Report) -> String {
    let mut t = String::new();
    head(&mut t, report);
    if let Some(ceilings) = &report.ceilings {
        ceilings_table(&mut t, ceilings);
    }
    if !report.steps.is_empty() {
        steps_table(&mut t, report);
        memory_table(&mut t, report);
    }
    if !report.bounds.is_empty() {
        bounds::table(&mut t, report);
    }
    if !report.kernels.is_empty() {
        kernels_table(&mut t, report);
    }
    if !report.fusions.is_empty() {
        fusions_table(&mut t, report);
    }
    for wrong in report.wrong() {
        line(&mut t, format_args!("WRONG: {wrong}"));
    }
    t
}

pub(super) fn line(t: &mut String, text: std::fmt::Arguments) {
    let _ = writeln!(t, "{}", text.to_string().trim_end()); // a String takes all
}

fn head(t: &mut String, report: &Report) {
    let d = &report.device;
    let driver = match d.kind.as_str() {
        "cpu" => d.driver.clone(),
        _ => format!("{}, {}, driver {}", d.kind, d.backend, d.driver),
    };
    let precision = match (report.precision, d.kind.as_str()) {
        (Precision::F32, _) => "",
        (Precision::Mixed, "cpu") => "; mixed precision, imitated",
        (Precision::Mixed, _) => "; mixed precision",
    };
    line(t, format_args!("{} ({driver}){precision}", d.name));
    let versions: Vec<String> =
        report.versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
    line(t, format_args!("{}, commit {}, {}", versions.join(", "), report.commit, report.date));
    line(
        t,
        format_args!(
            "times: median (10th to 90th percentile, n samples), after a warm-up; opened in {}",
            time(report.open)
        ),
    );
}

fn ceilings_table(t: &mut String, c: &Ceilings) {
    line(t, format_args!(""));
    line(t, format_args!("ceilings"));
    let mut row = |what: &str, timing: &Checked<Timing>, rate: Option<String>| {
        let text = match timing {
            Checked::Wrong { wrong } => format!("WRONG: {wrong}"),
            Checked::Right(timing) => format!(
                "{:>9}  {:<34} {}",
                time(timing.median),
                format!("{}, {}", spread(timing), clock(timing)),
                rate.unwrap_or_default()
            ),
        };
        line(t, format_args!("  {what:<36} {text}"));
    };
    row("empty dispatch, submit and wait", &c.round_trip, None);
    row("dispatch to dispatch, independent", &c.independent, None);
    row("dispatch to dispatch, dependent: gap", &c.dependent, None);
    let copied = format!("copy, {} and back", mebibytes(c.copied_bytes / 2));
    row(&copied, &c.copy, c.bandwidth().map(|b| format!("{:>8.1} GB/s", b / 1e9)));
    for m in &c.matmul {
        let rate = m.time.right().map(|timing| m.flops as f64 / timing.median / 1e9);
        let rate = rate.map(|rate| format!("{rate:>8.1} GFLOP/s"));
        row(&format!("matmul, {0} x {0} x {0}", m.size), &m.time, rate);
    }
    if let Some(stopped) = &c.stopped {
        line(t, format_args!("  {stopped}"));
    }
}

fn steps_table(t: &mut String, report: &Report) {
    let ceilings = report.ceilings.as_ref();
    line(t, format_args!(""));
    line(t, format_args!("training steps; GFLOP/s with its share of the best matmul; launch:"));
    line(
        t,
        format_args!("dispatches x gap / time of a step; first: from an opened device to one step"),
    );
    line(
        t,
        format_args!(
            "  {:<15} {:>5} {:>9} {:>9} {:>20} {:>9} {:>5} {:>14} {:>6} {:>8}",
            "network",
            "batch",
            "images/s",
            "step",
            "p10 - p90, n",
            "on device",
            "disp.",
            "GFLOP/s",
            "launch",
            "first"
        ),
    );
    for s in &report.steps {
        let at = format!("  {:<15} {:>5}", network(&s.network, s.samples), s.batch);
        let f = match &s.figures {
            Checked::Right(figures) => figures,
            Checked::Wrong { wrong } => {
                line(t, format_args!("{at} WRONG: {wrong}"));
                continue;
            }
        };
        let rate = s.flops as f64 / f.time.median;
        let launch =
            ceilings.and_then(Ceilings::gap).map(|gap| s.dispatches as f64 * gap / f.time.median);
        line(
            t,
            format_args!(
                "{at} {:>9.0} {:>9} {:>20} {:>9} {:>5} {:>14} {:>6} {:>8}",
                f.images_per_second,
                time(f.time.median),
                spread(&f.time),
                f.device_time.map_or("-".to_string(), |timing| time(timing.median)),
                s.dispatches,
                with_share(rate / 1e9, ceilings.and_then(Ceilings::flops).map(|c| rate / c)),
                launch.map_or("-".to_string(), percent),
                time(s.first_step),
            ),
        );
    }
}

fn memory_table(t: &mut String, report: &Report) {
    line(t, format_args!(""));
    line(t, format_args!("bytes on the device that a step uses"));
    line(
        t,
        format_args!(
            "  {:<15} {:>5} {:>10} {:>22} {:>10}   {}",
            "network", "batch", "data", "parameters, moments", "the rest", "of which a row / fixed"
        ),
    );
    for s in &report.steps {
        let m = s.memory;
        line(
            t,
            format_args!(
                "  {:<15} {:>5} {:>10} {:>22} {:>10}   {} / {}",
                network(&s.network, s.samples),
                s.batch,
                bytes(m.data),
                bytes(m.parameters),
                bytes(m.rest),
                bytes(m.rest_per_image),
                bytes(m.rest_fixed)
            ),
        );
    }
}

fn kernels_table(t: &mut String, report: &Report) {
    let ceilings = report.ceilings.as_ref();
    line(t, format_args!(""));
    line(
        t,
        format_args!(
            "kernels: x, how often a step has it; GFLOP/s with its share of the best matmul, GB/s with"
        ),
    );
    line(t, format_args!("that of the copy, of which a cache gives more"));
    let mut last = None;
    for k in &report.kernels {
        if last != Some((&k.network, k.batch)) {
            last = Some((&k.network, k.batch));
            line(t, format_args!(""));
            line(
                t,
                format_args!(
                    "kernels of a step, {}, batch {}",
                    network(&k.network, k.samples),
                    k.batch
                ),
            );
            line(
                t,
                format_args!(
                    "  {:<26} {:<24} {:>2} {:>9} {:>20} {:>14} {:>14}",
                    "kernel", "shape", "x", "time", "p10 - p90, n", "GFLOP/s", "GB/s"
                ),
            );
        }
        let shape: Vec<String> =
            k.shape.iter().map(|(name, size)| format!("{name}={size}")).collect();
        let at = format!("  {:<26} {:<24} {:>2}", k.kernel, shape.join(" "), k.times);
        match &k.time {
            Checked::Wrong { wrong } => line(t, format_args!("{at} WRONG: {wrong}")),
            Checked::Right(timing) => {
                let rate = |work: u64| work as f64 / timing.median;
                let (flops, bytes) = (rate(k.flops), rate(k.bytes));
                line(
                    t,
                    format_args!(
                        "{at} {:>9} {:>20} {:>14} {:>14}",
                        time(timing.median),
                        spread(timing),
                        with_share(
                            flops / 1e9,
                            ceilings.and_then(Ceilings::flops).map(|c| flops / c)
                        ),
                        with_share(
                            bytes / 1e9,
                            ceilings.and_then(Ceilings::bandwidth).map(|c| bytes / c)
                        ),
                    ),
                );
            }
        }
    }
}

fn fusions_table(t: &mut String, report: &Report) {
    line(t, format_args!(""));
    line(
        t,
        format_args!(
            "fusions: the time of a step without it over that of one with it, in turn; above 1 it gains"
        ),
    );
    line(
        t,
        format_args!(
            "  {:<15} {:>5}  {:<26} {:>2} {:>6} {:>13} {:>11}",
            "network", "batch", "fusion", "x", "ratio", "p10 - p90", "dispatches"
        ),
    );
    for f in &report.fusions {
        let FusionRow { batch, fusion, times, ratio, p10, p90, .. } = f;
        let [with, without] = f.dispatches;
        line(
            t,
            format_args!(
                "  {:<15} {batch:>5}  {fusion:<26} {times:>2} {ratio:>6.3} {:>13} {:>11}",
                network(&f.network, f.samples),
                format!("{p10:.3} - {p90:.3}"),
                format!("{with}, {without}"),
            ),
        );
    }
}

fn network(widths: &str, samples: usize) -> String {
    match samples {
        1 => widths.to_string(),
        k => format!("{widths} K={k}"),
    }
}

pub(super) fn with_share(rate: f64, share: Option<f64>) -> String {
    match share {
        Some(share) => format!("{rate:.1} {:>5}", percent(share)),
        None => format!("{rate:.1}"),
    }
}

fn percent(share: f64) -> String {
    format!("{:.0} %", 100.0 * share)
}

/// "1.23 ms": three digits and a unit.
pub(super) fn time(seconds: f64) -> String {
    let (value, unit) = match seconds {
        s if s >= 1.0 => (s, "s"),
        s if s >= 1e-3 => (s * 1e3, "ms"),
        s if s >= 1e-6 => (s * 1e6, "µs"),
        s => (s * 1e9, "ns"),
    };
    format!("{} {unit}", digits(value))
}

fn digits(value: f64) -> String {
    match value {
        v if v >= 100.0 => format!("{v:.0}"),
        v if v >= 10.0 => format!("{v:.1}"),
        v => format!("{v:.2}"),
    }
}

/// "1.20 - 1.31, 40": the percentiles in the unit of the median, and the number of samples.
pub(super) fn spread(timing: &Timing) -> String {
    let scale = match timing.median {
        s if s >= 1.0 => 1.0,
        s if s >= 1e-3 => 1e3,
        s if s >= 1e-6 => 1e6,
        _ => 1e9,
    };
    format!("{} - {}, {}", digits(timing.p10 * scale), digits(timing.p90 * scale), timing.n)
}

fn clock(timing: &Timing) -> &'static str {
    match timing.clock {
        crate::device::TimedBy::Timestamps => "GPU timestamps",
        crate::device::TimedBy::Wall => "wall clock",
    }
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

fn bytes(n: u64) -> String {
    match n {
        n if n >= 10_000_000 => format!("{:.1} MB", n as f64 / 1e6),
        n if n >= 10_000 => format!("{:.1} kB", n as f64 / 1e3),
        n => format!("{n} B"),
    }
}
