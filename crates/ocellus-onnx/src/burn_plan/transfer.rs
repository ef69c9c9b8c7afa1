//! Between host and device.

use burn::backend::ops::{BoolTensorOps, FloatTensorOps, IntTensorOps, TransactionPrimitive};
use burn::backend::{Dispatch, DispatchTensor, TensorPrimitive};
use burn::tensor::{BoolDType, DType, Device, IntDType, TensorData, read_sync};

use tract_onnx::prelude::{DatumType, Tensor as TractTensor};

use crate::error::one_line;
use crate::lower::step::{ConstantData, Kind};

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
            ConstantData::Host(_) => return Err("a constant of the host".into()),
            ConstantData::Bool(data) => {
                let data = TensorData::new(data, shape).convert_dtype(DType::from(self.bool));
                Dispatch::bool_from_data(data, device)
            }
        })
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

/// Brings tensors of any kind to the host, in one transfer.
///
/// # Errors
/// When the device fails. It may panic instead.
pub(super) fn download(tensors: Vec<(Kind, DispatchTensor)>) -> Result<Vec<TensorData>, String> {
    let mut transaction = TransactionPrimitive::<Dispatch>::default();
    for (kind, tensor) in tensors {
        match kind {
            Kind::Float | Kind::Host => transaction.register_float(TensorPrimitive::Float(tensor)),
            Kind::Int => transaction.register_int(tensor),
            Kind::Bool => transaction.register_bool(tensor),
        }
    }
    read_sync(transaction.execute_async()).map_err(|e| e.to_string())
}

/// What came from the device, as tract holds it: with the type that the graph gives it.
///
/// # Errors
/// When there are not as many elements as the shape takes, or one is beyond the type.
pub(super) fn on_host(data: TensorData, datum_type: DatumType, shape: &[usize]) -> Result<TractTensor, String> {
    let failed = |e| one_line(&e);
    let count: usize = shape.iter().product();
    if data.shape().iter().product::<usize>() != count {
        return Err(format!("{:?} came back where shape {shape:?} was expected", data.shape()));
    }
    if datum_type.is_float() {
        let tensor = TractTensor::from_shape(shape, &floats(data)?).map_err(failed)?;
        return Ok(tensor.cast_to_dt(datum_type).map_err(failed)?.into_owned());
    }
    let data = data.convert::<i64>();
    let data = data.as_slice::<i64>().map_err(|e| format!("{e:?}"))?;
    if datum_type == DatumType::Bool {
        let data: Vec<bool> = data.iter().map(|v| *v != 0).collect();
        return TractTensor::from_shape(shape, &data).map_err(failed);
    }
    let tensor = TractTensor::from_shape(shape, data).map_err(failed)?;
    Ok(tensor.cast_to_dt(datum_type).map_err(failed)?.into_owned())
}

/// The elements as floats.
pub(super) fn floats(data: TensorData) -> Result<Vec<f32>, String> {
    let data = if data.dtype() == DType::F32 { data } else { data.convert::<f32>() };
    Ok(data.as_slice::<f32>().map_err(|e| format!("{e:?}"))?.to_vec())
}
