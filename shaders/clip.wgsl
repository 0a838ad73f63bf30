// The norm of a step's gradient over all parameters together, and the share of it that is kept where it is longer than
// allowed (Pascanu, Mikolov and Bengio 2013).
//   add_squares   squares[i] += the sum of the squares of those elements of one tensor that workgroup i owns
//   scale         norm = sqrt(sum of squares),  kept = min(1, MOST / norm),  norms[step mod S] = norm,  squares = 0
// The tensors follow one upon the other, in the plan's order; `scale` leaves zeros for the next step's.
// Who owns what: workgroup i of add_squares owns squares[i], and blocks of WORKGROUP elements, every PARTS-th.
// Grid: add_squares: PARTS workgroups, scale: one. Sums: a lane over its elements, then in tree order.
#import clock
#import reduce

/// elements of the tensor
override N: u32;
/// sums that the squares come in
override PARTS: u32;
/// the longest gradient that is taken as it is
override MOST: f32;
/// steps that `norms` holds
override S: u32;
override WORKGROUP: u32 = 256u;

/// (..N)
@group(0) @binding(0) var<storage, read> gradient: array<f32>;
/// (PARTS)
@group(0) @binding(1) var<storage, read_write> squares: array<f32>;

/// (PARTS)
@group(0) @binding(0) var<storage, read_write> sums: array<f32>;
/// (8) seed low, seed high, step, epoch, position
@group(0) @binding(1) var<storage, read> clock: array<u32>;
/// (1)
@group(0) @binding(2) var<storage, read_write> kept: array<f32>;
/// (S)
@group(0) @binding(3) var<storage, read_write> norms: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn add_squares(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    var part = 0.0;
    for (var e = group.x * WORKGROUP + lane; e < N; e += PARTS * WORKGROUP) {
        part += gradient[e] * gradient[e];
    }
    let total = workgroup_sum(part, lane);
    if lane == 0u && group.x < PARTS { squares[group.x] += total; }
}

@compute @workgroup_size(WORKGROUP)
fn scale(@builtin(local_invocation_index) lane: u32) {
    var part = 0.0;
    for (var i = lane; i < PARTS; i += WORKGROUP) {
        part += sums[i];
        sums[i] = 0.0;
    }
    let norm = sqrt(workgroup_sum(part, lane));
    if lane != 0u { return; }
    norms[clock[STEP] % S] = norm;
    // A norm that is no number keeps all: the parameters then show it.
    kept[0] = select(1.0, MOST / norm, norm > MOST);
}
