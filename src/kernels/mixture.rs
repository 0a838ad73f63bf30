//! A prior that is the mean of Gaussians with diagonal covariances: draws from it, its density relative to that of N(0, I),
//! and the gradient of that.

use crate::kernels::library::single;
use crate::kernels::posterior::{EXTREME, clamp_log_variance};
use crate::kernels::{clock, grid_of_groups, rates};
use crate::numeric::philox::{counter, normal4, philox};
use crate::numeric::{Real, parallel, sum};
use crate::plan::case::{Fill, clock_words};
use crate::plan::{Call, Case, Constants, Cost, Kernel, Parts, formula};

const SOURCE: &str = include_str!("../../shaders/mixture.wgsl");

pub static DENSITY: Kernel = single(Parts {
    file: "mixture",
    source: SOURCE,
    entry: "density",
    summary: "h(z) = log p(z) − log N(z; 0, I), p the mean of C Gaussians",
    grid: |c| grid_of_groups(c.dim("R")),
    formula: formula!(density),
    cases: || {
        let case = |r, c, z| Case::new(&[("R", r), ("C", c), ("Z", z)]);
        vec![
            case(1, 1, 1),
            case(3, 2, 5),
            case(7, 9, 4).fill("z", Fill::Cycle(vec![NEAR])).fill("components", beyond()),
            case(5, 63, 3),
            case(5, 64, 16),
            case(5, 65, 17).fill("components", Fill::Uniform(-0.5, 0.5)),
            case(4, 300, 33).fill("components", Fill::Uniform(-0.3, 0.3)),
            case(33_000, 3, 2), // more rows than one dimension of a grid has room for
            case(100, 500, 40).fill("components", Fill::Uniform(-0.5, 0.5)),
        ]
    },
    cost: |c| pairs_cost(c, 6),
});

pub static RESPONSIBILITIES: Kernel = single(Parts {
    file: "mixture",
    source: SOURCE,
    entry: "responsibilities",
    summary: "the share of each component in p(z), times the row's weight and that of the KL",
    grid: |c| [c.dim("C").div_ceil(c.dim("WORKGROUP")), c.dim("R"), 1],
    formula: formula!(responsibilities),
    cases: || {
        // Ratios that are near those of the components.
        let case = |r, c, z| {
            Case::new(&[("R", r), ("C", c), ("Z", z)])
                .fill("ratio", Fill::Uniform(-2.0, 2.0))
                .fill("weight", Fill::Uniform(0.0, 0.1))
                .fill("rates", Fill::Cycle(vec![1e-3, 0.1, 1e-3, 0.7]))
        };
        vec![
            case(1, 1, 1),
            case(3, 2, 5),
            case(7, 9, 4).fill("z", Fill::Cycle(vec![NEAR])).fill("components", beyond()),
            case(5, 65, 17).fill("components", Fill::Uniform(-0.5, 0.5)),
            // shares of one size: bounds are held to what is typical
            case(100, 500, 40)
                .fill("components", Fill::Uniform(-0.05, 0.05))
                .fill("ratio", Fill::Uniform(-0.1, 0.1)),
        ]
    },
    cost: |c| pairs_cost(c, 6),
});

pub static BACKWARD_SAMPLE: Kernel = single(Parts {
    file: "mixture",
    source: SOURCE,
    entry: "backward_sample",
    summary: "d_z and the gradient of h there",
    grid: |c| [c.dim("Z").div_ceil(c.dim("WORKGROUP")), c.dim("R"), 1],
    formula: formula!(backward_sample),
    cases: gradient_cases,
    cost: |c| pairs_cost(c, 6),
});

pub static BACKWARD_COMPONENTS: Kernel = single(Parts {
    file: "mixture",
    source: SOURCE,
    entry: "backward_components",
    summary: "d_m, d_ℓ of the components of a mixture",
    grid: |c| [c.dim("Z").div_ceil(c.dim("WORKGROUP")), c.dim("C"), 1],
    formula: formula!(backward_components),
    cases: gradient_cases,
    cost: |c| pairs_cost(c, 8),
});

pub static DIVERGENCE: Kernel = single(Parts {
    file: "mixture",
    source: SOURCE,
    entry: "divergence",
    summary: "KL(q ‖ N(0, I)) − the mean of h at the samples",
    grid: |c| grid_of_groups(c.dim("B").div_ceil(c.dim("WORKGROUP"))),
    formula: formula!(divergence),
    cases: || {
        let case = |b, k| Case::new(&[("B", b), ("K", k)]);
        vec![
            case(1, 1),
            case(3, 2),
            case(65, 5),
            case(128, 50),
            // more workgroups than one dimension of a grid has room for
            case(33_000, 1).constant("WORKGROUP", 1.0),
        ]
    },
    cost: |c| {
        let n = (c.dim("B") * c.dim("K")) as u64;
        Cost { flops: n, bytes: 4 * n }
    },
});

pub static SAMPLE: Kernel = single(Parts {
    file: "mixture",
    source: SOURCE,
    entry: "sample",
    summary: "z of one of C Gaussians, each as likely, from Philox",
    grid: |c| [c.dim("Z").div_ceil(4).div_ceil(c.dim("WORKGROUP")), c.dim("B") * c.dim("K"), 1],
    formula: formula!(sample),
    cases: || {
        let case = |b, k, c, z| {
            Case::new(&[("B", b), ("K", k), ("C", c), ("Z", z)])
                .constant("K", k as f64)
                .constant("STREAM", 4.0)
                .fill("clock", clock_words(u64::MAX - 1, 9, 2, 5)) // the halves of the key differ
        };
        vec![
            case(1, 1, 1, 1),
            case(40, 1, 3, 7),
            case(1, 100, 5, 20),
            case(9, 3, 4, 4).fill("components", Fill::Cycle(EXTREME.to_vec())),
            case(2, 3, 2, 259),
            case(4, 250, 500, 40),
        ]
    },
    cost: |c| {
        let n = (c.dim("B") * c.dim("K") * c.dim("Z")) as u64;
        Cost { flops: 35 * n, bytes: 12 * n }
    },
});

/// z where variances are low: so near zero that e^30 times the square of its rounding is small.
const NEAR: f64 = 1e-3;

/// Components of four units with log variances on both sides of the clamp and on it. Where one is low, the mean is [`NEAR`]
/// as z is: elsewhere nothing would be as large as what is made of the rounding there.
fn beyond() -> Fill {
    let components = [
        [NEAR, 0.5, NEAR, 0.5, -50.0, 20.5, -30.5, 1.0],
        [NEAR, 2.0, NEAR, -1.0, -30.0, 30.0, -31.0, 0.5],
        [-0.5, NEAR, NEAR, 0.2, 19.5, -29.5, -60.0, 20.0],
    ];
    Fill::Cycle(components.concat())
}

fn gradient_cases() -> Vec<Case> {
    let case = |r, c, z| {
        Case::new(&[("R", r), ("C", c), ("Z", z)]).fill("shares", Fill::Uniform(0.0, 0.01))
    };
    vec![
        case(1, 1, 1),
        case(3, 2, 5),
        case(7, 9, 4).fill("components", Fill::Cycle(EXTREME.to_vec())),
        case(5, 65, 17),
        case(2, 3, 129),
        case(100, 500, 40),
    ]
}

/// Of a kernel that does so many operations for each unit of each pair of row and component.
fn pairs_cost(c: &Constants, flops: u64) -> Cost {
    let (r, components, z) = (c.dim("R") as u64, c.dim("C") as u64, c.dim("Z") as u64);
    Cost { flops: flops * r * components * z, bytes: 4 * (r * z + 2 * components * z) }
}

/// a(z) = 1/2 sum_u z^2 - (z - m)^2 e^-l - l of a component [m | l]: log N(z; m, diag e^l) - log N(z; 0, I).
fn relative<T: Real>(component: &[T], z: &[T]) -> T {
    let (m, l) = component.split_at(z.len());
    let terms = z.iter().zip(m).zip(l).map(|((&z, &m), &l)| {
        let l = clamp_log_variance(l);
        z * z - (z - m) * (z - m) * (-l).exp() - l
    });
    T::from_f64(0.5) * sum(terms)
}

/// h = logsumexp_c a_c - log C.
fn density<T: Real>(c: &Call<T>) {
    let (n, width) = (c.dim("C"), c.dim("Z"));
    let (components, z) = (&c.read("components")[..], &c.read("z")[..]);
    parallel::rows(&mut c.write("log_ratio"), 1, |row, h| {
        let z = &z[row * width..][..width];
        let a: Vec<T> = components.chunks_exact(2 * width).map(|of| relative(of, z)).collect();
        let largest = a.iter().fold(a[0], |max, &v| if v > max { v } else { max });
        let total = sum(a.iter().map(|&v| (v - largest).exp()));
        h[0] = largest + (total.ln() - T::from_f64(n as f64).ln());
    });
}

/// r_c = beta weight e^(a_c - h - log C).
fn responsibilities<T: Real>(c: &Call<T>) {
    let (n, width) = (c.dim("C"), c.dim("Z"));
    let (components, z) = (&c.read("components")[..], &c.read("z")[..]);
    let (ratio, weight) = (&c.read("ratio")[..], &c.read("weight")[..]);
    let beta = c.read("rates")[rates::KL_WEIGHT];
    parallel::rows(&mut c.write("responsibility"), n, |row, shares| {
        let z = &z[row * width..][..width];
        for (share, of) in shares.iter_mut().zip(components.chunks_exact(2 * width)) {
            let log_share = relative(of, z) - ratio[row] - T::from_f64(n as f64).ln();
            *share = beta * weight[row] * log_share.exp();
        }
    });
}

/// d_z + sum_c r_c (z + (m - z) e^-l).
fn backward_sample<T: Real>(c: &Call<T>) {
    let (n, width) = (c.dim("C"), c.dim("Z"));
    let (components, z) = (&c.read("components")[..], &c.read("z")[..]);
    let (shares, d_z) = (&c.read("shares")[..], &c.read("d_z")[..]);
    parallel::rows(&mut c.write("d_both"), width, |row, d_both| {
        let each = || components.chunks_exact(2 * width).zip(&shares[row * n..][..n]);
        for (unit, d_both) in d_both.iter_mut().enumerate() {
            let v = z[row * width + unit];
            let of = |(of, &share): (&[T], &T)| {
                let l = clamp_log_variance(of[width + unit]);
                share * (v + (of[unit] - v) * (-l).exp())
            };
            *d_both = d_z[row * width + unit] + sum(each().map(of));
        }
    });
}

/// d_m = sum_r r_c (z - m) e^-l,  d_l = 1/2 sum_r r_c ((z - m)^2 e^-l - 1); d_l is zero where l is beyond its bounds.
fn backward_components<T: Real>(c: &Call<T>) {
    let (n, width, rows) = (c.dim("C"), c.dim("Z"), c.dim("R"));
    let (components, z, shares) =
        (&c.read("components")[..], &c.read("z")[..], &c.read("shares")[..]);
    parallel::rows(&mut c.write("d_components"), 2 * width, |component, d| {
        let of = &components[component * 2 * width..][..2 * width];
        for unit in 0..width {
            let (m, raw) = (of[unit], of[width + unit]);
            let l = clamp_log_variance(raw);
            let inverse = (-l).exp();
            let each =
                || (0..rows).map(|row| (shares[row * n + component], z[row * width + unit] - m));
            d[unit] = inverse * sum(each().map(|(share, far)| share * far));
            let squares = each().map(|(share, far)| share * (far * far * inverse - T::ONE));
            let d_l = T::from_f64(0.5) * sum(squares);
            d[width + unit] = if l == raw { d_l } else { T::ZERO };
        }
    });
}

/// KL(q || N(0, I)) - mean_k h(z_k).
fn divergence<T: Real>(c: &Call<T>) {
    let (k, to_normal, ratios) = (c.dim("K"), c.read("to_normal"), c.read("ratios"));
    for (image, kl) in c.write("kl").iter_mut().enumerate() {
        let total = sum(ratios[image * k..][..k].iter().copied());
        *kl = to_normal[image] - total / T::from_f64(k as f64);
    }
}

/// z = m + e^(l/2) eps of a component, K draws an image.
fn sample<T: Real>(c: &Call<T>) {
    let (words, k, stream) = (&c.read_u32("clock")[..], c.dim("K"), c.dim("STREAM") as u32);
    let (n, width, components) = (c.dim("C"), c.dim("Z"), &c.read("components")[..]);
    let key = [words[clock::SEED_LOW], words[clock::SEED_HIGH]];
    parallel::rows(&mut c.write("drawn"), width, |row, z| {
        let place = words[clock::POSITION] as usize + row / k;
        let sample = words[clock::SAMPLE] as usize + row % k;
        let bits = |quad| philox(counter(words[clock::EPOCH], place, sample, stream, quad), key);
        // The group behind those of the units.
        let component = bits(width.div_ceil(4))[0] as usize % n;
        let (m, l) = components[component * 2 * width..][..2 * width].split_at(width);
        for (quad, z) in z.chunks_mut(4).enumerate() {
            let eps = normal4::<T>(bits(quad));
            for (j, z) in z.iter_mut().enumerate() {
                let unit = 4 * quad + j;
                let l = clamp_log_variance(l[unit]);
                *z = m[unit] + (T::from_f64(0.5) * l).exp() * eps[j];
            }
        }
    });
}
