// Adam (Kingma and Ba 2015), ascending the objective, of one element.
//   m = b1 m + (1 - b1) g,  v = b2 v + (1 - b2) g^2
//   parameter += rate * (m / c1) / (sqrt(v / c2) + epsilon),  c_i = 1 - b_i^t from the clock

/// Moments below the smallest normal number become zero: those of dead units would decay through the
/// subnormals, which cost some processors a hundred cycles each.
fn flush(v: f32) -> f32 {
    return select(v, 0.0, abs(v) < 1.17549435e-38);
}

/// (m, v) after a step with gradient `g`.
fn adam_moments(m: f32, v: f32, g: f32, beta1: f32, beta2: f32) -> vec2<f32> {
    return vec2<f32>(flush(beta1 * m + (1.0 - beta1) * g), flush(beta2 * v + (1.0 - beta2) * g * g));
}

/// What the parameter gains, from the new (m, v).
fn adam_change(moments: vec2<f32>, rate: f32, c1: f32, c2: f32, epsilon: f32) -> f32 {
    return rate * (moments.x / c1) / (sqrt(moments.y / c2) + epsilon);
}
