// A product whose elements meet others where they are stored: see lib/product. In place of its `store` the kernel
// declares Fetched and fetch of lib/fetched_row, and
//   fn store(row: u32, column: u32, v: f32, fetched: Fetched), called once for each element.
// A load waits for every store before it, which might be to the same place for all that a compiler knows. So four rows,
// of small tiles the whole fragment, are fetched before the first of them is stored. With eight the optimizer's state of
// a fragment would not fit into the registers of some GPUs.
#import fetched_row
#import fragment
#import tile

fn product_fetch(group: vec3<u32>, lane: u32) {
    var t: Fragment;
    let at = multiply(group, lane, &t);
    if at.x >= rows() { return; }
    // A loop takes compilers less time than four times the same, and waits where they do not unroll it.
    if FRAGMENT_ROWS > 8u {
        for (var r = 0u; r < FRAGMENT_ROWS; r += 4u) { store_four(at.x + r, at.y, &t); }
        return;
    }
    store_four(at.x, at.y, &t);
    if FRAGMENT_ROWS > 4u { store_four(at.x + 4u, at.y, &t); }
}

/// Stores the next four rows of a fragment, or as many as it has, and moves the others up.
fn store_four(row: u32, first_column: u32, t: ptr<function, Fragment>) {
    // Those that the fragment has not are used by nobody, and so loaded by no compiler.
    let fetched0 = fetch_row(row, first_column);
    let fetched1 = fetch_row(row + 1u, first_column);
    let fetched2 = fetch_row(row + 2u, first_column);
    let fetched3 = fetch_row(row + 3u, first_column);
    store_row(row, first_column, next_row(t), fetched0);
    if FRAGMENT_ROWS > 1u { store_row(row + 1u, first_column, next_row(t), fetched1); }
    if FRAGMENT_ROWS > 2u {
        store_row(row + 2u, first_column, next_row(t), fetched2);
        store_row(row + 3u, first_column, next_row(t), fetched3);
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
