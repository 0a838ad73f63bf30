//! The kernels: each file of `shaders/` has one here of the same name, with its entry points' grids, references,
//! test cases and costs. The registry is what the tests, the benchmark and the table in docs/kernels.md iterate, the table
//! of fusions what the fusion pass applies.

pub mod activation;
pub mod add;
pub mod annealed;
pub mod average;
pub mod bernoulli;
pub mod ceiling;
pub mod clip;
pub mod continuous_bernoulli;
pub mod convolution;
pub mod counts;
pub mod discretized_logistic;
pub mod embedding;
pub mod end_step;
mod fusions;
pub mod gate;
pub mod gather;
pub mod gaussian;
pub mod group_norm;
pub mod importance;
mod library;
pub mod linear;
pub mod mixture;
pub mod negative_binomial;
pub mod optimizer;
pub mod poisson;
pub mod posterior;
pub mod prior;
pub mod product;
pub mod residual;
pub mod seen;
pub mod sigmoid;
pub mod silu;
pub mod split_channels;
pub mod store_samples;
pub mod sum_rows;
pub mod transposed_convolution;
pub mod weighted_mean;

use crate::plan::{Constants, Cost, Kernel};
pub use fusions::{ALL as FUSIONS, fusions};
pub use library::{LIBRARY, resolve_imports, validate};

/// Every kernel of the project.
pub static REGISTRY: &[&Kernel] = &[
    &gather::GATHER,
    &gather::GATHER_REAL,
    &gather::GATHER_CLASSES,
    &seen::SEEN,
    &linear::FORWARD,
    &linear::BACKWARD_INPUT,
    &linear::BACKWARD_PARAMETERS,
    &linear::UPDATE,
    &linear::UPDATE_ALL,
    &convolution::FORWARD,
    &convolution::BACKWARD_INPUT,
    &convolution::BACKWARD_PARAMETERS,
    &transposed_convolution::FORWARD,
    &transposed_convolution::BACKWARD_INPUT,
    &transposed_convolution::BACKWARD_WEIGHT,
    &sum_rows::SUM_ROWS,
    &group_norm::FORWARD,
    &group_norm::CHANNEL_SUMS,
    &group_norm::BACKWARD_INPUT,
    &residual::FORWARD,
    &residual::BACKWARD,
    &silu::FORWARD,
    &silu::BACKWARD,
    &gate::FORWARD,
    &gate::BACKWARD,
    &split_channels::SPLIT,
    &split_channels::MERGE,
    &embedding::FORWARD,
    &embedding::BACKWARD,
    &posterior::SAMPLE,
    &posterior::GAUSSIAN_KL,
    &posterior::KL_OF_UNITS,
    &posterior::BACKWARD,
    &posterior::BACKWARD_FREE_BITS,
    &posterior::BACKWARD_SAMPLED,
    &posterior::SAMPLE_FORWARD,
    &posterior::BACKWARD_INPUT,
    &posterior::full::SAMPLE,
    &posterior::full::KL,
    &posterior::full::KL_OF_UNITS,
    &posterior::full::MARGINALS,
    &posterior::full::BACKWARD,
    &posterior::full::BACKWARD_FREE_BITS,
    &posterior::full::BACKWARD_SAMPLED,
    &posterior::full::PATH,
    &posterior::flow::KL,
    &posterior::flow::MOMENTS,
    &posterior::planar::SAMPLE,
    &posterior::planar::BACKWARD,
    &posterior::iaf::BEGIN,
    &posterior::iaf::MASK,
    &posterior::iaf::STEP,
    &posterior::iaf::STEP_BACKWARD,
    &posterior::iaf::BACKWARD,
    &prior::SAMPLE,
    &mixture::SAMPLE,
    &mixture::DENSITY,
    &mixture::RESPONSIBILITIES,
    &mixture::BACKWARD_SAMPLE,
    &mixture::BACKWARD_COMPONENTS,
    &mixture::DIVERGENCE,
    &sigmoid::FORWARD,
    &sigmoid::BACKWARD,
    &bernoulli::LOG_LIKELIHOOD,
    &bernoulli::BACKWARD,
    &bernoulli::EXPECTATION,
    &bernoulli::DECODE,
    &bernoulli::DECODE_LOG_LIKELIHOOD,
    &gaussian::LOG_LIKELIHOOD,
    &gaussian::GRADIENT,
    &gaussian::BACKWARD,
    &gaussian::VARIANCE,
    &gaussian::ROW_ERRORS,
    &gaussian::COLUMN_ERRORS,
    &gaussian::FIT_VARIANCE,
    &gaussian::OBSERVED_ERRORS,
    &gaussian::FIT_OBSERVED,
    &gaussian::GROUPED_LOG_LIKELIHOOD,
    &gaussian::GROUPED_BACKWARD,
    &gaussian::DECODED_LOG_LIKELIHOOD,
    &gaussian::DECODED_BACKWARD,
    &gaussian::DECODED_MEAN,
    &continuous_bernoulli::LOG_LIKELIHOOD,
    &continuous_bernoulli::BACKWARD,
    &continuous_bernoulli::EXPECTATION,
    &discretized_logistic::LOG_LIKELIHOOD,
    &discretized_logistic::BACKWARD,
    &discretized_logistic::EXPECTATION,
    &poisson::LOG_LIKELIHOOD,
    &poisson::BACKWARD,
    &negative_binomial::LOG_LIKELIHOOD,
    &negative_binomial::BACKWARD,
    &counts::RATES,
    &counts::SIZED_RATES,
    &importance::LOG_WEIGHT,
    &importance::NORMALIZE,
    &annealed::TRANSITION,
    &annealed::LEAPFROG,
    &weighted_mean::WEIGHTED_MEAN,
    &add::ADD,
    &optimizer::STEP,
    &optimizer::STEP_DECAYED,
    &optimizer::STEP_CLIPPED,
    &clip::ADD_SQUARES,
    &clip::SCALE,
    &average::FOLLOW,
    &average::SWAP,
    &end_step::END_STEP,
    &end_step::END_STEP_WITH_BOUND,
    &store_samples::STORE,
    &store_samples::ADVANCE,
    &ceiling::TOUCH,
    &ceiling::COPY,
];

/// Places of the words of a clock tensor.
pub mod clock {
    pub const WORDS: usize = 8;
    pub const SEED_LOW: usize = 0;
    pub const SEED_HIGH: usize = 1;
    pub const STEP: usize = 2;
    pub const EPOCH: usize = 3;
    /// Images of the epoch drawn before this minibatch.
    pub const POSITION: usize = 4;
    /// Samples an image drawn before these, where they come in parts.
    pub const SAMPLE: usize = 5;

    /// The words before the first step of the first epoch, at this image of it.
    pub fn at(seed: u64, position: usize) -> [u32; WORDS] {
        let mut words = [0; WORDS];
        words[SEED_LOW] = seed as u32;
        words[SEED_HIGH] = (seed >> 32) as u32;
        words[POSITION] = position as u32;
        words
    }
}

/// Places of the words of a rates tensor.
pub mod rates {
    pub const WORDS: usize = 4;
    pub const LEARNING_RATE: usize = 0;
    pub const CORRECTION1: usize = 1;
    pub const CORRECTION2: usize = 2;
    /// The weight of the KL in this step.
    pub const KL_WEIGHT: usize = 3;
}

/// A grid of one workgroup a row, wrapped into y beyond what one dimension may hold.
pub(crate) fn grid_of_groups(groups: usize) -> [usize; 3] {
    const WIDTH: usize = 32768;
    [groups.min(WIDTH), groups.div_ceil(WIDTH), 1]
}

/// Of a kernel that does so many operations and moves so many bytes for each of B*K rows of D pixels.
pub(crate) fn pixel_cost(c: &Constants, flops: u64, bytes: u64) -> Cost {
    let n = (c.dim("B") * c.dim("K") * c.dim("D")) as u64;
    Cost { flops: flops * n, bytes: bytes * n }
}
