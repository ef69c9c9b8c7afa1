//! Constants in the file: their declared extents against the data that is there.

use std::collections::BTreeMap;

use tract_onnx::pb::{self, tensor_proto::DataLocation, tensor_proto::DataType};

use super::{Checker, dtype_name, elements};
use crate::error::Error;
use crate::report::Parameters;

impl Checker<'_> {
    /// Checks one constant; `place` says where it stands.
    pub(super) fn tensor(&mut self, tensor: &pb::TensorProto, place: &str) -> Result<(), Error> {
        if tensor.data_location == Some(DataLocation::External as i32) || !tensor.external_data.is_empty() {
            let name = if tensor.name.is_empty() { place } else { &tensor.name };
            return Err(Error::ExternalData { tensor: name.to_owned() });
        }
        if tensor.segment.is_some() {
            return Err(Error::malformed(place, "tensors in segments are not supported"));
        }
        let shape: Vec<usize> = tensor
            .dims
            .iter()
            .map(|&n| usize::try_from(n).map_err(|_| Error::malformed(place, format!("it has an extent of {n}"))))
            .collect::<Result<_, _>>()?;
        let count = elements(&format!("{place}, its elements"), &shape, self.limits)?;
        self.elements = self.elements.saturating_add(count);
        let most = self.limits.constant_elements;
        if self.elements > most {
            return Err(Error::too_large("the constants together, their elements", self.elements, most as u64));
        }
        let (unit, present) = stored(tensor, place)?;
        let expected = count.saturating_mul(unit);
        if present != expected {
            let what = if unit == 1 { "values" } else { "bytes" };
            return Err(Error::malformed(
                place,
                format!("its shape {shape:?} takes {expected} {what}, and there are {present}"),
            ));
        }
        Ok(())
    }
}

/// How many units of storage an element takes, and how many units there are.
fn stored(tensor: &pb::TensorProto, place: &str) -> Result<(usize, usize), Error> {
    let unsupported = || {
        let name = dtype_name(tensor.data_type);
        Error::malformed(place, format!("constants of type {name} are not supported"))
    };
    let data_type = DataType::try_from(tensor.data_type).map_err(|_| unsupported())?;
    let (bytes, values) = match data_type {
        DataType::Float => (4, tensor.float_data.len()),
        DataType::Double => (8, tensor.double_data.len()),
        DataType::Int64 => (8, tensor.int64_data.len()),
        // tract looks for these among the signed ones.
        DataType::Uint64 => (8, tensor.int64_data.len()),
        DataType::Int32 | DataType::Uint32 => (4, tensor.int32_data.len()),
        DataType::Int16 | DataType::Uint16 | DataType::Float16 => (2, tensor.int32_data.len()),
        DataType::Int8 | DataType::Uint8 | DataType::Bool => (1, tensor.int32_data.len()),
        DataType::String if tensor.raw_data.is_empty() => (1, tensor.string_data.len()),
        _ => return Err(unsupported()),
    };
    Ok(if tensor.raw_data.is_empty() { (1, values) } else { (bytes, tensor.raw_data.len()) })
}

/// The constants that hold weights, by element type: all but text, truth values and wide integers.
pub(crate) fn parameters(graph: &pb::GraphProto) -> BTreeMap<String, Parameters> {
    let constants = graph.node.iter().filter(|n| n.op_type == "Constant").flat_map(|n| &n.attribute);
    let tensors = graph.initializer.iter().chain(constants.filter_map(|a| a.t.as_ref()));
    let mut found: BTreeMap<String, Parameters> = BTreeMap::new();
    for tensor in tensors {
        let Some(bytes) = weight_bytes(tensor.data_type) else { continue };
        let count = tensor.dims.iter().map(|n| n.unsigned_abs()).fold(1, u64::saturating_mul);
        let sum = found.entry(dtype_name(tensor.data_type)).or_default();
        sum.count = sum.count.saturating_add(count);
        sum.bytes = sum.bytes.saturating_add(count.saturating_mul(bytes));
    }
    found
}

/// Bytes of one weight of this type; none for types that only steer shapes.
fn weight_bytes(data_type: i32) -> Option<u64> {
    match DataType::try_from(data_type).ok()? {
        DataType::Double | DataType::Uint64 => Some(8),
        DataType::Float | DataType::Uint32 => Some(4),
        DataType::Float16 | DataType::Bfloat16 | DataType::Int16 | DataType::Uint16 => Some(2),
        DataType::Int8 | DataType::Uint8 => Some(1),
        _ => None,
    }
}
