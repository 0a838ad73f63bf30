// Patches of images: what a kernel of KERNEL x KERNEL pixels sees where it stands, STRIDE pixels from place to place,
// PADDING zeros beyond each edge. Images are (H, W, I) with their channels last, places (P, Q).
// The kernel declares the sizes, and
//   fn image(e: u32) -> f32, element e of the images

/// Element k of the patch at a place: k counts rows, columns and channels of the patch, `place` images and their places.
/// Its address is inside the image in any case, so that no load waits for a branch.
fn patch_element(place: u32, k: u32) -> f32 {
    let p = place / Q % P;
    let q = place % Q;
    // A coordinate below 0 wraps to one far beyond the edge.
    let y = p * STRIDE + k / (KERNEL * I) - PADDING;
    let x = q * STRIDE + k / I % KERNEL - PADDING;
    let pixel = (place / (P * Q) * H + min(y, H - 1u)) * W + min(x, W - 1u);
    return select(0.0, image(pixel * I + k % I), y < H && x < W);
}
