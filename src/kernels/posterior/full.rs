//! q(z|x) = N(mu, L L^T), L lower triangular with e^(l/2) on its diagonal and C below it; heads = [mu | l | C], C row by row.

use super::{
    DOUBLY_REPARAMETERIZED, EXTREME, Noise, STICKING_THE_LANDING, clamp_log_variance, kl_weight,
};
use crate::kernels::library::single;
use crate::kernels::{grid_of_groups, rates};
use crate::numeric::{Real, parallel, sum};
use crate::plan::case::{Fill, clock_words};
use crate::plan::{Call, Case, Constants, Cost, Kernel, Parts, formula};

const SOURCE: &str = include_str!("../../../shaders/posterior/full.wgsl");
const FILE: &str = "posterior/full";

/// Latent units, at most: a kernel holds a row of them.
pub const MOST_UNITS: usize = 1024;

/// Heads of Z latent units.
pub const fn heads(latent: usize) -> usize {
    2 * latent + below(latent)
}

/// Entries of L below its diagonal, of its first `rows` rows: where the row that follows begins in C.
pub const fn below(rows: usize) -> usize {
    rows * rows.saturating_sub(1) / 2
}

pub static SAMPLE: Kernel = single(Parts {
    file: FILE,
    source: SOURCE,
    entry: "full_sample",
    summary: "z = μ + L ε, ε from Philox",
    grid: |c| [c.dim("Z").div_ceil(c.dim("WORKGROUP")), c.dim("B") * c.dim("K"), 1],
    formula: formula!(sample),
    cases: || {
        let case = |b, k, z| {
            case(b, k, z)
                .constant("STREAM", 1.0)
                .constant("N", 10.0) // most cases reach beyond the end of the epoch
                .fill("clock", clock_words(42, 5, 3, 7))
        };
        vec![
            case(1, 1, 1),
            case(3, 1, 5).constant("NOISE", 0.0),
            case(7, 3, 4).fill("heads", Fill::Cycle(EXTREME.to_vec())),
            case(128, 1, 20),
            case(20, 50, 30),
            case(3, 2, 64),
            case(3, 2, 65),
            case(2, 1, 133),
        ]
    },
    cost: |c| {
        let Cost { flops, bytes } = factor_cost(c, 2, 0);
        let n = (c.dim("B") * c.dim("K") * c.dim("Z")) as u64;
        Cost { flops: flops + 60 * n, bytes: bytes + 8 * n }
    },
});

pub static KL: Kernel = single(Parts {
    file: FILE,
    source: SOURCE,
    entry: "full_kl",
    summary: "½ Σ (μ² + e^ℓ − 1 − ℓ) + ½ Σ C²",
    grid: |c| grid_of_groups(c.dim("B")),
    formula: formula!(kl),
    cases: || {
        let of = |b, z| of_images(b, z).constant("Z", z as f64);
        vec![
            of(1, 1),
            of(3, 5),
            of(7, 4).fill("heads", Fill::Cycle(EXTREME.to_vec())),
            of(5, 63),
            of(5, 64),
            of(5, 65),
            of(128, 20),
            of(33_000, 2),
            // low variances by themselves, where e^l of high ones does not hide them
            of(7, 4).fill("heads", Fill::Cycle(vec![0.5, -50.0, -30.5, -29.5, 1.0])),
        ]
    },
    cost: image_cost,
});

pub static KL_OF_UNITS: Kernel = single(Parts {
    file: FILE,
    source: SOURCE,
    entry: "full_kl_of_units",
    summary: "mean over the minibatch of what each unit's q given those before it costs",
    grid: |c| grid_of_groups(c.dim("Z")),
    formula: formula!(kl_of_units),
    cases: || {
        let of = of_images;
        vec![
            of(1, 1),
            of(3, 5),
            of(7, 4).fill("heads", Fill::Cycle(EXTREME.to_vec())),
            of(63, 2),
            of(64, 3),
            of(65, 7),
            of(128, 20),
            of(7, 4).fill("heads", Fill::Cycle(vec![0.5, -50.0, -30.5, -29.5, 1.0])),
        ]
    },
    cost: image_cost,
});

pub static MARGINALS: Kernel = single(Parts {
    file: FILE,
    source: SOURCE,
    entry: "full_marginals",
    summary: "mean and log variance of each unit by itself",
    grid: |c| [c.dim("Z").div_ceil(c.dim("WORKGROUP")), c.dim("B"), 1],
    formula: formula!(marginals),
    cases: || {
        let of = of_images;
        vec![
            of(1, 1),
            of(3, 5),
            of(7, 4).fill("heads", Fill::Cycle(EXTREME.to_vec())),
            of(128, 20),
            of(2, 65),
        ]
    },
    cost: image_cost,
});

pub static BACKWARD: Kernel = single(Parts {
    file: FILE,
    source: SOURCE,
    entry: "full_backward",
    summary: "d_μ, d_ℓ, d_C of sampling and of the KL",
    grid: over_heads,
    formula: formula!(backward),
    cases: || {
        let mut cases = backward_cases();
        cases.push(cases[1].clone().constant("KL", 0.0));
        cases
    },
    cost: |c| factor_cost(c, 2, 4),
});

pub static BACKWARD_FREE_BITS: Kernel = single(Parts {
    file: FILE,
    source: SOURCE,
    entry: "full_backward_free_bits",
    summary: "the same, units below FREE_BITS without the KL",
    grid: over_heads,
    formula: formula!(backward_free_bits),
    cases: || {
        let free =
            |case: Case| case.constant("FREE_BITS", 0.25).fill("unit_kl", Fill::Uniform(0.0, 0.5));
        backward_cases().into_iter().map(free).collect()
    },
    cost: |c| factor_cost(c, 2, 4),
});

pub static BACKWARD_SAMPLED: Kernel = single(Parts {
    file: FILE,
    source: SOURCE,
    entry: "full_backward_sampled",
    summary: "d_μ, d_ℓ, d_C where the KL is sampled",
    grid: over_heads,
    formula: formula!(backward_sampled),
    cases: || backward_cases().into_iter().map(sampled).collect(),
    cost: |c| factor_cost(c, 2, 4),
});

pub static PATH: Kernel = single(Parts {
    file: FILE,
    source: SOURCE,
    entry: "full_path",
    summary: "the gradient at the samples of a sampled KL without the score of q, by two estimators",
    grid: |c| grid_of_groups(c.dim("B") * c.dim("K")),
    formula: formula!(path),
    cases: || {
        let with = |case: Case, estimator: f64| sampled(case).constant("ESTIMATOR", estimator);
        let mut cases = Vec::new();
        for estimator in [STICKING_THE_LANDING, DOUBLY_REPARAMETERIZED] {
            for (b, k, z) in
                [(1, 1, 1), (3, 2, 5), (128, 1, 20), (10, 7, 30), (2, 1, 64), (2, 1, 129)]
            {
                // Entries of C so small that L^T s = eps is solved without amplifying errors.
                let near = Fill::Normal(0.5 / (z as f64).sqrt());
                cases.push(with(case(b, k, z), estimator).fill("heads", near));
            }
            let extreme = Fill::Cycle(vec![0.3, -31.0, 0.1, 19.5, -0.2, 20.5, -1.0]);
            cases.push(with(case(7, 3, 1), estimator).fill("heads", extreme));
        }
        // more rows than one dimension of a grid has room for
        cases.push(with(case(33_000, 1, 2), STICKING_THE_LANDING));
        cases
    },
    cost: |c| factor_cost(c, 2, 0),
});

fn case(b: usize, k: usize, z: usize) -> Case {
    Case::new(&[("B", b), ("K", k), ("Z", z), ("H", heads(z))])
}

/// Of what takes no samples.
fn of_images(b: usize, z: usize) -> Case {
    Case::new(&[("B", b), ("Z", z), ("H", heads(z))])
}

fn sampled(case: Case) -> Case {
    case.fill("weight", Fill::Uniform(0.0, 0.1))
}

fn backward_cases() -> Vec<Case> {
    let case = |b, k, z| case(b, k, z).fill("rates", Fill::Cycle(vec![1e-3, 0.1, 1e-3, 0.7]));
    vec![
        case(1, 1, 1),
        case(3, 2, 5),
        case(11, 3, 4).fill("heads", Fill::Cycle(EXTREME.to_vec())),
        case(128, 1, 20),
        case(20, 50, 11),
        case(2, 1, 129),
    ]
}

fn over_heads(c: &Constants) -> [usize; 3] {
    [c.dim("H").div_ceil(c.dim("WORKGROUP")), c.dim("B"), 1]
}

/// So many operations for each entry of L and row of samples, and bytes of the heads.
fn factor_cost(c: &Constants, flops: u64, bytes: u64) -> Cost {
    let (b, h) = (c.dim("B") as u64, c.dim("H") as u64);
    let n = b * c.dim("K") as u64;
    Cost { flops: flops * n * h, bytes: (4 + bytes) * b * h + 8 * n * c.dim("Z") as u64 }
}

fn image_cost(c: &Constants) -> Cost {
    let n = (c.dim("B") * c.dim("H")) as u64;
    Cost { flops: 2 * n, bytes: 4 * n }
}

/// The heads of an image.
pub(crate) struct Factor<'a, T> {
    pub mean: &'a [T],
    /// As the encoder gives it.
    pub raw: &'a [T],
    /// C
    pub below: &'a [T],
}

impl<'a, T: Real> Factor<'a, T> {
    /// Of the heads of all images, for `z` latent units.
    #[inline(always)]
    pub fn of(all: &'a [T], image: usize, z: usize) -> Self {
        let (mean, rest) = all[image * heads(z)..][..heads(z)].split_at(z);
        let (raw, below) = rest.split_at(z);
        Factor { mean, raw, below }
    }

    /// l, clamped.
    #[inline(always)]
    pub fn log_variance(&self, unit: usize) -> T {
        clamp_log_variance(self.raw[unit])
    }

    /// A unit's entry on the diagonal of L.
    #[inline(always)]
    pub fn diagonal(&self, unit: usize) -> T {
        (T::from_f64(0.5) * self.log_variance(unit)).exp()
    }

    /// A unit's row of C.
    #[inline(always)]
    pub fn row(&self, unit: usize) -> &'a [T] {
        &self.below[below(unit)..][..unit]
    }

    fn squares(&self, unit: usize) -> T {
        sum(self.row(unit).iter().map(|&c| c * c))
    }

    /// Twice a unit's part of the KL.
    fn part(&self, unit: usize) -> T {
        let l = self.log_variance(unit);
        self.mean[unit] * self.mean[unit] + self.squares(unit) + (l.exp() - T::ONE - l)
    }
}

fn sample<T: Real>(c: &Call<T>) {
    let (z, k, scale) = (c.dim("Z"), c.dim("K"), c.value("NOISE"));
    let (heads, noise) = (&c.read("heads")[..], Noise::of(c, k));
    parallel::rows2((&mut c.write("eps"), z), (&mut c.write("z"), z), |row, eps, out| {
        noise.draw(row, scale, eps);
        let factor = Factor::of(heads, row / k, z);
        for (unit, out) in out.iter_mut().enumerate() {
            let below = sum(factor.row(unit).iter().zip(&*eps).map(|(&c, &e)| c * e));
            *out = factor.mean[unit] + (below + factor.diagonal(unit) * eps[unit]);
        }
    });
}

/// 1/2 sum over units of mu^2 + e^l - 1 - l and the squares of their rows of C.
fn kl<T: Real>(c: &Call<T>) {
    let (z, heads) = (c.dim("Z"), &c.read("heads")[..]);
    parallel::rows(&mut c.write("kl"), 1, |image, kl| {
        let factor = Factor::of(heads, image, z);
        kl[0] = T::from_f64(0.5) * sum((0..z).map(|unit| factor.part(unit)));
    });
}

fn kl_of_units<T: Real>(c: &Call<T>) {
    let (b, z, heads) = (c.dim("B"), c.dim("Z"), c.read("heads"));
    for (unit, kl) in c.write("kl_units").iter_mut().enumerate() {
        let images = (0..b).map(|image| Factor::of(&heads, image, z).part(unit));
        *kl = T::from_f64(0.5) * sum(images) / T::from_f64(b as f64);
    }
}

fn marginals<T: Real>(c: &Call<T>) {
    let (z, heads) = (c.dim("Z"), &c.read("heads")[..]);
    parallel::rows(&mut c.write("marginals"), 2 * z, |image, out| {
        let factor = Factor::of(heads, image, z);
        for unit in 0..z {
            out[unit] = factor.mean[unit];
            out[z + unit] = (factor.log_variance(unit).exp() + factor.squares(unit)).ln();
        }
    });
}

fn backward<T: Real>(c: &Call<T>) {
    let weight = c.value("KL") * kl_weight(c, c.dim("B"));
    to_heads(c, |_| weight);
}

fn backward_free_bits<T: Real>(c: &Call<T>) {
    let (weight, unit_kl) = (kl_weight(c, c.dim("B")), &c.read("unit_kl")[..]);
    let free = c.value("FREE_BITS");
    to_heads(c, |unit| if unit_kl[unit] < free { T::ZERO } else { weight });
}

/// The gradient at the heads, `kl_weight` that of a unit's part of the KL.
fn to_heads<T: Real>(c: &Call<T>, kl_weight: impl Fn(usize) -> T + Sync) {
    let (z, k) = (c.dim("Z"), c.dim("K"));
    let (all, eps, d_z) = (&c.read("heads")[..], &c.read("noise")[..], &c.read("d_z")[..]);
    let half = T::from_f64(0.5);
    parallel::rows(&mut c.write("d_heads"), heads(z), |image, d_heads| {
        let factor = Factor::of(all, image, z);
        let rows = || (image * k..(image + 1) * k).map(|row| row * z);
        for unit in 0..z {
            let w = kl_weight(unit);
            let through = |column: usize| sum(rows().map(|e| d_z[e + unit] * eps[e + column]));
            d_heads[unit] = sum(rows().map(|e| d_z[e + unit])) - w * factor.mean[unit];
            let (l, sigma) = (factor.log_variance(unit), factor.diagonal(unit));
            let inside = half * sigma * through(unit) - half * w * (l.exp() - T::ONE);
            d_heads[z + unit] = if l == factor.raw[unit] { inside } else { T::ZERO };
            for (column, &c) in factor.row(unit).iter().enumerate() {
                d_heads[2 * z + below(unit) + column] = through(column) - w * c;
            }
        }
    });
}

/// u_k beta times the row's weight: [`to_heads`] without a KL of d_z - u_k z, and d_l also gets sum_k u_k / 2.
fn backward_sampled<T: Real>(c: &Call<T>) {
    let (z, k) = (c.dim("Z"), c.dim("K"));
    let (all, eps, d_z) = (&c.read("heads")[..], &c.read("noise")[..], &c.read("d_z")[..]);
    let (samples, weight) = (&c.read("samples")[..], &c.read("weight")[..]);
    let (beta, half) = (c.read("rates")[rates::KL_WEIGHT], T::from_f64(0.5));
    parallel::rows(&mut c.write("d_heads"), heads(z), |image, d_heads| {
        let factor = Factor::of(all, image, z);
        let rows = || image * k..(image + 1) * k;
        let direct = half * sum(rows().map(|row| beta * weight[row]));
        for unit in 0..z {
            let g = |row: usize| {
                let e = row * z + unit;
                d_z[e] - beta * weight[row] * samples[e]
            };
            let through = |column: usize| sum(rows().map(|row| g(row) * eps[row * z + column]));
            d_heads[unit] = sum(rows().map(g));
            let is_inside = factor.log_variance(unit) == factor.raw[unit];
            let inside = if is_inside { T::ONE } else { T::ZERO };
            d_heads[z + unit] = inside * (half * factor.diagonal(unit) * through(unit) + direct);
            for column in 0..unit {
                d_heads[2 * z + below(unit) + column] = through(column);
            }
        }
    });
}

/// u beta times the row's weight w, L^T s = eps: g = d_z - u z + u s, or that times B w.
fn path<T: Real>(c: &Call<T>) {
    let (z, k, estimator) = (c.dim("Z"), c.dim("K"), c.dim("ESTIMATOR") as f64);
    let (heads, eps, d_z) = (&c.read("heads")[..], &c.read("noise")[..], &c.read("d_z")[..]);
    let (samples, weight) = (&c.read("samples")[..], &c.read("weight")[..]);
    let (beta, b) = (c.read("rates")[rates::KL_WEIGHT], T::from_f64(c.dim("B") as f64));
    parallel::rows(&mut c.write("g"), z, |row, g| {
        let (factor, u) = (Factor::of(heads, row / k, z), beta * weight[row]);
        // What is left of eps, from the last row up, becomes s.
        g.copy_from_slice(&eps[row * z..][..z]);
        for i in (0..z).rev() {
            let (before, own) = g.split_at_mut(i);
            own[0] /= factor.diagonal(i);
            for (left, &c) in before.iter_mut().zip(factor.row(i)) {
                *left -= c * own[0];
            }
        }
        for (unit, g) in g.iter_mut().enumerate() {
            let e = row * z + unit;
            let at = d_z[e] - u * samples[e] + u * *g;
            *g = if estimator == DOUBLY_REPARAMETERIZED { at * (b * weight[row]) } else { at };
        }
    });
}
