// The gradients of a fully connected layer's parameters, and an optimizer's step with them.
//   d_W = d_y^T x,  d_b = sum over rows of d_y;  then the state and the parameter as in lib/optimizer_step
// Column I of the product is d_b: see lib/parameter_gradients. An element of the gradient is used where it is
// finished, and stored nowhere: see lib/product.
// Who owns what: a workgroup owns a tile of the parameters, and their state.
// Sums run over the rows, in the order of lib/product. The state lies in planes: the first of all elements, then the second.
// Grid: x over tiles of outputs, y over tiles of inputs and bias.
#import optimizer_step
#import parameter_gradients
#import product_fetch
#import rates

/// rows: images times samples
override R: u32;
/// inputs of the layer
override I: u32;
/// outputs of the layer
override O: u32;
/// planes of the state
override PLANES: u32;
/// see lib/optimizer_step
override OPTIMIZER: u32 = 0u;
override BETA1: f32 = 0.9;
override BETA2: f32 = 0.999;
override EPSILON: f32 = 1e-8;
/// what the weight loses of itself, times the learning rate; the bias does not
override DECAY: f32 = 0.0;

/// (R, I) the layer's input
@group(0) @binding(0) var<storage, read> x: array<f32>;
/// (R, O)
@group(0) @binding(1) var<storage, read> d_y: array<f32>;
/// (4) learning rate, 1 - BETA1^t, 1 - BETA2^t, weight of the KL
@group(0) @binding(2) var<storage, read> rates: array<f32>;
/// (O, I)
@group(0) @binding(3) var<storage, read_write> weight: array<f32>;
/// (O)
@group(0) @binding(4) var<storage, read_write> bias: array<f32>;
/// (PLANES, O, I)
@group(0) @binding(5) var<storage, read_write> weight_state: array<f32>;
/// (PLANES, O)
@group(0) @binding(6) var<storage, read_write> bias_state: array<f32>;

struct Fetched {
    state: vec2<f32>,
    parameter: f32,
}

fn fetch(row: u32, column: u32) -> Fetched {
    let e = row * I + min(column, I - 1u);
    let of_weight = vec2<f32>(weight_state[e], weight_state[(PLANES - 1u) * O * I + e]);
    let of_bias = vec2<f32>(bias_state[row], bias_state[(PLANES - 1u) * O + row]);
    let is_bias = column == I;
    return Fetched(select(of_weight, of_bias, is_bias), select(weight[e], bias[row], is_bias));
}

fn store(row: u32, column: u32, g: f32, before: Fetched) {
    let now = vec3<f32>(rates[LEARNING_RATE], rates[CORRECTION1], rates[CORRECTION2]);
    let next = optimizer_step(OPTIMIZER, before.state, g, BETA1, BETA2, EPSILON, now);
    let keep = select(1.0, kept(rates[LEARNING_RATE], DECAY), column < I);
    let parameter = before.parameter * keep + next.change;
    if column < I {
        let e = row * I + column;
        weight_state[e] = next.state.x;
        if PLANES > 1u { weight_state[O * I + e] = next.state.y; }
        weight[e] = parameter;
    } else {
        bias_state[row] = next.state.x;
        if PLANES > 1u { bias_state[O + row] = next.state.y; }
        bias[row] = parameter;
    }
}

@compute @workgroup_size(INVOCATIONS)
fn update(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    product_fetch(group, lane);
}
