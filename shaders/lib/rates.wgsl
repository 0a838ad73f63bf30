// The words of a rates tensor (4): what a step's size depends on. The same as `kernels::rates` in Rust.

const LEARNING_RATE = 0u;
/// 1 - BETA1^t and 1 - BETA2^t
const CORRECTION1 = 1u;
const CORRECTION2 = 2u;
/// beta of this step
const KL_WEIGHT = 3u;
