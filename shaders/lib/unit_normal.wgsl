// The standard normal number of one latent unit in one sample of an image. The kernel has a `clock`, STREAM and N, the images of
// an epoch.
#import clock
#import normal
#import philox

/// `place` is the image's in the pass, `draw` the sample's number. Four units share the integers of one call of Philox.
fn unit_normal(place: u32, draw: u32, unit: u32) -> f32 {
    let bits = bits_of_units(place, draw, unit / 4u);
    let pair = select(bits.xy, bits.zw, unit % 4u >= 2u);
    let both = box_muller(pair.x, pair.y);
    return select(both.x, both.y, unit % 2u == 1u);
}

/// The same of the units from 4 `quad` on.
fn unit_normals(place: u32, draw: u32, quad: u32) -> vec4<f32> {
    return normal4(bits_of_units(place, draw, quad));
}

fn bits_of_units(place: u32, draw: u32, quad: u32) -> vec4<u32> {
    return philox(
        counter_of(clock[EPOCH] + place / N, place % N, draw, STREAM, quad),
        vec2<u32>(clock[SEED_LOW], clock[SEED_HIGH]),
    );
}
