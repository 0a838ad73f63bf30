// A tile by GROUPS_X x GROUPS_Y invocations that walk the inner dimension TILE_K at a time through
// workgroup memory. An invocation owns 4 * ROW_VECTORS rows of 4 neighbouring columns.
#import tile_loads
#import tile_sums

const ROWS_HELD = 4u;
const TILE_K = 16u;

/// Adds the invocation's part of the tile to `t` and returns row and column of its first element.
fn multiply(group: vec3<u32>, lane: u32, t: ptr<function, Fragment>) -> vec2<u32> {
    let first_row = group.x * 4u * LEFT_VECTORS;
    let first_column = group.y * 4u * RIGHT_VECTORS;
    let x = lane % GROUPS_X;
    let y = lane / GROUPS_X;
    for (var k0 = 0u; k0 < inner(); k0 += TILE_K) {
        load_tile(first_row, first_column, k0, lane);
        workgroupBarrier();
        add_part(x, y, t);
        workgroupBarrier();
    }
    return vec2<u32>(first_row + FRAGMENT_ROWS * y, first_column + 4u * x);
}
