// linear.update of every layer at once: a dispatch that all of the step waits for in place of one a layer.
//   d_W = d_y^T x,  d_b = sum over rows of d_y;  then the state and the parameter as in lib/optimizer_step
// The bias is one more column of the weight whose input is always 1. What the layers read and write are
// parts of a few tensors, in which the words of `layers` say where they begin. The inputs and the gradients
// come in two tensors each, the layers' in turn: a layer's forward pass reads one part and writes the next,
// and a buffer cannot be bound for both.
// Who owns what: a workgroup owns a tile of one layer's parameters, and their state.
// Sums run over the rows, in the order of lib/product. A parameter's state lies in planes.
// Grid: a list of tiles, layer after layer, of each the tiles of outputs first and then those of inputs and bias. It is
// as long as tiles can be at most, which is a few more than there are.
#import mean_scale
#import optimizer_step
#import product_fetch
#import rates

/// rows of the minibatch
override BATCH: u32;
/// layers
override L: u32;
/// outputs and inputs of all layers together
override ALL_OUTPUTS: u32;
override ALL_INPUTS: u32;
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

/// The words of the workgroup's layer.
struct Layer {
    inputs: u32,
    outputs: u32,
    input_is_odd: bool,
    input_at: u32,
    gradient_is_odd: bool,
    gradient_at: u32,
    weight_at: u32,
    bias_at: u32,
    weight_state_at: u32,
    bias_state_at: u32,
}
var<private> layer: Layer;
/// Learning rate, 1 - BETA1^t, 1 - BETA2^t: loaded before the first store, which loads behind it would wait for.
var<private> now: vec3<f32>;

fn layer_at(first: u32) -> Layer {
    return Layer(
        layers[first + INPUTS],
        layers[first + OUTPUTS],
        layers[first + INPUT_IS_ODD] == 1u,
        layers[first + INPUT_AT],
        layers[first + GRADIENT_IS_ODD] == 1u,
        layers[first + GRADIENT_AT],
        layers[first + WEIGHT_AT],
        layers[first + BIAS_AT],
        layers[first + WEIGHT_STATE_AT],
        layers[first + BIAS_STATE_AT],
    );
}

fn rows() -> u32 { return min(layer.outputs, ALL_OUTPUTS); }
fn columns() -> u32 { return min(layer.inputs, ALL_INPUTS) + 1u; }
fn inner() -> u32 { return BATCH; }

// Both buffers are read and one is used, because a branch would make each load wait for the one before. Of the other
// it is the first element, which is near after the first time.
const LEFT_ALONG_INNER = false;
fn left(row: u32, k: u32) -> f32 {
    let e = layer.gradient_at + k * layer.outputs + row;
    let is_odd = layer.gradient_is_odd;
    let of_even = d_even[select(min(e, D_EVEN - 1u), 0u, is_odd)];
    let of_odd = d_odd[select(0u, min(e, D_ODD - 1u), is_odd)];
    return select(of_even, of_odd, is_odd);
}
fn left_scale() -> f32 { return mean_scale(BATCH); }

const RIGHT_ALONG_INNER = false;
fn right(k: u32, column: u32) -> f32 {
    let e = layer.input_at + k * layer.inputs + column;
    let is_odd = layer.input_is_odd;
    let of_even = even[select(min(e, EVEN - 1u), 0u, is_odd)];
    let of_odd = odd[select(0u, min(e, ODD - 1u), is_odd)];
    return select(select(of_even, of_odd, is_odd), 1.0, column == layer.inputs);
}

/// Where a parameter is, and its state in the first plane and in the last.
struct Place {
    parameter: u32,
    first: u32,
    last: u32,
}

fn place(row: u32, column: u32) -> Place {
    let is_bias = column >= layer.inputs;
    let e = select(row * layer.inputs + column, row, is_bias);
    let elements = select(layer.outputs * layer.inputs, layer.outputs, is_bias);
    let first = e + select(layer.weight_state_at, layer.bias_state_at, is_bias);
    return Place(
        e + select(layer.weight_at, layer.bias_at, is_bias), first, first + (PLANES - 1u) * elements);
}

struct Fetched {
    state: vec2<f32>,
    parameter: f32,
}

fn fetch(row: u32, column: u32) -> Fetched {
    let at = place(row, column);
    let before = vec2<f32>(state[min(at.first, M - 1u)], state[min(at.last, M - 1u)]);
    return Fetched(before, parameters[min(at.parameter, P - 1u)]);
}

fn store(row: u32, column: u32, g: f32, before: Fetched) {
    let at = place(row, column);
    if (at.parameter >= P) | (at.last >= M) { return; }
    let next = optimizer_step(OPTIMIZER, before.state, g, BETA1, BETA2, EPSILON, now);
    state[at.first] = next.state.x;
    if PLANES > 1u { state[at.last] = next.state.y; }
    let keep = select(1.0, kept(now.x, DECAY), column < layer.inputs);
    parameters[at.parameter] = before.parameter * keep + next.change;
}

/// A workgroup's layer, L where it has none, and its tile there.
struct Owned {
    layer: u32,
    tile: vec2<u32>,
}

/// The tile of this number.
fn owned(number: u32) -> Owned {
    var found = Owned(L, vec2<u32>());
    var before = 0u;
    // No branch, so that the sizes of all layers are loaded at once.
    for (var l = 0u; l < L; l++) {
        let of_outputs = (layers[WORDS * l + OUTPUTS] + TILE_ROWS - 1u) / TILE_ROWS;
        // The bias is one column more.
        let of_inputs = (layers[WORDS * l + INPUTS] + TILE_COLUMNS) / TILE_COLUMNS;
        let own = number - before;
        // Of a number before this layer's it is a huge one.
        let is_here = own < of_outputs * of_inputs;
        let here = vec2<u32>(own % max(of_outputs, 1u), own / max(of_outputs, 1u));
        found.layer = select(found.layer, l, is_here);
        found.tile = select(found.tile, here, is_here);
        before += of_outputs * of_inputs;
    }
    return found;
}

@compute @workgroup_size(INVOCATIONS)
fn update_all(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let own = owned(group.y * groups.x + group.x);
    if own.layer >= L { return; }
    // By its own name: what is read of a private variable is not uniform to a browser, and the barriers below must be.
    let of_layer = layer_at(WORDS * own.layer);
    layer = of_layer;
    now = vec3<f32>(rates[LEARNING_RATE], rates[CORRECTION1], rates[CORRECTION2]);
    product_fetch(vec3<u32>(own.tile, 0u), lane);
}
