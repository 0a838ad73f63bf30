// Four standard normal numbers from four uniform integers, by Box and Muller.
// Only + and * are used, besides sqrt: WGSL lets a driver's log, sin and cos be wrong by 2^-21 and
// 2^-11, and then the noise of two adapters would not be the same noise.

/// ln(x) of a positive normal number, within 2 units in the last place (Cephes' polynomial).
fn ln_precise(x: f32) -> f32 {
    let bits = bitcast<u32>(x);
    var exponent = i32(bits >> 23u) - 126;
    var mantissa = bitcast<f32>((bits & 0x007fffffu) | 0x3f000000u); // in [0.5, 1)
    if mantissa < 0.70710678 {
        exponent -= 1;
        mantissa = mantissa + mantissa;
    }
    let f = mantissa - 1.0;
    let ff = f * f;
    var p = 7.0376836292e-2 * f - 1.1514610310e-1;
    p = p * f + 1.1676998740e-1;
    p = p * f - 1.2420140846e-1;
    p = p * f + 1.4249322787e-1;
    p = p * f - 1.6668057665e-1;
    p = p * f + 2.0000714765e-1;
    p = p * f - 2.4999993993e-1;
    p = p * f + 3.3333331174e-1;
    let e = f32(exponent);
    return (f * ff * p - 2.12194440e-4 * e - 0.5 * ff) + f + 0.693359375 * e;
}

/// (cos, sin) of 2 pi n / 2^24 for n < 2^24: the octant by integers, then a polynomial on |a| <= pi/4.
fn turn(n: u32) -> vec2<f32> {
    let shifted = n + (1u << 21u); // rounds to the nearest quarter turn
    let quarter = (shifted >> 22u) & 3u;
    let a = (f32(i32(shifted & 0x3fffffu) - (1 << 21u))) * 3.7450702829e-7; // 2 pi / 2^24
    let aa = a * a;
    let s = a + a * aa * ((-1.9515295891e-4 * aa + 8.3321608736e-3) * aa - 1.6666654611e-1);
    let c = 1.0 - 0.5 * aa
        + aa * aa * ((2.443315711809948e-5 * aa - 1.388731625493765e-3) * aa + 4.166664568298827e-2);
    switch quarter {
        case 0u: { return vec2<f32>(c, s); }
        case 1u: { return vec2<f32>(-s, c); }
        case 2u: { return vec2<f32>(-c, -s); }
        default: { return vec2<f32>(s, -c); }
    }
}

/// r cos(t) and r sin(t) with r = sqrt(-2 ln u), u = (a >> 8) + 1 over 2^24, never zero; t from b.
fn box_muller(a: u32, b: u32) -> vec2<f32> {
    let u = f32((a >> 8u) + 1u) * 5.9604644775390625e-8;
    return sqrt(-2.0 * ln_precise(u)) * turn(b >> 8u);
}

fn normal4(bits: vec4<u32>) -> vec4<f32> {
    return vec4<f32>(box_muller(bits.x, bits.y), box_muller(bits.z, bits.w));
}
