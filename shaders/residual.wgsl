// Where the two ways through a residual block meet (He et al. 2016).
//   forward   y = f(a + b)
//   backward  d_a = f'(a) d_y, the gradient before the activation f that made a; without one it is d_y itself
// ACTIVATION is f. The shapes are those of a; only the number of elements counts.
// Sums: none besides. Numerics: a NaN stays one.
// Who owns what: an invocation owns one element.
// Grid: x and y over elements, WORKGROUP a workgroup.
#import activation

/// elements
override N: u32;
/// see activation.wgsl
override ACTIVATION: u32 = 0u;
override WORKGROUP: u32 = 64u;

/// (..N)
@group(0) @binding(0) var<storage, read> a: array<f32>;
/// (..N)
@group(0) @binding(1) var<storage, read> b: array<f32>;
/// (..N)
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

/// (..N)
@group(0) @binding(1) var<storage, read> d_y: array<f32>;
/// (..N)
@group(0) @binding(2) var<storage, read_write> d_a: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn forward(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let e = (group.x + group.y * groups.x) * WORKGROUP + lane;
    if e >= N { return; }
    y[e] = activate(ACTIVATION, a[e] + b[e]);
}

@compute @workgroup_size(WORKGROUP)
fn backward(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let e = (group.x + group.y * groups.x) * WORKGROUP + lane;
    if e >= N { return; }
    d_a[e] = activation_gradient(ACTIVATION, a[e]) * d_y[e];
}
