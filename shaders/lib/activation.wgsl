#import math

// Activations by number: 0 identity, 1 ReLU, 2 tanh, 3 softplus, 4 leaky ReLU, 5 ELU. `kind` is always an override, so
// that the compiler keeps one branch.

fn activate(kind: u32, v: f32) -> f32 {
    switch kind {
        case 1u: { return select(v, 0.0, v < 0.0); }
        case 2u: { return tanh_safe(v); }
        case 3u: { return softplus(v); }
        case 4u: { return select(v, 0.01 * v, v < 0.0); }
        case 5u: { return select(-one_minus_exp(select(v, 0.0, v > 0.0)), v, v > 0.0); }
        default: { return v; }
    }
}

/// The derivative of the activation, from its value y: so the pre-activation need not be kept.
fn activation_gradient(kind: u32, y: f32) -> f32 {
    switch kind {
        case 1u: { return select(0.0, 1.0, y > 0.0); }
        case 2u: { return 1.0 - y * y; }
        case 3u: { return 1.0 - exp(-y); } // sigmoid(v) where y = softplus(v)
        case 4u: { return select(0.01, 1.0, y > 0.0); }
        case 5u: { return select(y + 1.0, 1.0, y > 0.0); }
        default: { return 1.0; }
    }
}
