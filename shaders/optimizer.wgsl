// An optimizer's step of one tensor whose gradient is at hand; that of weights and biases is part of linear.update.
//   the state and the parameter as in lib/optimizer_step
// `step` is the step alone; `step_decayed` has the parameter lose rate DECAY of itself before, and `step_clipped` takes
// the share `kept` of the gradient too.
// An element's state lies in planes: the first of all elements, then the second.
// Sums: none. Numerics: subnormal numbers of the state become zero, see lib/optimizer_step.
// Who owns what: an invocation owns one element of the parameter and of all planes.
// Grid: x and y over elements, WORKGROUP a workgroup.
#import optimizer_step
#import rates

/// elements of the tensor
override N: u32;
/// planes of the state
override PLANES: u32;
/// see lib/optimizer_step
override OPTIMIZER: u32 = 0u;
override BETA1: f32 = 0.9;
override BETA2: f32 = 0.999;
override EPSILON: f32 = 1e-8;
/// of the parameter, times the learning rate
override DECAY: f32;
override WORKGROUP: u32 = 64u;

/// (..N)
@group(0) @binding(0) var<storage, read> gradient: array<f32>;
/// (4) learning rate, 1 - BETA1^t, 1 - BETA2^t, weight of the KL
@group(0) @binding(1) var<storage, read> rates: array<f32>;
/// (..N)
@group(0) @binding(2) var<storage, read_write> parameter: array<f32>;
/// (..PLANES*N)
@group(0) @binding(3) var<storage, read_write> state: array<f32>;
/// (1) see clip
@group(0) @binding(4) var<storage, read> share: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn step(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    step_of((group.x + group.y * groups.x) * WORKGROUP + lane, 1.0, 1.0);
}

@compute @workgroup_size(WORKGROUP)
fn step_decayed(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let e = (group.x + group.y * groups.x) * WORKGROUP + lane;
    step_of(e, 1.0, kept(rates[LEARNING_RATE], DECAY));
}

@compute @workgroup_size(WORKGROUP)
fn step_clipped(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let e = (group.x + group.y * groups.x) * WORKGROUP + lane;
    step_of(e, share[0], kept(rates[LEARNING_RATE], DECAY));
}

/// Of element e: by this share of its gradient, and keeping this share of the parameter.
fn step_of(e: u32, part: f32, keep: f32) {
    if e >= N { return; }
    var before = vec2<f32>(state[e], 0.0);
    if PLANES > 1u { before.y = state[N + e]; }
    let now = vec3<f32>(rates[LEARNING_RATE], rates[CORRECTION1], rates[CORRECTION2]);
    let next = optimizer_step(OPTIMIZER, before, part * gradient[e], BETA1, BETA2, EPSILON, now);
    state[e] = next.state.x;
    if PLANES > 1u { state[N + e] = next.state.y; }
    parameter[e] = parameter[e] * keep + next.change;
}
