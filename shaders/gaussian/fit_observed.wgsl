// The variances at which a Gaussian likelihood is largest, as in fit_variance, of cells of which some may be missing:
// these say nothing. Values of a row take turns in G groups, value d in group d mod G.
//   observed_errors  of each value the sum over 32 rows of w (x - eta)^2, and of w, where it is observed; sample k of
//                    image b is row b*K + k
//   fit_observed     s* = sum of the errors of a group / sum of their weights
//                    fitted = ln s*, and the variance that is kept is the running mean s <- s + a f (s* - s), where
//                    f = G/D * sum of the weights is the share that was observed, as the weights of all rows add up to 1,
//                    and a = max(1 - DECAY, 2 / (t + 1)) in step t. Of a group without any, s* is what is kept.
// s* is held between LOWEST and HIGHEST.
// Grid: observed_errors: x over values, y over parts of the rows, an invocation its two sums, in the order of the rows;
// fit_observed: a workgroup a group, lane 0 owns what is written, sums in tree order.
#import reduce
#import log_variance
#import clock
#import missing

/// images
override B: u32;
/// samples an image
override K: u32;
/// values of an image
override D: u32;
/// parts of 32 rows
override P: u32;
/// groups, of which D is a multiple
override G: u32;
override DECAY: f32 = 0.8;
override LOWEST: f32 = 1.28e-6;
override WORKGROUP: u32 = 64u;
/// e^20, where a log variance ends
const HIGHEST = 4.851652e8;

/// (B, D)
@group(0) @binding(0) var<storage, read> x: array<f32>;
/// (B*K, D) means
@group(0) @binding(1) var<storage, read> eta: array<f32>;
/// (B*K)
@group(0) @binding(2) var<storage, read> weight: array<f32>;
/// (P, 2*D) [errors | weights]
@group(0) @binding(3) var<storage, read_write> part_errors: array<f32>;

/// (P, 2*D) [errors | weights]
@group(0) @binding(0) var<storage, read> errors: array<f32>;
/// (8) of the step
@group(0) @binding(1) var<storage, read> clock: array<u32>;
/// (G) ln s
@group(0) @binding(2) var<storage, read_write> log_variance: array<f32>;
/// (G) ln s*
@group(0) @binding(3) var<storage, read_write> fitted: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn observed_errors(@builtin(global_invocation_id) id: vec3<u32>) {
    let d = id.x;
    let first = id.y * 32u;
    if d >= D || id.y >= P { return; }
    var total = 0.0;
    var observed = 0.0;
    for (var row = first; row < min(first + 32u, B * K); row += 1u) {
        let cell = x[row / K * D + d];
        if is_missing(cell) { continue; }
        let r = cell - eta[row * D + d];
        total += weight[row] * (r * r);
        observed += weight[row];
    }
    part_errors[id.y * 2u * D + d] = total;
    part_errors[id.y * 2u * D + D + d] = observed;
}

@compute @workgroup_size(WORKGROUP)
fn fit_observed(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let g = group.x + group.y * groups.x;
    let size = D / G;
    var part = 0.0;
    var part_weight = 0.0;
    if g < G {
        for (var i = lane; i < P * size; i += WORKGROUP) {
            let at = i / size * 2u * D + i % size * G + g;
            part += errors[at];
            part_weight += errors[at + D];
        }
    }
    let total = workgroup_sum(part, lane);
    let observed = workgroup_sum(part_weight, lane);
    if lane != 0u || g >= G { return; }
    let kept = exp(clamp_log_variance(log_variance[g]));
    var best = kept;
    if observed > 0.0 { best = total / observed; }
    // select, not clamp: a NaN must stay one
    best = select(select(best, HIGHEST, best > HIGHEST), LOWEST, best < LOWEST);
    let follow = max(1.0 - DECAY, 2.0 / (f32(clock[STEP]) + 2.0)) * (observed / f32(size));
    fitted[g] = log(best);
    log_variance[g] = log((1.0 - follow) * kept + follow * best);
}
