//! The signal-to-noise ratios of the gradients of the importance-weighted bound: the exponents of K are known.

use std::ops::ControlFlow;

use nalgebra::DVector;

use super::linear_gaussian::LinearGaussian;
use super::{Row, VerifyError, architecture, encoder, flatten, parameters};
use crate::bounds::Observed;
use crate::bounds::signal::{Signal, Signals, signals, slope};
use crate::device::Device;
use crate::loaded::Model;
use crate::vae::Binarization;
use crate::vae::likelihood::Variance;
use crate::vae::step::Content;

/// Observations whose mean gradient it is.
const IMAGES: usize = 64;
/// By which the observations are off the model's, so that its decoder has somewhere to go.
const OFF: f64 = 1.0;
/// Numbers of draws, where the exponents have set in.
const DRAWS: [usize; 3] = [8, 32, 128];
/// Gradients for each of them.
const REPEATS: usize = 150;
/// How far an exponent may be off.
const ALLOWED: f64 = 0.1;

impl Signals {
    /// Of the first observations, with a q beside the posterior.
    ///
    /// # Errors
    /// The device failed.
    pub(super) fn of_linear_gaussian(
        device: &Device,
        model: &LinearGaussian,
        observations: &[DVector<f64>],
    ) -> Result<Self, VerifyError> {
        let (d, z) = model.weight.shape();
        let architecture = architecture(d, z, Variance::Given(model.variance));
        let [weight, bias] = encoder(model, true);
        let parameters = parameters(model, [&weight, &bias]);
        let loaded = Model {
            architecture: &architecture,
            parameters: &parameters,
            binarization: Binarization::None,
            seed: 5,
        };
        let off: Vec<DVector<f64>> =
            observations.iter().take(IMAGES).map(|x| x.add_scalar(OFF)).collect();
        let x = flatten(&off);
        let observed = Observed { x: &x, first: 0, content: Content::Reals, z: None };
        let on = &mut |_| ControlFlow::Continue(());
        Ok(signals(device, loaded, observed, &DRAWS, REPEATS, on)?)
    }

    /// What must hold.
    pub(super) fn rows(&self, size: (usize, usize)) -> Vec<Row> {
        let row = |check, of: &[Signal], part: fn(&Signal) -> f64, expected| Row {
            size,
            check,
            expected,
            obtained: slope(of.iter().map(|signal| (signal.samples, part(signal)))),
            allowed: ALLOWED,
        };
        let (plain, doubly) = (&self.reparameterized[..], &self.doubly_reparameterized[..]);
        vec![
            row("iwae: exponent of K in the decoder's SNR", plain, |s| s.decoder, 0.5),
            row("iwae: exponent of K in the encoder's SNR", plain, |s| s.encoder, -0.5),
            row("iwae, doubly reparameterized: in the encoder's SNR", doubly, |s| s.encoder, 0.5),
        ]
    }
}
