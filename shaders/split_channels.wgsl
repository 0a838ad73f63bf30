// The channels of a map in parts, one part behind the other: a convolution gives a pixel's channels side by side, a
// likelihood takes means of all pixels, then scales of all pixels.
//   split: y[r, part, pixel, c] = x[r, pixel, part, c];  merge: x[r, pixel, part, c] = y[r, part, pixel, c]
// Who owns what: an invocation owns one element of the output.
// Sums: none.
// Grid: x and y over elements, WORKGROUP a workgroup.

/// images times samples
override R: u32;
/// parts
override PARTS: u32;
/// pixels
override N: u32;
/// channels of a part
override C: u32;
override WORKGROUP: u32 = 64u;

/// (R, PARTS*N*C)
@group(0) @binding(0) var<storage, read> from_layer: array<f32>;
/// (R, PARTS*N*C)
@group(0) @binding(1) var<storage, read_write> in_parts: array<f32>;

/// (R, PARTS*N*C)
@group(0) @binding(2) var<storage, read> d_in_parts: array<f32>;
/// (R, PARTS*N*C)
@group(0) @binding(3) var<storage, read_write> d_from_layer: array<f32>;

/// Where element e of what is in parts stands where the parts are side by side.
fn side_by_side(e: u32) -> u32 {
    let row = e / (PARTS * N * C);
    let part = e / (N * C) % PARTS;
    let pixel = e / C % N;
    return ((row * N + pixel) * PARTS + part) * C + e % C;
}

@compute @workgroup_size(WORKGROUP)
fn split(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let e = (group.x + group.y * groups.x) * WORKGROUP + lane;
    if e >= R * PARTS * N * C { return; }
    in_parts[e] = from_layer[side_by_side(e)];
}

@compute @workgroup_size(WORKGROUP)
fn merge(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let e = (group.x + group.y * groups.x) * WORKGROUP + lane;
    if e >= R * PARTS * N * C { return; }
    d_from_layer[side_by_side(e)] = d_in_parts[e];
}
