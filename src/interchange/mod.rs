//! Models as other programs know them: PyTorch's parameters in safetensors files.

pub mod names;
pub mod weights;

pub use names::Names;
