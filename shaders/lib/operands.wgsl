// The operands of a product, with zeros beyond the edges: see lib/product.

fn left_or_0(row: u32, k: u32) -> f32 {
    if row < rows() && k < inner() { return left(row, k); }
    return 0.0;
}

fn right_or_0(k: u32, column: u32) -> f32 {
    if k < inner() && column < columns() { return right(k, column); }
    return 0.0;
}
