// Cells of a table that were not observed: they hold 1e30, which standardised values are far from. A NaN would be
// more natural, but WGSL lets an implementation assume that there is none.

fn is_missing(x: f32) -> bool { return x >= 1e29; }
