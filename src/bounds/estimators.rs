//! Means with their errors, and log-mean-exps of draws as they come: sums in f64, memory flat in their number.

use serde::Serialize;

/// A mean over images and its standard error, s / sqrt(n): what another set of images from the same
/// source, and other draws, would change it by. Every image has its own draws, so that their noise is
/// part of s.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    /// The mean.
    pub value: f64,
    /// None of a single image.
    pub standard_error: Option<f64>,
}

impl Estimate {
    /// # Panics
    /// Without values.
    pub fn of(values: impl Iterator<Item = f64> + Clone) -> Self {
        let n = values.clone().count();
        assert!(n > 0, "a mean of nothing");
        let value = values.clone().sum::<f64>() / n as f64;
        let squares: f64 = values.map(|v| (v - value) * (v - value)).sum();
        let standard_error = (n > 1).then(|| (squares / (n - 1) as f64).sqrt() / (n as f64).sqrt());
        Estimate { value, standard_error }
    }
}

/// logsumexp(v) - log(n) of numbers as they come, shifted by the largest so far.
#[derive(Debug, Clone, Copy)]
pub(super) struct LogMeanExp {
    largest: f64,
    /// of e^(v - largest)
    sum: f64,
    /// of e^(2 (v - largest))
    squares: f64,
    count: usize,
}

impl LogMeanExp {
    pub const EMPTY: LogMeanExp =
        LogMeanExp { largest: f64::NEG_INFINITY, sum: 0.0, squares: 0.0, count: 0 };

    pub fn push(&mut self, v: f64) {
        self.count += 1;
        if v <= self.largest {
            let e = (v - self.largest).exp();
            self.sum += e;
            self.squares += e * e;
        } else {
            let shrink = (self.largest - v).exp();
            self.sum = self.sum * shrink + 1.0;
            self.squares = self.squares * shrink * shrink + 1.0;
            self.largest = v;
        }
    }

    pub fn value(&self) -> f64 {
        self.largest + (self.sum / self.count as f64).ln()
    }

    /// (sum w)^2 / sum w^2
    fn effective_size(&self) -> f64 {
        self.sum * self.sum / self.squares
    }
}

/// logsumexp(v) - log(n)
pub(super) fn log_mean_exp(values: impl Iterator<Item = f64>) -> f64 {
    let mut all = LogMeanExp::EMPTY;
    values.for_each(|v| all.push(v));
    all.value()
}

/// Groups of k draws.
#[derive(Debug, Clone)]
struct Level {
    k: usize,
    /// The level whose finished groups make up this one's, if not the draws themselves.
    parts: Option<usize>,
    /// Parts of a group.
    size: usize,
    current: LogMeanExp,
    /// Sum over finished groups of their log-mean-exp.
    total: f64,
    groups: usize,
}

/// log (1/k) sum exp of k draws, for several k at once, averaged over the disjoint groups of k of one
/// stream of draws: the expectation of L_k, with less variance than one group has. Draws left over at the
/// end of the stream, fewer than k, are not used.
#[derive(Debug, Clone)]
pub struct Bounds {
    levels: Vec<Level>,
    all: LogMeanExp,
}

impl Bounds {
    /// For these numbers of draws, ascending.
    pub fn new(ks: &[usize]) -> Self {
        let mut levels: Vec<Level> = Vec::new();
        for &k in ks {
            // Groups of equal size: the log-mean-exp of theirs is that of all draws in them.
            let parts = levels.iter().rposition(|level| k % level.k == 0);
            let size = k / parts.map_or(1, |i| levels[i].k);
            let current = LogMeanExp::EMPTY;
            levels.push(Level { k, parts, size, current, total: 0.0, groups: 0 });
        }
        Bounds { levels, all: LogMeanExp::EMPTY }
    }

    /// The log weight of the next draw.
    pub fn push(&mut self, draw: f64) {
        self.all.push(draw);
        self.push_from(None, draw);
    }

    fn push_from(&mut self, from: Option<usize>, v: f64) {
        for i in from.map_or(0, |i| i + 1)..self.levels.len() {
            let level = &mut self.levels[i];
            if level.parts != from {
                continue;
            }
            level.current.push(v);
            if level.current.count == level.size {
                let bound = level.current.value();
                level.total += bound;
                level.groups += 1;
                level.current = LogMeanExp::EMPTY;
                self.push_from(Some(i), bound);
            }
        }
    }

    /// The estimate for each k, NaN where there were fewer draws.
    pub fn values(&self) -> Vec<f64> {
        self.levels.iter().map(|level| level.total / level.groups as f64).collect()
    }

    /// (sum w)^2 / sum w^2 of all draws' weights: their number if all weigh the same, 1 if one has all.
    pub fn effective_size(&self) -> f64 {
        self.all.effective_size()
    }

    /// Draws so far.
    pub fn count(&self) -> usize {
        self.all.count
    }
}

/// log (1/k) [w* + sum of k - 1 weights], where w* is the weight of the code that made the image and the others are
/// of draws from q, for several k at once, averaged over the disjoint groups of k - 1 of one stream of draws.
///
/// z* is a draw from the posterior. Under the density of (z*, z_2, .., z_k) that is uniform over which of the k is it,
/// the ratio to that of k draws from q is the mean of the weights over p(x): so E 1 / mean = 1 / p(x), and the
/// expectation of the log is log p(x) + a KL, which no k makes negative (Grosse et al. 2015, arXiv 1511.02543, have
/// the same for annealed weights).
#[derive(Debug, Clone)]
pub struct UpperBounds {
    /// log w*
    truth: f64,
    levels: Vec<UpperLevel>,
}

#[derive(Debug, Clone)]
struct UpperLevel {
    k: usize,
    current: LogMeanExp,
    /// Sum over finished groups of their log-mean-exp.
    total: f64,
    groups: usize,
}

impl UpperBounds {
    /// For these numbers of draws, the code that made the image being one of them.
    pub fn new(ks: &[usize], truth: f64) -> Self {
        let mut first = LogMeanExp::EMPTY;
        first.push(truth);
        let level = |&k: &usize| UpperLevel { k, current: first, total: 0.0, groups: 0 };
        UpperBounds { truth, levels: ks.iter().map(level).collect() }
    }

    /// The log weight of the next draw from q.
    pub fn push(&mut self, draw: f64) {
        for level in self.levels.iter_mut().filter(|level| level.k > 1) {
            level.current.push(draw);
            if level.current.count == level.k {
                level.total += level.current.value();
                level.groups += 1;
                level.current = LogMeanExp::EMPTY;
                level.current.push(self.truth);
            }
        }
    }

    /// The estimate for each k, NaN where there were fewer draws than k - 1.
    pub fn values(&self) -> Vec<f64> {
        let value = |level: &UpperLevel| match level.k {
            1 => self.truth,
            _ => level.total / level.groups as f64,
        };
        self.levels.iter().map(value).collect()
    }
}
