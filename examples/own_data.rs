//! Trains on images that the program makes itself, bytes in a Vec: a bright bar at a place of its own.

use std::ops::ControlFlow;

use elbo::{Architecture, Dataset, Device, Error, Images, Settings, Trainer};

const HEIGHT: usize = 8;
const WIDTH: usize = 12;

/// `n` images, (n, HEIGHT, WIDTH) row by row.
fn bars(n: usize) -> Vec<u8> {
    let pixel = |i: usize| if i % WIDTH == i / (HEIGHT * WIDTH) * 5 % WIDTH { 255 } else { 0 };
    (0..n * HEIGHT * WIDTH).map(pixel).collect()
}

pub fn main() -> Result<(), Error> {
    let train = Images::new(HEIGHT, WIDTH, bars(2000))?;
    let test = Images::new(HEIGHT, WIDTH, bars(100))?;
    let data = Dataset::new("bars", train, test)?;

    let defaults = Settings::of(&data);
    let settings = Settings {
        architecture: Architecture {
            hidden: vec![64].into(),
            decoder_hidden: vec![64].into(),
            latent: 3,
            ..defaults.architecture.clone()
        },
        epochs: 20,
        ..defaults
    };
    let vae = Trainer::new(&Device::auto()?, &data, &settings)?.train(|report| {
        println!("epoch {}: test ELBO {:.2}", report.epoch, report.test.elbo);
        if report.test.elbo > -4.0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    vae.save_safetensors("bars.safetensors")
}
