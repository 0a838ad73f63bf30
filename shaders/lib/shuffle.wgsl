// A permutation of 0..n without a table: a Feistel network over the next even power of two, walked
// along its cycle until it lands inside (Black and Rogaway 2002). So every image is drawn once an
// epoch, on every device in the same order, with nothing uploaded.

fn scramble(v: u32) -> u32 { // the finalizer of MurmurHash3: every input bit reaches every output bit
    var h = v;
    h = (h ^ (h >> 16u)) * 0x85ebca6bu;
    h = (h ^ (h >> 13u)) * 0xc2b2ae35u;
    return h ^ (h >> 16u);
}

/// The image drawn at `position` of the epoch. `half_bits`: half the bits of the network's domain.
fn permute(position: u32, n: u32, half_bits: u32, key: vec2<u32>, epoch: u32) -> u32 {
    let mask = (1u << half_bits) - 1u;
    let base = scramble(key.x ^ scramble(key.y ^ scramble(epoch)));
    var v = position;
    loop {
        var left = v >> half_bits;
        var right = v & mask;
        for (var round = 0u; round < 6u; round++) {
            let mixed = left ^ (scramble(right ^ (base + round * 0x9E3779B9u)) & mask);
            left = right;
            right = mixed;
        }
        v = (left << half_bits) | right;
        if v < n { break; }
    }
    return v;
}
