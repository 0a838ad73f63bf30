//! Annealed chains in whole registers: what draws a chain depends on its image alone, and is computed once for all its chains.

use crate::kernels::annealed::{ACCEPTANCE, COLUMNS, ENERGY, LOG_PX, LOG_W, TAIL};
use crate::kernels::clock;
use crate::kernels::posterior::clamp_log_variance;
use crate::numeric::philox::{QUADS, counter, following, normals, philox};
use crate::numeric::{Real, parallel};
use crate::plan::Call;

/// What draws the chains of an image, a number a unit: mean, log variance and precision in r, and s.
struct Target<'a> {
    mean: &'a [f32],
    log_variance: &'a [f32],
    precision: &'a [f32],
    scale: &'a [f32],
}

impl<'a> Target<'a> {
    /// Those of all images at a temperature, (B, 4*Z).
    fn all(c: &Call<f32>, beta: f32) -> Vec<f32> {
        let (units, from_prior) = (c.dim("Z"), c.dim("FROM_PRIOR") == 1);
        let heads = c.read("heads");
        let heads = &heads[..];
        let mut all = vec![0.0; c.dim("B") * 4 * units];
        parallel::rows(
            &mut all,
            4 * units,
            #[inline(always)]
            |image, of_image| {
                let (mu, l) = heads[image * 2 * units..][..2 * units].split_at(units);
                for unit in 0..units {
                    let own = clamp_log_variance(l[unit]);
                    let (mean, l) = if from_prior { (0.0, 0.0) } else { (mu[unit], own) };
                    let precision = Real::exp(-l);
                    let narrow = (1.0 - beta) * precision + beta * Real::exp(-own);
                    of_image[unit] = mean;
                    of_image[units + unit] = l;
                    of_image[2 * units + unit] = precision;
                    of_image[3 * units + unit] = 1.0 / narrow.sqrt();
                }
            },
        );
        all
    }

    #[inline(always)]
    fn of(all: &'a [f32], image: usize, units: usize) -> Self {
        let of_image = &all[image * 4 * units..][..4 * units];
        let ((mean, log_variance), (precision, scale)) = {
            let (first, second) = of_image.split_at(2 * units);
            (first.split_at(units), second.split_at(units))
        };
        Target { mean, log_variance, precision, scale }
    }

    /// -log r(z) of a unit.
    #[inline(always)]
    fn beyond(&self, unit: usize, z: f32) -> f32 {
        let away = z - self.mean[unit];
        0.5 * (away * away * self.precision[unit] + self.log_variance[unit])
    }

    /// s times the gradient of log f by a unit.
    #[inline(always)]
    fn force(&self, beta: f32, unit: usize, z: f32, of_log_px: f32) -> f32 {
        let outwards = (1.0 - beta) * (z - self.mean[unit]) * self.precision[unit];
        self.scale[unit] * (beta * (of_log_px - z) - outwards)
    }

    /// log p(x|z) + log p(z) - log r(z), of which `log_px` is the first.
    #[inline(always)]
    fn ratio(&self, z: &[f32], log_px: f32) -> f32 {
        parallel::sum(z.len(), |unit| self.beyond(unit, z[unit]) - 0.5 * z[unit] * z[unit]) + log_px
    }
}

pub(super) fn leapfrog(c: &Call<f32>) {
    let step = c.read_u32("clock")[clock::STEP] as usize;
    let (k, units, l) = (c.dim("K"), c.dim("Z"), c.dim("L"));
    let time = (step / l).min(c.dim("S") - 1);
    let (beta, size) = {
        let row = &c.read("schedule")[time * COLUMNS..];
        (row[1], row[2])
    };
    let all = Target::all(c, beta);
    let (begun, gradient) = (c.read("begun"), c.read("gradient"));
    let (begun, gradient) = (&begun[..], &gradient[..]);
    parallel::rows2(
        (&mut c.write("z"), units),
        (&mut c.write("v"), units),
        #[inline(always)]
        |row, z, v| {
            let target = Target::of(&all, row / k, units);
            // A proposal that was refused has left its gradient behind.
            let (slopes, share) = match step % l {
                0 => (&begun[row * (2 * units + TAIL) + units..][..units], 0.5),
                _ => (&gradient[row * units..][..units], 1.0),
            };
            for unit in 0..units {
                let moved =
                    v[unit] + share * size * target.force(beta, unit, z[unit], slopes[unit]);
                v[unit] = moved;
                z[unit] += size * target.scale[unit] * moved;
            }
        },
    );
}

pub(super) fn transition(c: &Call<f32>) {
    let words = c.read_u32("clock");
    let (k, units, parts, l) = (c.dim("K"), c.dim("Z"), c.dim("T"), c.dim("L"));
    if !(words[clock::STEP] as usize).is_multiple_of(l) {
        return;
    }
    let time = (words[clock::STEP] as usize / l).min(c.dim("S") - 1);
    let key = [words[clock::SEED_LOW], words[clock::SEED_HIGH]];
    let (position, samples) = (words[clock::POSITION] as usize, words[clock::SAMPLE] as usize);
    let (stream, accept_stream) = (c.dim("STREAM") as u32, c.dim("ACCEPT_STREAM") as u32);
    let schedule = c.read("schedule");
    let [share, beta, _] = row_of(&schedule, time);
    let [_, beta_before, size_before] = row_of(&schedule, time.saturating_sub(1));
    // The forces are those of the transition that ends; what is begun needs no s.
    let all = Target::all(c, beta_before);
    let (d_z, log_px) = (c.read("d_z"), c.read("log_px"));
    let (d_z, log_px) = (&d_z[..], &log_px[..]);
    let width = 2 * units + TAIL;
    let rows = c.dim("B") * k;
    let (mut z, mut v, mut state) = (c.write("z"), c.write("v"), c.write("state"));
    let slices = [(&mut z[..], units), (&mut v[..], units), (&mut state[..], width)];
    parallel::stripes(rows, 100 * rows * units, slices, |rows, [z, v, state]| {
        let chains = z.chunks_mut(units).zip(v.chunks_mut(units));
        let chains = rows.zip(chains).zip(state.chunks_mut(width));
        parallel::vectorized(
            #[inline(always)]
            || {
                for ((row, (z, v)), state) in chains {
                    let target = Target::of(&all, row / k, units);
                    let d_z = &d_z[row * units..][..units];
                    let (place, chain) = (position + row / k, samples + row % k);
                    let (kept, tail) = state.split_at_mut(2 * units);

                    let of_parts = &log_px[row * parts..][..parts];
                    let proposed = parallel::sum(parts, |part| of_parts[part]);
                    let (mut accepted, mut before) = (true, [proposed, 0.0, 0.0, 0.0]);
                    if time > 0 {
                        before.copy_from_slice(tail);
                        let reached = parallel::sum(units, |unit| {
                            let force = target.force(beta_before, unit, z[unit], d_z[unit]);
                            let end = v[unit] + 0.5 * size_before * force;
                            0.5 * end * end + target.beyond(unit, z[unit])
                        });
                        let energy = reached - beta_before * target.ratio(z, proposed);
                        let better = before[ENERGY] - energy;
                        let probability = if better >= 0.0 { 1.0 } else { Real::exp(better) };
                        let bits =
                            philox(counter(time as u32, place, chain, accept_stream, 0), key)[0];
                        let uniform = ((bits >> 8) as f32 + 0.5) / 16_777_216.0;
                        accepted = uniform < probability; // which a NaN is not
                        if probability >= 0.0 {
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

                    for (i, v) in v.chunks_mut(4 * QUADS).enumerate() {
                        let first = counter(time as u32, place, chain, stream, i * QUADS);
                        v.copy_from_slice(&normals::<f32>(following(first), key)[..v.len()]);
                    }
                    let begun = parallel::sum(units, |unit| {
                        0.5 * v[unit] * v[unit] + target.beyond(unit, z[unit])
                    });
                    let ratio = target.ratio(z, before[LOG_PX]);
                    tail[LOG_PX] = before[LOG_PX];
                    tail[ENERGY] = begun - beta * ratio;
                    tail[LOG_W] = before[LOG_W] + share * ratio;
                    tail[ACCEPTANCE] = before[ACCEPTANCE];
                }
            },
        );
    });
}

/// Share, temperature and step size.
fn row_of(schedule: &[f32], time: usize) -> [f32; COLUMNS] {
    schedule[time * COLUMNS..][..COLUMNS].try_into().expect("so many columns")
}
