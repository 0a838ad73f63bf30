//! Fast forms of kernels in single precision: what the CPU device runs in the place of a formula. Each is held
//! to its kernel's formula like any device, see tests/kernels. A kernel without one needs nothing here.

mod annealed;
mod bernoulli;
mod ceiling;
mod continuous_bernoulli;
mod convolution;
mod discretized_logistic;
mod elementwise;
mod full_covariance;
mod gather;
mod gaussian;
mod gemm;
mod gemm_skinny;
mod grad_weight;
mod group_norm;
mod iaf;
mod importance;
pub(super) mod lanes;
mod linear;
mod matrix;
mod mixture;
mod optimizer;
mod posterior;
mod prior;
mod sum_rows;

use std::cell::RefCell;

use crate::kernels;
use crate::plan::{Call, Kernel};

/// A fast form.
type Form = fn(&Call<f32>);

/// Every fast form, by the kernel that it computes.
static FORMS: &[(&Kernel, Form)] = &[
    (&kernels::gather::GATHER, gather::gather),
    (&kernels::linear::FORWARD, linear::forward),
    (&kernels::linear::BACKWARD_INPUT, linear::backward_input),
    (&kernels::linear::BACKWARD_PARAMETERS, linear::backward_parameters),
    (&kernels::linear::UPDATE, linear::update),
    (&kernels::linear::UPDATE_ALL, linear::update_all),
    (&kernels::convolution::FORWARD, convolution::forward),
    (&kernels::convolution::BACKWARD_INPUT, convolution::backward_input),
    (&kernels::convolution::BACKWARD_PARAMETERS, convolution::backward_parameters),
    (&kernels::transposed_convolution::FORWARD, convolution::transposed_forward),
    (&kernels::transposed_convolution::BACKWARD_INPUT, convolution::transposed_backward_input),
    (&kernels::transposed_convolution::BACKWARD_WEIGHT, convolution::transposed_backward_weight),
    (&kernels::sum_rows::SUM_ROWS, sum_rows::sum_rows),
    (&kernels::group_norm::FORWARD, group_norm::forward),
    (&kernels::group_norm::CHANNEL_SUMS, group_norm::channel_sums),
    (&kernels::group_norm::BACKWARD_INPUT, group_norm::backward_input),
    (&kernels::residual::FORWARD, elementwise::residual),
    (&kernels::residual::BACKWARD, elementwise::residual_backward),
    (&kernels::silu::FORWARD, elementwise::silu),
    (&kernels::silu::BACKWARD, elementwise::silu_backward),
    (&kernels::gate::FORWARD, elementwise::gate),
    (&kernels::gate::BACKWARD, elementwise::gate_backward),
    (&kernels::add::ADD, elementwise::add),
    (&kernels::posterior::SAMPLE, posterior::sample),
    (&kernels::posterior::GAUSSIAN_KL, posterior::gaussian_kl),
    (&kernels::posterior::KL_OF_UNITS, posterior::kl_of_units),
    (&kernels::posterior::BACKWARD, posterior::backward),
    (&kernels::posterior::BACKWARD_FREE_BITS, posterior::backward_free_bits),
    (&kernels::posterior::BACKWARD_SAMPLED, posterior::backward_sampled),
    (&kernels::posterior::SAMPLE_FORWARD, posterior::sample_forward),
    (&kernels::posterior::BACKWARD_INPUT, posterior::backward_input),
    (&kernels::posterior::full::SAMPLE, full_covariance::sample),
    (&kernels::posterior::full::KL, full_covariance::kl),
    (&kernels::posterior::full::BACKWARD, full_covariance::backward),
    (&kernels::posterior::iaf::BEGIN, iaf::begin),
    (&kernels::posterior::iaf::MASK, iaf::mask),
    (&kernels::posterior::iaf::STEP, iaf::step),
    (&kernels::posterior::iaf::STEP_BACKWARD, iaf::step_backward),
    (&kernels::posterior::iaf::BACKWARD, iaf::backward),
    (&kernels::prior::SAMPLE, prior::sample),
    (&kernels::mixture::DENSITY, mixture::density),
    (&kernels::mixture::RESPONSIBILITIES, mixture::responsibilities),
    (&kernels::mixture::BACKWARD_SAMPLE, mixture::backward_sample),
    (&kernels::mixture::BACKWARD_COMPONENTS, mixture::backward_components),
    (&kernels::bernoulli::LOG_LIKELIHOOD, bernoulli::log_likelihood),
    (&kernels::bernoulli::BACKWARD, bernoulli::backward),
    (&kernels::bernoulli::EXPECTATION, bernoulli::expectation),
    (&kernels::bernoulli::DECODE, bernoulli::decode),
    (&kernels::bernoulli::DECODE_LOG_LIKELIHOOD, bernoulli::decode_log_likelihood),
    (&kernels::gaussian::LOG_LIKELIHOOD, gaussian::log_likelihood),
    (&kernels::gaussian::GRADIENT, gaussian::gradient),
    (&kernels::gaussian::BACKWARD, gaussian::backward),
    (&kernels::gaussian::VARIANCE, gaussian::variance),
    (&kernels::gaussian::ROW_ERRORS, gaussian::row_errors),
    (&kernels::continuous_bernoulli::LOG_LIKELIHOOD, continuous_bernoulli::log_likelihood),
    (&kernels::continuous_bernoulli::BACKWARD, continuous_bernoulli::backward),
    (&kernels::discretized_logistic::LOG_LIKELIHOOD, discretized_logistic::log_likelihood),
    (&kernels::discretized_logistic::BACKWARD, discretized_logistic::backward),
    (&kernels::importance::LOG_WEIGHT, importance::log_weight),
    (&kernels::importance::NORMALIZE, importance::normalize),
    (&kernels::optimizer::STEP, optimizer::one_tensor),
    (&kernels::optimizer::STEP_DECAYED, optimizer::one_tensor_decayed),
    (&kernels::optimizer::STEP_CLIPPED, optimizer::one_tensor_clipped),
    (&kernels::clip::ADD_SQUARES, optimizer::add_squares),
    (&kernels::annealed::TRANSITION, annealed::transition),
    (&kernels::annealed::LEAPFROG, annealed::leapfrog),
    (&kernels::ceiling::COPY, ceiling::copy),
];

/// The fast form of a kernel.
pub(super) fn form(kernel: &Kernel) -> Option<Form> {
    FORMS.iter().find(|(of, _)| std::ptr::eq(*of, kernel)).map(|(_, form)| *form)
}

thread_local! {
    static SCRATCH: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
    static SECOND_SCRATCH: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Calls `f` on `n` numbers of any value, which are not allocated anew. Not to be nested.
fn with_scratch<R>(n: usize, f: impl FnOnce(&mut [f32]) -> R) -> R {
    SCRATCH.with_borrow_mut(|scratch| lend(scratch, n, f))
}

/// The same with other numbers: what `f` calls may use [`with_scratch`].
fn with_second_scratch<R>(n: usize, f: impl FnOnce(&mut [f32]) -> R) -> R {
    SECOND_SCRATCH.with_borrow_mut(|scratch| lend(scratch, n, f))
}

fn lend<R>(scratch: &mut Vec<f32>, n: usize, f: impl FnOnce(&mut [f32]) -> R) -> R {
    scratch.resize(scratch.len().max(n), 0.0);
    f(&mut scratch[..n])
}
