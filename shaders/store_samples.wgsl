// Stores the values of many runs of a plan, so that the host reads them together, and moves the clock.
//   store    stored[step mod S] = values
//   advance  step += 1, samples before these += K
// Two entry points, since every invocation of store reads the step that advance changes.
// An invocation of store owns one element of the step's row of stored; the other rows stay as they are.
// Grid: store: an invocation a value. advance: a single one.
#import clock

/// values of a run
override R: u32;
/// runs that are stored
override S: u32;
/// samples an image in a run
override K: u32;
override WORKGROUP: u32 = 64u;

/// (R)
@group(0) @binding(0) var<storage, read> values: array<f32>;
/// (8) seed low, seed high, step, epoch, position, samples before these
@group(0) @binding(1) var<storage, read> clock: array<u32>;
/// (S, R)
@group(0) @binding(2) var<storage, read_write> stored: array<f32>;

/// (8) the clock
@group(0) @binding(0) var<storage, read_write> time: array<u32>;

@compute @workgroup_size(WORKGROUP)
fn store(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= R { return; }
    stored[clock[STEP] % S * R + id.x] = values[id.x];
}

@compute @workgroup_size(1)
fn advance() {
    time[STEP] += 1u;
    time[SAMPLE] += K;
}
