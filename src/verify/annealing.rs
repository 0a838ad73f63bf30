//! Annealed importance sampling both ways, of observations that the device draws from the model, with a q beside the
//! posterior.

use std::ops::ControlFlow;

use nalgebra::DVector;

use super::linear_gaussian::LinearGaussian;
use super::{ERRORS, Row, VerifyError, architecture, encoder, mean, parameters};
use crate::bounds::{
    Annealed, Annealing, Simulated, Spoilt, Tempering, anneal_spoilt, simulate, tune,
};
use crate::device::Device;
use crate::loaded::Model;
use crate::vae::Binarization;
use crate::vae::anneal::Path;
use crate::vae::likelihood::Variance;

/// Observations that are drawn from the model.
const SIMULATED: usize = 500;

/// What a device drew and found.
#[derive(Debug, Clone)]
pub struct Both {
    /// Observations, with the codes that made them.
    pub simulated: Simulated,
    /// From q(z|x), and from the prior.
    pub annealed: [Annealed; 2],
}

impl Both {
    /// Draws on a device.
    ///
    /// # Errors
    /// The device failed.
    pub fn draw(device: &Device, model: &LinearGaussian) -> Result<Self, VerifyError> {
        Both::draw_spoilt(device, model, Spoilt::NOT)
    }

    /// The same with an error planted.
    ///
    /// # Errors
    /// The device failed.
    pub fn draw_spoilt(
        device: &Device,
        model: &LinearGaussian,
        spoilt: Spoilt,
    ) -> Result<Self, VerifyError> {
        let (d, z) = model.weight.shape();
        let architecture = architecture(d, z, Variance::Given(model.variance));
        let [weight, bias] = encoder(model, true);
        let parameters = parameters(model, [&weight, &bias]);
        let loaded = Model {
            architecture: &architecture,
            parameters: &parameters,
            binarization: Binarization::None,
            seed: 2,
        };
        let simulated = simulate(device, loaded, SIMULATED)?;
        let observed = simulated.observed();
        let on = &mut |_| ControlFlow::Continue(());
        let mut along = |path| -> Result<Annealed, VerifyError> {
            let settings = Annealing { path, temperatures: 20, chains: 4, leapfrogs: 5 };
            let tempering: Tempering = tune(device, loaded, observed, settings, on)?;
            Ok(anneal_spoilt(device, loaded, observed, &tempering, spoilt, on)?)
        };
        let annealed = [along(Path::Posterior)?, along(Path::Prior)?];
        Ok(Both { simulated, annealed })
    }

    /// What must hold.
    pub fn rows(&self, model: &LinearGaussian) -> Vec<Row> {
        const CHECKS: [[&str; 3]; 2] = [
            [
                "AIS from q: w / p(x), 1 on average",
                "AIS from q: p(x) / w backwards, 1 on average",
                "AIS from q: log p beyond its bounds",
            ],
            [
                "AIS from the prior: w / p(x), 1 on average",
                "AIS from the prior: p(x) / w backwards, 1 on average",
                "AIS from the prior: log p beyond its bounds",
            ],
        ];
        let size = model.weight.shape();
        let row =
            |check, expected, obtained, allowed| Row { size, check, expected, obtained, allowed };
        let observations = self.simulated.x.chunks_exact(size.0);
        let log_p: Vec<f64> = observations
            .map(|x| DVector::from_iterator(size.0, x.iter().map(|&v| f64::from(v))))
            .map(|x| model.log_density(&x))
            .collect();
        let mut rows = Vec::new();
        for (annealed, [forward, backward, order]) in self.annealed.iter().zip(CHECKS) {
            let images = || annealed.images.iter().zip(&log_p);
            // An image is one number, as its chains are of one x.
            let of = |ratios: Vec<f64>| mean(ratios.into_iter());
            let each = |v: &[f64], of: &dyn Fn(f64) -> f64| {
                v.iter().map(|&w| of(w).exp()).sum::<f64>() / v.len() as f64
            };
            let ratios = images().map(|(i, p)| each(&i.forward, &|w| w - p));
            let (ratio, error) = of(ratios.collect());
            rows.push(row(forward, 1.0, ratio, ERRORS * error));
            let ratios = images().map(|(i, p)| each(&i.backward, &|w| p - w));
            let (ratio, error) = of(ratios.collect());
            rows.push(row(backward, 1.0, ratio, ERRORS * error));
            let (below, below_error) = mean(images().map(|(i, p)| i.lower() - p));
            let (above, above_error) = mean(images().map(|(i, p)| p - i.upper()));
            // of a NaN no comparison holds
            let beyond = |by: f64| if by <= 0.0 { 0.0 } else { by };
            let errors = ERRORS * (below_error + above_error);
            rows.push(row(order, 0.0, beyond(below) + beyond(above), errors));
        }
        rows
    }
}
