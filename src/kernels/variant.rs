//! Variants of a kernel: other ways to the same result, each the fastest on some adapter.

use crate::plan::shader::Imports;

/// One of a kernel's shaders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variant {
    pub name: &'static str,
    /// What its imports stand for.
    pub imports: &'static Imports,
    /// What a workgroup covers of the kernel's grid in x and y.
    pub tile: [usize; 2],
    /// The size that every subgroup of the adapter must have, where the shader depends on it.
    pub subgroup: Option<u32>,
}

/// Of a kernel that has no other.
pub static SINGLE: &[Variant] =
    &[Variant { name: "single", imports: &[], tile: [1, 1], subgroup: None }];

/// Of a product of matrices, see shaders/lib/product.wgsl: its grid is rows in x and columns in y.
pub static PRODUCT: &[Variant] = &[
    Variant {
        name: "tiled",
        imports: &[("tile", "tile_tiled"), ("row_parts", "row_parts_memory")],
        tile: [32, 32],
        subgroup: None,
    },
    Variant {
        name: "wide",
        imports: &[("tile", "tile_wide"), ("row_parts", "row_parts_memory")],
        tile: [64, 64],
        subgroup: None,
    },
    Variant {
        name: "subgroups",
        imports: &[("tile", "tile_subgroups"), ("row_parts", "row_parts_subgroups")],
        tile: [16, 32],
        subgroup: Some(8),
    },
];

/// The most variants a kernel has.
pub const MOST: usize = 3;
