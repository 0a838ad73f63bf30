// linear.update of every layer at once: a dispatch that all of the step waits for in place of one a layer.
//   d_W = d_y^T x,  d_b = sum over rows of d_y;  then the state and the parameter as in lib/optimizer_step
// The bias is one more column of the weight whose input is always 1. What the layers read and write are
// parts of a few tensors, in which the words of `layers` say where they begin. The inputs and the gradients
// come in two tensors each, the layers' in turn: a layer's forward pass reads one part and writes the next,
// and a buffer cannot be bound for both.
// Who owns what: a workgroup owns a tile of one layer's parameters, and their state.
// Sums run over the rows, in the order of lib/product. A parameter's state lies in planes.
// Grid: x over tiles of outputs, y over tiles of inputs and bias, z over layers; beyond its layer's edge a
// workgroup has nothing to do.
#import mean_scale
#import optimizer_step
#import product
#import rates

/// rows of the minibatch
override BATCH: u32;
/// layers
override L: u32;
/// the most outputs and the most inputs that a layer has
override MOST_OUTPUTS: u32;
override MOST_INPUTS: u32;
/// elements of the tensors
override EVEN: u32;
override ODD: u32;
override D_EVEN: u32;
override D_ODD: u32;
override P: u32;
override M: u32;
/// planes of the state
override PLANES: u32 = 2u;
/// see lib/optimizer_step
override OPTIMIZER: u32 = 0u;
override BETA1: f32 = 0.9;
override BETA2: f32 = 0.999;
override EPSILON: f32 = 1e-8;
/// what weights lose of themselves, times the learning rate; biases do not
override DECAY: f32 = 0.0;

/// (L, 10) of each layer: inputs I, outputs O; 1 where its input is in `odd`, and the place there; the same
/// of its gradient; the places of W (O, I), b (O), and of their state (PLANES, O, I) and (PLANES, O)
@group(0) @binding(0) var<storage, read> layers: array<u32>;
/// (EVEN) inputs (BATCH, I) of layers
@group(0) @binding(1) var<storage, read> even: array<f32>;
/// (ODD)
@group(0) @binding(2) var<storage, read> odd: array<f32>;
/// (D_EVEN) gradients (BATCH, O) of layers' outputs
@group(0) @binding(3) var<storage, read> d_even: array<f32>;
/// (D_ODD)
@group(0) @binding(4) var<storage, read> d_odd: array<f32>;
/// (4) learning rate, 1 - BETA1^t, 1 - BETA2^t, weight of the KL
@group(0) @binding(5) var<storage, read> rates: array<f32>;
/// (P)
@group(0) @binding(6) var<storage, read_write> parameters: array<f32>;
/// (M)
@group(0) @binding(7) var<storage, read_write> state: array<f32>;

const WORDS = 10u;
// What the words of a layer are; places are first elements.
const INPUTS = 0u;
const OUTPUTS = 1u;
/// 1 where its input is in `odd`
const INPUT_IS_ODD = 2u;
const INPUT_AT = 3u;
/// 1 where its gradient is in `d_odd`
const GRADIENT_IS_ODD = 4u;
const GRADIENT_AT = 5u;
const WEIGHT_AT = 6u;
const BIAS_AT = 7u;
const WEIGHT_STATE_AT = 8u;
const BIAS_STATE_AT = 9u;
var<private> layer: array<u32, WORDS>;

fn rows() -> u32 { return min(layer[OUTPUTS], MOST_OUTPUTS); }
fn columns() -> u32 { return min(layer[INPUTS], MOST_INPUTS) + 1u; }
fn inner() -> u32 { return BATCH; }

const LEFT_ALONG_INNER = false;
fn left(row: u32, k: u32) -> f32 {
    let e = layer[GRADIENT_AT] + k * layer[OUTPUTS] + row;
    if layer[GRADIENT_IS_ODD] == 1u { return d_odd[min(e, D_ODD - 1u)]; }
    return d_even[min(e, D_EVEN - 1u)];
}
fn left_scale() -> f32 { return mean_scale(BATCH); }

const RIGHT_ALONG_INNER = false;
fn right(k: u32, column: u32) -> f32 {
    if column == layer[INPUTS] { return 1.0; }
    let e = layer[INPUT_AT] + k * layer[INPUTS] + column;
    if layer[INPUT_IS_ODD] == 1u { return odd[min(e, ODD - 1u)]; }
    return even[min(e, EVEN - 1u)];
}

fn store(row: u32, column: u32, g: f32) {
    let weights = layer[OUTPUTS] * layer[INPUTS];
    if column < layer[INPUTS] {
        let e = row * layer[INPUTS] + column;
        let keep = kept(rates[LEARNING_RATE], DECAY);
        step(layer[WEIGHT_AT] + e, layer[WEIGHT_STATE_AT] + e, weights, keep, g);
    } else {
        step(layer[BIAS_AT] + row, layer[BIAS_STATE_AT] + row, layer[OUTPUTS], 1.0, g);
    }
}

/// Of the parameter at a place, of which weight decay keeps a share; its state begins at `first` and has its next plane
/// `elements` further.
fn step(parameter: u32, first: u32, elements: u32, keep: f32, g: f32) {
    let last = first + (PLANES - 1u) * elements;
    if parameter >= P || last >= M { return; }
    var before = vec2<f32>(state[first], 0.0);
    if PLANES > 1u { before.y = state[last]; }
    let now = vec3<f32>(rates[LEARNING_RATE], rates[CORRECTION1], rates[CORRECTION2]);
    let next = optimizer_step(OPTIMIZER, before, g, BETA1, BETA2, EPSILON, now);
    state[first] = next.state.x;
    if PLANES > 1u { state[last] = next.state.y; }
    parameters[parameter] = parameters[parameter] * keep + next.change;
}

@compute @workgroup_size(INVOCATIONS)
fn update_all(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let words = WORDS * min(group.z, L - 1u);
    if group.x * TILE_ROWS >= layers[words + OUTPUTS] || group.y * TILE_COLUMNS > layers[words + INPUTS] { return; }
    for (var i = 0u; i < WORDS; i++) { layer[i] = layers[words + i]; }
    product(group, lane);
}
