//! The signal-to-noise ratios of the gradients of the importance-weighted bound: the exponents of K are known.

use std::ops::ControlFlow;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::linear_gaussian::LinearGaussian;
use super::{Row, VerifyError, architecture, encoder_beside, flatten, parameters};
use crate::bounds::Observed;
use crate::bounds::signal::{Signal, Signals, signals, slope};
use crate::device::Device;
use crate::loaded::Model;
use crate::vae::Binarization;
use crate::vae::likelihood::Variance;
use crate::vae::step::Content;

/// (D, Z) of the model.
const SIZE: (usize, usize) = (24, 4);
/// Copies of one observation, so that what is signal for one is signal for all.
const COPIES: usize = 256;
/// By which the observation is off the model's, so that its decoder has somewhere to go.
const OFF: f64 = 1.0;
/// How far q is beside the posterior: so near that weights are even, and exponents set in at few draws.
const SHIFT: f64 = 0.3;
const WIDER: f64 = 1.3;
/// Numbers of draws, where the exponents have set in.
const DRAWS: [usize; 3] = [4, 16, 64];
/// Gradients for each of them: then an exponent is known to about 0.02.
const REPEATS: usize = 200;
/// How far an exponent may be off.
const ALLOWED: f64 = 0.1;

/// What a device finds with a q beside the posterior.
///
/// # Errors
/// The device failed.
pub fn find(device: &Device) -> Result<Signals, VerifyError> {
    let (d, z) = SIZE;
    let mut rng = ChaCha8Rng::seed_from_u64(d as u64);
    let model = LinearGaussian::random(d, z, &mut rng);
    let x = model.draw(&mut rng).add_scalar(OFF);
    let architecture = architecture(d, z, Variance::Given(model.variance));
    let [weight, bias] = encoder_beside(&model, SHIFT, WIDER);
    let parameters = parameters(&model, [&weight, &bias]);
    let loaded = Model {
        architecture: &architecture,
        parameters: &parameters,
        binarization: Binarization::None,
        seed: 5,
    };
    let x = flatten(&vec![x; COPIES]);
    let observed = Observed { x: &x, first: 0, content: Content::Reals, z: None, starts: None };
    let on = &mut |_| ControlFlow::Continue(());
    Ok(signals(device, loaded, observed, &DRAWS, REPEATS, on)?)
}

/// What must hold.
pub fn rows(found: &Signals) -> Vec<Row> {
    let row = |check, of: &[Signal], part: fn(&Signal) -> f64, expected| Row {
        size: SIZE,
        check,
        expected,
        obtained: slope(of.iter().map(|signal| (signal.samples, part(signal)))),
        allowed: ALLOWED,
    };
    let (plain, doubly) = (&found.reparameterized, &found.doubly_reparameterized);
    vec![
        row("iwae: exponent of K in the decoder's SNR", plain, |s| s.decoder, 0.5),
        row("iwae: exponent of K in the encoder's SNR", plain, |s| s.encoder, -0.5),
        row("iwae, doubly reparameterized: in the encoder's SNR", doubly, |s| s.encoder, 0.5),
    ]
}
