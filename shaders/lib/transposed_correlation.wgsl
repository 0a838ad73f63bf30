// The transposed product: what each place adds to the pixels of its patch, see lib/product, lib/patches and lib/slabs.
//   sum over o and the ky, kx with p STRIDE + ky - PADDING = y, q STRIDE + kx - PADDING = x
//     of place[p, q, o] weight[o, ky, kx, i]
// Only each STRIDEth ky reaches a row of the image, and which ones is the same for each STRIDEth row. So the pixels are
// taken in STRIDE x STRIDE phases: in each, every product of an image's elements is one of the sum.
// Its rows are images and pixels of the phase, its columns channels i. The kernel declares R, H, W, I, P, Q, O, KERNEL,
// STRIDE, PADDING and SLAB, the tensor weight (O, KERNEL*KERNEL*I), and
//   fn place(e: u32) -> f32, element e of the places, (R, P*Q*O)
//   fn store_pixel(e: u32, channel: u32, v: f32), called once for each element of the images, (R, H*W*I)
#import product
#import slabs

/// y and x of the workgroup's phase.
var<private> phase: vec2<u32>;

/// Phase and slab of the workgroup with this z. Called before the product.
fn enter_phase(z: u32) {
    phase = vec2<u32>(z / STRIDE % STRIDE, z % STRIDE);
    first_row = z / (STRIDE * STRIDE) * SLAB;
}

/// Rows and columns of a phase, those of the largest.
fn phase_size() -> vec2<u32> { return (vec2<u32>(H, W) + STRIDE - 1u) / STRIDE; }

/// ky and kx of a phase, those of the largest.
fn taps() -> u32 { return (KERNEL + STRIDE - 1u) / STRIDE; }

/// The places, y and x, that reach a pixel of the phase by the phase's first ky and kx.
fn first_place(row: u32) -> vec2<u32> {
    let size = phase_size();
    let before = (max(vec2<u32>(PADDING), phase) - phase + STRIDE - 1u) / STRIDE;
    return before + vec2<u32>(row / size.y % size.x, row % size.y);
}

fn rows() -> u32 {
    let size = phase_size();
    return rows_of_slab(R * size.x * size.y);
}
fn columns() -> u32 { return I; }
fn inner() -> u32 { return taps() * taps() * O; }

/// ky and kx at k.
fn tap(k: u32) -> vec2<u32> { return phase + STRIDE * vec2<u32>(k / O / taps(), k / O % taps()); }

const LEFT_ALONG_INNER = true;
fn left(row: u32, k: u32) -> f32 {
    let size = phase_size();
    // A coordinate below 0 wraps to one far beyond the edge.
    let at = first_place(first_row + row) - vec2<u32>(k / O / taps(), k / O % taps());
    let inside = all(at < vec2<u32>(P, Q)) && all(tap(k) < vec2<u32>(KERNEL));
    let near = min(at, vec2<u32>(P - 1u, Q - 1u));
    let image = (first_row + row) / (size.x * size.y);
    return select(0.0, place(((image * P + near.x) * Q + near.y) * O + k % O), inside);
}

const RIGHT_ALONG_INNER = false;
fn right(k: u32, column: u32) -> f32 {
    let inside = all(tap(k) < vec2<u32>(KERNEL));
    let near = min(tap(k), vec2<u32>(KERNEL - 1u));
    return select(0.0, weight[((k % O * KERNEL + near.x) * KERNEL + near.y) * I + column], inside);
}

fn store(row: u32, column: u32, v: f32) {
    let size = phase_size();
    // A phase may have a row or a column less than the largest.
    let pixel = STRIDE * first_place(first_row + row) + phase - PADDING;
    if all(pixel < vec2<u32>(H, W)) {
        let image = (first_row + row) / (size.x * size.y);
        store_pixel(((image * H + pixel.x) * W + pixel.y) * I + column, column, v);
    }
}
