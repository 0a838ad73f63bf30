//! Draws digits from the run of examples/train.rs, and walks from one test image to another.

use elbo::{Device, Error, Vae};

pub fn main() -> Result<(), Error> {
    let device = Device::auto()?;
    let vae = Vae::open("runs/example")?;
    print_image(&vae.sample(&device, 1, 42)?[0]);

    let posteriors = vae.encode(&device, &elbo::mnist()?.test.first(2))?;
    let (from, to) = posteriors.mean.split_at(posteriors.latent);
    let steps = [0.0, 0.25, 0.5, 0.75, 1.0];
    let z: Vec<f32> = steps
        .iter()
        .flat_map(|t| from.iter().zip(to).map(move |(a, b)| (a + t * (b - a)) as f32))
        .collect();
    for image in vae.decode(&device, &z)? {
        print_image(&image);
    }
    Ok(())
}

/// Pixels in [0, 1], in rows of 28, as characters.
fn print_image(image: &[f32]) {
    for row in image.chunks_exact(28) {
        let shade = |p: &f32| [' ', '.', ':', 'o', '#', '@'][(p * 5.99) as usize];
        println!("{}", row.iter().map(shade).collect::<String>());
    }
}
