//! Group normalisation, an image at a time: channel by channel, as they lie side by side, and then by group.

use super::with_scratch;
use crate::kernels::activation::{Activation, PerActivation};
use crate::kernels::group_norm::EPSILON;
use crate::numeric::parallel::{Shared, rows_of_work, vectorized};
use crate::plan::Call;

/// Operations that an element counts as.
const OPERATIONS: usize = 24;

/// P, C and G.
#[derive(Clone, Copy)]
struct Sizes {
    pixels: usize,
    channels: usize,
    groups: usize,
}

impl Sizes {
    fn of(c: &Call<f32>) -> Self {
        Sizes { pixels: c.dim("P"), channels: c.dim("C"), groups: c.dim("G") }
    }

    fn image(self) -> usize {
        self.pixels * self.channels
    }

    /// Puts f of the sum of its group's in the place of each channel's.
    #[inline(always)]
    fn by_group(self, of_channels: &mut [f32], f: impl Fn(f32) -> f32) {
        for group in of_channels.chunks_exact_mut(self.channels / self.groups) {
            let total = f(group.iter().sum());
            group.fill(total);
        }
    }

    /// Elements of a group.
    fn elements(self) -> f32 {
        (self.image() / self.groups) as f32
    }

    /// The mean and 1 / sigma of each channel's group, from the statistics of an image.
    #[inline(always)]
    fn spread(self, kept: &[f32], [mean, rate]: [&mut [f32]; 2]) {
        let (m, r) = kept.split_at(self.groups);
        let own = self.channels / self.groups;
        for (group, (&m, &r)) in m.iter().zip(r).enumerate() {
            mean[group * own..][..own].fill(m);
            rate[group * own..][..own].fill(r);
        }
    }
}

/// The two halves of 2 C numbers, as slices that the compiler knows to be of C.
#[inline(always)]
fn halves(both: &mut [f32], channels: usize) -> [&mut [f32]; 2] {
    let (first, second) = both.split_at_mut(channels);
    [first, &mut second[..channels]]
}

struct Forward<'a> {
    sizes: Sizes,
    x: &'a [f32],
    parameters: &'a [f32],
    y: &'a mut [f32],
    statistics: &'a mut [f32],
}

impl PerActivation for Forward<'_> {
    fn run(self, apply: impl Fn(f32) -> f32 + Sync) {
        let Forward { sizes, x, parameters, y, statistics } = self;
        let Sizes { channels, groups, .. } = sizes;
        let statistics = Shared(statistics.as_mut_ptr());
        let (weight, bias) = parameters.split_at(channels);
        rows_of_work(y, sizes.image(), sizes.image() * OPERATIONS, |row, y| {
            let x = &x[row * sizes.image()..][..sizes.image()];
            with_scratch(2 * channels, |scratch| {
                vectorized(
                    #[inline(always)]
                    || {
                        let [mean, rate] = halves(scratch, channels);
                        let (weight, bias) = (&weight[..channels], &bias[..channels]);
                        let n = sizes.elements();
                        mean.fill(0.0);
                        for x in x.chunks_exact(channels) {
                            for (sum, &x) in mean.iter_mut().zip(x) {
                                *sum += x;
                            }
                        }
                        sizes.by_group(mean, |total| total / n);
                        rate.fill(0.0);
                        for x in x.chunks_exact(channels) {
                            for ((sum, &x), &m) in rate.iter_mut().zip(x).zip(&*mean) {
                                *sum += (x - m) * (x - m);
                            }
                        }
                        sizes.by_group(rate, |total| 1.0 / (total / n + EPSILON as f32).sqrt());
                        for (y, x) in y.chunks_exact_mut(channels).zip(x.chunks_exact(channels)) {
                            for c in 0..channels {
                                let scaled = weight[c] * ((x[c] - mean[c]) * rate[c]);
                                y[c] = apply(scaled + bias[c]);
                            }
                        }
                        let own = channels / groups;
                        for group in 0..groups {
                            // SAFETY: inside (R, 2 G), and a row of it is this task's alone.
                            unsafe {
                                let kept = statistics.get().add(row * 2 * groups + group);
                                *kept = mean[group * own];
                                *kept.add(groups) = rate[group * own];
                            }
                        }
                    },
                );
            });
        });
    }
}

pub(super) fn forward(c: &Call<f32>) {
    Activation::of(c).specialize(Forward {
        sizes: Sizes::of(c),
        x: &c.read("x"),
        parameters: &c.read("parameters"),
        y: &mut c.write("y"),
        statistics: &mut c.write("statistics"),
    });
}

pub(super) fn channel_sums(c: &Call<f32>) {
    let (sizes, x, kept, d_y) = (Sizes::of(c), c.read("x"), c.read("kept"), c.read("d_y"));
    let (x, kept, d_y) = (&x[..], &kept[..], &d_y[..]);
    let Sizes { channels, groups, .. } = sizes;
    let work = sizes.image() * OPERATIONS;
    rows_of_work(&mut c.write("sums"), 2 * channels, work, |row, sums| {
        let image = row * sizes.image()..(row + 1) * sizes.image();
        with_scratch(2 * channels, |scratch| {
            vectorized(
                #[inline(always)]
                || {
                    let [mean, rate] = halves(scratch, channels);
                    sizes.spread(&kept[row * 2 * groups..][..2 * groups], [mean, rate]);
                    let [d_w, d_b] = halves(sums, channels);
                    d_w.fill(0.0);
                    d_b.fill(0.0);
                    let x = x[image.clone()].chunks_exact(channels);
                    for (x, d_y) in x.zip(d_y[image].chunks_exact(channels)) {
                        for c in 0..channels {
                            d_w[c] += d_y[c] * ((x[c] - mean[c]) * rate[c]);
                            d_b[c] += d_y[c];
                        }
                    }
                },
            );
        });
    });
}

pub(super) fn backward_input(c: &Call<f32>) {
    let (sizes, x, kept, d_y) = (Sizes::of(c), c.read("x"), c.read("kept"), c.read("d_y"));
    let (parameters, sums) = (c.read("scale_and_shift"), c.read("channel_gradients"));
    let (x, kept, d_y) = (&x[..], &kept[..], &d_y[..]);
    let Sizes { channels, groups, .. } = sizes;
    let (weight, sums) = (&parameters[..channels], &sums[..]);
    let work = sizes.image() * OPERATIONS;
    rows_of_work(&mut c.write("d_x"), sizes.image(), work, |row, d_x| {
        let image = row * sizes.image()..(row + 1) * sizes.image();
        with_scratch(4 * channels, |scratch| {
            vectorized(
                #[inline(always)]
                || {
                    let (statistics, rest) = scratch.split_at_mut(2 * channels);
                    let [mean, rate] = halves(statistics, channels);
                    let [s1, s2] = halves(rest, channels);
                    sizes.spread(&kept[row * 2 * groups..][..2 * groups], [mean, rate]);
                    let d_w = &sums[row * 2 * channels..][..channels];
                    let d_b = &sums[row * 2 * channels + channels..][..channels];
                    let weight = &weight[..channels];
                    let n = sizes.elements();
                    for c in 0..channels {
                        (s1[c], s2[c]) = (weight[c] * d_b[c], weight[c] * d_w[c]);
                    }
                    sizes.by_group(s1, |total| total / n);
                    sizes.by_group(s2, |total| total / n);
                    let pixels = x[image.clone()].chunks_exact(channels);
                    let pixels = pixels.zip(d_y[image].chunks_exact(channels));
                    for (d_x, (x, d_y)) in d_x.chunks_exact_mut(channels).zip(pixels) {
                        for c in 0..channels {
                            let normal = (x[c] - mean[c]) * rate[c];
                            d_x[c] = rate[c] * (weight[c] * d_y[c] - s1[c] - normal * s2[c]);
                        }
                    }
                },
            );
        });
    });
}
