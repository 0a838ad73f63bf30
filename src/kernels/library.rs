//! The files of shaders/lib, which kernels import.

use naga::Module;
use naga::valid::ModuleInfo;

use crate::plan::shader::{self, Imports, Library};
use crate::plan::variant::SINGLE;
use crate::plan::{Kernel, Parts, ShaderError};

/// The library files that `#import` can name.
pub const LIBRARY: &Library = &[
    ("activation", include_str!("../../shaders/lib/activation.wgsl")),
    ("clock", include_str!("../../shaders/lib/clock.wgsl")),
    ("correlation", include_str!("../../shaders/lib/correlation.wgsl")),
    ("count_likelihood", include_str!("../../shaders/lib/count_likelihood.wgsl")),
    ("fetched_row", include_str!("../../shaders/lib/fetched_row.wgsl")),
    ("fragment", include_str!("../../shaders/lib/fragment.wgsl")),
    ("log_variance", include_str!("../../shaders/lib/log_variance.wgsl")),
    ("math", include_str!("../../shaders/lib/math.wgsl")),
    ("mean_scale", include_str!("../../shaders/lib/mean_scale.wgsl")),
    ("missing", include_str!("../../shaders/lib/missing.wgsl")),
    ("normal", include_str!("../../shaders/lib/normal.wgsl")),
    ("operands", include_str!("../../shaders/lib/operands.wgsl")),
    ("optimizer_step", include_str!("../../shaders/lib/optimizer_step.wgsl")),
    ("parameter_gradients", include_str!("../../shaders/lib/parameter_gradients.wgsl")),
    ("patches", include_str!("../../shaders/lib/patches.wgsl")),
    ("philox", include_str!("../../shaders/lib/philox.wgsl")),
    ("product", include_str!("../../shaders/lib/product.wgsl")),
    ("product_fetch", include_str!("../../shaders/lib/product_fetch.wgsl")),
    ("product_sums", include_str!("../../shaders/lib/product_sums.wgsl")),
    ("rates", include_str!("../../shaders/lib/rates.wgsl")),
    ("reduce", include_str!("../../shaders/lib/reduce.wgsl")),
    ("row_parts_memory", include_str!("../../shaders/lib/row_parts_memory.wgsl")),
    ("row_parts_subgroups", include_str!("../../shaders/lib/row_parts_subgroups.wgsl")),
    ("shuffle", include_str!("../../shaders/lib/shuffle.wgsl")),
    ("slabs", include_str!("../../shaders/lib/slabs.wgsl")),
    ("tile_ahead", include_str!("../../shaders/lib/tile_ahead.wgsl")),
    ("tile_cooperative", include_str!("../../shaders/lib/tile_cooperative.wgsl")),
    ("tile_cooperative_16_32", include_str!("../../shaders/lib/tile_cooperative_16_32.wgsl")),
    ("tile_cooperative_16_64", include_str!("../../shaders/lib/tile_cooperative_16_64.wgsl")),
    ("tile_cooperative_8_32", include_str!("../../shaders/lib/tile_cooperative_8_32.wgsl")),
    ("tile_cooperative_8_8", include_str!("../../shaders/lib/tile_cooperative_8_8.wgsl")),
    ("tile_large", include_str!("../../shaders/lib/tile_large.wgsl")),
    ("tile_loads", include_str!("../../shaders/lib/tile_loads.wgsl")),
    ("tile_memory", include_str!("../../shaders/lib/tile_memory.wgsl")),
    ("tile_skinny", include_str!("../../shaders/lib/tile_skinny.wgsl")),
    ("tile_split", include_str!("../../shaders/lib/tile_split.wgsl")),
    ("tile_subgroups", include_str!("../../shaders/lib/tile_subgroups.wgsl")),
    ("tile_sums", include_str!("../../shaders/lib/tile_sums.wgsl")),
    ("tile_tall", include_str!("../../shaders/lib/tile_tall.wgsl")),
    ("tile_tiled", include_str!("../../shaders/lib/tile_tiled.wgsl")),
    ("tile_wide", include_str!("../../shaders/lib/tile_wide.wgsl")),
    ("transposed_correlation", include_str!("../../shaders/lib/transposed_correlation.wgsl")),
    ("unit_normal", include_str!("../../shaders/lib/unit_normal.wgsl")),
];

/// [`shader::resolve_imports`] from shaders/lib.
///
/// # Errors
/// As there.
pub fn resolve_imports(file: &str, source: &str, imports: &Imports) -> Result<String, ShaderError> {
    shader::resolve_imports(LIBRARY, imports, file, source)
}

/// [`shader::validate`] with the imports from shaders/lib.
///
/// # Errors
/// As there.
pub fn validate(
    file: &str,
    source: &str,
    imports: &Imports,
) -> Result<(String, Module, ModuleInfo), ShaderError> {
    shader::validate(LIBRARY, imports, file, source)
}

/// A kernel of one variant.
pub const fn single(parts: Parts) -> Kernel {
    Kernel::new(LIBRARY, parts, SINGLE)
}
