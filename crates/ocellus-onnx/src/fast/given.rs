//! What a run is given, and what it gives.

use tract_onnx::prelude::{IntoTValue, TValue, TVec, Tensor as TractTensor, TractResult};

use crate::tensor::Tensor;

/// One value for each input of a model.
#[derive(Debug)]
pub(crate) enum Given<'g> {
    Tensors(TVec<TValue>),
    /// Floats that are only lent, so that they need not be copied.
    Floats(&'g [Tensor]),
}

impl Given<'_> {
    /// Tensors of tract's.
    pub(crate) fn into_tensors(self) -> TractResult<TVec<TValue>> {
        match self {
            Self::Tensors(tensors) => Ok(tensors),
            Self::Floats(floats) => floats.iter().map(|tensor| value(&tensor.shape, &tensor.data)).collect(),
        }
    }
}

/// An output of a model.
#[derive(Debug)]
pub(crate) enum Gives {
    Tensor(TValue),
    Floats(Tensor),
}

impl Gives {
    /// A tensor of tract's.
    pub(crate) fn into_tensor(self) -> TractResult<TValue> {
        match self {
            Self::Tensor(tensor) => Ok(tensor),
            Self::Floats(floats) => value(&floats.shape, &floats.data),
        }
    }

    /// Its numbers as floats, whatever their type.
    pub(crate) fn into_floats(self) -> TractResult<Tensor> {
        match self {
            Self::Floats(floats) => Ok(floats),
            Self::Tensor(value) => {
                let cast = value.cast_to::<f32>()?;
                let data = cast.try_as_plain_ram()?.as_slice::<f32>()?.to_vec();
                Ok(Tensor { shape: value.shape().to_vec(), data })
            }
        }
    }
}

/// A tensor of tract's with these numbers.
pub(super) fn value(shape: &[usize], data: &[f32]) -> TractResult<TValue> {
    TractTensor::from_shape(shape, data).map(IntoTValue::into_tvalue)
}
