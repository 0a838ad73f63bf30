// What a network is told of an image's class: a vector for each class, added before a layer's activation.
//   forward   y[r, p, u] = f(x[r, p, u] + embedding[classes[r / K], u])
//   backward  d_embedding[c, u] = sum over the rows r of class c of d_y[r, u]
// A row has P pixels of U channels, or P = 1 and U units; the gradient comes summed over the pixels of a row.
// Numerics: a NaN stays one. Reruns are equal bit for bit: no two invocations add to one element.
// Who owns what: an invocation owns one element of y, or of the gradient.
// Sums run over the rows, ascending; a class without a row has zero.
// Grid: x and y over elements, WORKGROUP a workgroup.
#import activation

/// images
override B: u32;
/// rows of an image
override K: u32 = 1u;
/// pixels of a row
override P: u32 = 1u;
/// units, or channels of a pixel
override U: u32;
/// classes
override C: u32;
/// of y
override ACTIVATION: u32 = 0u;
override WORKGROUP: u32 = 64u;

/// (B) below C
@group(0) @binding(0) var<storage, read> classes: array<u32>;
/// (B*K, P*U)
@group(0) @binding(1) var<storage, read> x: array<f32>;
/// (C, U)
@group(0) @binding(2) var<storage, read> embedding: array<f32>;
/// (B*K, P*U)
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

/// (B*K, U)
@group(0) @binding(1) var<storage, read> d_y: array<f32>;
/// (C, U)
@group(0) @binding(2) var<storage, read_write> d_embedding: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn forward(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let e = (group.x + group.y * groups.x) * WORKGROUP + lane;
    if e >= B * K * P * U { return; }
    let image = e / (K * P * U);
    let class_of_image = min(classes[image], C - 1u);
    y[e] = activate(ACTIVATION, x[e] + embedding[class_of_image * U + e % U]);
}

@compute @workgroup_size(WORKGROUP)
fn backward(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let e = (group.x + group.y * groups.x) * WORKGROUP + lane;
    if e >= C * U { return; }
    var sum = 0.0;
    for (var image = 0u; image < B; image++) {
        if classes[image] != e / U { continue; }
        for (var k = 0u; k < K; k++) { sum += d_y[(image * K + k) * U + e % U]; }
    }
    d_embedding[e] = sum;
}
