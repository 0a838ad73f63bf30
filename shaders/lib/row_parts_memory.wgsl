// The sums of lib/product_sums through workgroup memory, ROWS_AT_ONCE rows of every invocation at a time,
// each sum in the order of the columns.

alias Parts = array<vec2<f32>, FRAGMENT_ROWS>;

/// Invocations beside each other that hold PART columns.
const PART_GROUPS = PART / 4u;
/// Rows that are held at a time.
const HELD = ROWS_AT_ONCE * GROUPS_Y;
var<workgroup> row_parts: array<vec2<f32>, HELD * GROUPS_X>;

fn finish_rows(group: vec3<u32>, lane: u32, parts: ptr<function, Parts>) {
    let x = lane % GROUPS_X;
    let y = lane / GROUPS_X;
    for (var first = 0u; first < FRAGMENT_ROWS; first += ROWS_AT_ONCE) {
        workgroupBarrier();
        // The tile may be in the first invocations only.
        if y < GROUPS_Y {
            for (var r = 0u; r < ROWS_AT_ONCE; r++) {
                row_parts[(ROWS_AT_ONCE * y + r) * GROUPS_X + x] = (*parts)[first + r];
            }
        }
        workgroupBarrier();
        for (var e = lane; e < HELD * (GROUPS_X / PART_GROUPS); e += INVOCATIONS) {
            let held = e % HELD;
            let part = e / HELD;
            var total = vec2<f32>(0.0, 1.0);
            for (var i = 0u; i < PART_GROUPS; i++) {
                let one = row_parts[held * GROUPS_X + part * PART_GROUPS + i];
                total = vec2<f32>(total.x + one.x, total.y * one.y);
            }
            let invocation_row = group.x * GROUPS_Y + held / ROWS_AT_ONCE;
            let row = invocation_row * FRAGMENT_ROWS + first + held % ROWS_AT_ONCE;
            let in_row = group.y * (GROUPS_X / PART_GROUPS) + part;
            if row < rows() && in_row * PART < columns() { finish_row(row, in_row, total); }
        }
    }
}
