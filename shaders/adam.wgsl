// Adam for one tensor whose gradient is at hand; that of weights and biases is part of linear.update.
//   m, v and the parameter as in lib/adam_step
// Each element has its own moments, in two planes: all m, then all v.
// Sums: none. Numerics: subnormal moments become zero, see lib/adam_step.
// Who owns what: an invocation owns one element of the parameter and of both planes.
// Grid: x and y over elements, WORKGROUP a workgroup.
#import adam_step

/// elements of the tensor
override N: u32;
override BETA1: f32 = 0.9;
override BETA2: f32 = 0.999;
override EPSILON: f32 = 1e-8;
override WORKGROUP: u32 = 64u;

/// (..N)
@group(0) @binding(0) var<storage, read> gradient: array<f32>;
/// (4) learning rate, 1 - BETA1^t, 1 - BETA2^t, weight of the KL
@group(0) @binding(1) var<storage, read> rates: array<f32>;
/// (..N)
@group(0) @binding(2) var<storage, read_write> parameter: array<f32>;
/// (..2*N) first moments, then second
@group(0) @binding(3) var<storage, read_write> moments: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn adam(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let e = (group.x + group.y * groups.x) * WORKGROUP + lane;
    if e >= N { return; }
    let next = adam_moments(moments[e], moments[N + e], gradient[e], BETA1, BETA2);
    moments[e] = next.x;
    moments[N + e] = next.y;
    parameter[e] += adam_change(next, rates[0], rates[1], rates[2], EPSILON);
}
