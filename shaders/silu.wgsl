// The SiLU, y = x sigmoid(x) (Elfwing, Uchibe and Doya 2017), as a layer of its own: it falls and rises, so its
// derivative does not follow from its value as that of the other activations does.
//   forward   y = x s,  s = sigmoid(x)
//   backward  d_x = d_y s (1 + x (1 - s))
// The shapes are those of x; only the number of elements counts.
// Sums: none. Numerics: a NaN stays one.
// Who owns what: an invocation owns one element.
// Grid: x and y over elements, WORKGROUP a workgroup.
#import math

/// elements
override N: u32;
override WORKGROUP: u32 = 64u;

/// (..N)
@group(0) @binding(0) var<storage, read> x: array<f32>;
/// (..N)
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

/// (..N)
@group(0) @binding(1) var<storage, read> d_y: array<f32>;
/// (..N)
@group(0) @binding(2) var<storage, read_write> d_x: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn forward(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let e = (group.x + group.y * groups.x) * WORKGROUP + lane;
    if e >= N { return; }
    y[e] = x[e] * sigmoid(x[e]);
}

@compute @workgroup_size(WORKGROUP)
fn backward(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let e = (group.x + group.y * groups.x) * WORKGROUP + lane;
    if e >= N { return; }
    // 1 - s without a difference that cancels
    d_x[e] = d_y[e] * (sigmoid(x[e]) * (1.0 + x[e] * sigmoid(-x[e])));
}
