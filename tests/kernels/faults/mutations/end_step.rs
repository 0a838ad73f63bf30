//! Faults of the shaders of end_step.

use super::Faults;

pub static FAULTS: &[Faults] = &[
    Faults {
        file: "end_step",
        kernels: &["end_step.end_step"],
        mutations: &[
            ("if WRAP == 0u { return min(B, N - min(clock[POSITION], N)); }", ""),
            ("let parts = counted * K * T", "let parts = counted * K"),
            ("let parts = counted * K * T", "let parts = counted * T"),
            ("log_px[part]", "log_px[part / T]"),
            ("part += 4u * WORKGROUP", "part += 8u * WORKGROUP"),
            ("if part < parts { return", "if part + 1u < parts { return"),
            ("likelihood_of(part + 2u * WORKGROUP", "likelihood_of(part + WORKGROUP"),
            ("likelihood.z + likelihood.w", "likelihood.z"),
            ("likelihood_sum / f32(K)", "likelihood_sum"),
            ("clock[STEP] % S", "min(clock[STEP], S - 1u)"),
            ("clock[STEP] = step;", "clock[STEP] = step + 1u;"),
            ("clock[POSITION] = position + B;", "clock[POSITION] = position + counted;"),
            ("f32(counted)", "f32(B)"),
            ("clock[POSITION] = (position + B) % N", "clock[POSITION] = position + B"),
            ("clock[EPOCH] += (position + B) / N", "clock[EPOCH] += min((position + B) / N, 1u)"),
            ("if WRAP == 1u", "if WRAP == 0u"),
            ("N - min(clock[POSITION], N)", "N - clock[POSITION]"),
            ("f32(step + 1u) * LN_BETA1", "f32(step) * LN_BETA1"),
            ("f32(step + 1u) * LN_BETA2", "f32(step) * LN_BETA2"),
            ("rows_counted(), 0.0)", "rows_counted(), 1.0)"),
            ("BETA * (f32(step) / WARM_UP)", "BETA"),
            ("f32(step) / WARM_UP", "f32(step + 1u) / WARM_UP"),
            ("rates[KL_WEIGHT] = BETA;", "rates[KL_WEIGHT] = 1.0;"),
            ("if f32(step) < WARM_UP", "if f32(step) < 0.5 * WARM_UP"),
            ("if f32(step) < RATE_WARM_UP", "if f32(step + 1u) < RATE_WARM_UP"),
            ("if f32(step) < RATE_WARM_UP", "if f32(step) < RATE_WARM_UP + 1.0"),
            ("RATE * min(", "min("),
            ("f32(step + 1u) / RATE_WARM_UP", "f32(step) / RATE_WARM_UP"),
            ("/ RATE_WARM_UP, 1.0)", "/ RATE_WARM_UP, 2.0)"),
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
