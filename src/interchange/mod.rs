//! What other programs read: PyTorch's parameters in safetensors files, ONNX, arrays of NumPy.

pub mod arrays;
pub mod import;
pub mod names;
pub mod onnx;
pub mod pytorch;
pub mod trained;
pub mod weights;

pub use names::Names;
pub use trained::Trained;
