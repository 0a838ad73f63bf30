// Annealed importance sampling by Hamiltonian Monte Carlo (Neal 2001, arXiv physics/9803008); chain k of image b is
// row b*K + k. Row t of the schedule is (share, beta, size): the next share of log w, then L leapfrogs of that size at
//   log f(z) = (1 - beta) log r(z) + beta (log p(x|z) + log p(z)),  r = q(z|x) or, with FROM_PRIOR = 1, p(z)
// The kinetic energy is 1/2 v^2, and a unit's steps are scaled by s, s^-2 = (1 - beta) / its variance in r + beta e^-l.
//   transition  where L leapfrogs are done: v to its end, z and its gradient kept with probability min(1, e^-dE), or
//               those from before; then log w += share (log p(x|z) + log p(z) - log r(z)), v ~ N(0, I), the energy
//   leapfrog    v += size s grad log f(z), half of it in the first of L; z += size s v
// The clock's step counts leapfrogs; the first of all takes z as it is, and log w begins at 0. state has
// [z | gradient | log p(x|z), energy, log w, sum of acceptance probabilities] of where a chain is.
// Grid: transition: a workgroup a row, its lanes own their units, lane 0 the last four of state; leapfrog: x over units,
// y over rows. Sums in tree order. Densities lack the same factor of 2 pi. l is clamped as in posterior.wgsl.
#import clock
#import log_variance
#import normal
#import philox
#import reduce

/// images
override B: u32;
/// chains an image
override K: u32;
/// latent units
override Z: u32;
/// parts in which log p(x|z) of a row comes
override T: u32 = 1u;
/// numbers of a chain's state, 2 Z + 4
override W: u32;
/// rows of the schedule
override S: u32;
/// leapfrogs of a transition
override L: u32;
override FROM_PRIOR: u32;
/// which streams of noise: of momenta, and of whether a proposal is accepted
override STREAM: u32;
override ACCEPT_STREAM: u32;
override WORKGROUP: u32 = 64u;

/// (B, 2*Z) [mu | l] of q(z|x)
@group(0) @binding(0) var<storage, read> heads: array<f32>;
/// (8) seed low, seed high, step, epoch, position, samples before these
@group(0) @binding(1) var<storage, read> clock: array<u32>;
/// (S, 3) share, beta, size
@group(0) @binding(2) var<storage, read> schedule: array<f32>;
/// (B*K, Z) of log p(x|z)
@group(0) @binding(3) var<storage, read> d_z: array<f32>;
/// (B*K, Z) where it was computed
@group(0) @binding(4) var<storage, read_write> z: array<f32>;
/// (B*K, Z) momenta
@group(0) @binding(5) var<storage, read_write> v: array<f32>;
/// (B*K, W) where the chains are
@group(0) @binding(6) var<storage, read_write> state: array<f32>;
/// (..B*K*T) nats
@group(0) @binding(7) var<storage, read> log_px: array<f32>;

/// (B*K, W) where the chains are
@group(0) @binding(3) var<storage, read> begun: array<f32>;
/// (B*K, Z) of log p(x|z)
@group(0) @binding(6) var<storage, read> gradient: array<f32>;

/// Mean and log variance of a unit in r.
fn reference(image: u32, unit: u32) -> vec2<f32> {
    if FROM_PRIOR == 1u { return vec2<f32>(0.0, 0.0); }
    return vec2<f32>(heads[image * 2u * Z + unit], clamp_log_variance(heads[image * 2u * Z + Z + unit]));
}

/// -log r(z) of a unit
fn beyond(image: u32, unit: u32, z: f32) -> f32 {
    let r = reference(image, unit);
    return 0.5 * ((z - r.x) * (z - r.x) * exp(-r.y) + r.y);
}

/// s of a unit
fn scale_of(image: u32, unit: u32, beta: f32) -> f32 {
    let l = clamp_log_variance(heads[image * 2u * Z + Z + unit]);
    return inverseSqrt((1.0 - beta) * exp(-reference(image, unit).y) + beta * exp(-l));
}

/// s times the gradient of log f by a unit, of which `of_log_px` is log p(x|z)'s.
fn force(image: u32, unit: u32, beta: f32, z: f32, of_log_px: f32) -> f32 {
    let r = reference(image, unit);
    let slope = beta * (of_log_px - z) - (1.0 - beta) * (z - r.x) * exp(-r.y);
    return scale_of(image, unit, beta) * slope;
}

@compute @workgroup_size(WORKGROUP)
fn transition(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    if clock[STEP] % L != 0u { return; }
    let row = group.x + group.y * groups.x;
    if row >= B * K { return; }
    let image = row / K;
    let place = clock[POSITION] + image;
    let chain = clock[SAMPLE] + row % K;
    let key = vec2<u32>(clock[SEED_LOW], clock[SEED_HIGH]);
    let own = row * W;
    let tail = own + W - 4u;
    let time = min(clock[STEP] / L, S - 1u);

    var part = 0.0;
    for (var i = lane; i < T; i += WORKGROUP) { part += log_px[row * T + i]; }
    let proposed = workgroup_sum(part, lane);
    var current = proposed;
    var log_w = 0.0;
    var acceptance = 0.0;
    var accepted = true;
    if time > 0u {
        let beta = schedule[(time - 1u) * 3u + 1u];
        let size = schedule[(time - 1u) * 3u + 2u];
        var reached = 0.0;
        var ratio = 0.0;
        for (var unit = lane; unit < Z; unit += WORKGROUP) {
            let e = row * Z + unit;
            let at = z[e];
            let end = v[e] + 0.5 * size * force(image, unit, beta, at, d_z[e]);
            let far = beyond(image, unit, at);
            reached += 0.5 * end * end + far;
            ratio += far - 0.5 * at * at;
        }
        let along = workgroup_sum(ratio, lane) + proposed;
        let better = state[tail + 1u] - (workgroup_sum(reached, lane) - beta * along);
        let probability = select(exp(better), 1.0, better >= 0.0); // NaN where the energy is
        let noise = philox(counter_of(time, place, chain, ACCEPT_STREAM, 0u), key).x;
        accepted = (f32(noise >> 8u) + 0.5) * 5.9604644775390625e-8 < probability;
        current = select(state[tail], proposed, accepted);
        log_w = state[tail + 2u];
        acceptance = state[tail + 3u] + select(0.0, probability, probability >= 0.0);
    }

    let share = schedule[time * 3u];
    let beta = schedule[time * 3u + 1u];
    var begin = 0.0;
    var ratio = 0.0;
    for (var unit = lane; unit < Z; unit += WORKGROUP) {
        let e = row * Z + unit;
        if accepted {
            state[own + unit] = z[e];
            state[own + Z + unit] = d_z[e];
        } else {
            z[e] = state[own + unit];
        }
        let at = z[e];
        let far = beyond(image, unit, at);
        let four = normal4(philox(counter_of(time, place, chain, STREAM, unit / 4u), key));
        let momentum = four[unit % 4u];
        v[e] = momentum;
        begin += 0.5 * momentum * momentum + far;
        ratio += far - 0.5 * at * at;
    }
    let along = workgroup_sum(ratio, lane) + current;
    let energy = workgroup_sum(begin, lane) - beta * along;
    if lane == 0u {
        state[tail] = current;
        state[tail + 1u] = energy;
        state[tail + 2u] = log_w + share * along;
        state[tail + 3u] = acceptance;
    }
}

@compute @workgroup_size(WORKGROUP)
fn leapfrog(@builtin(global_invocation_id) id: vec3<u32>) {
    let unit = id.x;
    let row = id.y;
    if unit >= Z || row >= B * K { return; }
    let e = row * Z + unit;
    let time = min(clock[STEP] / L, S - 1u);
    let beta = schedule[time * 3u + 1u];
    let size = schedule[time * 3u + 2u];
    let first = clock[STEP] % L == 0u;
    // A proposal that was refused has left its gradient behind.
    let slope = select(gradient[e], begun[row * W + Z + unit], first);
    let share = select(1.0, 0.5, first);
    let moved = v[e] + share * size * force(row / K, unit, beta, z[e], slope);
    v[e] = moved;
    z[e] += size * scale_of(row / K, unit, beta) * moved;
}
