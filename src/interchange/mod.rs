//! What other programs read: PyTorch's parameters in safetensors files, ONNX, arrays of NumPy, and plans as documents.

pub mod arrays;
pub mod document;
pub mod import;
pub mod names;
pub mod onnx;
pub mod pytorch;
pub mod trained;
pub mod weights;

pub use names::Names;
pub use trained::Trained;
