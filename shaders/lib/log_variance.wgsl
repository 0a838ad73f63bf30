// The bounds of l = log variance, so that e^l neither overflows nor vanishes.

fn clamp_log_variance(l: f32) -> f32 { // select, not clamp: a NaN must stay one
    return select(select(l, 20.0, l > 20.0), -30.0, l < -30.0);
}
