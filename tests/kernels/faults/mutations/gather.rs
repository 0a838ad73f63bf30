//! Faults of the shaders of gather.

use super::Faults;

pub static FAULTS: &[Faults] = &[
    Faults {
        file: "gather",
        kernels: &["gather.gather"],
        mutations: &[
            ("v >= 128u", "v > 128u"),
            ("f32(v) / 255.0", "f32(v) / 256.0"),
            ("v * 0x01010101u", "v * 0x01000000u"),
            ("uniforms[j] < v", "uniforms[0] < v"),
            ("clock[POSITION] + row", "row"),
            ("clock[EPOCH] + (clock[POSITION] + row) / N", "clock[EPOCH]"),
            ("clock[EPOCH] + (clock[POSITION] + row) / N", "(clock[POSITION] + row) / N"),
            ("(clock[POSITION] + row) % N", "min(clock[POSITION] + row, N - 1u)"),
            ("epoch, place, 0u, STREAM", "epoch, row, 0u, STREAM"),
            ("epoch, place, 0u, STREAM", "clock[STEP], place, 0u, STREAM"),
            ("epoch, place, 0u, STREAM", "epoch, image, 0u, STREAM"),
            ("place, 0u, STREAM", "place, 0u, 0u"),
            ("8u * (byte % 4u)", "24u - 8u * (byte % 4u)"),
            ("j < 4u", "j < 3u"),
            ("place, 0u, FLIP_STREAM", "place, 0u, STREAM"),
            (", FLIP_STREAM, 0u), key).x", ", FLIP_STREAM, 0u), key).y"),
            ("key).x & 1u) == 1u", "key).x & 2u) == 2u"),
            ("FLIP == 1u && is_mirrored(place", "FLIP == 1u && is_mirrored(row"),
            ("is_mirrored(place, key, epoch);", "is_mirrored(place, key, clock[EPOCH]);"),
            ("select(d, opposite(d), mirrored)", "select(opposite(d), d, mirrored)"),
            ("(d / CHANNELS) % WIDTH", "d / CHANNELS"),
            ("(d / CHANNELS) % WIDTH", "d % WIDTH"),
            ("(WIDTH - 1u - column) * CHANNELS", "(WIDTH - 1u - column)"),
            ("if SHUFFLE == 1u", "if SHUFFLE == 0u"),
            ("if ROWS < N", "if ROWS > N"),
            ("epoch * N + place", "place"),
            ("& (ROWS - 1u)", "% max(ROWS - 1u, 1u)"),
            (
                "vec2<u32>(clock[SEED_LOW], clock[SEED_HIGH])",
                "vec2<u32>(clock[SEED_HIGH], clock[SEED_LOW])",
            ),
        ],
    },
    Faults {
        file: "gather",
        kernels: &["gather.gather_real"],
        mutations: &[
            ("clock[POSITION] + id.y", "id.y"),
            ("at % N", "min(at, N - 1u)"),
            ("clock[EPOCH] + at / N", "clock[EPOCH]"),
            ("if SHUFFLE == 1u", "if SHUFFLE == 0u"),
            ("held(at % N", "drawn(at % N"),
            ("values[image * D + id.x]", "values[image * D]"),
            ("id.x >= D", "id.x >= D - 1u"),
        ],
    },
];
