//! The best q of a diagonal family where the posterior's covariance is not diagonal: its ELBO is known.

use std::ops::ControlFlow;

use nalgebra::{DMatrix, DVector};

use super::linear_gaussian::{Diagonal, LinearGaussian, kl};
use super::{ERRORS, Row, VerifyError, architecture, encoder, mean, parameters};
use crate::bounds::{Refined, Refining, Simulated, refine, simulate};
use crate::device::Device;
use crate::loaded::Model;
use crate::vae::Binarization;
use crate::vae::likelihood::Variance;

/// Observations that are drawn from the model.
const SIMULATED: usize = 64;
/// Nats that the end of an optimization may leave.
const LEFT: f64 = 0.01;

/// What a device drew and found.
#[derive(Debug, Clone)]
pub struct Best {
    /// Observations.
    pub simulated: Simulated,
    /// ELBOs of each.
    pub refined: Vec<Refined>,
}

/// The same density of x, with latent units that are not independent given x.
fn turned(model: &LinearGaussian) -> LinearGaussian {
    let z = model.weight.ncols();
    let turn = DMatrix::from_fn(z, z, |i, j| ((3 * i + 5 * j + i * j) as f64).sin()).qr().q();
    let weight = (&model.weight * turn).map(|v| f64::from(v as f32));
    LinearGaussian::new(weight, model.mean.clone(), model.variance).expect("as it was")
}

impl Best {
    /// Draws and optimizes on a device.
    ///
    /// # Errors
    /// The device failed.
    pub fn find(device: &Device, model: &LinearGaussian) -> Result<Self, VerifyError> {
        Best::find_in(device, model, 300)
    }

    /// The same in so many steps, which tests can make too few.
    ///
    /// # Errors
    /// The device failed.
    pub fn find_in(
        device: &Device,
        model: &LinearGaussian,
        steps: usize,
    ) -> Result<Self, VerifyError> {
        let model = turned(model);
        let (d, z) = model.weight.shape();
        let architecture = architecture(d, z, Variance::Given(model.variance));
        let [weight, bias] = encoder(&model, true);
        let parameters = parameters(&model, [&weight, &bias]);
        let loaded = Model {
            architecture: &architecture,
            parameters: &parameters,
            binarization: Binarization::None,
            seed: 3,
        };
        let simulated = simulate(device, loaded, SIMULATED)?;
        let refining = Refining { steps, ..Refining::default() };
        let on = &mut |_| ControlFlow::Continue(());
        let refined = refine(device, loaded, simulated.observed(), refining, on)?.0;
        Ok(Best { simulated, refined })
    }

    /// What must hold.
    pub fn rows(&self, model: &LinearGaussian) -> Vec<Row> {
        let model = turned(model);
        let size = model.weight.shape();
        let (_, _, covariance) = model.posterior();
        // The KL to a Gaussian is least at its mean, and at the inverse of its precision's diagonal.
        let precision = covariance.clone().try_inverse().expect("a covariance has an inverse");
        let origin = DVector::zeros(size.1);
        let best =
            Diagonal { mean: origin.clone(), variance: precision.diagonal().map(|v| 1.0 / v) };
        let gap = kl(&best, &origin, &covariance);
        let observations = self.simulated.x.chunks_exact(size.0);
        let log_p: Vec<f64> = observations
            .map(|x| DVector::from_iterator(size.0, x.iter().map(|&v| f64::from(v))))
            .map(|x| model.log_density(&x))
            .collect();
        let each = log_p.iter().zip(&self.refined);
        let (obtained, error) = mean(each.map(|(p, refined)| p - refined.best));
        vec![Row {
            size,
            check: "log p - ELBO of the best q: of a diagonal family",
            expected: gap,
            obtained,
            allowed: LEFT + ERRORS * error,
        }]
    }
}
