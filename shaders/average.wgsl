// An exponential moving average of a parameter over the steps, and its exchange with the parameter for evaluation.
//   follow   average += w (parameter - average),  w = FRESH / (1 - d^t),  d = 1 - FRESH, t the number of this step
//   swap     here and there change places
// After t steps the average is sum_i FRESH d^(t - i) parameter_i / (1 - d^t), a mean of the parameters after each step
// whose weights add up to 1: what they began at has no part in it, by the same division as in Adam.
// Who owns what: an invocation owns one element of both. Sums: none. 1 - d^t by series where t ln d is small.
// Grid: x and y over elements, WORKGROUP a workgroup.
#import clock
#import math

/// elements of the tensor
override N: u32;
/// weight of the newest among many
override FRESH: f32;
/// ln(1 - FRESH), by the host's logarithm
override LN_DECAY: f32;
override WORKGROUP: u32 = 64u;

/// (..N)
@group(0) @binding(0) var<storage, read> parameter: array<f32>;
/// (8) seed low, seed high, step, epoch, position
@group(0) @binding(1) var<storage, read> clock: array<u32>;
/// (..N)
@group(0) @binding(2) var<storage, read_write> average: array<f32>;

/// (..N)
@group(0) @binding(0) var<storage, read_write> here: array<f32>;
/// (..N)
@group(0) @binding(1) var<storage, read_write> there: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn follow(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let e = (group.x + group.y * groups.x) * WORKGROUP + lane;
    if e >= N { return; }
    let w = FRESH / one_minus_exp(f32(clock[STEP] + 1u) * LN_DECAY);
    average[e] += w * (parameter[e] - average[e]);
}

@compute @workgroup_size(WORKGROUP)
fn swap(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let e = (group.x + group.y * groups.x) * WORKGROUP + lane;
    if e >= N { return; }
    let before = here[e];
    here[e] = there[e];
    there[e] = before;
}
