// Values of many runs of a plan, kept so that the host reads them at once, and the clock between runs.
//   keep     kept[step mod S] = values
//   advance  step += 1, samples before these += K
// Two entry points, since every invocation of keep reads the step that advance changes.
// An invocation of keep owns one element of the step's row of kept; the other rows stay as they are.
// Grid: keep: an invocation a value. advance: a single one.

/// values of a run
override R: u32;
/// runs that are kept
override S: u32;
/// samples an image in a run
override K: u32;
override WORKGROUP: u32 = 64u;

/// (R)
@group(0) @binding(0) var<storage, read> values: array<f32>;
/// (8) seed low, seed high, step, epoch, position, samples before these
@group(0) @binding(1) var<storage, read> clock: array<u32>;
/// (S, R)
@group(0) @binding(2) var<storage, read_write> kept: array<f32>;

/// (8) the clock
@group(0) @binding(0) var<storage, read_write> time: array<u32>;

@compute @workgroup_size(WORKGROUP)
fn keep(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= R { return; }
    kept[clock[2] % S * R + id.x] = values[id.x];
}

@compute @workgroup_size(1)
fn advance() {
    time[2] += 1u;
    time[5] += K;
}
