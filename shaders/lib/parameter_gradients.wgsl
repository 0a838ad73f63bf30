// The product that gives the gradients of a fully connected layer's parameters: see lib/product.
//   d_W = d_y^T x,  d_b = sum over rows of d_y
// The bias is one more column of the weight whose input is always 1: column I of the product is d_b.
// The kernel declares the sizes R, I and O, the tensors x (R, I) and d_y (R, O), and the destination.
#import mean_scale

fn rows() -> u32 { return O; }
fn columns() -> u32 { return I + 1u; }
fn inner() -> u32 { return R; }

const LEFT_ALONG_INNER = false;
fn left(row: u32, k: u32) -> f32 { return d_y[k * O + row]; }
fn left_scale() -> f32 { return mean_scale(R); }

const RIGHT_ALONG_INNER = false;
fn right(k: u32, column: u32) -> f32 {
    return select(x[k * I + min(column, I - 1u)], 1.0, column == I);
}
