// A product whose elements are used for sums along its rows besides: see lib/product. In place of `store`
// the kernel declares
//   fn score(row: u32, column: u32, v: f32) -> vec2<f32>, called once for each element, and
//   fn finish_row(row: u32, part: u32, score: vec2<f32>), called once for each row and each PART columns
//     with the sum of their x and the product of their y.
#import fragment
#import tile
#import row_parts

/// Columns that are summed together.
const PART = 32u;

fn product_and_sums(group: vec3<u32>, lane: u32) {
    var t: Fragment;
    let at = multiply(group, lane, &t);
    var parts: Parts;
    for (var r = 0u; r < FRAGMENT_ROWS; r++) {
        let row = at.x + r;
        var values = next_row(&t);
        var part = vec2<f32>(0.0, 1.0);
        for (var c = 0u; c < 4u; c++) {
            let column = at.y + COLUMN_STEP * c;
            if row < rows() && column < columns() {
                let one = score(row, column, values.x);
                part = vec2<f32>(part.x + one.x, part.y * one.y);
            }
            values = values.yzwx;
        }
        parts[r] = part;
    }
    finish_rows(group, lane, &parts);
}
