//! Evaluates the run of examples/train.rs on the first 200 test images, with 100 draws each.

use elbo::{Device, Error, Vae};

pub fn main() -> Result<(), Error> {
    let vae = Vae::open("runs/example")?;
    let images = elbo::mnist()?.test.first(200);
    let evaluation = vae.evaluate(&Device::auto()?, &images, 100)?;

    for (name, estimate) in [("ELBO", evaluation.elbo()), ("log p(x)", evaluation.log_likelihood())]
    {
        let error = estimate.standard_error.unwrap_or(f64::NAN);
        println!("{name}: {:.2} ± {error:.2} nats per image", estimate.value);
    }
    let active = evaluation.units.iter().filter(|unit| unit.active).count();
    println!("{active} of {} latent units are active", evaluation.units.len());
    Ok(())
}
