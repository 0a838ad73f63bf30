// Functions that hold at the extremes: no overflow for any finite input, and a NaN stays a NaN wherever
// the driver computes with NaN at all, so that the watchdog sees it at once (max() and clamp() may
// return their other argument). WGSL allows a driver to assume there is none: what slips through is
// found in the parameters at the end of the epoch.

/// softplus(v) = max(v, 0) + ln(1 + e^-|v|)
fn softplus(v: f32) -> f32 {
    return select(v, 0.0, v < 0.0) + log(1.0 + exp(-abs(v)));
}

/// 1 / (1 + e^-v), by the exponential that cannot overflow.
fn sigmoid(v: f32) -> f32 {
    let e = exp(-abs(v));
    return select(1.0, e, v < 0.0) / (1.0 + e);
}

/// tanh(v) for any v: the built-in returns NaN beyond 88 on several drivers.
fn tanh_safe(v: f32) -> f32 {
    let e = exp(-2.0 * abs(v));
    let far = (1.0 - e) / (1.0 + e);
    // below 1/4 the difference 1 - e cancels: the odd series to v^9 is exact to rounding there
    let w = v * v;
    let near = v - v * w * (0.33333333 - w * (0.13333333 - w * (0.053968254 - w * 0.021869488)));
    return select(select(far, -far, v < 0.0), near, abs(v) < 0.25);
}

/// 1 - e^a for a <= 0
fn one_minus_exp(a: f32) -> f32 {
    if a < -0.5 { return 1.0 - exp(a); }
    return -a * (1.0 + a / 2.0 * (1.0 + a / 3.0 * (1.0 + a / 4.0 * (1.0 + a / 5.0 * (1.0 + a / 6.0 * (1.0 + a / 7.0))))));
}
