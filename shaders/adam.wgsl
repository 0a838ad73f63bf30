// Adam (Kingma and Ba 2015), ascending the objective.
//   m = b1 m + (1 - b1) g,  v = b2 v + (1 - b2) g^2
//   parameter += rate * (m / c1) / (sqrt(v / c2) + EPSILON),  c_i = 1 - b_i^t from the clock
// Moments below the smallest normal number become zero: those of dead units would decay through the
// subnormals, which cost some processors a hundred cycles each.
// Grid: x and y over elements, WORKGROUP a workgroup; an invocation owns one element.

/// elements of the tensor
override N: u32;
override BETA1: f32 = 0.9;
override BETA2: f32 = 0.999;
override EPSILON: f32 = 1e-8;
override WORKGROUP: u32 = 64u;

/// (..N)
@group(0) @binding(0) var<storage, read> gradient: array<f32>;
/// (4) learning rate, 1 - BETA1^t, 1 - BETA2^t, weight of the KL
@group(0) @binding(1) var<storage, read> rates: array<f32>;
/// (..N)
@group(0) @binding(2) var<storage, read_write> parameter: array<f32>;
/// (..N)
@group(0) @binding(3) var<storage, read_write> moment1: array<f32>;
/// (..N)
@group(0) @binding(4) var<storage, read_write> moment2: array<f32>;

fn flush(v: f32) -> f32 {
    return select(v, 0.0, abs(v) < 1.17549435e-38);
}

@compute @workgroup_size(WORKGROUP)
fn adam(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let e = (group.x + group.y * groups.x) * WORKGROUP + lane;
    if e >= N { return; }
    let g = gradient[e];
    let m = flush(BETA1 * moment1[e] + (1.0 - BETA1) * g);
    let v = flush(BETA2 * moment2[e] + (1.0 - BETA2) * g * g);
    moment1[e] = m;
    moment2[e] = v;
    parameter[e] += rates[0] * (m / rates[1]) / (sqrt(v / rates[2]) + EPSILON);
}
