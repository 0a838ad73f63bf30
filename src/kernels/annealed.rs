//! Annealed importance sampling by Hamiltonian Monte Carlo: where chains go between two gradients.

use crate::kernels::library::single;
use crate::kernels::posterior::clamp_log_variance;
use crate::kernels::{clock, grid_of_groups};
use crate::numeric::philox::{counter, normal4, philox};
use crate::numeric::{Real, parallel, sum};
use crate::plan::case::Fill;
use crate::plan::{Call, Case, Cost, Kernel, Parts, formula};

const SOURCE: &str = include_str!("../../shaders/annealed.wgsl");

/// Numbers of a row of the schedule.
pub const COLUMNS: usize = 3;
/// Numbers of a chain's state behind its place and the gradient there.
pub const TAIL: usize = 4;
/// Places among them.
pub const LOG_PX: usize = 0;
pub const ENERGY: usize = 1;
pub const LOG_W: usize = 2;
pub const ACCEPTANCE: usize = 3;

pub static TRANSITION: Kernel = single(Parts {
    file: "annealed",
    source: SOURCE,
    entry: "transition",
    summary: "a proposal of L leapfrogs accepted or not, the next share of log w, new momenta",
    grid: |c| grid_of_groups(c.dim("B") * c.dim("K")),
    formula: formula!(transition),
    cases: || {
        let mut cases = Vec::new();
        for (b, k, z) in [(3, 4, 5), (5, 4, 20), (8, 1, 64), (8, 1, 65)] {
            for from_prior in [0, 1] {
                // so that energies before and after differ by little, and some proposals are refused
                let middle = if from_prior == 1 { 1.8 } else { 2.7 } * z as f64;
                let wide = 4.0 + 2.0 * (z as f64).sqrt();
                let case = ends(case(b, k, z, 6, from_prior), 1.0);
                cases.push(case.fill("log_px", Fill::Uniform(middle - wide, middle + wide)));
            }
        }
        // one that is refused: its energy was far lower
        let refused = Fill::Cycle(vec![0.3, -0.5, 1.0, -100.0, 0.7, 0.2]);
        let mut single = ends(case(1, 1, 1, 6, 0), 1.0);
        single.fills.retain(|(name, _)| *name != "state");
        cases.push(single.fill("state", refused));
        // within a transition, and the first step of all
        cases.push(ends(case(20, 5, 20, 4, 0), 1.0));
        cases.push(ends(case(20, 5, 20, 0, 1), 1.0));
        cases.push(ends(case(6, 3, 6, 3, 0), 3.0).fill("log_px", Fill::Uniform(1.0, 4.0)));
        // beyond the clamp of l, and more rows than one dimension of a grid has room for
        cases.push(ends(case(7, 3, 4, 3, 0), 1.0).fill("heads", Fill::Cycle(FAR.to_vec())));
        cases.push(ends(case(33_000, 1, 2, 6, 0), 1.0));
        cases
    },
    cost: |c| {
        let n = (c.dim("B") * c.dim("K") * c.dim("Z")) as u64;
        Cost { flops: 100 * n / c.dim("L") as u64, bytes: 32 * n / c.dim("L") as u64 }
    },
});

pub static LEAPFROG: Kernel = single(Parts {
    file: "annealed",
    source: SOURCE,
    entry: "leapfrog",
    summary: "v += size s ∇ log f(z), z += size s v",
    grid: |c| [c.dim("Z").div_ceil(c.dim("WORKGROUP")), c.dim("B") * c.dim("K"), 1],
    formula: formula!(leapfrog),
    cases: || {
        let mut cases = Vec::new();
        for (b, k, z) in [(1, 1, 1), (3, 2, 5), (5, 4, 20), (5, 1, 64), (3, 1, 65)] {
            for (step, from_prior) in [(6, 0), (7, 0), (6, 1), (7, 1)] {
                cases.push(case(b, k, z, step, from_prior));
            }
        }
        cases
    },
    cost: |c| {
        let n = (c.dim("B") * c.dim("K") * c.dim("Z")) as u64;
        Cost { flops: 20 * n, bytes: 20 * n }
    },
});

fn case(b: usize, k: usize, z: usize, step: u32, from_prior: u32) -> Case {
    Case::new(&[("B", b), ("K", k), ("Z", z), ("S", 4), ("W", 2 * z + TAIL)])
        .constant("K", k as f64)
        .constant("L", 3.0)
        .constant("FROM_PRIOR", f64::from(from_prior))
        .fill("clock", Fill::Words(vec![u32::MAX - 1, 7, step, 2, 5, 600, 0, 0]))
        .fill("schedule", Fill::Cycle(vec![0.1, 0.2, 0.15, 0.3, 0.55, 0.2, 0.25, 0.8, 0.1]))
        .fill("z", Fill::Normal(1.0))
        .fill("v", Fill::Normal(1.0))
}

/// What the end of a transition takes besides, log p(x|z) coming in so many parts.
fn ends(case: Case, parts: f64) -> Case {
    case.constant("STREAM", 9.0)
        .constant("ACCEPT_STREAM", 7.0)
        .constant("T", parts)
        .fill("state", Fill::Normal(1.0))
}

/// Heads with log variances beyond their bounds, as far as single precision has room for what comes of it.
const FAR: [f64; 7] = [0.5, -1.0, 21.5, 0.3, -0.2, 23.0, 1.0];

/// What a chain is drawn to: the schedule's row, and q(z|x) of its image.
struct Target<'a, T> {
    /// [mu | l]
    heads: &'a [T],
    from_prior: bool,
    beta: T,
    size: T,
}

impl<'a, T: Real> Target<'a, T> {
    fn new(from_prior: bool, heads: &'a [T], schedule: &[T]) -> Self {
        Target { heads, from_prior, beta: schedule[1], size: schedule[2] }
    }

    fn log_variance(&self, unit: usize) -> T {
        clamp_log_variance(self.heads[self.heads.len() / 2 + unit])
    }

    /// Mean and log variance of a unit in r.
    fn reference(&self, unit: usize) -> (T, T) {
        match self.from_prior {
            true => (T::ZERO, T::ZERO),
            false => (self.heads[unit], self.log_variance(unit)),
        }
    }

    /// -log r(z) of a unit.
    fn beyond(&self, unit: usize, z: T) -> T {
        let (mean, l) = self.reference(unit);
        T::from_f64(0.5) * ((z - mean) * (z - mean) * (-l).exp() + l)
    }

    /// s
    fn scale(&self, unit: usize) -> T {
        let of_reference = (T::ONE - self.beta) * (-self.reference(unit).1).exp();
        T::ONE / (of_reference + self.beta * (-self.log_variance(unit)).exp()).sqrt()
    }

    /// s times the gradient of log f by a unit.
    fn force(&self, unit: usize, z: T, of_log_px: T) -> T {
        let (mean, l) = self.reference(unit);
        let outwards = (T::ONE - self.beta) * (z - mean) * (-l).exp();
        self.scale(unit) * (self.beta * (of_log_px - z) - outwards)
    }

    /// log p(x|z) + log p(z) - log r(z), of which `log_px` is the first.
    fn ratio(&self, z: &[T], log_px: T) -> T {
        let half = T::from_f64(0.5);
        let each = z.iter().enumerate();
        sum(each.map(|(unit, &z)| self.beyond(unit, z) - half * z * z)) + log_px
    }

    /// -log f(z) + 1/2 v^2
    fn energy(&self, z: &[T], v: &[T], ratio: T) -> T {
        let half = T::from_f64(0.5);
        let each = z.iter().zip(v).enumerate();
        sum(each.map(|(unit, (&z, &v))| half * v * v + self.beyond(unit, z))) - self.beta * ratio
    }
}

fn transition<T: Real>(c: &Call<T>) {
    let words = &c.read_u32("clock")[..];
    let (k, units, parts, l) = (c.dim("K"), c.dim("Z"), c.dim("T"), c.dim("L"));
    if !(words[clock::STEP] as usize).is_multiple_of(l) {
        return;
    }
    let time = (words[clock::STEP] as usize / l).min(c.dim("S") - 1);
    let from_prior = c.dim("FROM_PRIOR") == 1;
    let key = [words[clock::SEED_LOW], words[clock::SEED_HIGH]];
    let (stream, accept_stream) = (c.dim("STREAM") as u32, c.dim("ACCEPT_STREAM") as u32);
    let (heads, schedule) = (&c.read("heads")[..], &c.read("schedule")[..]);
    let (d_z, log_px) = (&c.read("d_z")[..], &c.read("log_px")[..]);
    let slices = [
        (&mut c.write("z")[..], units),
        (&mut c.write("v")[..], units),
        (&mut c.write("state")[..], 2 * units + TAIL),
    ];
    let rows = c.dim("B") * k;
    parallel::stripes(rows, 100 * rows * units, slices, |rows, [z, v, state]| {
        let chains = z.chunks_mut(units).zip(v.chunks_mut(units));
        for ((row, (z, v)), state) in rows.zip(chains).zip(state.chunks_mut(2 * units + TAIL)) {
            let heads = &heads[row / k * 2 * units..][..2 * units];
            let d_z = &d_z[row * units..][..units];
            let place = words[clock::POSITION] as usize + row / k;
            let chain = words[clock::SAMPLE] as usize + row % k;
            let at = |stream, quad| philox(counter(time as u32, place, chain, stream, quad), key);
            let (kept, tail) = state.split_at_mut(2 * units);

            let proposed = sum(log_px[row * parts..][..parts].iter().copied());
            let (mut accepted, mut before) = (true, [proposed, T::ZERO, T::ZERO, T::ZERO]);
            if time > 0 {
                before.copy_from_slice(tail);
                let target = Target::new(from_prior, heads, &schedule[(time - 1) * COLUMNS..]);
                let end: Vec<T> = (0..units)
                    .map(|u| v[u] + T::from_f64(0.5) * target.size * target.force(u, z[u], d_z[u]))
                    .collect();
                let energy = target.energy(z, &end, target.ratio(z, proposed));
                let better = before[ENERGY] - energy;
                let probability = if better >= T::ZERO { T::ONE } else { better.exp() };
                let uniform = (f64::from(at(accept_stream, 0)[0] >> 8) + 0.5) / 16_777_216.0;
                accepted = T::from_f64(uniform) < probability;
                if probability >= T::ZERO {
                    before[ACCEPTANCE] += probability;
                }
                if accepted {
                    before[LOG_PX] = proposed;
                }
            }
            if accepted {
                kept[..units].copy_from_slice(z);
                kept[units..].copy_from_slice(d_z);
            } else {
                z.copy_from_slice(&kept[..units]);
            }

            let target = Target::new(from_prior, heads, &schedule[time * COLUMNS..]);
            for (unit, v) in v.iter_mut().enumerate() {
                *v = normal4::<T>(at(stream, unit / 4))[unit % 4];
            }
            let ratio = target.ratio(z, before[LOG_PX]);
            tail[LOG_PX] = before[LOG_PX];
            tail[ENERGY] = target.energy(z, v, ratio);
            tail[LOG_W] = before[LOG_W] + schedule[time * COLUMNS] * ratio;
            tail[ACCEPTANCE] = before[ACCEPTANCE];
        }
    });
}

fn leapfrog<T: Real>(c: &Call<T>) {
    let step = c.read_u32("clock")[clock::STEP] as usize;
    let (k, units, l) = (c.dim("K"), c.dim("Z"), c.dim("L"));
    let time = (step / l).min(c.dim("S") - 1);
    let from_prior = c.dim("FROM_PRIOR") == 1;
    let (heads, schedule) = (&c.read("heads")[..], &c.read("schedule")[..]);
    let (begun, gradient) = (&c.read("begun")[..], &c.read("gradient")[..]);
    let of = (&mut c.write("z")[..], units);
    parallel::rows2(of, (&mut c.write("v"), units), |row, z, v| {
        let heads = &heads[row / k * 2 * units..][..2 * units];
        let target = Target::new(from_prior, heads, &schedule[time * COLUMNS..]);
        let (slopes, share) = match step % l {
            0 => (&begun[row * (2 * units + TAIL) + units..][..units], T::from_f64(0.5)),
            _ => (&gradient[row * units..][..units], T::ONE),
        };
        for (unit, (z, v)) in z.iter_mut().zip(v).enumerate() {
            *v += share * target.size * target.force(unit, *z, slopes[unit]);
            *z += target.size * target.scale(unit) * *v;
        }
    });
}
