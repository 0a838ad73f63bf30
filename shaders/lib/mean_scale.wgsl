// What brings the gradient of a mean over so many rows into the range of f16, whose smallest normal number
// is 6e-5, while an element is at most about 1 / rows: the next power of two, so that nothing is rounded by it.

fn mean_scale(rows: u32) -> f32 { return f32(1u << (32u - countLeadingZeros(rows - 1u))); }
