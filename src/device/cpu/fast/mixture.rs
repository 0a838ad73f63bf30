//! A mixture's density, many components at once.

use super::lanes::{LANES, halve};
use super::with_scratch;
use crate::kernels::posterior::clamp_log_variance;
use crate::kernels::rates;
use crate::numeric::Real;
use crate::numeric::parallel::{rows_of_work, vectorized};
use crate::plan::Call;

/// Components with those of a lane side by side: for each group of [`LANES`] the means and e^-l of unit after unit, then
/// -1/2 the sum of l. What fills the last group up has no share: its sum is -3.4e38.
struct Grouped<'a> {
    groups: &'a [f32],
    units: usize,
}

/// Components, of which none comes near another: exp of their difference is 0.
const NONE: f32 = f32::MIN;

impl<'a> Grouped<'a> {
    /// Numbers of `n` components.
    fn len(n: usize, units: usize) -> usize {
        n.div_ceil(LANES) * LANES * (2 * units + 1)
    }

    fn new(components: &[f32], units: usize, groups: &'a mut [f32]) -> Self {
        let size = LANES * (2 * units + 1);
        let all = groups.chunks_exact_mut(size).zip(components.chunks(LANES * 2 * units));
        for (group, of) in all {
            group.fill(0.0);
            let (pairs, sums) = group.split_at_mut(2 * units * LANES);
            sums.fill(NONE);
            for (lane, of) in of.chunks_exact(2 * units).enumerate() {
                let mut total = 0.0;
                for unit in 0..units {
                    let l = clamp_log_variance(of[units + unit]);
                    pairs[2 * unit * LANES + lane] = of[unit];
                    pairs[(2 * unit + 1) * LANES + lane] = Real::exp(-l);
                    total += l;
                }
                sums[lane] = -0.5 * total;
            }
        }
        Grouped { groups, units }
    }

    /// a_c(z) of the components of each group, see shaders/mixture.wgsl, handed over with the group's number.
    #[inline(always)]
    fn relative(&self, z: &[f32], mut take: impl FnMut(usize, [f32; LANES])) {
        let squares: f32 = z.iter().map(|z| z * z).sum();
        for (i, group) in self.groups.chunks_exact(LANES * (2 * self.units + 1)).enumerate() {
            let (pairs, sums) = group.split_at(2 * self.units * LANES);
            let mut far = [0.0; LANES];
            for (&z, pair) in z.iter().zip(pairs.chunks_exact(2 * LANES)) {
                let (m, inverse) = pair.split_at(LANES);
                for lane in 0..LANES {
                    let d = z - m[lane];
                    far[lane] += d * d * inverse[lane];
                }
            }
            let mut a = [0.0; LANES];
            for lane in 0..LANES {
                a[lane] = 0.5 * (squares - far[lane]) + sums[lane];
            }
            take(i, a);
        }
    }
}

/// Calls `f` with the components of a call in groups.
fn grouped(c: &Call<f32>, f: impl FnOnce(&Grouped)) {
    let (n, units, components) = (c.dim("C"), c.dim("Z"), c.read("components"));
    with_scratch(Grouped::len(n, units), |groups| f(&Grouped::new(&components, units, groups)));
}

pub(super) fn density(c: &Call<f32>) {
    let (n, units, z) = (c.dim("C"), c.dim("Z"), &c.read("z")[..]);
    let log_n = (n as f32).ln();
    grouped(c, |components| {
        rows_of_work(&mut c.write("log_ratio"), 1, 4 * n * units, |row, h| {
            vectorized(
                #[inline(always)]
                || {
                    let (mut largest, mut sums) = ([NONE; LANES], [0.0; LANES]);
                    components.relative(&z[row * units..][..units], |_, a| {
                        for lane in 0..LANES {
                            let (a, before) = (a[lane], largest[lane]);
                            // Whichever is larger: a NaN is none, and makes the sum one.
                            let most = if a > before { a } else { before };
                            sums[lane] =
                                sums[lane] * Real::exp(before - most) + Real::exp(a - most);
                            largest[lane] = most;
                        }
                    });
                    let most = halve(largest, |a, b| if a > b { a } else { b });
                    for lane in 0..LANES {
                        sums[lane] *= Real::exp(largest[lane] - most);
                    }
                    h[0] = most + (halve(sums, |a, b| a + b).ln() - log_n);
                },
            );
        });
    });
}

pub(super) fn responsibilities(c: &Call<f32>) {
    let (n, units, z) = (c.dim("C"), c.dim("Z"), &c.read("z")[..]);
    let (ratio, weight) = (&c.read("ratio")[..], &c.read("weight")[..]);
    let (beta, log_n) = (c.read("rates")[rates::KL_WEIGHT], (n as f32).ln());
    grouped(c, |components| {
        rows_of_work(&mut c.write("responsibility"), n, 4 * n * units, |row, shares| {
            vectorized(
                #[inline(always)]
                || {
                    let (u, of_all) = (beta * weight[row], ratio[row] + log_n);
                    components.relative(&z[row * units..][..units], |group, a| {
                        let mut each = [0.0; LANES];
                        for lane in 0..LANES {
                            each[lane] = u * Real::exp(a[lane] - of_all);
                        }
                        let shares = &mut shares[group * LANES..];
                        let count = shares.len().min(LANES);
                        shares[..count].copy_from_slice(&each[..count]);
                    });
                },
            );
        });
    });
}

/// Calls `f` with e^-l of the components of a call, (C, Z).
fn inverses(c: &Call<f32>, f: impl FnOnce(&[f32], &[f32])) {
    let (n, units, components) = (c.dim("C"), c.dim("Z"), c.read("components"));
    with_scratch(n * units, |inverse| {
        let rows = inverse.chunks_exact_mut(units).zip(components.chunks_exact(2 * units));
        for (inverse, of) in rows {
            for (inverse, &l) in inverse.iter_mut().zip(&of[units..]) {
                *inverse = Real::exp(-clamp_log_variance(l));
            }
        }
        f(&components, inverse);
    });
}

pub(super) fn backward_sample(c: &Call<f32>) {
    let (n, units, z) = (c.dim("C"), c.dim("Z"), &c.read("z")[..]);
    let (shares, d_z) = (&c.read("shares")[..], &c.read("d_z")[..]);
    inverses(c, |components, inverse| {
        rows_of_work(&mut c.write("d_both"), units, 4 * n * units, |row, sums| {
            vectorized(
                #[inline(always)]
                || {
                    let z = &z[row * units..][..units];
                    sums.fill(0.0);
                    let each = components.chunks_exact(2 * units).zip(inverse.chunks_exact(units));
                    for (&share, (m, inverse)) in shares[row * n..][..n].iter().zip(each) {
                        for unit in 0..units {
                            sums[unit] += share * (z[unit] + (m[unit] - z[unit]) * inverse[unit]);
                        }
                    }
                    for (sum, &d_z) in sums.iter_mut().zip(&d_z[row * units..]) {
                        *sum += d_z;
                    }
                },
            );
        });
    });
}

pub(super) fn backward_components(c: &Call<f32>) {
    let (n, units, rows) = (c.dim("C"), c.dim("Z"), c.dim("R"));
    let (z, shares) = (&c.read("z")[..], &c.read("shares")[..]);
    inverses(c, |components, inverse| {
        rows_of_work(&mut c.write("d_components"), 2 * units, 5 * rows * units, |component, d| {
            vectorized(
                #[inline(always)]
                || {
                    let (m, raw) = components[component * 2 * units..][..2 * units].split_at(units);
                    let inverse = &inverse[component * units..][..units];
                    d.fill(0.0);
                    let (d_m, d_l) = d.split_at_mut(units);
                    for (z, shares) in z.chunks_exact(units).zip(shares.chunks_exact(n)) {
                        let share = shares[component];
                        for unit in 0..units {
                            let far = z[unit] - m[unit];
                            d_m[unit] += share * far;
                            d_l[unit] += share * (far * far * inverse[unit] - 1.0);
                        }
                    }
                    for unit in 0..units {
                        d_m[unit] *= inverse[unit];
                        let inside = clamp_log_variance(raw[unit]) == raw[unit];
                        d_l[unit] = if inside { 0.5 * d_l[unit] } else { 0.0 };
                    }
                },
            );
        });
    });
}
