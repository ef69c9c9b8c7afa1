//! Between host and device.

use burn::backend::ops::{BoolTensorOps, FloatTensorOps, IntTensorOps, TransactionPrimitive};
use burn::backend::{Dispatch, DispatchTensor, TensorPrimitive};
use burn::tensor::{BoolDType, DType, Device, IntDType, TensorData, read_sync};

use crate::lower::step::{ConstantData, Kind};
use crate::tensor::Tensor;

/// How a device holds integers and truth values; floats are 32-bit everywhere.
#[derive(Debug, Clone, Copy)]
pub(super) struct Types {
    pub int: IntDType,
    pub bool: BoolDType,
}

/// The shape on the device: backends have no tensors of rank 0.
pub(super) fn extents(shape: &[usize]) -> &[usize] {
    if shape.is_empty() { &[1] } else { shape }
}

impl Types {
    pub fn of(device: &Device) -> Self {
        let settings = device.settings();
        Self { int: settings.int_dtype, bool: settings.bool_dtype }
    }

    /// Brings a constant to the device.
    ///
    /// # Errors
    /// When there are not as many elements as the shape takes.
    pub fn upload(self, data: ConstantData, shape: &[usize], device: &Device) -> Result<DispatchTensor, String> {
        fits(data.len(), shape)?;
        let (shape, device) = (extents(shape).to_vec(), device.as_dispatch());
        Ok(match data {
            ConstantData::Float(data) => Dispatch::float_from_data(TensorData::new(data, shape), device),
            ConstantData::Half(data) => Dispatch::float_from_data(TensorData::new(data, shape), device),
            ConstantData::Int(data) => Dispatch::int_from_data(self.integers(data, shape), device),
            ConstantData::Bool(data) => {
                let data = TensorData::new(data, shape).convert_dtype(DType::from(self.bool));
                Dispatch::bool_from_data(data, device)
            }
        })
    }

    /// Brings an input to the device.
    ///
    /// # Errors
    /// As [`upload`](Self::upload).
    pub fn upload_floats(self, tensor: &Tensor, device: &Device) -> Result<DispatchTensor, String> {
        self.upload(ConstantData::Float(tensor.data.clone()), &tensor.shape, device)
    }

    /// Integers of the device's width; what does not fit becomes the nearest that does.
    fn integers(self, data: Vec<i64>, shape: Vec<usize>) -> TensorData {
        if self.int == IntDType::I64 {
            return TensorData::new(data, shape);
        }
        let narrow = |v: i64| i32::try_from(v).unwrap_or(if v < 0 { i32::MIN } else { i32::MAX });
        let narrowed: Vec<i32> = data.into_iter().map(narrow).collect();
        TensorData::new(narrowed, shape).convert_dtype(self.int.into())
    }
}

fn fits(found: usize, shape: &[usize]) -> Result<(), String> {
    let expected: usize = shape.iter().product();
    if found == expected { Ok(()) } else { Err(format!("{found} values where shape {shape:?} takes {expected}")) }
}

/// Brings tensors of any kind to the host as floats, in one transfer.
///
/// # Errors
/// When the device fails. It may panic instead.
pub(super) fn download(tensors: Vec<(Kind, DispatchTensor)>) -> Result<Vec<Vec<f32>>, String> {
    download_data(tensors)?.into_iter().map(floats).collect()
}

/// As [`download`], in the types of the device.
///
/// # Errors
/// As [`download`].
pub(super) fn download_data(tensors: Vec<(Kind, DispatchTensor)>) -> Result<Vec<TensorData>, String> {
    let mut transaction = TransactionPrimitive::<Dispatch>::default();
    for (kind, tensor) in tensors {
        match kind {
            Kind::Float => transaction.register_float(TensorPrimitive::Float(tensor)),
            Kind::Int => transaction.register_int(tensor),
            Kind::Bool => transaction.register_bool(tensor),
        }
    }
    read_sync(transaction.execute_async()).map_err(|e| e.to_string())
}

fn floats(data: TensorData) -> Result<Vec<f32>, String> {
    let data = if data.dtype() == DType::F32 { data } else { data.convert::<f32>() };
    Ok(data.as_slice::<f32>().map_err(|e| format!("{e:?}"))?.to_vec())
}
