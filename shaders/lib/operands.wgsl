// Four elements of an operand of a product, of neighbouring rows or columns and of one k: see lib/product. No
// index is beyond an edge and no branch depends on one, so that loads that follow each other are all under way
// before the first is waited for. Beyond the last row or column comes the last again, for a result that nobody
// stores. Beyond the last k comes anything: `inside` makes zeros of it, when the loads are over.

fn left_vector(first_row: u32, k: u32) -> vec4<f32> {
    let row = min(first_row + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(rows() - 1u));
    let last = min(k, inner() - 1u);
    return vec4<f32>(left(row.x, last), left(row.y, last), left(row.z, last), left(row.w, last));
}

fn right_vector(k: u32, first_column: u32) -> vec4<f32> {
    let column = min(first_column + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(columns() - 1u));
    let last = min(k, inner() - 1u);
    return vec4<f32>(
        right(last, column.x), right(last, column.y), right(last, column.z), right(last, column.w));
}

/// What was loaded for k. A NaN stays one; zeros, not products with zero, stand beyond the last k.
fn inside(k: u32, loaded: vec4<f32>) -> vec4<f32> {
    return select(vec4<f32>(), loaded, k < inner());
}
