// Sums of blocks of a matrix's rows; twice, it is the sum of all rows.
//   sums[g, c] = sum over j < BLOCK of values[g BLOCK + j, c]; the last block may be short
// Numerics: a NaN stays one. Reruns are equal bit for bit: sum_rows needs no two invocations to add.
// Who owns what: an invocation owns one element of the sums.
// Sums run over the rows, ascending.
// Grid: x and y over elements of the sums, WORKGROUP a workgroup.

/// rows
override N: u32;
/// columns
override C: u32;
/// rows of a block
override BLOCK: u32;
/// blocks
override G: u32;
override WORKGROUP: u32 = 64u;

/// (..N*C)
@group(0) @binding(0) var<storage, read> values: array<f32>;
/// (..G*C)
@group(0) @binding(1) var<storage, read_write> sums: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn sum_rows(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let e = (group.x + group.y * groups.x) * WORKGROUP + lane;
    if e >= G * C { return; }
    let first = e / C * BLOCK;
    var sum = 0.0;
    for (var n = first; n < min(first + BLOCK, N); n++) { sum += values[n * C + e % C]; }
    sums[e] = sum;
}
