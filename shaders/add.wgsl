// The sum of two tensors: of gradients that meet where a tensor is used twice.
//   sum = a + b
// The shapes of a and b are those of sum; only the number of elements counts.
// Sums: none besides. Numerics: a NaN stays one.
// Who owns what: an invocation owns one element.
// Grid: x and y over elements, WORKGROUP a workgroup.

/// elements
override N: u32;
override WORKGROUP: u32 = 64u;

/// (..N)
@group(0) @binding(0) var<storage, read> a: array<f32>;
/// (..N)
@group(0) @binding(1) var<storage, read> b: array<f32>;
/// (..N)
@group(0) @binding(2) var<storage, read_write> sum: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn add(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let e = (group.x + group.y * groups.x) * WORKGROUP + lane;
    if e >= N { return; }
    sum[e] = a[e] + b[e];
}
