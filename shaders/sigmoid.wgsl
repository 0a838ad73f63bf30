// The sigmoid of each element, by which parameters of any size become values between 0 and 1.
//   forward   y = 1 / (1 + e^-x)
//   backward  d_x = d_y y (1 - y)
// The shapes of x and y are alike; only the number of elements counts.
// Sums: none. Numerics: no overflow at any x, 1 - y without a difference that cancels; a NaN stays one.
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
    y[e] = sigmoid(x[e]);
}

@compute @workgroup_size(WORKGROUP)
fn backward(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let e = (group.x + group.y * groups.x) * WORKGROUP + lane;
    if e >= N { return; }
    d_x[e] = d_y[e] * (sigmoid(x[e]) * sigmoid(-x[e]));
}
