// A tile by GROUPS_X x GROUPS_Y invocations that walk the inner dimension TILE_K at a time through workgroup memory,
// as in lib/tile_memory, for products that are large enough to keep a GPU busy with few of them: an invocation owns 16
// rows of 4 neighbouring columns. While a part of the inner dimension is multiplied, the next is on its way into
// registers, so that few invocations at once are enough to hide that way; behind the last comes the last k again, for
// nothing. In workgroup memory are 8 of the inner dimension, so that operands and what row_parts holds are within 16 KB.
#import tile_loads
#import tile_sums

const ROW_VECTORS = 4u;
const ROWS_HELD = 2u;
const TILE_K = 8u;

/// Adds the invocation's part of the tile to `t` and returns row and column of its first element.
fn multiply(group: vec3<u32>, lane: u32, t: ptr<function, Fragment>) -> vec2<u32> {
    let first_row = group.x * TILE_ROWS;
    let first_column = group.y * TILE_COLUMNS;
    let x = lane % GROUPS_X;
    let y = lane / GROUPS_X;
    var ahead = loaded(first_row, first_column, 0u, lane);
    for (var k0 = 0u; k0 < inner(); k0 += TILE_K) {
        store_tile(ahead, k0, lane);
        workgroupBarrier();
        ahead = loaded(first_row, first_column, k0 + TILE_K, lane);
        add_part(x, y, t);
        workgroupBarrier();
    }
    return vec2<u32>(first_row + FRAGMENT_ROWS * y, first_column + 4u * x);
}
