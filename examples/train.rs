//! Trains the classic VAE on MNIST for two epochs and saves it as the run folder runs/example.

use std::ops::ControlFlow;

use elbo::{Device, Error, Settings, Trainer};

pub fn main() -> Result<(), Error> {
    let device = Device::auto()?;
    let data = elbo::mnist()?;
    let settings = Settings { epochs: 2, ..Settings::of(&data) };
    println!("{} on {}", settings.architecture, device.description().name);

    let mut trainer = Trainer::new(&device, &data, &settings)?;
    let vae = trainer.train(|report| {
        println!("epoch {}: test ELBO {:.2} nats per image", report.epoch, report.test.elbo);
        ControlFlow::Continue(())
    })?;
    vae.save("runs/example")
}
