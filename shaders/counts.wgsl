// What likelihoods of counts expect; sample k of row b is row b*K + k. A count of row b has the rate s e^eta, where the size
// factor s is the row's total over `mean_total`, that of the training rows.
//   rates        e^eta: the counts that a row of the mean total has
//   sized_rates  s e^eta: those that row b of x has
// Numerics: eta is bounded above, so that no rate overflows; a NaN stays one.
// Grid: rates: x over values of a row, y over rows; sized_rates: a workgroup a row. Totals in tree order.
#import count_likelihood

/// rows of the table
override B: u32;
/// samples a row
override K: u32;
/// counts of a row
override D: u32;
override WORKGROUP: u32 = 64u;

/// (B, D) counts
@group(0) @binding(0) var<storage, read> x: array<f32>;
/// (B*K, D)
@group(0) @binding(1) var<storage, read> eta: array<f32>;
/// (1) 0: all rows are of one size
@group(0) @binding(2) var<storage, read> mean_total: array<f32>;
/// (B*K, D) expected counts
@group(0) @binding(3) var<storage, read_write> mean: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn rates(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= D || id.y >= B * K { return; }
    let e = id.y * D + id.x;
    mean[e] = exp(clamp_eta(eta[e]));
}

@compute @workgroup_size(WORKGROUP)
fn sized_rates(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = group.x + group.y * groups.x;
    let size = size_of_row(row, lane);
    if row >= B * K { return; }
    for (var d = lane; d < D; d += WORKGROUP) {
        mean[row * D + d] = size * exp(clamp_eta(eta[row * D + d]));
    }
}
