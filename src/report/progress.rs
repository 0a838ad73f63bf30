//! The progress of long work: a bar on a terminal, plain lines elsewhere.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::console::{has_bar, note};

/// Between plain lines where there is no terminal.
const PLAIN_EVERY: Duration = Duration::from_secs(10);

/// Shows on stderr how much of `label` is done.
pub struct Progress {
    bar: Option<ProgressBar>,
    label: String,
    begin: Instant,
    last_line: Instant,
}

impl Progress {
    const STEPS: f64 = 1000.0;

    pub fn new(label: String) -> Self {
        let bar = has_bar().then(|| {
            let target = ProgressDrawTarget::stderr_with_hz(10);
            let bar = ProgressBar::with_draw_target(Some(Self::STEPS as u64), target);
            let style = ProgressStyle::with_template("{prefix} {bar:30} {percent:>3} %  ETA {eta}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.set_prefix(label.clone());
            bar
        });
        let now = Instant::now();
        Progress { bar, label, begin: now, last_line: now }
    }

    /// `share` of the work, from 0 to 1, is done.
    pub fn set(&mut self, share: f64) {
        match &self.bar {
            Some(bar) => bar.set_position((share * Self::STEPS) as u64),
            None if self.last_line.elapsed() >= PLAIN_EVERY => {
                self.last_line = Instant::now();
                let left = self.begin.elapsed().as_secs_f64() * (1.0 - share) / share.max(1e-9);
                note(format!("{}  {:.0} %  ETA {left:.0} s", self.label, 100.0 * share));
            }
            None => {}
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}
