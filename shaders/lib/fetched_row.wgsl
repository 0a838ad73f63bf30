// What belongs to the elements of a fragment's row beside their sums, as a bias or an optimizer's state: see
// lib/fragment. The kernel declares
//   alias Fetched, what belongs to an element, and
//   fn fetch(row: u32, column: u32) -> Fetched, which loads it, inside the sizes, for some elements more than once.

struct FetchedRow {
    x: Fetched,
    y: Fetched,
    z: Fetched,
    w: Fetched,
}

/// Of the four columns from this one on; beyond the edges the last row or column comes again.
fn fetch_row(row: u32, first_column: u32) -> FetchedRow {
    let r = min(row, rows() - 1u);
    let column = min(columns_from(first_column), vec4<u32>(columns() - 1u));
    return FetchedRow(fetch(r, column.x), fetch(r, column.y), fetch(r, column.z), fetch(r, column.w));
}
