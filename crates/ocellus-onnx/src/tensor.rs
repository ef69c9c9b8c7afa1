//! Tensors at the edge of the crate.

use crate::error::Error;

/// A dense float tensor in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Extents, outermost first.
    pub shape: Vec<usize>,
    /// `shape.iter().product()` values.
    pub data: Vec<f32>,
}

/// Name, type and shape of one input or output of a graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// The name in the file.
    pub name: String,
    /// The element type in the file, as `f32`, `i64`, ….
    pub dtype: String,
    /// Extents, outermost first.
    pub shape: Vec<usize>,
}

impl TensorInfo {
    /// Refuses a tensor of another shape than this input's, or with too few or too many values.
    pub(crate) fn accept(&self, tensor: &Tensor) -> Result<(), Error> {
        if tensor.shape != self.shape {
            return Err(self.wrong(format!("shape {:?}", tensor.shape)));
        }
        let expected: usize = self.shape.iter().product();
        if tensor.data.len() != expected {
            return Err(self.wrong(format!("{} values where the shape takes {expected}", tensor.data.len())));
        }
        Ok(())
    }

    /// The error for what was given to this input in place of what it takes.
    pub(crate) fn wrong(&self, got: String) -> Error {
        let expected = format!("f32 values of shape {:?}", self.shape);
        Error::WrongInput { name: self.name.clone(), expected, got }
    }
}
