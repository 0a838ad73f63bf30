// A product of two matrices, a tile of it in each workgroup, and what becomes of each element.
// The kernel declares the sizes, the operands and the destination:
//   fn rows() -> u32, fn columns() -> u32, fn inner() -> u32, none of them 0
//   fn left(row: u32, k: u32) -> f32, fn right(k: u32, column: u32) -> f32, both inside these sizes, and called for
//     some elements more than once; what they return beside the edges may be dropped. A branch in them is one that
//     loads wait for: see lib/operands
//   fn left_scale() -> f32, a power of two that brings the left operand into the range of f16, for the tiles
//     that compute in it: no element of either operand may be beyond 65504 then
//   fn store(row: u32, column: u32, v: f32), called once for each element. One that loads is better declared by
//     lib/product_fetch
//   const LEFT_ALONG_INNER, const RIGHT_ALONG_INNER: whether neighbours in memory are neighbours in k
// It cannot declare A, B or C: so the roles of cooperative matrices are called.
// Every element is summed over k in an order that the tile fixes: ascending, or ascending in each slice of
// lib/tile_split or lib/tile_skinny and then over the slices.
#import fragment
#import tile

fn product(group: vec3<u32>, lane: u32) {
    var t: Fragment;
    let at = multiply(group, lane, &t);
    let column = columns_from(at.y);
    for (var r = 0u; r < FRAGMENT_ROWS; r++) {
        let row = at.x + r;
        let values = next_row(&t);
        let stored = inside_edges(row, column);
        if edge_between_vectors() {
            if stored.x {
                store(row, column.x, values.x);
                store(row, column.y, values.y);
                store(row, column.z, values.z);
                store(row, column.w, values.w);
            }
        } else {
            if stored.x { store(row, column.x, values.x); }
            if stored.y { store(row, column.y, values.y); }
            if stored.z { store(row, column.z, values.z); }
            if stored.w { store(row, column.w, values.w); }
        }
    }
}
