//! Faults of the shaders of annealed.

use super::Faults;

pub static FAULTS: &[Faults] = &[
    Faults {
        file: "annealed",
        kernels: &["annealed.transition"],
        mutations: &[
            ("if clock[STEP] % L != 0u { return; }", ""),
            ("group.x + group.y * groups.x", "group.x"),
            // the acceptance
            ("accepted = (f32", "accepted = true || (f32"),
            ("select(exp(better), 1.0, better >= 0.0)", "exp(better)"),
            ("select(exp(better), 1.0, better >= 0.0)", "1.0"),
            ("state[tail + 1u] - (workgroup_sum(reached", "(workgroup_sum(reached"),
            ("let along = workgroup_sum(ratio, lane) + proposed;", "let along = proposed;"),
            ("v[e] + 0.5 * size", "v[e] + size"),
            ("v[e] + 0.5 * size", "v[e] + 0.0 * size"),
            ("current = select(state[tail], proposed, accepted)", "current = proposed"),
            ("state[tail + 3u] + select", "select"),
            ("+ 0.5) * 5.9604644775390625e-8", "+ 0.5) * 2.9802322387695312e-8"),
            // temperatures off by one
            ("schedule[(time - 1u) * 3u + 1u]", "schedule[time * 3u + 1u]"),
            ("schedule[(time - 1u) * 3u + 2u]", "schedule[time * 3u + 2u]"),
            ("let share = schedule[time * 3u];", "let share = schedule[(time + 1u) * 3u];"),
            (
                "let beta = schedule[time * 3u + 1u];\n    var begin",
                "let beta = schedule[(time + 1u) * 3u + 1u];\n    var begin",
            ),
            // the weight
            ("log_w + share * along", "log_w + along"),
            ("log_w + share * along", "share * along"),
            ("log_w = state[tail + 2u];", ""),
            (
                "ratio += far - 0.5 * at * at;\n    }\n    let along = workgroup_sum(ratio, lane) + current",
                "ratio += far;\n    }\n    let along = workgroup_sum(ratio, lane) + current",
            ),
            (
                "workgroup_sum(begin, lane) - beta * along",
                "workgroup_sum(begin, lane) + beta * along",
            ),
            ("begin += 0.5 * momentum * momentum + far", "begin += 0.5 * momentum * momentum"),
            // where the chains are
            ("z[e] = state[own + unit];", "z[e] = 0.5 * state[own + unit];"),
            ("state[own + unit] = z[e];", ""),
            ("state[own + Z + unit] = d_z[e];", ""),
            ("state[tail] = current;", ""),
            // noise
            ("counter_of(time, place, chain, STREAM", "counter_of(0u, place, chain, STREAM"),
            (
                "counter_of(time, place, chain, ACCEPT_STREAM",
                "counter_of(time, place, 0u, ACCEPT_STREAM",
            ),
            ("clock[SAMPLE] + row % K", "row % K"),
            ("clock[POSITION] + image", "image"),
            ("four[unit % 4u]", "four[0]"),
            ("if FROM_PRIOR == 1u", "if FROM_PRIOR == 2u"),
            ("(z - r.x) * (z - r.x) * exp(-r.y) + r.y", "(z - r.x) * (z - r.x) * exp(-r.y)"),
            ("let image = row / K;", "let image = row;"),
            ("log_px[row * T + i]", "log_px[row]"),
        ],
    },
    Faults {
        file: "annealed",
        kernels: &["annealed.leapfrog"],
        mutations: &[
            ("select(1.0, 0.5, first)", "1.0"),
            ("select(1.0, 0.5, first)", "0.5"),
            ("select(gradient[e], begun[row * W + Z + unit], first)", "gradient[e]"),
            ("begun[row * W + Z + unit]", "begun[row * W + unit]"),
            (
                "let beta = schedule[time * 3u + 1u];\n    let size",
                "let beta = schedule[time * 3u + 4u];\n    let size",
            ),
            (
                "let size = schedule[time * 3u + 2u];\n    let first",
                "let size = schedule[2u];\n    let first",
            ),
            ("z[e] += size * scale_of(row / K, unit, beta) * moved", "z[e] += size * moved"),
            ("v[e] = moved;", "v[e] = 0.5 * moved;"),
            ("beta * (of_log_px - z)", "beta * of_log_px"),
            ("(1.0 - beta) * (z - r.x) * exp(-r.y)", "(z - r.x) * exp(-r.y)"),
            ("(1.0 - beta) * (z - r.x) * exp(-r.y)", "(1.0 - beta) * z * exp(-r.y)"),
            ("scale_of(image, unit, beta) * slope", "slope"),
            ("(1.0 - beta) * exp(-reference(image, unit).y) + beta * exp(-l)", "exp(-l)"),
            ("force(row / K, unit", "force(row, unit"),
        ],
    },
];
