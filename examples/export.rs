//! Writes the run of examples/train.rs for PyTorch and as ONNX.

use elbo::{Error, Part, Vae};

pub fn main() -> Result<(), Error> {
    let vae = Vae::open("runs/example")?;
    vae.save_safetensors("vae.safetensors")?;
    vae.save_onnx(Part::Encoder, "encoder.onnx")?;
    vae.save_onnx(Part::Decoder, "decoder.onnx")
}
