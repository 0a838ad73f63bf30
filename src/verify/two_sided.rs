//! Bounds on log p(x) from both sides, of observations that the device draws from the model, with a q beside the
//! posterior.

use nalgebra::{DMatrix, DVector};

use super::linear_gaussian::{Diagonal, LinearGaussian, kl};
use super::{ERRORS, Row, VerifyError, architecture, encoder, mean, parameters};
use crate::bounds::{Sandwich, Simulated, sandwich, simulate};
use crate::device::Device;
use crate::loaded::Model;
use crate::vae::Binarization;
use crate::vae::likelihood::Variance;

/// Observations that are drawn from the model.
const SIMULATED: usize = 1000;
/// Numbers of draws of z.
const DRAWS: [usize; 3] = [1, 5, 50];

/// What a device drew and found.
#[derive(Debug, Clone)]
pub struct TwoSided {
    /// Observations, with the codes that made them.
    pub simulated: Simulated,
    /// L_k and U_k of them.
    pub sandwich: Sandwich,
}

impl TwoSided {
    /// Draws on a device.
    ///
    /// # Errors
    /// The device failed.
    pub fn draw(device: &Device, model: &LinearGaussian) -> Result<Self, VerifyError> {
        TwoSided::draw_with(device, model, |_| {})
    }

    /// The same after something was done to the observations and their codes.
    ///
    /// # Errors
    /// The device failed.
    pub fn draw_with(
        device: &Device,
        model: &LinearGaussian,
        spoil: impl Fn(&mut Simulated),
    ) -> Result<Self, VerifyError> {
        let (d, z) = model.weight.shape();
        let architecture = architecture(d, z, Variance::Given(model.variance));
        let [weight, bias] = encoder(model, true);
        let parameters = parameters(model, [&weight, &bias]);
        let loaded = Model {
            architecture: &architecture,
            parameters: &parameters,
            binarization: Binarization::None,
            seed: 1,
        };
        let mut simulated = simulate(device, loaded, SIMULATED)?;
        spoil(&mut simulated);
        let sandwich = sandwich(device, loaded, &simulated, &DRAWS, None, &mut |_| {
            std::ops::ControlFlow::Continue(())
        })?;
        Ok(TwoSided { simulated, sandwich })
    }

    /// What must hold.
    pub fn rows(&self, model: &LinearGaussian) -> Vec<Row> {
        let size = model.weight.shape();
        let (d, z) = size;
        let row =
            |check, expected, obtained, allowed| Row { size, check, expected, obtained, allowed };
        let observations: Vec<DVector<f64>> = self
            .simulated
            .x
            .chunks_exact(d)
            .map(|x| DVector::from_iterator(d, x.iter().map(|&v| f64::from(v))))
            .collect();
        let log_p: Vec<f64> = observations.iter().map(|x| model.log_density(x)).collect();
        let images = || self.sandwich.images.iter().zip(&log_p);

        // Half of the expected squared distance in units of p(x)'s covariance is D / 2.
        let entropy = -0.5 * d as f64 + model.log_density(&model.mean);
        let (obtained, error) = mean(log_p.iter().copied());
        let mut rows = vec![row("mean log p of simulated x", entropy, obtained, ERRORS * error)];

        let (map, offset, covariance) = model.posterior();
        let [weight, bias] = encoder(model, true);
        let weight = DMatrix::from_row_slice(2 * z, d, &weight).map(f64::from);
        let bias = DVector::from_column_slice(&bias).map(f64::from);
        let gaps = observations.iter().map(|x| {
            let heads = &weight * x + &bias;
            let posterior = Diagonal { mean: &map * x + &offset, variance: covariance.diagonal() };
            let of_q = DMatrix::from_diagonal(&heads.rows(z, z).map(f64::exp));
            kl(&posterior, &heads.rows(0, z).into_owned(), &of_q)
        });
        let gaps: Vec<f64> = gaps.collect();
        let (difference, error) =
            mean(images().zip(&gaps).map(|((image, p), gap)| image.upper[0] - p - gap));
        let gap = mean(gaps.iter().copied()).0;
        rows.push(row(
            "U_1 - log p, q off: KL(posterior || q)",
            gap,
            gap + difference,
            ERRORS * error,
        ));
        let last = DRAWS.len() - 1;
        let (ratio, error) = mean(images().map(|(image, p)| (p - image.upper[last]).exp()));
        rows.push(row(
            "p(x) / mean of 50 weights, z* in them: 1 on average",
            1.0,
            ratio,
            ERRORS * error,
        ));
        let (below, below_error) = mean(images().map(|(image, p)| image.lower[last] - p));
        let (above, above_error) = mean(images().map(|(image, p)| p - image.upper[last]));
        // of a NaN no comparison holds
        let beyond = |by: f64| if by <= 0.0 { 0.0 } else { by };
        rows.push(row(
            "log p beyond L_50 or U_50, q off",
            0.0,
            beyond(below) + beyond(above),
            ERRORS * (below_error + above_error),
        ));
        rows
    }
}
