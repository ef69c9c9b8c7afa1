//! Runs on values of any type, as far as the device's types hold them.

use burn::backend::DispatchTensor;
use burn::tensor::{IntDType, TensorData};
use half::f16;

use super::{BurnPlan, Execution, contained, transfer};
use crate::error::Error;
use crate::lower::step::{ConstantData, Kind};
use crate::tensor::{ElementType, Elements, TensorInfo, Value};

impl BurnPlan {
    /// Runs the model on one value for each input, in the order of [`Graph::inputs`](crate::Graph::inputs);
    /// outputs come in the order of [`Graph::outputs`](crate::Graph::outputs), in the types of the file.
    ///
    /// # Errors
    /// [`Error::InputCount`] and [`Error::WrongInput`] for values that do not fit, or that the device has no type
    /// for; [`Error::Run`] for outputs of such a type; [`Error::Device`].
    pub fn run_values(&self, inputs: &[Value]) -> Result<Vec<Value>, Error> {
        self.count(inputs.len())?;
        let wide = self.types.int == IntDType::I64;
        let mut data = Vec::with_capacity(inputs.len());
        for (info, value) in self.inputs.iter().zip(inputs) {
            info.accept_value(value)?;
            data.push((widened(info, &value.elements, wide)?, value.shape.as_slice()));
        }
        if let Some(info) = self.outputs.iter().find(|info| !held(info.dtype)) {
            let reason = format!("output {:?} is of type {}, which the device does not have", info.name, info.dtype);
            return Err(Error::Run { reason });
        }
        let read = contained(&self.device, || {
            let upload = |(data, shape)| self.types.upload(data, shape, &self.device);
            let inputs = data.into_iter().map(upload).collect::<Result<Vec<DispatchTensor>, _>>()?;
            let outputs = Execution::new(&self.plan, &self.constants, self.types).run(inputs)?;
            let kind = |id: &usize| self.plan.values.get(*id).map_or(Kind::Float, |info| info.kind);
            let read = transfer::download_data(self.plan.outputs.iter().map(kind).zip(outputs).collect())?;
            self.outputs.iter().zip(read).map(|(info, data)| narrowed(info, data)).collect()
        })?;
        Ok(read)
    }
}

/// Whether the device's types hold every value of this type, as far as inference needs them.
fn held(dtype: ElementType) -> bool {
    !matches!(dtype, ElementType::F64 | ElementType::U32 | ElementType::U64)
}

/// An input in the types of a plan; `wide` where the device has 64-bit integers.
fn widened(info: &TensorInfo, elements: &Elements, wide: bool) -> Result<ConstantData, Error> {
    fn integers<T: Copy + Into<i64>>(data: &[T]) -> ConstantData {
        ConstantData::Int(data.iter().map(|v| (*v).into()).collect())
    }
    let beyond = |v: &&i64| !wide && i32::try_from(**v).is_err();
    Ok(match elements {
        Elements::Bool(data) => ConstantData::Bool(data.clone()),
        Elements::U8(data) => integers(data),
        Elements::I8(data) => integers(data),
        Elements::U16(data) => integers(data),
        Elements::I16(data) => integers(data),
        Elements::I32(data) => integers(data),
        Elements::I64(data) => match data.iter().find(beyond) {
            Some(v) => return Err(info.wrong(format!("{v}, which the device's 32-bit integers cannot hold"))),
            None => ConstantData::Int(data.clone()),
        },
        Elements::F16(data) => ConstantData::Float(data.iter().map(|v| v.to_f32()).collect()),
        Elements::F32(data) => ConstantData::Float(data.clone()),
        Elements::U32(_) | Elements::U64(_) | Elements::F64(_) => {
            return Err(info.wrong("a type that the device does not have".into()));
        }
    })
}

/// What the device holds, in the output's type.
fn narrowed(info: &TensorInfo, data: TensorData) -> Result<Value, String> {
    fn floats(data: TensorData) -> Result<Vec<f32>, String> {
        data.convert::<f32>().try_into_vec().map_err(|e| format!("{e:?}"))
    }
    fn integers<T: TryFrom<i64>>(data: TensorData) -> Result<Vec<T>, String> {
        let data: Vec<i64> = data.convert::<i64>().try_into_vec().map_err(|e| format!("{e:?}"))?;
        data.into_iter().map(|v| T::try_from(v).map_err(|_| format!("{v} is beyond the output's type"))).collect()
    }
    let elements = match info.dtype {
        ElementType::Bool => Elements::Bool(integers::<i64>(data)?.into_iter().map(|v| v != 0).collect()),
        ElementType::U8 => Elements::U8(integers(data)?),
        ElementType::I8 => Elements::I8(integers(data)?),
        ElementType::U16 => Elements::U16(integers(data)?),
        ElementType::I16 => Elements::I16(integers(data)?),
        ElementType::I32 => Elements::I32(integers(data)?),
        ElementType::I64 => Elements::I64(integers(data)?),
        ElementType::F16 => Elements::F16(floats(data)?.into_iter().map(f16::from_f32).collect()),
        ElementType::F32 => Elements::F32(floats(data)?),
        other => return Err(format!("output {:?} is of type {other}, which the device does not have", info.name)),
    };
    if elements.len() != info.shape.iter().product::<usize>() {
        return Err(format!("output {:?} came back with {} values", info.name, elements.len()));
    }
    Ok(Value { shape: info.shape.clone(), elements })
}
