//! Faults of the shaders of end_step.

use super::Faults;

pub static FAULTS: &[Faults] = &[
    Faults {
        file: "end_step",
        kernels: &["end_step.end_step"],
        mutations: &[
            ("if WRAP == 0u { return min(B, N - min(clock[4], N)); }", ""),
            ("let parts = counted * K * T", "let parts = counted * K"),
            ("let parts = counted * K * T", "let parts = counted * T"),
            ("log_px[part]", "log_px[part / T]"),
            ("part += 4u * WORKGROUP", "part += 8u * WORKGROUP"),
            ("if part < parts { return", "if part + 1u < parts { return"),
            ("likelihood_of(part + 2u * WORKGROUP", "likelihood_of(part + WORKGROUP"),
            ("likelihood.z + likelihood.w", "likelihood.z"),
            ("likelihood_sum / f32(K)", "likelihood_sum"),
            ("clock[2] % S", "min(clock[2], S - 1u)"),
            ("clock[2] = step;", "clock[2] = step + 1u;"),
            ("clock[4] = position + B;", "clock[4] = position + counted;"),
            ("f32(counted)", "f32(B)"),
            ("clock[4] = (position + B) % N", "clock[4] = position + B"),
            ("clock[3] += (position + B) / N", "clock[3] += min((position + B) / N, 1u)"),
            ("if WRAP == 1u", "if WRAP == 0u"),
            ("N - min(clock[4], N)", "N - clock[4]"),
            ("f32(step + 1u) * LN_BETA1", "f32(step) * LN_BETA1"),
            ("f32(step + 1u) * LN_BETA2", "f32(step) * LN_BETA2"),
            ("rows_counted(), 0.0)", "rows_counted(), 1.0)"),
            ("BETA * (f32(step) / WARM_UP)", "BETA"),
            ("f32(step) / WARM_UP", "f32(step + 1u) / WARM_UP"),
            ("rates[3] = BETA;", "rates[3] = 1.0;"),
            ("if f32(step) < WARM_UP", "if f32(step) < 0.5 * WARM_UP"),
            ("divergence += kl[row]", "divergence = kl[row]"),
        ],
    },
    Faults {
        file: "end_step",
        kernels: &["end_step.end_step_with_bound"],
        mutations: &[
            ("part += bound[row]", "part = bound[row]"),
            ("= bound_sum;", "= 0.0;"),
            ("workgroup_sum(part, lane));", "part);"),
            ("row < counted; row += WORKGROUP) { part", "row < B; row += WORKGROUP) { part"),
            ("if WRAP == 0u { return", "if WRAP == 1u { return"),
        ],
    },
];
