// The sums of lib/product_sums through workgroup memory, ROWS_HELD rows of every invocation at a time, each
// sum in the order of the columns.

alias Parts = array<vec2<f32>, FRAGMENT_ROWS>;

/// Invocations beside each other that hold PART columns.
const PART_GROUPS = PART / 4u;
var<workgroup> row_parts: array<vec2<f32>, ROWS_HELD * GROUPS_Y * GROUPS_X>;

fn finish_rows(group: vec3<u32>, lane: u32, parts: ptr<function, Parts>) {
    let x = lane % GROUPS_X;
    let y = lane / GROUPS_X;
    for (var v = 0u; v < FRAGMENT_ROWS; v += ROWS_HELD) {
        workgroupBarrier();
        for (var r = 0u; r < ROWS_HELD; r++) {
            row_parts[(ROWS_HELD * y + r) * GROUPS_X + x] = (*parts)[v + r];
        }
        workgroupBarrier();
        for (var e = lane; e < ROWS_HELD * GROUPS_Y * (GROUPS_X / PART_GROUPS); e += INVOCATIONS) {
            let held = e % (ROWS_HELD * GROUPS_Y);
            let part = e / (ROWS_HELD * GROUPS_Y);
            var total = vec2<f32>(0.0, 1.0);
            for (var i = 0u; i < PART_GROUPS; i++) {
                let one = row_parts[held * GROUPS_X + part * PART_GROUPS + i];
                total = vec2<f32>(total.x + one.x, total.y * one.y);
            }
            let row = (group.x * GROUPS_Y + held / ROWS_HELD) * FRAGMENT_ROWS + v + held % ROWS_HELD;
            let in_row = group.y * (GROUPS_X / PART_GROUPS) + part;
            if row < rows() && in_row * PART < columns() { finish_row(row, in_row, total); }
        }
    }
}
