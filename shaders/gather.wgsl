// The next minibatch, from the data set that stays on the device, or from a window of it.
//   gather       x[b, d] = binarize(data[order(position + b), d])
//                with FLIP, the mirror image of every second one, as a bit of noise says
//   gather_real  x[b, d] = values[order(position + b), d], of real numbers as they are
//   gather_classes  classes[b] = labels[order(position + b)], numbers of two bytes
// `order` is a fresh permutation each epoch (without SHUFFLE: 0, 1, 2, ...). A batch that begins in one
// epoch and ends in the next takes its last rows from the next, so every image is drawn once an epoch.
// With ROWS < N, a power of two, the host fills the rows in the order they are drawn: the t-th draw of all
// epochs is in row t mod ROWS. Pixels are bytes, four to a word. Binarization by integers, hence equal on every device:
// dynamic is 1 with probability v / 255 (v * 0x01010101 is v / 255 of 2^32), fixed is v >= 128.
// Grid: x over groups of four pixels (gather_real: over elements), y over rows; an invocation owns its
// elements of x. One of a workgroup finds the image, which is the most that is to be computed, for all of them.
// gather_classes: x over rows, an invocation owns one.
#import clock
#import philox
#import shuffle

/// images
override N: u32;
/// images that `data` holds: N, or those of a window
override ROWS: u32;
/// pixels of an image
override D: u32;
/// rows of the minibatch
override B: u32;
/// 0 grey (v / 255), 1 fixed threshold, 2 dynamic
override BINARIZATION: u32;
override SHUFFLE: u32 = 1u;
/// half the bits of the shuffle's domain, 4^HALF_BITS >= N
override HALF_BITS: u32;
/// which stream of noise
override STREAM: u32;
/// 1: an image is mirrored left to right with probability 1/2, anew each epoch
override FLIP: u32 = 0u;
/// which stream of noise decides it
override FLIP_STREAM: u32 = 0u;
/// pixels of an image's row
override WIDTH: u32 = 1u;
/// values of a pixel, side by side
override CHANNELS: u32 = 1u;
override WORKGROUP: u32 = 64u;

/// (ROWS, D) u8 intensities
@group(0) @binding(0) var<storage, read> data: array<u32>;
/// (ROWS, D)
@group(0) @binding(0) var<storage, read> values: array<f32>;
/// (ROWS, 2) u8 the number of a class, its low byte first
@group(0) @binding(0) var<storage, read> labels: array<u32>;
/// (8) seed low, seed high, step, epoch, position
@group(0) @binding(1) var<storage, read> clock: array<u32>;
/// (B, D) pixels in [0, 1], or real values
@group(0) @binding(2) var<storage, read_write> x: array<f32>;
/// (B)
@group(0) @binding(2) var<storage, read_write> classes: array<u32>;

/// The row of `data` that the workgroup's elements come from, and 1 where it is mirrored.
var<workgroup> found: array<u32, 2>;

@compute @workgroup_size(WORKGROUP)
fn gather(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let quad = id.x;
    let row = id.y;
    let key = vec2<u32>(clock[SEED_LOW], clock[SEED_HIGH]);
    let epoch = clock[EPOCH] + (clock[POSITION] + row) / N;
    let place = (clock[POSITION] + row) % N;
    if lane == 0u {
        found[0] = held(place, key, epoch);
        found[1] = u32(FLIP == 1u && is_mirrored(place, key, epoch));
    }
    workgroupBarrier();
    if quad * 4u >= D || row >= B { return; }
    let image = found[0];
    let mirrored = found[1] == 1u;
    var uniforms = vec4<u32>(0u);
    if BINARIZATION == 2u {
        uniforms = philox(counter_of(epoch, place, 0u, STREAM, quad), key);
    }
    for (var j = 0u; j < 4u; j++) {
        let d = quad * 4u + j;
        if d >= D { break; }
        let byte = image * D + select(d, opposite(d), mirrored);
        let v = (data[byte / 4u] >> (8u * (byte % 4u))) & 255u;
        var value = f32(v) / 255.0;
        if BINARIZATION == 1u {
            value = select(0.0, 1.0, v >= 128u);
        } else if BINARIZATION == 2u {
            value = select(0.0, 1.0, v == 255u || uniforms[j] < v * 0x01010101u);
        }
        x[row * D + d] = value;
    }
}

/// Whether the image at a place of an epoch is shown as its mirror image.
fn is_mirrored(place: u32, key: vec2<u32>, epoch: u32) -> bool {
    return (philox(counter_of(epoch, place, 0u, FLIP_STREAM, 0u), key).x & 1u) == 1u;
}

/// The value that is as far from the right end of its row as `d` is from the left, in the same channel.
fn opposite(d: u32) -> u32 {
    let column = (d / CHANNELS) % WIDTH;
    return d - column * CHANNELS + (WIDTH - 1u - column) * CHANNELS;
}

/// The row of `data` with the image at a place of an epoch.
fn held(place: u32, key: vec2<u32>, epoch: u32) -> u32 {
    if ROWS < N { return (epoch * N + place) & (ROWS - 1u); }
    return drawn(place, key, epoch);
}

/// The image at a place of an epoch.
fn drawn(place: u32, key: vec2<u32>, epoch: u32) -> u32 {
    if SHUFFLE == 1u { return permute(place, N, HALF_BITS, key, epoch); }
    return place;
}

@compute @workgroup_size(WORKGROUP)
fn gather_real(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let at = clock[POSITION] + id.y;
    if lane == 0u {
        found[0] =
            held(at % N, vec2<u32>(clock[SEED_LOW], clock[SEED_HIGH]), clock[EPOCH] + at / N);
    }
    workgroupBarrier();
    if id.x >= D || id.y >= B { return; }
    x[id.y * D + id.x] = values[found[0] * D + id.x];
}

@compute @workgroup_size(WORKGROUP)
fn gather_classes(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = id.x;
    if row >= B { return; }
    let epoch = clock[EPOCH] + (clock[POSITION] + row) / N;
    let place = (clock[POSITION] + row) % N;
    let image = held(place, vec2<u32>(clock[SEED_LOW], clock[SEED_HIGH]), epoch);
    classes[row] = (labels[image / 2u] >> (16u * (image % 2u))) & 65535u;
}
