// The sums of lib/product_sums through workgroup memory, ROWS_HELD rows of every invocation at a time, each
// sum in the order of the columns.

/// Invocations beside each other that hold PART columns.
const PART_GROUPS = PART / 4u;
var<workgroup> row_parts: array<vec2<f32>, ROWS_HELD * GROUPS_Y * GROUPS_X>;

/// Of row `r` of those that are held.
fn hold_part(lane: u32, r: u32, part: vec2<f32>, _own: ptr<function, vec2<f32>>) {
    let x = lane % GROUPS_X;
    let y = lane / GROUPS_X;
    // The tile may be in the first invocations alone.
    if y < GROUPS_Y { row_parts[(ROWS_HELD * y + r) * GROUPS_X + x] = part; }
}

/// Of the rows from `first` of each fragment on.
fn finish_parts(group: vec3<u32>, lane: u32, first: u32, _own: vec2<f32>) {
    workgroupBarrier();
    for (var e = lane; e < ROWS_HELD * GROUPS_Y * (GROUPS_X / PART_GROUPS); e += INVOCATIONS) {
        let held = e % (ROWS_HELD * GROUPS_Y);
        let part = e / (ROWS_HELD * GROUPS_Y);
        var total = vec2<f32>(0.0, 1.0);
        for (var i = 0u; i < PART_GROUPS; i++) {
            let one = row_parts[held * GROUPS_X + part * PART_GROUPS + i];
            total = vec2<f32>(total.x + one.x, total.y * one.y);
        }
        let row = (group.x * GROUPS_Y + held / ROWS_HELD) * FRAGMENT_ROWS + first + held % ROWS_HELD;
        let in_row = group.y * (GROUPS_X / PART_GROUPS) + part;
        if (row < rows()) & (in_row * PART < columns()) { finish_row(row, in_row, total); }
    }
    workgroupBarrier();
}
