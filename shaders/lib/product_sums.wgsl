// A product whose elements are used for sums along its rows besides: see lib/product. In place of its `store` the
// kernel declares Fetched and fetch of lib/fetched_row,
//   fn score(row: u32, column: u32, v: f32, fetched: Fetched) -> vec2<f32>, called once for each element, and
//   fn finish_row(row: u32, part: u32, score: vec2<f32>), called once for each row and each PART columns
//     with the sum of their x and the product of their y.
// As in lib/product_fetch, up to four rows are fetched before the first of them is scored.
#import fetched_row
#import fragment
#import row_parts
#import tile

/// Columns that are summed together.
const PART = 32u;

fn product_and_sums(group: vec3<u32>, lane: u32) {
    var t: Fragment;
    let at = multiply(group, lane, &t);
    var own: vec2<f32>;
    for (var first = 0u; first < FRAGMENT_ROWS; first += ROWS_HELD) {
        for (var r = 0u; r < ROWS_HELD; r += 4u) {
            let row = at.x + first + r;
            // Those beyond the rows that are held are used by nobody, and so loaded by no compiler.
            let fetched0 = fetch_row(row, at.y);
            let fetched1 = fetch_row(row + 1u, at.y);
            let fetched2 = fetch_row(row + 2u, at.y);
            let fetched3 = fetch_row(row + 3u, at.y);
            hold_part(lane, r, score_row(row, at.y, next_row(&t), fetched0), &own);
            if ROWS_HELD > 1u {
                hold_part(lane, r + 1u, score_row(row + 1u, at.y, next_row(&t), fetched1), &own);
            }
            if ROWS_HELD > 2u {
                hold_part(lane, r + 2u, score_row(row + 2u, at.y, next_row(&t), fetched2), &own);
                hold_part(lane, r + 3u, score_row(row + 3u, at.y, next_row(&t), fetched3), &own);
            }
        }
        finish_parts(group, lane, first, own);
    }
}

/// Sum and product of the scores of a fragment's row, in the order of its columns.
fn score_row(row: u32, first_column: u32, v: vec4<f32>, fetched: FetchedRow) -> vec2<f32> {
    let column = columns_from(first_column);
    let scored = inside_edges(row, column);
    var part = vec2<f32>(0.0, 1.0);
    if edge_between_vectors() {
        if scored.x {
            part = with_score(part, score(row, column.x, v.x, fetched.x));
            part = with_score(part, score(row, column.y, v.y, fetched.y));
            part = with_score(part, score(row, column.z, v.z, fetched.z));
            part = with_score(part, score(row, column.w, v.w, fetched.w));
        }
    } else {
        if scored.x { part = with_score(part, score(row, column.x, v.x, fetched.x)); }
        if scored.y { part = with_score(part, score(row, column.y, v.y, fetched.y)); }
        if scored.z { part = with_score(part, score(row, column.z, v.z, fetched.z)); }
        if scored.w { part = with_score(part, score(row, column.w, v.w, fetched.w)); }
    }
    return part;
}

fn with_score(part: vec2<f32>, one: vec2<f32>) -> vec2<f32> {
    return vec2<f32>(part.x + one.x, part.y * one.y);
}
