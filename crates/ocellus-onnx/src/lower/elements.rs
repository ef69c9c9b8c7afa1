//! tract's element types and tensors in the plan's terms.

use tract_onnx::prelude::{DatumType, Tensor as TractTensor};

use super::infer::Outcome;
use super::step::{ConstantData, Kind};

/// The kind of tract's element types.
pub(crate) fn kind_of(datum_type: DatumType) -> Outcome<Kind> {
    match datum_type {
        DatumType::F16 | DatumType::F32 => Ok(Kind::Float),
        DatumType::Bool => Ok(Kind::Bool),
        DatumType::TDim
        | DatumType::I8
        | DatumType::I16
        | DatumType::I32
        | DatumType::I64
        | DatumType::U8
        | DatumType::U16
        | DatumType::U32 => Ok(Kind::Int),
        other => Err(format!("devices have no elements of type {other:?}")),
    }
}

/// The elements of a plain tensor in the plan's types.
pub(crate) fn elements(tensor: &TractTensor) -> Outcome<ConstantData> {
    match kind_of(tensor.datum_type())? {
        Kind::Float => floats(tensor).map(ConstantData::Float),
        Kind::Int => integers(tensor).map(ConstantData::Int),
        Kind::Host => Err("it stays on the host".into()),
        Kind::Bool => {
            let view = tensor.try_as_plain_ram().map_err(|e| format!("{e:#}"))?;
            let data = view.as_slice::<bool>().map_err(|e| format!("{e:#}"))?;
            Ok(ConstantData::Bool(data.to_vec()))
        }
    }
}

/// The elements of a plain tensor as floats.
pub(crate) fn floats(tensor: &TractTensor) -> Outcome<Vec<f32>> {
    let cast = tensor.cast_to::<f32>().map_err(|e| format!("{e:#}"))?;
    let view = cast.try_as_plain_ram().map_err(|e| format!("{e:#}"))?;
    Ok(view.as_slice::<f32>().map_err(|e| format!("{e:#}"))?.to_vec())
}

/// The elements of a plain tensor as integers.
pub(crate) fn integers(tensor: &TractTensor) -> Outcome<Vec<i64>> {
    let cast = tensor.cast_to::<i64>().map_err(|e| format!("{e:#}"))?;
    let view = cast.try_as_plain_ram().map_err(|e| format!("{e:#}"))?;
    Ok(view.as_slice::<i64>().map_err(|e| format!("{e:#}"))?.to_vec())
}
