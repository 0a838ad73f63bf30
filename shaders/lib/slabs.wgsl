// Rows of a product that may be more than one dimension of a grid has room for: slabs of SLAB rows, one behind the
// other in z. The kernel declares SLAB, and says where its workgroup's slab begins before it multiplies.
var<private> first_row: u32;

/// How many of `total` rows are in the workgroup's slab.
fn rows_of_slab(total: u32) -> u32 { return min(SLAB, total - first_row); }
