// What the encoder gets of the cells of a table, whose likelihood is of x as it is.
//   seen = 0 where a cell is missing, the mean of a standardised column; else x, or with COUNTS ln(1 + x)
// A missing cell holds a number beyond any that is observed.
// Numerics: a NaN stays one. Sums: none.
// Who owns what: an invocation owns one element.
// Grid: x and y over elements, WORKGROUP a workgroup.
#import missing

/// elements
override N: u32;
/// 1: x are counts, 0, 1, 2 and so on
override COUNTS: u32 = 0u;
override WORKGROUP: u32 = 64u;

/// (..N)
@group(0) @binding(0) var<storage, read> x: array<f32>;
/// (..N)
@group(0) @binding(1) var<storage, read_write> seen: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn seen_of(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let e = (group.x + group.y * groups.x) * WORKGROUP + lane;
    if e >= N { return; }
    var value = x[e];
    if COUNTS == 1u { value = log(1.0 + value); }
    seen[e] = select(value, 0.0, is_missing(x[e]));
}
