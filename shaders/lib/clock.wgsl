// The words of a clock tensor (8): what noise and the order of images are functions of, besides the seed. The
// same as `kernels::clock` in Rust.

const SEED_LOW = 0u;
const SEED_HIGH = 1u;
const STEP = 2u;
const EPOCH = 3u;
/// images of the epoch drawn before this minibatch
const POSITION = 4u;
/// samples an image drawn before these, where they come in parts
const SAMPLE = 5u;
