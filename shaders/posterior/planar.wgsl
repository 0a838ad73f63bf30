// q(z|x) by planar flows (Rezende and Mohamed 2015, arXiv 1505.05770): z_0 = mu + e^(l/2) eps, and T steps, t = 1..T,
//   z_t = z_(t-1) + v h,  h = tanh(w z_(t-1) + b),  v = u + c w,  c = (m(w u) - w u) / (w w + 1e-6),
//   m(a) = softplus(a + ln(e - 1)) - 1: above -1, so that the step can be undone, and 0 where w u is, so that u = 0 is no step
// heads = [mu | l | U | W | b], u and w of the steps one behind the other. log q(z_T|x) = log q(z_0|x) - log_det with
//   log_det = sum_t ln (1 + (1 - h^2) p),  p = w v
//   planar_sample    z = z_T, the z before each step, log_det
//   planar_backward  the gradient at the heads of row's image by one row: g_T = d_z - f z, f beta times the row's weight, is
//                    taken back through the steps and their log_det's, whose weight is f; then d_mu = g_0,
//                    d_l = 1/2 g_0 e^(l/2) eps + f / 2
// Row b*K + k of z is sample k of image b. l is clamped to [-30, 20]; beyond, its gradient is zero.
// Grid: a workgroup a row, its lanes own their units. Sums over units in tree order.
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
/// latent units
override Z: u32;
/// steps of the flow
override T: u32;
/// heads, 2 Z + T (2 Z + 1)
override H: u32;
/// which stream of noise
override STREAM: u32;
/// 1 to sample, 0 to take the mean
override NOISE: f32 = 1.0;
override WORKGROUP: u32 = 64u;

/// (B, H) [mu | l | U | W | b]
@group(0) @binding(0) var<storage, read> heads: array<f32>;
/// (8) seed low, seed high, step, epoch, position, samples before these
@group(0) @binding(1) var<storage, read> clock: array<u32>;
/// (B*K, Z)
@group(0) @binding(2) var<storage, read_write> eps: array<f32>;
/// (B*K, Z)
@group(0) @binding(3) var<storage, read_write> z: array<f32>;
/// (B*K, T*Z) before each step
@group(0) @binding(4) var<storage, read_write> states: array<f32>;
/// (B*K) nats
@group(0) @binding(5) var<storage, read_write> log_det: array<f32>;

/// (B*K, Z)
@group(0) @binding(1) var<storage, read> noise: array<f32>;
/// (B*K, Z)
@group(0) @binding(2) var<storage, read> samples: array<f32>;
/// (B*K, T*Z)
@group(0) @binding(3) var<storage, read> before: array<f32>;
/// (B*K, Z)
@group(0) @binding(4) var<storage, read> d_z: array<f32>;
/// (4) learning rate, two corrections of Adam, beta
@group(0) @binding(5) var<storage, read> rates: array<f32>;
/// (B*K) of the row in the objective
@group(0) @binding(6) var<storage, read> weight: array<f32>;
/// (B*K, H)
@group(0) @binding(7) var<storage, read_write> d_rows: array<f32>;

/// The z of the row, then the gradient there; Z is 1024 at most.
var<workgroup> current: array<f32, 1024>;

fn shift(image: u32, t: u32, unit: u32) -> f32 { return heads[image * H + (2u + t) * Z + unit]; }

fn direction(image: u32, t: u32, unit: u32) -> f32 { return heads[image * H + (2u + T + t) * Z + unit]; }

fn offset(image: u32, t: u32) -> f32 { return heads[image * H + 2u * (1u + T) * Z + t]; }

fn log_variance(image: u32, unit: u32) -> f32 {
    return clamp_log_variance(heads[image * H + Z + unit]);
}

const AT_ZERO = 0.54132485; // ln(e - 1)
const LEAST = 1e-6;

/// A step's numbers that all units share.
struct Step {
    wu: f32,
    ww: f32,
    c: f32,
    /// w v
    p: f32,
}

fn step_of(wu: f32, ww: f32) -> Step {
    let c = (softplus(wu + AT_ZERO) - 1.0 - wu) / (ww + LEAST);
    return Step(wu, ww, c, wu + c * ww);
}

fn draw(row: u32, unit: u32) -> f32 {
    return NOISE * unit_normal(clock[POSITION] + row / K, clock[SAMPLE] + row % K, unit);
}

@compute @workgroup_size(WORKGROUP)
fn planar_sample(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = group.x + group.y * groups.x;
    if row >= B * K { return; }
    let image = row / K;
    for (var unit = lane; unit < Z; unit += WORKGROUP) {
        let e = draw(row, unit);
        eps[row * Z + unit] = e;
        current[unit] = heads[image * H + unit] + exp(0.5 * log_variance(image, unit)) * e;
    }
    var total = 0.0;
    for (var t = 0u; t < T; t++) {
        var part = vec3<f32>(0.0);
        for (var unit = lane; unit < Z; unit += WORKGROUP) {
            let w = direction(image, t, unit);
            states[(row * T + t) * Z + unit] = current[unit];
            part += w * vec3<f32>(shift(image, t, unit), w, current[unit]);
        }
        let flow = step_of(workgroup_sum(part.x, lane), workgroup_sum(part.y, lane));
        let h = tanh_safe(workgroup_sum(part.z, lane) + offset(image, t));
        for (var unit = lane; unit < Z; unit += WORKGROUP) {
            current[unit] += (shift(image, t, unit) + flow.c * direction(image, t, unit)) * h;
        }
        total += log(1.0 + (1.0 - h * h) * flow.p);
    }
    for (var unit = lane; unit < Z; unit += WORKGROUP) { z[row * Z + unit] = current[unit]; }
    if lane == 0u { log_det[row] = total; }
}

@compute @workgroup_size(WORKGROUP)
fn planar_backward(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = group.x + group.y * groups.x;
    if row >= B * K { return; }
    let image = row / K;
    let own = row * H;
    let f = rates[KL_WEIGHT] * weight[row];
    for (var unit = lane; unit < Z; unit += WORKGROUP) {
        current[unit] = d_z[row * Z + unit] - f * samples[row * Z + unit];
    }
    for (var back = 1u; back <= T; back++) {
        let t = T - back;
        var part = vec3<f32>(0.0);
        var of_g = vec2<f32>(0.0);
        for (var unit = lane; unit < Z; unit += WORKGROUP) {
            let w = direction(image, t, unit);
            let u = shift(image, t, unit);
            part += w * vec3<f32>(u, w, before[(row * T + t) * Z + unit]);
            of_g += current[unit] * vec2<f32>(u, w);
        }
        let flow = step_of(workgroup_sum(part.x, lane), workgroup_sum(part.y, lane));
        let h = tanh_safe(workgroup_sum(part.z, lane) + offset(image, t));
        let gu = workgroup_sum(of_g.x, lane);
        let gw = workgroup_sum(of_g.y, lane);
        let slope = 1.0 - h * h;
        let d_log = f / (1.0 + slope * flow.p);
        let d_a = slope * (gu + flow.c * gw - 2.0 * h * flow.p * d_log);
        let d_p = slope * d_log;
        let d_c = d_p * flow.ww + h * gw;
        let n = flow.ww + LEAST;
        let d_wu = d_p + d_c * (sigmoid(flow.wu + AT_ZERO) - 1.0) / n;
        let d_ww = flow.c * (d_p - d_c / n);
        for (var unit = lane; unit < Z; unit += WORKGROUP) {
            let w = direction(image, t, unit);
            let u = shift(image, t, unit);
            let g = current[unit];
            d_rows[own + (2u + t) * Z + unit] = g * h + w * d_wu;
            d_rows[own + (2u + T + t) * Z + unit] =
                flow.c * h * g + 2.0 * w * d_ww + u * d_wu + before[(row * T + t) * Z + unit] * d_a;
            current[unit] = g + w * d_a;
        }
        if lane == 0u { d_rows[own + 2u * (1u + T) * Z + t] = d_a; }
    }
    for (var unit = lane; unit < Z; unit += WORKGROUP) {
        let raw = heads[image * H + Z + unit];
        let l = clamp_log_variance(raw);
        let at = 0.5 * current[unit] * exp(0.5 * l) * noise[row * Z + unit] + 0.5 * f;
        d_rows[own + unit] = current[unit];
        d_rows[own + Z + unit] = select(0.0, 1.0, l == raw) * at;
    }
}
