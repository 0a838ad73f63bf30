// A product whose elements meet others where they are stored: see lib/product. In place of its `store` the kernel
// declares Fetched and fetch of lib/fetched_row, and
//   fn store(row: u32, column: u32, v: f32, fetched: Fetched), called once for each element.
// A load waits for every store before it, which might be to the same place for all that a compiler knows. So four
// rows are fetched before the first of them is stored.
#import fetched_row
#import fragment
#import tile

fn product_fetch(group: vec3<u32>, lane: u32) {
    var t: Fragment;
    let at = multiply(group, lane, &t);
    if at.x >= rows() { return; }
    for (var r = 0u; r < FRAGMENT_ROWS; r += 2u) {
        let row = at.x + r;
        // A second that the fragment has not is used by nobody, and so loaded by no compiler.
        let fetched0 = fetch_row(row, at.y);
        let fetched1 = fetch_row(row + 1u, at.y);
        store_row(row, at.y, next_row(&t), fetched0);
        if FRAGMENT_ROWS > 1u { store_row(row + 1u, at.y, next_row(&t), fetched1); }
    }
}

fn store_row(row: u32, first_column: u32, v: vec4<f32>, fetched: FetchedRow) {
    let column = columns_from(first_column);
    let stored = inside_edges(row, column);
    if edge_between_vectors() {
        if stored.x {
            store(row, column.x, v.x, fetched.x);
            store(row, column.y, v.y, fetched.y);
            store(row, column.z, v.z, fetched.z);
            store(row, column.w, v.w, fetched.w);
        }
    } else {
        if stored.x { store(row, column.x, v.x, fetched.x); }
        if stored.y { store(row, column.y, v.y, fetched.y); }
        if stored.z { store(row, column.z, v.z, fetched.z); }
        if stored.w { store(row, column.w, v.w, fetched.w); }
    }
}
