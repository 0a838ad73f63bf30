// The variance at which a Gaussian likelihood is largest: the mean squared error. Values of an image take turns
// in G groups, value d in group d mod G; each group has a variance of its own.
//   row_errors    e = w * sum over d of group g of (x - eta)^2, of each row; sample k of image b is row b*K + k
//   column_errors e = sum over 32 rows of w * (x - eta)^2, of each value: the same where each is a group
//   fit_variance  s* = G/D * sum over rows of e, as the weights w add up to 1
//                 fitted = ln s*, and the variance that is kept is the running mean s <- s + a (s* - s),
//                 a = max(1 - DECAY, 2 / (t + 1)) in step t: the first step forgets what was before, and as
//                 long as DECAY does not bind, a minibatch weighs in proportion to its step
// s* is held between LOWEST and HIGHEST.
// Grid: row_errors: a workgroup a row, fit_variance: a workgroup a group; lane 0 owns what is written, sums in tree
// order. column_errors: x over values, y over parts of the rows, an invocation a sum, in the order of the rows.
#import reduce
#import log_variance
#import clock

/// images
override B: u32;
/// samples an image
override K: u32;
/// values of an image
override D: u32;
/// rows of errors
override R: u32;
/// parts of 32 rows
override P: u32;
/// groups
override G: u32;
override DECAY: f32 = 0.8;
override WORKGROUP: u32 = 64u;
/// a grey level's width squared over 12: of values that were rounded to levels, nothing is known below it
const LOWEST = 1.28e-6;
/// e^20, where a log variance ends
const HIGHEST = 4.851652e8;

/// (B, D)
@group(0) @binding(0) var<storage, read> x: array<f32>;
/// (B*K, D) means
@group(0) @binding(1) var<storage, read> eta: array<f32>;
/// (B*K)
@group(0) @binding(2) var<storage, read> weight: array<f32>;
/// (B*K, G)
@group(0) @binding(3) var<storage, read_write> squared_errors: array<f32>;
/// (P, D)
@group(0) @binding(4) var<storage, read_write> part_errors: array<f32>;

/// (R, G)
@group(0) @binding(0) var<storage, read> errors: array<f32>;
/// (8) of the step
@group(0) @binding(1) var<storage, read> clock: array<u32>;
/// (G) ln s
@group(0) @binding(2) var<storage, read_write> log_variance: array<f32>;
/// (G) ln s*
@group(0) @binding(3) var<storage, read_write> fitted: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn row_errors(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = group.x + group.y * groups.x;
    for (var g = 0u; g < G; g += 1u) {
        var part = 0.0;
        if row < B * K {
            for (var d = g + lane * G; d < D; d += WORKGROUP * G) {
                let r = x[row / K * D + d] - eta[row * D + d];
                part += r * r;
            }
        }
        let total = workgroup_sum(part, lane);
        if lane == 0u && row < B * K { squared_errors[row * G + g] = weight[row] * total; }
    }
}

@compute @workgroup_size(WORKGROUP)
fn column_errors(@builtin(global_invocation_id) id: vec3<u32>) {
    let d = id.x;
    let first = id.y * 32u;
    if d >= D || id.y >= P { return; }
    var total = 0.0;
    for (var row = first; row < min(first + 32u, B * K); row += 1u) {
        let r = x[row / K * D + d] - eta[row * D + d];
        total += weight[row] * (r * r);
    }
    part_errors[id.y * D + d] = total;
}

@compute @workgroup_size(WORKGROUP)
fn fit_variance(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let g = group.x + group.y * groups.x;
    var part = 0.0;
    if g < G {
        for (var row = lane; row < R; row += WORKGROUP) { part += errors[row * G + g]; }
    }
    let mean = workgroup_sum(part, lane) * (f32(G) / f32(D));
    if lane != 0u || g >= G { return; }
    // select, not clamp: a NaN must stay one
    let best = select(select(mean, HIGHEST, mean > HIGHEST), LOWEST, mean < LOWEST);
    let share = max(1.0 - DECAY, 2.0 / (f32(clock[STEP]) + 2.0));
    let kept = exp(clamp_log_variance(log_variance[g]));
    fitted[g] = log(best);
    log_variance[g] = log((1.0 - share) * kept + share * best);
}
