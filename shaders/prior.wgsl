// Draws from the prior, z ~ N(0, I). Row b*K + k is sample k of place position + b of an epoch:
//   z[r, u] = number u mod 4 of normal4(philox(counter, key)), the key the seed,
//   counter = counter_of(epoch, position + b, samples before these + k, STREAM, u / 4)
// Numerics: Box and Muller with + * and sqrt only, in lib/normal.
// One counter makes four numbers; those past Z are dropped.
// Grid: x over groups of four units, y over rows; an invocation owns its four elements of z.
#import clock
#import normal
#import philox

/// places
override B: u32;
/// samples a place
override K: u32;
/// latent units
override Z: u32;
/// which stream of noise
override STREAM: u32;
override WORKGROUP: u32 = 64u;

/// (8) seed low, seed high, step, epoch, position, samples before these
@group(0) @binding(0) var<storage, read> clock: array<u32>;
/// (B*K, Z)
@group(0) @binding(1) var<storage, read_write> z: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn sample(@builtin(global_invocation_id) id: vec3<u32>) {
    let quad = id.x;
    let row = id.y;
    if quad * 4u >= Z || row >= B * K { return; }
    let e = normal4(philox(
        counter_of(clock[EPOCH], clock[POSITION] + row / K, clock[SAMPLE] + row % K, STREAM, quad),
        vec2<u32>(clock[SEED_LOW], clock[SEED_HIGH]),
    ));
    for (var j = 0u; j < min(4u, Z - quad * 4u); j++) {
        z[row * Z + quad * 4u + j] = e[j];
    }
}
