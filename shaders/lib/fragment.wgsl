// The part of a tile that an invocation holds: FRAGMENT_ROWS rows of 4 columns.
alias Fragment = array<vec4<f32>, FRAGMENT_ROWS>;

/// The first row; the others move up. So that a loop over the rows needs no index that is known only when it
/// runs: a compiler that does not unroll the loop would keep the whole fragment in memory, not in registers.
fn next_row(t: ptr<function, Fragment>) -> vec4<f32> {
    let first = (*t)[0];
    for (var r = 1u; r < FRAGMENT_ROWS; r++) { (*t)[r - 1u] = (*t)[r]; }
    return first;
}

/// The columns of a fragment whose first is this one.
fn columns_from(first: u32) -> vec4<u32> {
    return first + COLUMN_STEP * vec4<u32>(0u, 1u, 2u, 3u);
}

/// Which elements of a fragment's row are elements of the result.
fn inside_edges(row: u32, column: vec4<u32>) -> vec4<bool> {
    return (column < vec4<u32>(columns())) & vec4<bool>(row < rows());
}

/// Whether all four elements of a fragment's row are inside the edges wherever one is: then a branch for each of them
/// can be one for all. Most sizes are divisible by four, and a compiler knows.
fn edge_between_vectors() -> bool {
    return (COLUMN_STEP == 1u) & (columns() % 4u == 0u);
}
