//! The variants of a product of matrices: its tiles.

use super::LIBRARY;
use crate::plan::{Kernel, Parts, Variant};

/// A kernel that is a product of matrices, with its variants.
pub const fn product(parts: Parts) -> Kernel {
    Kernel::new(LIBRARY, parts, PRODUCT)
}

/// Of a product of matrices, see shaders/lib/product.wgsl: its grid is rows in x and columns in y. The first
/// has a grid that is small enough for every plan.
pub const PRODUCT: &[Variant] = &[
    Variant {
        name: "tiled",
        imports: &[("tile", "tile_tiled"), ("row_parts", "row_parts_memory")],
        tile: [32, 32],
        subgroup: None,
        cooperative: None,
    },
    Variant {
        name: "wide",
        imports: &[("tile", "tile_wide"), ("row_parts", "row_parts_memory")],
        tile: [64, 64],
        subgroup: None,
        cooperative: None,
    },
    Variant {
        name: "tall",
        imports: &[("tile", "tile_tall"), ("row_parts", "row_parts_memory")],
        tile: [128, 64],
        subgroup: None,
        cooperative: None,
    },
    Variant {
        name: "large",
        imports: &[("tile", "tile_large"), ("row_parts", "row_parts_memory")],
        tile: [128, 128],
        subgroup: None,
        cooperative: None,
    },
    Variant {
        name: "split",
        imports: &[("tile", "tile_split"), ("row_parts", "row_parts_memory")],
        tile: [16, 32],
        subgroup: None,
        cooperative: None,
    },
    Variant {
        name: "skinny",
        imports: &[("tile", "tile_skinny"), ("row_parts", "row_parts_memory")],
        tile: [4, 32],
        subgroup: None,
        cooperative: None,
    },
    Variant {
        name: "subgroups",
        imports: &[("tile", "tile_subgroups"), ("row_parts", "row_parts_subgroups")],
        tile: [16, 32],
        subgroup: Some(8),
        cooperative: None,
    },
    Variant::mixed(
        "cooperative_16_32",
        &[("tile", "tile_cooperative_16_32"), ("row_parts", "row_parts_memory")],
        16,
        32,
    ),
    Variant::mixed(
        "cooperative_16_64",
        &[("tile", "tile_cooperative_16_64"), ("row_parts", "row_parts_memory")],
        16,
        64,
    ),
    Variant::mixed(
        "cooperative_8_32",
        &[("tile", "tile_cooperative_8_32"), ("row_parts", "row_parts_memory")],
        8,
        32,
    ),
    Variant::mixed(
        "cooperative_8_8",
        &[("tile", "tile_cooperative_8_8"), ("row_parts", "row_parts_memory")],
        8,
        8,
    ),
];
