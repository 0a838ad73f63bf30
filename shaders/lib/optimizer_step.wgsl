// Optimizers by number, ascending the objective with gradient g. `kind` is always an override, so that the compiler
// keeps one branch. An element has one number in each of the optimizer's planes; c_i = 1 - b_i^t come with the
// rates.
//   0 Adam (Kingma and Ba 2015)
//     m = b1 m + (1 - b1) g,  v = b2 v + (1 - b2) g^2,  parameter += rate (m / c1) / (sqrt(v / c2) + epsilon)
//   1 RMSprop (Hinton 2012), in one plane
//     v = b2 v + (1 - b2) g^2,  parameter += rate g / (sqrt(v) + epsilon)
//   2 Adamax (Kingma and Ba 2015), with PyTorch's epsilon, so that u is never 0
//     m = b1 m + (1 - b1) g,  u = max(b2 u, |g| + epsilon),  parameter += rate (m / c1) / u

/// The new state of an element, and what the parameter gains.
struct Step {
    state: vec2<f32>,
    change: f32,
}

/// Numbers below the smallest normal one become zero: those of dead units would decay through the subnormals,
/// which cost some processors a hundred cycles each.
fn flush(v: f32) -> f32 {
    return select(v, 0.0, abs(v) < 1.17549435e-38);
}

/// What decoupled weight decay leaves of a parameter in a step (Loshchilov and Hutter 2019), before the optimizer's own
/// change is added; 1 where there is none.
fn kept(rate: f32, decay: f32) -> f32 {
    return 1.0 - rate * decay;
}

/// `rates`: the learning rate, c1, c2.
fn optimizer_step(
    kind: u32,
    state: vec2<f32>,
    g: f32,
    beta1: f32,
    beta2: f32,
    epsilon: f32,
    rates: vec3<f32>,
) -> Step {
    switch kind {
        case 1u: {
            let v = flush(beta2 * state.x + (1.0 - beta2) * g * g);
            return Step(vec2<f32>(v, 0.0), rates.x * g / (sqrt(v) + epsilon));
        }
        case 2u: {
            let m = flush(beta1 * state.x + (1.0 - beta1) * g);
            let u = max(beta2 * state.y, abs(g) + epsilon);
            return Step(vec2<f32>(m, u), rates.x * (m / rates.y) / u);
        }
        default: {
            let m = flush(beta1 * state.x + (1.0 - beta1) * g);
            let v = flush(beta2 * state.y + (1.0 - beta2) * g * g);
            let change = rates.x * (m / rates.y) / (sqrt(v / rates.z) + epsilon);
            return Step(vec2<f32>(m, v), change);
        }
    }
}
