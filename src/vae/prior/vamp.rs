//! p(z) = 1/N sum_n q(z|u_n) of pseudo-inputs u_n, which are trained: the VampPrior (Tomczak and Welling 2018, arXiv
//! 1705.07120). The u_n go through the encoder that images go through, and its gradient is that of both passes.

use std::sync::Arc;

use super::{Arriving, Backward, Density, Module, OwnParameter, PseudoValues, Ratio};
use crate::kernels::{mixture, rates, sigmoid};
use crate::nn::{Input, Layer, Operation, Passed, Tape, Uniform};
use crate::numeric::philox::Stream;
use crate::plan::{PlanError, Recorder, TensorId};
use crate::vae::network::Moments;

/// The mean of the posteriors of pseudo-inputs.
#[derive(Debug, Clone, Copy)]
pub struct Vamp {
    /// N
    pub pseudo_inputs: usize,
    /// What their values are.
    pub values: PseudoValues,
}

/// What the parameter is called, (N, D).
pub const PSEUDO_INPUTS: &str = "pseudo_inputs";
/// Where white and black of a training image begin from the ends of [0, 1]: the sigmoid's slope is not far from its largest
/// there.
const MARGIN: f32 = 0.05;
/// How far parameters are off their training image at first, at most: images that are alike become pseudo-inputs that are
/// not.
const NOISE: f32 = 0.01;

impl Module for Vamp {
    fn parameters(&self, pixels: usize) -> Vec<OwnParameter> {
        vec![OwnParameter { name: PSEUDO_INPUTS, dims: vec![self.pseudo_inputs, pixels] }]
    }

    /// Training images, each once as long as there are others, with a little noise; where none are known, noise alone.
    fn initial_values(
        &self,
        data: &Moments,
        pixels: usize,
        uniform: &mut Uniform,
    ) -> Vec<Vec<f32>> {
        let mut values = uniform.numbers(self.pseudo_inputs * pixels, NOISE);
        if !data.examples.is_empty() {
            for (value, &x) in values.iter_mut().zip(data.examples.iter().cycle()) {
                *value += match self.values {
                    PseudoValues::Pixels => {
                        let share = MARGIN + (1.0 - 2.0 * MARGIN) * x;
                        (share / (1.0 - share)).ln()
                    }
                    PseudoValues::Reals => x,
                };
            }
        }
        vec![values]
    }

    fn record(
        &self,
        r: &mut Recorder,
        tape: &mut Tape,
        encoder: &[Arc<dyn Layer>],
        own: &[TensorId],
    ) -> Result<Box<dyn Density>, PlanError> {
        let inputs = PseudoInputs { parameter: own[0], values: self.values };
        let u = inputs.forward(r, tape)?;
        Ok(Box::new(Mixture { components: tape.forward(r, encoder, u)? }))
    }
}

/// The pseudo-inputs on the tape: of nothing but their parameter.
#[derive(Debug, Clone, Copy)]
struct PseudoInputs {
    /// (N, D)
    parameter: TensorId,
    values: PseudoValues,
}

impl PseudoInputs {
    /// Records them, (N, D), as the encoder gets them.
    fn forward(self, r: &mut Recorder, tape: &mut Tape) -> Result<TensorId, PlanError> {
        let u = match self.values {
            PseudoValues::Reals => self.parameter,
            PseudoValues::Pixels => {
                let u = r.tensor("pseudo-inputs", &r.dims(self.parameter));
                r.dispatch(&sigmoid::FORWARD, &[("x", self.parameter), ("y", u)], &[])?;
                u
            }
        };
        tape.push(self, &[], u);
        Ok(u)
    }
}

impl Operation for PseudoInputs {
    fn backward(
        &self,
        r: &mut Recorder,
        _: &[Input],
        d_y: TensorId,
        to_parameters: bool,
    ) -> Result<Passed, PlanError> {
        let mut parameters = Vec::new();
        if to_parameters {
            let gradient = match self.values {
                PseudoValues::Reals => d_y,
                PseudoValues::Pixels => {
                    let d_x = r.tensor("d_pseudo_inputs", &r.dims(self.parameter));
                    let tensors = [("x", self.parameter), ("d_y", d_y), ("d_x", d_x)];
                    r.dispatch(&sigmoid::BACKWARD, &tensors, &[])?;
                    d_x
                }
            };
            parameters.push((self.parameter, gradient));
        }
        Ok(Passed { inputs: Vec::new(), parameters })
    }
}

/// 1/N sum_n N(m_n, diag e^l_n).
struct Mixture {
    /// (N, 2*Z) [m | l]
    components: TensorId,
}

impl Mixture {
    /// Records the share of each component in the density at each row, times the row's weight and the KL's: (R, N).
    fn shares(
        &self,
        r: &mut Recorder,
        Ratio { z, h }: Ratio,
        weight: TensorId,
        rates: TensorId,
    ) -> Result<TensorId, PlanError> {
        let (rows, n) = (r.dims(z)[0], r.dims(self.components)[0]);
        let shares = r.tensor("responsibilities", &[rows, n]);
        let tensors = [
            ("components", self.components),
            ("z", z),
            ("ratio", h.expect("a mixture records it")),
            ("weight", weight),
            ("rates", rates),
            ("responsibility", shares),
        ];
        r.dispatch(&mixture::RESPONSIBILITIES, &tensors, &[])?;
        Ok(shares)
    }

    /// Records the gradient at the samples, added to `d_z`.
    fn at_samples(
        &self,
        r: &mut Recorder,
        z: TensorId,
        shares: TensorId,
        d_z: TensorId,
    ) -> Result<TensorId, PlanError> {
        let d_both = r.tensor("d_z and the prior's", &r.dims(z));
        let tensors = [
            ("components", self.components),
            ("z", z),
            ("shares", shares),
            ("d_z", d_z),
            ("d_both", d_both),
        ];
        r.dispatch(&mixture::BACKWARD_SAMPLE, &tensors, &[])?;
        Ok(d_both)
    }
}

impl Density for Mixture {
    fn sample(
        &self,
        r: &mut Recorder,
        clock: TensorId,
        [rows, latent]: [usize; 2],
        samples: usize,
        stream: Stream,
    ) -> Result<TensorId, PlanError> {
        let z = r.tensor("z", &[rows, latent]);
        r.dispatch(
            &mixture::SAMPLE,
            &[("components", self.components), ("clock", clock), ("drawn", z)],
            &[("STREAM", stream.number()), ("K", samples as f64)],
        )?;
        Ok(z)
    }

    fn ratio(&self, r: &mut Recorder, z: TensorId) -> Result<Ratio, PlanError> {
        let h = r.tensor("h", &[r.dims(z)[0]]);
        let tensors = [("components", self.components), ("z", z), ("log_ratio", h)];
        r.dispatch(&mixture::DENSITY, &tensors, &[])?;
        Ok(Ratio { z, h: Some(h) })
    }

    fn backward(
        &self,
        r: &mut Recorder,
        ratio: Ratio,
        Arriving { d_z, weight, rates }: Arriving,
    ) -> Result<Backward, PlanError> {
        let shares = self.shares(r, ratio, weight, rates)?;
        let d_components = r.tensor("d_components", &r.dims(self.components));
        let tensors = [
            ("components", self.components),
            ("z", ratio.z),
            ("shares", shares),
            ("d_components", d_components),
        ];
        r.dispatch(&mixture::BACKWARD_COMPONENTS, &tensors, &[])?;
        let d_z = self.at_samples(r, ratio.z, shares, d_z)?;
        Ok(Backward { d_z, outputs: vec![(self.components, d_components)] })
    }

    fn backward_to(
        &self,
        r: &mut Recorder,
        ratio: Ratio,
        d_z: TensorId,
        weight: TensorId,
    ) -> Result<TensorId, PlanError> {
        let ones = r.filled("weight of h", rates::WORDS, 1.0);
        let shares = self.shares(r, ratio, weight, ones)?;
        self.at_samples(r, ratio.z, shares, d_z)
    }
}
