// Philox4x32-10, the counter-based generator of Salmon et al. 2011 (doi:10.1145/2063384.2063405).
// A pure function of (key, counter): no state, the same integers on every device.
// The counter of this project is (epoch, place in the epoch, sample, stream << 24 | unit / 4), the key
// the seed: so the noise of an image does not depend on the size of the batch it is drawn in.

/// High and low 32 bits of the 64-bit product, from four 16-bit products: WGSL has no mulhi.
fn mul_wide(a: u32, b: u32) -> vec2<u32> {
    let a_low = a & 0xffffu;
    let a_high = a >> 16u;
    let b_low = b & 0xffffu;
    let b_high = b >> 16u;
    let low_low = a_low * b_low;
    let middle = a_high * b_low + (low_low >> 16u);
    let carry = a_low * b_high + (middle & 0xffffu);
    return vec2<u32>(a_high * b_high + (middle >> 16u) + (carry >> 16u), a * b);
}

fn philox_round(counter: vec4<u32>, key: vec2<u32>) -> vec4<u32> {
    let p = mul_wide(0xD2511F53u, counter.x);
    let q = mul_wide(0xCD9E8D57u, counter.z);
    return vec4<u32>(q.x ^ counter.y ^ key.x, q.y, p.x ^ counter.w ^ key.y, p.y);
}

/// Four independent uniform 32-bit integers.
fn philox(counter: vec4<u32>, key: vec2<u32>) -> vec4<u32> {
    let weyl = vec2<u32>(0x9E3779B9u, 0xBB67AE85u);
    var c = philox_round(counter, key);
    c = philox_round(c, key + weyl);
    c = philox_round(c, key + 2u * weyl);
    c = philox_round(c, key + 3u * weyl);
    c = philox_round(c, key + 4u * weyl);
    c = philox_round(c, key + 5u * weyl);
    c = philox_round(c, key + 6u * weyl);
    c = philox_round(c, key + 7u * weyl);
    c = philox_round(c, key + 8u * weyl);
    return philox_round(c, key + 9u * weyl);
}

fn counter_of(epoch: u32, place: u32, sample: u32, stream: u32, quad: u32) -> vec4<u32> {
    return vec4<u32>(epoch, place, sample, (stream << 24u) | quad);
}
