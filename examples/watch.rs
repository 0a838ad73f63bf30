//! Trains with a callback a step, stops after 100 of them, and goes on from there in another trainer.

use elbo::{Device, EpochReport, Error, Observer, Settings, State, Trainer};

#[derive(Default)]
struct Watch {
    ends_at: Option<u64>,
    kept: Option<State>,
}

impl Observer for Watch {
    fn step(&mut self, step: u64) -> bool {
        self.ends_at.is_some_and(|end| step >= end)
    }

    fn epoch_ends(&mut self, report: &EpochReport, _: &[Vec<f32>]) -> Result<(), String> {
        println!("step {}: test ELBO {:.2} nats per image", report.step, report.test.elbo);
        Ok(())
    }

    fn checkpoint(&mut self, state: &State) -> Result<(), String> {
        self.kept = Some(state.clone());
        Ok(())
    }
}

pub fn main() -> Result<(), Error> {
    let (device, data) = (Device::auto()?, elbo::mnist()?);
    let settings = Settings { epochs: 1, ..Settings::of(&data) };
    let mut watch = Watch { ends_at: Some(100), kept: None };
    Trainer::new(&device, &data, &settings)?.train_watched(&mut watch)?;
    let state = watch.kept.expect("a state of where it was ended");
    println!("ended after {} steps", state.step());
    let vae = Trainer::new(&device, &data, &settings)?.go_on(state, &mut Watch::default())?;
    vae.save_safetensors("watched.safetensors")
}
