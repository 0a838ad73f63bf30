// A product of two matrices, a tile of it in each workgroup, and what becomes of each element.
// The kernel declares the sizes, the operands and the destination:
//   fn rows() -> u32, fn columns() -> u32, fn inner() -> u32
//   fn left(row: u32, k: u32) -> f32, fn right(k: u32, column: u32) -> f32, both inside these sizes
//   fn left_scale() -> f32, a power of two that brings the left operand into the range of f16, for the tiles
//     that compute in it: no element of either operand may be beyond 65504 then
//   fn store(row: u32, column: u32, v: f32), called once for each element
//   const LEFT_ALONG_INNER, const RIGHT_ALONG_INNER: whether neighbours in memory are neighbours in k
// It cannot declare A, B or C: so the roles of cooperative matrices are called.
// Every element is summed over k in an order that the tile fixes: ascending, or ascending in each slice of
// lib/tile_split or lib/tile_skinny and then over the slices.
#import fragment
#import tile

fn product(group: vec3<u32>, lane: u32) {
    var t: Fragment;
    let at = multiply(group, lane, &t);
    for (var r = 0u; r < FRAGMENT_ROWS; r++) {
        let row = at.x + r;
        var values = next_row(&t);
        for (var c = 0u; c < 4u; c++) {
            let column = at.y + COLUMN_STEP * c;
            if row < rows() && column < columns() { store(row, column, values.x); }
            values = values.yzwx;
        }
    }
}
