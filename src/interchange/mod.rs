//! Models as other programs know them: PyTorch's parameters in safetensors files, and ONNX.

pub mod import;
pub mod names;
pub mod onnx;
pub mod trained;
pub mod weights;

pub use names::Names;
pub use trained::Trained;
