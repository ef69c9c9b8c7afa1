//! Tensors at the edge of the crate.

mod elements;

use crate::error::Error;

pub use elements::{ElementType, Elements};

/// A dense float tensor in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Extents, outermost first.
    pub shape: Vec<usize>,
    /// `shape.iter().product()` values.
    pub data: Vec<f32>,
}

/// A dense tensor of any element type, in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub struct Value {
    /// Extents, outermost first; none for a single number.
    pub shape: Vec<usize>,
    /// `shape.iter().product()` elements.
    pub elements: Elements,
}

impl Value {
    /// What its elements are.
    #[must_use]
    pub fn element_type(&self) -> ElementType {
        self.elements.element_type()
    }
}

impl From<Tensor> for Value {
    fn from(tensor: Tensor) -> Self {
        Self { shape: tensor.shape, elements: Elements::F32(tensor.data) }
    }
}

/// Name, type and shape of one input or output of a graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// The name in the file.
    pub name: String,
    /// What its elements are.
    pub dtype: ElementType,
    /// Extents, outermost first.
    pub shape: Vec<usize>,
}

impl TensorInfo {
    /// Refuses a tensor of another type or shape than this input's, or with too few or too many values.
    pub(crate) fn accept(&self, tensor: &Tensor) -> Result<(), Error> {
        self.accept_parts(ElementType::F32, &tensor.shape, tensor.data.len())
    }

    /// As [`accept`](Self::accept), for elements of any type.
    pub(crate) fn accept_value(&self, value: &Value) -> Result<(), Error> {
        self.accept_parts(value.element_type(), &value.shape, value.elements.len())
    }

    fn accept_parts(&self, dtype: ElementType, shape: &[usize], count: usize) -> Result<(), Error> {
        if dtype != self.dtype {
            return Err(self.wrong(format!("{dtype} values")));
        }
        if shape != self.shape {
            return Err(self.wrong(format!("shape {shape:?}")));
        }
        let expected: usize = self.shape.iter().product();
        if count != expected {
            return Err(self.wrong(format!("{count} values where the shape takes {expected}")));
        }
        Ok(())
    }

    /// The error for what was given to this input in place of what it takes.
    pub(crate) fn wrong(&self, got: String) -> Error {
        let expected = format!("{} values of shape {:?}", self.dtype, self.shape);
        Error::WrongInput { name: self.name.clone(), expected, got }
    }
}
