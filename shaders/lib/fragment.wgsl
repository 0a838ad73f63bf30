// The part of a tile that an invocation holds: FRAGMENT_ROWS rows of 4 columns.
alias Fragment = array<vec4<f32>, FRAGMENT_ROWS>;

/// The first row; the others move up. So that a loop over the rows needs no index that is known only when it
/// runs: a compiler that does not unroll the loop would keep the whole fragment in memory, not in registers.
fn next_row(t: ptr<function, Fragment>) -> vec4<f32> {
    let first = (*t)[0];
    for (var r = 1u; r < FRAGMENT_ROWS; r++) { (*t)[r - 1u] = (*t)[r]; }
    return first;
}
