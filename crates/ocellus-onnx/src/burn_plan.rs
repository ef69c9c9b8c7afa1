//! Running a graph on a device of burn's: a GPU through wgpu, or `flex` on the CPU.
//!
//! The graph is lowered once, when it is loaded. What the lowering promises, and running relies on:
//!
//! * Every step is one primitive of burn's or a short fixed sequence of them, for tensors of any rank.
//! * The shape and kind of every value are known and were compared with those that tract worked out: the
//!   primitives check nothing, so nothing may reach them that has not been checked.
//! * What devices cannot do, or could do wrong, runs on the host by tract's own operators, with the exact types of
//!   the graph; such values lie on the host, and are brought to the device where it needs them.
//! * No value of the device is empty, and none is larger than the graph's limits allow.
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
mod weights;

use std::collections::BTreeMap;

use burn::backend::{DispatchDevice, DispatchTensor, TensorMetadata};
use burn::tensor::{DType, Device, IntDType};
use tract_onnx::prelude::{DatumType, IntoTValue, TValue, Tensor as TractTensor, TractResult};

use self::execute::{Constant, Execution, Failure, Stored};
pub use self::options::{BurnOptions, HostStep, Precision};
use self::transfer::Types;
use self::weights::Weights;
use crate::contain::{on_deep_stack, quietly};
use crate::error::{Error, one_line};
use crate::graph::Graph;
use crate::lower::step::{ConstantData, Kind, Op, Plan, Step, ValueId};
use crate::lower::{Target, elements, floats, lower};
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
    constants: Vec<Option<Constant>>,
    /// Those on the device, for plans that share them.
    weights: Weights,
    options: BurnOptions,
    strict: bool,
    device: Device,
    types: Types,
    inputs: Vec<TensorInfo>,
    outputs: Vec<TensorInfo>,
    /// The types of the outputs in the graph.
    output_types: Vec<DatumType>,
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
        Self::lowered(graph, device, (options, false), &Weights::default())
    }

    /// As [`with_options`](Self::with_options), but refuses a graph of which a part would run on the host.
    ///
    /// # Errors
    /// As [`with_options`](Self::with_options).
    pub fn new_strict(graph: &Graph, device: &Device, options: &BurnOptions) -> Result<Self, Error> {
        Self::lowered(graph, device, (options, true), &Weights::default())
    }

    /// As this plan, for `batch` pictures of the graph that it was made of. What both hold on the device is there once.
    ///
    /// # Errors
    /// As [`Graph::with_batch`] and [`with_options`](Self::with_options).
    pub fn for_batch(&self, graph: &Graph, batch: usize) -> Result<Self, Error> {
        Self::lowered(&graph.with_batch(batch)?, &self.device, (&self.options, self.strict), &self.weights)
    }

    fn lowered(
        graph: &Graph,
        device: &Device,
        (options, strict): (&BurnOptions, bool),
        earlier: &Weights,
    ) -> Result<Self, Error> {
        let (types, half) = contained(device, || {
            options.accept(device)?;
            Ok::<_, String>((Types::of(device), device.supports_dtype(DType::F16)))
        })?;
        let wide_integers = types.int == IntDType::I64;
        let target = Target { wide_integers, half, precision: options.precision, strict };
        let mut plan = on_deep_stack(|| lower(graph.typed(), graph.limits(), target)).unwrap_or_else(|reason| {
            Err(Error::Lowering { node: "-".into(), operator: "whole graph".into(), reason })
        })?;
        let constants = std::mem::take(&mut plan.constants);
        let mut weights = Weights::default();
        let constants = contained(device, || {
            let mut there = vec![None; plan.values.len()];
            for (id, data) in constants {
                let shape = plan.values.get(id).map(|info| info.shape.as_slice()).unwrap_or_default();
                let constant = match data {
                    ConstantData::Host(tensor) => Constant::Host(tensor),
                    data => {
                        Constant::Device(weights.take(earlier, data, shape, |data| types.upload(data, shape, device))?)
                    }
                };
                there.get_mut(id).map(|slot| slot.replace(constant));
            }
            Ok::<_, String>(there)
        })?;
        let output_types = (0..graph.outputs().len())
            .map(|ix| graph.typed().output_fact(ix).map_or(DatumType::F32, |fact| fact.datum_type))
            .collect();
        let (inputs, outputs) = (graph.inputs().to_vec(), graph.outputs().to_vec());
        let (device, options) = (device.clone(), *options);
        let plan = Self { plan, constants, weights, options, strict, device, types, inputs, outputs, output_types };
        plan.report();
        Ok(plan)
    }

    /// The operators that run on the host, in the order in which they run: their operands are brought from the
    /// device, and their results taken to it where it needs them.
    #[must_use]
    pub fn host_steps(&self) -> Vec<HostStep> {
        host_steps(&self.plan)
    }

    fn report(&self) {
        let device = label(&self.device);
        tracing::debug!(steps = self.plan.steps.len(), %device, "lowered an ONNX model");
        let mut operators: BTreeMap<String, usize> = BTreeMap::new();
        self.host_steps().into_iter().for_each(|step| *operators.entry(step.operator).or_default() += 1);
        if !operators.is_empty() {
            tracing::info!(%device, ?operators, "operators of an ONNX model run on the host");
        }
    }

    /// Runs the model on one host tensor for each input, in the order of [`Graph::inputs`]; outputs come in the
    /// order of [`Graph::outputs`], whatever their type in the file as `f32`.
    ///
    /// # Errors
    /// [`Error::InputCount`] and [`Error::WrongInput`] for tensors that do not fit, [`Error::Device`], [`Error::Run`]
    /// when a step on the host fails.
    pub fn run_tensors(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, Error> {
        self.count(inputs.len())?;
        for (info, tensor) in self.inputs.iter().zip(inputs) {
            info.accept(tensor)?;
        }
        let inputs = inputs.iter().map(|t| TractTensor::from_shape(&t.shape, &t.data)).collect();
        let outputs = self.run_host(inputs)?;
        let float = |tensor: &TractTensor| {
            let data = floats(tensor).map_err(|reason| Error::Run { reason })?;
            Ok(Tensor { shape: tensor.shape().to_vec(), data })
        };
        outputs.iter().map(|value| float(value)).collect()
    }

    /// Runs the model on tensors as tract holds them, checked before.
    fn run_host(&self, inputs: TractResult<Vec<TractTensor>>) -> Result<Vec<TValue>, Error> {
        let inputs = inputs.map_err(|e| Error::Run { reason: one_line(&e) })?;
        contained(&self.device, || {
            let stored = self.plan.inputs.iter().zip(inputs).map(|(id, tensor)| self.place(*id, tensor));
            let outputs = self.execute(stored.collect::<Result<Vec<_>, _>>()?)?;
            let mut on_device = Vec::new();
            for (id, output) in self.plan.outputs.iter().zip(&outputs) {
                if let Stored::Device(tensor) = output {
                    on_device.push((self.kind(*id), tensor.clone()));
                }
            }
            let data = if on_device.is_empty() { Vec::new() } else { transfer::download(on_device)? };
            let mut data = data.into_iter();
            let types = self.outputs.iter().zip(&self.output_types);
            let values = outputs.into_iter().zip(types).map(|(output, (info, datum_type))| match output {
                Stored::Host(value) => Ok(value),
                Stored::Device(_) => {
                    let data = data.next().ok_or("an output did not come back")?;
                    Ok(transfer::on_host(data, *datum_type, &info.shape)?.into_tvalue())
                }
            });
            values.collect::<Result<Vec<TValue>, Failure>>()
        })
    }

    /// An input where the plan wants it.
    fn place(&self, id: ValueId, tensor: TractTensor) -> Result<Stored, String> {
        if self.kind(id) == Kind::Host {
            return Ok(Stored::Host(tensor.into_tvalue()));
        }
        let shape = tensor.shape().to_vec();
        self.types.upload(elements(&tensor)?, &shape, &self.device).map(Stored::Device)
    }

    fn execute(&self, inputs: Vec<Stored>) -> Result<Vec<Stored>, Failure> {
        Execution::new(&self.plan, &self.constants, &self.device, self.types).run(inputs)
    }

    fn kind(&self, id: ValueId) -> Kind {
        self.plan.values.get(id).map_or(Kind::Float, |info| info.kind)
    }

    /// Queues the model on float tensors that lie on its device, and does not wait for it. Outputs that lie on the
    /// host, because a step there gives them, are taken to the device as floats.
    ///
    /// # Errors
    /// [`Error::InputCount`] and [`Error::WrongInput`] for tensors that do not fit or lie elsewhere,
    /// [`Error::Device`].
    pub fn run(&self, inputs: Vec<DeviceTensor>) -> Result<Vec<DeviceTensor>, Error> {
        self.count(inputs.len())?;
        for (info, tensor) in self.inputs.iter().zip(&inputs) {
            self.accept(info, &tensor.0)?;
        }
        contained(&self.device, || {
            let mut placed = Vec::with_capacity(inputs.len());
            for ((id, info), tensor) in self.plan.inputs.iter().zip(&self.inputs).zip(inputs) {
                placed.push(match self.kind(*id) {
                    Kind::Host => {
                        let data =
                            transfer::download(vec![(Kind::Float, tensor.0)])?.pop().ok_or("nothing came back")?;
                        Stored::Host(transfer::on_host(data, DatumType::F32, &info.shape)?.into_tvalue())
                    }
                    _ => Stored::Device(tensor.0),
                });
            }
            let to_device = |output| match output {
                Stored::Device(tensor) => Ok(DeviceTensor(tensor)),
                Stored::Host(value) => {
                    let data = ConstantData::Float(floats(&value)?);
                    Ok(DeviceTensor(self.types.upload(data, value.shape(), &self.device)?))
                }
            };
            self.execute(placed)?.into_iter().map(to_device).collect::<Result<Vec<_>, Failure>>()
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
        let outputs =
            self.plan.outputs.iter().map(|id| self.kind(*id)).zip(outputs.into_iter().map(|tensor| tensor.0)).collect();
        let data = contained(&self.device, || {
            transfer::download(outputs)?.into_iter().map(transfer::floats).collect::<Result<Vec<_>, _>>()
        })?;
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

/// The steps of a plan that run on the host, in order.
pub(crate) fn host_steps(plan: &Plan) -> Vec<HostStep> {
    let host = |step: &Step| match &step.op {
        Op::Host(node) => {
            Some(HostStep { node: step.node.clone(), operator: node.operator.clone(), reason: node.reason.clone() })
        }
        _ => None,
    };
    plan.steps.iter().filter_map(host).collect()
}

/// Does work on the device. A device that is lost makes burn panic, when work is queued or when bytes are read:
/// that ends here.
fn contained<T, E: Into<Failure>>(device: &Device, work: impl FnOnce() -> Result<T, E>) -> Result<T, Error> {
    let done = quietly(work).map_err(Failure::Device).and_then(|done| done.map_err(Into::into));
    done.map_err(|failure| match failure {
        Failure::Host(reason) => Error::Run { reason: crate::error::shorten(&reason) },
        Failure::Device(reason) => device_error(device, reason),
    })
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
