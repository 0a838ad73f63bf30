// q(z|x) by inverse autoregressive flows (Kingma et al. 2016, arXiv 1606.04934): z_0 = mu + e^(l/2) eps, and T steps
//   z_t = s z_(t-1) + (1 - s) m,  s = sigmoid(g),  log_det = sum over steps and units of ln s
// in which [m | g] of a unit is of the units before it alone: of a network of three layers whose weights are masked
// (Germain et al. 2015, arXiv 1502.03509), and which is told the context c. heads = [mu | l | c], a state is [z | c].
//   iaf_begin          eps, and the state before the first step
//   iaf_mask           a layer's weights (O, I), or their gradient, with 0 where the degree of the output is below the input's:
//                      the unit at place i has 1 + i as an input and i as an output, a hidden unit j has j Z / O rounded
//                      down, what is told of the context has 0. REVERSED counts places from the last unit.
//   iaf_step           the state after a step, or z alone after the last, and the log_det so far
//   iaf_step_backward  by g' = d z_t (after the last step less f z_t), f beta times the row's weight, which is that of log_det:
//                      d_m = g' (1 - s), d_g = g' (z - m) s (1 - s) + f (1 - s), and at the state g' s, and what came of c
//   iaf_backward       the gradient at the heads by one row: d_mu = g_0, d_l = 1/2 g_0 e^(l/2) eps + f / 2, d_c
// l is clamped to [-30, 20]; beyond, its gradient is zero. ln s and 1 - s without differences that cancel.
// Row b*K + k is sample k of image b. Grid: iaf_step: a workgroup a row, its lanes own columns, the sum over units in tree
// order; the others: x and y over rows times units, or weights, WORKGROUP a workgroup.
#import clock
#import log_variance
#import math
#import normal
#import philox
#import rates
#import reduce
#import unit_normal

/// images of the minibatch
override B: u32;
/// images of the data set
override N: u32;
/// samples an image
override K: u32;
/// rows, B K
override R: u32;
/// latent units
override Z: u32;
/// columns of what a step gives, 2 Z, or Z of the last
override V: u32;
/// outputs of a layer
override O: u32;
/// inputs of a layer
override I: u32;
/// 0 the first layer, 1 the second, 2 the third
override LAYER: u32;
/// 1 where the order of the units is reversed
override REVERSED: u32;
/// 1 of the last step
override LAST: u32;
/// which stream of noise
override STREAM: u32;
/// 1 to sample, 0 to take the mean
override NOISE: f32 = 1.0;
override WORKGROUP: u32 = 64u;

/// (B, 3*Z) [mu | l | c]
@group(0) @binding(0) var<storage, read> heads: array<f32>;
/// (8) seed low, seed high, step, epoch, position, samples before these
@group(0) @binding(1) var<storage, read> clock: array<u32>;
/// (B*K, Z)
@group(0) @binding(2) var<storage, read_write> eps: array<f32>;
/// (B*K, 2*Z) [z | c]
@group(0) @binding(3) var<storage, read_write> state: array<f32>;

/// (O, I)
@group(0) @binding(0) var<storage, read> whole: array<f32>;
/// (O, I)
@group(0) @binding(1) var<storage, read_write> masked: array<f32>;

/// (R, 2*Z) [z | c]
@group(0) @binding(0) var<storage, read> before: array<f32>;
/// (R, 2*Z) [m | g]
@group(0) @binding(1) var<storage, read> gates: array<f32>;
/// (R) nats
@group(0) @binding(2) var<storage, read> earlier: array<f32>;
/// (R, V) [z | c], or z
@group(0) @binding(3) var<storage, read_write> after: array<f32>;
/// (R) nats
@group(0) @binding(4) var<storage, read_write> log_det: array<f32>;

/// (R, V) the gradient at what the step gave
@group(0) @binding(2) var<storage, read> d_after: array<f32>;
/// (R) of the row in the objective
@group(0) @binding(3) var<storage, read> weight: array<f32>;
/// (4) learning rate, two corrections of Adam, beta
@group(0) @binding(4) var<storage, read> rates: array<f32>;
/// (R, 2*Z)
@group(0) @binding(5) var<storage, read_write> d_gates: array<f32>;
/// (R, 2*Z) through the gates alone
@group(0) @binding(6) var<storage, read_write> d_before: array<f32>;

/// (B*K, Z)
@group(0) @binding(1) var<storage, read> noise: array<f32>;
/// (B*K, 2*Z)
@group(0) @binding(2) var<storage, read> d_state: array<f32>;
/// (B*K) of the row in the objective
@group(0) @binding(3) var<storage, read> row_weight: array<f32>;
/// (B*K, 3*Z)
@group(0) @binding(5) var<storage, read_write> d_rows: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn iaf_begin(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let e = (group.x + group.y * groups.x) * WORKGROUP + lane;
    if e >= B * K * Z { return; }
    let row = e / Z;
    let unit = e % Z;
    let own = row / K * 3u * Z + unit;
    let draw = NOISE * unit_normal(clock[POSITION] + row / K, clock[SAMPLE] + row % K, unit);
    eps[e] = draw;
    state[row * 2u * Z + unit] = heads[own] + exp(0.5 * clamp_log_variance(heads[own + Z])) * draw;
    state[row * 2u * Z + Z + unit] = heads[own + 2u * Z];
}

fn place(unit: u32) -> u32 { return select(unit, Z - 1u - unit, REVERSED == 1u); }

fn degree_in(i: u32) -> u32 {
    if LAYER > 0u { return i * Z / I; }
    if i >= Z { return 0u; }
    return 1u + place(i);
}

fn degree_out(o: u32) -> u32 {
    if LAYER == 2u { return place(o % Z); }
    return o * Z / O;
}

@compute @workgroup_size(WORKGROUP)
fn iaf_mask(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let e = (group.x + group.y * groups.x) * WORKGROUP + lane;
    if e >= O * I { return; }
    masked[e] = select(0.0, whole[e], degree_out(e / I) >= degree_in(e % I));
}

@compute @workgroup_size(WORKGROUP)
fn iaf_step(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = group.x + group.y * groups.x;
    if row >= R { return; }
    var part = 0.0;
    for (var column = lane; column < V; column += WORKGROUP) {
        let e = row * 2u * Z + column;
        var next = before[e];
        if column < Z {
            let g = gates[e + Z];
            next = sigmoid(g) * next + sigmoid(-g) * gates[e];
            part -= softplus(-g);
        }
        after[row * V + column] = next;
    }
    let total = workgroup_sum(part, lane);
    if lane == 0u { log_det[row] = earlier[row] + total; }
}

@compute @workgroup_size(WORKGROUP)
fn iaf_step_backward(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let e = (group.x + group.y * groups.x) * WORKGROUP + lane;
    if e >= R * Z { return; }
    let row = e / Z;
    let unit = e % Z;
    let own = row * 2u * Z + unit;
    let f = rates[KL_WEIGHT] * weight[row];
    let s = sigmoid(gates[own + Z]);
    let rest = sigmoid(-gates[own + Z]);
    let z = before[own];
    let m = gates[own];
    var arriving = d_after[row * V + unit];
    if LAST == 1u { arriving -= f * (s * z + rest * m); }
    d_gates[own] = arriving * rest;
    d_gates[own + Z] = arriving * (z - m) * s * rest + f * rest;
    d_before[own] = arriving * s;
    var of_context = 0.0;
    if LAST == 0u { of_context = d_after[row * V + Z + unit]; }
    d_before[own + Z] = of_context;
}

@compute @workgroup_size(WORKGROUP)
fn iaf_backward(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let e = (group.x + group.y * groups.x) * WORKGROUP + lane;
    if e >= B * K * Z { return; }
    let row = e / Z;
    let unit = e % Z;
    let raw = heads[row / K * 3u * Z + Z + unit];
    let l = clamp_log_variance(raw);
    let g = d_state[row * 2u * Z + unit];
    let at = 0.5 * (g * exp(0.5 * l) * noise[e] + rates[KL_WEIGHT] * row_weight[row]);
    d_rows[row * 3u * Z + unit] = g;
    d_rows[row * 3u * Z + Z + unit] = select(0.0, 1.0, l == raw) * at; // a NaN stays one
    d_rows[row * 3u * Z + 2u * Z + unit] = d_state[row * 2u * Z + Z + unit];
}
