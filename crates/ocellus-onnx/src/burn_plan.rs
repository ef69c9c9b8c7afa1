//! Running a graph on a device of burn's: a GPU through wgpu, or `flex` on the CPU.
//!
//! The graph is lowered once, when it is loaded. What the lowering promises, and running relies on:
//!
//! * Every step is one primitive of burn's or a short fixed sequence of them, for tensors of any rank.
//! * The shape and kind of every value are known and were compared with those that tract worked out: the
//!   primitives check nothing, so nothing may reach them that has not been checked.
//! * No value is empty, and none is larger than the graph's limits allow.
//! * A value is freed when the last step that needs it has been queued; weights stay on the device.
//!
//! Floats are 32-bit, or in parts 16-bit where [`Precision::F16`] is asked for; integers are
//! as wide as the device has them (32 bits on GPUs). A tensor of rank 0 lies on the device as one of rank 1.

mod elementwise;
mod execute;
mod image;
mod movement;
mod options;
mod reduction;
mod transfer;
mod values;

use burn::backend::{DispatchDevice, DispatchTensor, TensorMetadata};
use burn::tensor::{DType, Device};

use self::execute::Execution;
pub use self::options::{BurnOptions, Precision};
use self::transfer::Types;
use crate::contain::quietly;
use crate::error::Error;
use crate::graph::Graph;
use crate::lower::lower;
use crate::lower::step::{Kind, Plan, ValueId};
use crate::tensor::{ElementType, Tensor, TensorInfo};

/// A tensor in the memory of a burn device. Copies share that memory.
#[derive(Debug, Clone)]
pub struct DeviceTensor(DispatchTensor);

impl From<DispatchTensor> for DeviceTensor {
    fn from(tensor: DispatchTensor) -> Self {
        Self(tensor)
    }
}

impl From<DeviceTensor> for DispatchTensor {
    fn from(tensor: DeviceTensor) -> Self {
        tensor.0
    }
}

impl<const D: usize> From<burn::tensor::Tensor<D>> for DeviceTensor {
    fn from(tensor: burn::tensor::Tensor<D>) -> Self {
        Self(tensor.into_dispatch())
    }
}

/// A model made ready for a burn device, its weights in the device's memory.
///
/// It may move between threads and is used by one at a time. Use it in the thread that makes its inputs: burn
/// queues the work of each thread separately.
#[derive(Debug)]
pub struct BurnPlan {
    plan: Plan,
    /// Weights and other constants, by value.
    constants: Vec<Option<DispatchTensor>>,
    device: Device,
    types: Types,
    inputs: Vec<TensorInfo>,
    outputs: Vec<TensorInfo>,
}

impl BurnPlan {
    /// Lowers the graph to burn's primitives and brings its weights to the device.
    ///
    /// # Errors
    /// [`Error::Lowering`] with the node and operator that cannot be carried over, [`Error::Device`] when the
    /// device fails, as by lack of memory.
    pub fn new(graph: &Graph, device: &Device) -> Result<Self, Error> {
        Self::with_options(graph, device, &BurnOptions::default())
    }

    /// As [`new`](Self::new), with options.
    ///
    /// # Errors
    /// As [`new`](Self::new); [`Error::Device`] when half precision is asked for and the device has none.
    pub fn with_options(graph: &Graph, device: &Device, options: &BurnOptions) -> Result<Self, Error> {
        contained(device, || options.accept(device))?;
        let mut plan =
            quietly(|| lower(graph.typed(), graph.limits(), options.precision)).unwrap_or_else(|reason| {
                Err(Error::Lowering { node: "-".into(), operator: "whole graph".into(), reason })
            })?;
        let constants = std::mem::take(&mut plan.constants);
        let (types, constants) = contained(device, || {
            let types = Types::of(device);
            let mut on_device = vec![None; plan.values.len()];
            for (id, data) in constants {
                let shape = plan.values.get(id).map(|info| info.shape.as_slice()).unwrap_or_default();
                let tensor = types.upload(data, shape, device)?;
                on_device.get_mut(id).map(|slot| slot.replace(tensor));
            }
            Ok((types, on_device))
        })?;
        tracing::debug!(steps = plan.steps.len(), device = %label(device), "lowered an ONNX model");
        let (inputs, outputs) = (graph.inputs().to_vec(), graph.outputs().to_vec());
        Ok(Self { plan, constants, device: device.clone(), types, inputs, outputs })
    }

    /// Runs the model on one host tensor for each input, in the order of [`Graph::inputs`]; outputs come in the
    /// order of [`Graph::outputs`], whatever their type in the file as `f32`.
    ///
    /// # Errors
    /// [`Error::InputCount`] and [`Error::WrongInput`] for tensors that do not fit, [`Error::Device`].
    pub fn run_tensors(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, Error> {
        self.count(inputs.len())?;
        for (info, tensor) in self.inputs.iter().zip(inputs) {
            info.accept(tensor)?;
        }
        let inputs = contained(&self.device, || {
            inputs.iter().map(|tensor| self.types.upload_floats(tensor, &self.device).map(DeviceTensor)).collect()
        })?;
        self.read(self.run(inputs)?)
    }

    /// Queues the model on tensors that lie on its device, and does not wait for it.
    ///
    /// # Errors
    /// [`Error::InputCount`] and [`Error::WrongInput`] for tensors that do not fit or lie elsewhere,
    /// [`Error::Device`].
    pub fn run(&self, inputs: Vec<DeviceTensor>) -> Result<Vec<DeviceTensor>, Error> {
        self.count(inputs.len())?;
        for (info, tensor) in self.inputs.iter().zip(&inputs) {
            self.accept(info, &tensor.0)?;
        }
        let inputs = inputs.into_iter().map(|tensor| tensor.0).collect();
        contained(&self.device, || {
            let outputs = Execution::new(&self.plan, &self.constants, self.types).run(inputs)?;
            Ok(outputs.into_iter().map(DeviceTensor).collect())
        })
    }

    /// Waits for outputs of [`run`](Self::run) and brings them to the host, all in one transfer.
    ///
    /// # Errors
    /// [`Error::Device`] when the device fails or is lost, [`Error::Run`] for tensors that are not all its outputs.
    pub fn read(&self, outputs: Vec<DeviceTensor>) -> Result<Vec<Tensor>, Error> {
        if outputs.len() != self.outputs.len() {
            let reason = format!("{} tensors to read where it has {} outputs", outputs.len(), self.outputs.len());
            return Err(Error::Run { reason });
        }
        let kind = |id: &ValueId| self.plan.values.get(*id).map_or(Kind::Float, |info| info.kind);
        let outputs = self.plan.outputs.iter().map(kind).zip(outputs.into_iter().map(|tensor| tensor.0)).collect();
        let data = contained(&self.device, || transfer::download(outputs))?;
        let wrong = |got: usize| device_error(&self.device, format!("an output came back with {got} values"));
        self.outputs
            .iter()
            .zip(data)
            .map(|(info, data)| {
                let expected: usize = info.shape.iter().product();
                if data.len() == expected {
                    Ok(Tensor { shape: info.shape.clone(), data })
                } else {
                    Err(wrong(data.len()))
                }
            })
            .collect()
    }

    fn count(&self, got: usize) -> Result<(), Error> {
        let expected = self.inputs.len();
        if got == expected { Ok(()) } else { Err(Error::InputCount { expected, got }) }
    }

    fn accept(&self, info: &TensorInfo, tensor: &DispatchTensor) -> Result<(), Error> {
        let (shape, dtype) = (tensor.shape(), tensor.dtype());
        if shape.as_slice() != transfer::extents(&info.shape) {
            return Err(info.wrong(format!("shape {:?}", shape.as_slice())));
        }
        if dtype != DType::F32 || info.dtype != ElementType::F32 {
            return Err(info.wrong(format!("elements of type {dtype:?}")));
        }
        if tensor.device() != *self.device.as_dispatch() {
            return Err(info.wrong("a tensor on another device".into()));
        }
        Ok(())
    }
}

/// Does work on the device. A device that is lost makes burn panic, when work is queued or when bytes are read:
/// that ends here.
fn contained<T>(device: &Device, work: impl FnOnce() -> Result<T, String>) -> Result<T, Error> {
    quietly(work).and_then(|done| done).map_err(|reason| device_error(device, reason))
}

fn device_error(device: &Device, reason: String) -> Error {
    Error::Device { device: label(device), reason: crate::error::shorten(&reason) }
}

fn label(device: &Device) -> String {
    match device.as_dispatch() {
        DispatchDevice::Flex(_) => "flex (CPU)".into(),
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests;
