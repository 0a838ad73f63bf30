// The end of a step: its metrics into the history, and the clock moves on.
//   history[step mod S] = (sum over images of mean_k log p(x|z_k), sum of KL, images counted, sum of L_K)
//   step += 1, position += B
//   rates = (rate, 1 - b1^t, 1 - b2^t, beta min(1, (t - 1) / W)) for the next step's t = step + 1
//   rate = RATE min(1, t / V) while t - 1 < V; later it stays, and is the host's
// `end_step` counts L_K as 0, `end_step_with_bound` has it. W = WARM_UP is the steps in which beta rises from 0, and
// V = RATE_WARM_UP those of the learning rate.
// With WRAP = 0 (one pass over N images) rows past the last image are not counted; with 1 a position
// past the end begins the next epoch. The last invocation to act is lane 0: it alone writes.
// Grid: one workgroup. Sums in tree order; 1 - b^t by series where t ln b is small, so nothing cancels.
#import clock
#import math
#import rates
#import reduce

/// images of the minibatch
override B: u32;
/// samples an image
override K: u32;
/// parts in which log p(x|z) of a row comes
override T: u32 = 1u;
/// steps the history holds
override S: u32;
/// images of the data set
override N: u32;
override WRAP: u32 = 1u;
/// ln b1 and ln b2 of Adam
override LN_BETA1: f32 = -0.10536051565782628;
override LN_BETA2: f32 = -0.0010005003335835335;
/// weight of the KL after the warm-up
override BETA: f32 = 1.0;
/// steps of the warm-up, 0 for none
override WARM_UP: f32 = 0.0;
/// learning rate at the end of its warm-up
override RATE: f32 = 0.0;
/// steps of the learning rate's warm-up, 0 for none
override RATE_WARM_UP: f32 = 0.0;
override WORKGROUP: u32 = 256u;

/// (..B*K*T) nats
@group(0) @binding(0) var<storage, read> log_px: array<f32>;
/// (B) nats
@group(0) @binding(1) var<storage, read> kl: array<f32>;
/// (S, 4)
@group(0) @binding(2) var<storage, read_write> history: array<f32>;
/// (8) seed low, seed high, step, epoch, position
@group(0) @binding(3) var<storage, read_write> clock: array<u32>;
/// (4) learning rate, 1 - b1^t, 1 - b2^t, beta
@group(0) @binding(4) var<storage, read_write> rates: array<f32>;
/// (B) L_K, nats
@group(0) @binding(5) var<storage, read> bound: array<f32>;

/// Rows of the minibatch that are images of the data set.
fn rows_counted() -> u32 {
    if WRAP == 0u { return min(B, N - min(clock[POSITION], N)); }
    return B;
}

@compute @workgroup_size(WORKGROUP)
fn end_step(@builtin(local_invocation_index) lane: u32) {
    finish(lane, rows_counted(), 0.0);
}

@compute @workgroup_size(WORKGROUP)
fn end_step_with_bound(@builtin(local_invocation_index) lane: u32) {
    let counted = rows_counted();
    var part = vec4<f32>();
    for (var row = lane; row < counted; row += 4u * WORKGROUP) { part += bounds(row, counted); }
    finish(lane, counted, workgroup_sum((part.x + part.y) + (part.z + part.w), lane));
}

// One workgroup reads what all the others wrote, and must not wait for each element of it: many are loaded at once,
// without a branch, and what is not counted is left out when the loads are over.

/// Four of so many numbers, WORKGROUP apart.
fn four_from(first: u32) -> vec4<u32> { return first + WORKGROUP * vec4<u32>(0u, 1u, 2u, 3u); }

/// Zeros beyond the last.
fn inside(loaded: vec4<f32>, at: vec4<u32>, count: u32) -> vec4<f32> {
    return select(vec4<f32>(), loaded, at < vec4<u32>(count));
}

fn likelihoods(first: u32, parts: u32) -> vec4<f32> {
    let at = four_from(first);
    let e = min(at, vec4<u32>(parts - 1u));
    return inside(vec4<f32>(log_px[e.x], log_px[e.y], log_px[e.z], log_px[e.w]), at, parts);
}

fn divergences(first: u32, counted: u32) -> vec4<f32> {
    let at = four_from(first);
    let e = min(at, vec4<u32>(counted - 1u));
    return inside(vec4<f32>(kl[e.x], kl[e.y], kl[e.z], kl[e.w]), at, counted);
}

fn bounds(first: u32, counted: u32) -> vec4<f32> {
    let at = four_from(first);
    let e = min(at, vec4<u32>(counted - 1u));
    return inside(vec4<f32>(bound[e.x], bound[e.y], bound[e.z], bound[e.w]), at, counted);
}

fn finish(lane: u32, counted: u32, bound_sum: f32) {
    let position = clock[POSITION];
    let parts = counted * K * T;
    var likelihood = vec4<f32>();
    for (var part = lane; part < parts; part += 16u * WORKGROUP) {
        let a = likelihoods(part, parts);
        let b = likelihoods(part + 4u * WORKGROUP, parts);
        let c = likelihoods(part + 8u * WORKGROUP, parts);
        let d = likelihoods(part + 12u * WORKGROUP, parts);
        likelihood += (a + b) + (c + d);
    }
    let likelihood_sum =
        workgroup_sum((likelihood.x + likelihood.y) + (likelihood.z + likelihood.w), lane);
    var divergence = vec4<f32>();
    for (var row = lane; row < counted; row += 4u * WORKGROUP) {
        divergence += divergences(row, counted);
    }
    let divergence_sum =
        workgroup_sum((divergence.x + divergence.y) + (divergence.z + divergence.w), lane);
    storageBarrier(); // every lane has read the clock before lane 0 moves it
    if lane != 0u { return; }
    let slot = 4u * (clock[STEP] % S);
    history[slot] = likelihood_sum / f32(K);
    history[slot + 1u] = divergence_sum;
    history[slot + 2u] = f32(counted);
    history[slot + 3u] = bound_sum;
    let step = clock[STEP] + 1u;
    clock[STEP] = step;
    clock[POSITION] = position + B;
    if WRAP == 1u {
        clock[EPOCH] += (position + B) / N;
        clock[POSITION] = (position + B) % N;
    }
    rates[CORRECTION1] = one_minus_exp(f32(step + 1u) * LN_BETA1);
    rates[CORRECTION2] = one_minus_exp(f32(step + 1u) * LN_BETA2);
    rates[KL_WEIGHT] = BETA;
    if f32(step) < WARM_UP { rates[KL_WEIGHT] = BETA * (f32(step) / WARM_UP); }
    if f32(step) < RATE_WARM_UP {
        rates[LEARNING_RATE] = RATE * min(f32(step + 1u) / RATE_WARM_UP, 1.0);
    }
}
