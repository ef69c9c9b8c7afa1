//! One run of a plan: values come into being, are used, and are freed.

use std::sync::Arc;

use burn::backend::DispatchTensor;
use burn::tensor::Device;
use tract_onnx::prelude::{DatumType, IntoTValue, TValue, TVec, Tensor as TractTensor};

use super::transfer::Types;
use super::{elementwise, image, movement, reduction, transfer};
use crate::contain::quietly;
use crate::lower::elements;
use crate::lower::step::{Kind, Op, Plan, Step, ValueId, ValueInfo};

/// What a primitive gives; the error says what is wrong with the plan.
pub(super) type Outcome<T> = Result<T, String>;

/// The values of one run.
pub(super) struct Execution<'p> {
    plan: &'p Plan,
    constants: &'p [Option<Constant>],
    device: &'p Device,
    types: Types,
    values: Vec<Option<Stored>>,
}

/// Why a run ended early, and where.
#[derive(Debug)]
pub(super) enum Failure {
    /// In a step on the host.
    Host(String),
    /// On the device, or on the way to it.
    Device(String),
}

impl From<String> for Failure {
    fn from(reason: String) -> Self {
        Self::Device(reason)
    }
}

impl From<&str> for Failure {
    fn from(reason: &str) -> Self {
        Self::Device(reason.to_owned())
    }
}

impl Failure {
    fn at(self, node: &str) -> Self {
        match self {
            Self::Host(reason) => Self::Host(format!("node {node:?}: {reason}")),
            Self::Device(reason) => Self::Device(format!("node {node:?}: {reason}")),
        }
    }
}

/// A value of a run, where it lies.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "nearly all values lie on the device")]
pub(super) enum Stored {
    Device(DispatchTensor),
    Host(TValue),
}

/// A value that is there before any run.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "nearly all values lie on the device")]
pub(super) enum Constant {
    Device(DispatchTensor),
    Host(Arc<TractTensor>),
}

impl From<&Constant> for Stored {
    fn from(constant: &Constant) -> Self {
        match constant {
            Constant::Device(tensor) => Self::Device(tensor.clone()),
            Constant::Host(tensor) => Self::Host(Arc::clone(tensor).into_tvalue()),
        }
    }
}

impl Stored {
    fn device(self) -> Outcome<DispatchTensor> {
        match self {
            Self::Device(tensor) => Ok(tensor),
            Self::Host(_) => Err("a value lies on the host".into()),
        }
    }

    fn host(self) -> Outcome<TValue> {
        match self {
            Self::Host(value) => Ok(value),
            Self::Device(_) => Err("a value lies on the device".into()),
        }
    }
}

impl<'p> Execution<'p> {
    pub fn new(plan: &'p Plan, constants: &'p [Option<Constant>], device: &'p Device, types: Types) -> Self {
        Self { plan, constants, device, types, values: vec![None; plan.values.len()] }
    }

    /// Queues all steps; gives the outputs.
    pub fn run(mut self, inputs: Vec<Stored>) -> Result<Vec<Stored>, Failure> {
        for (id, tensor) in self.plan.inputs.iter().zip(inputs) {
            self.set(*id, tensor)?;
        }
        for step in &self.plan.steps {
            self.step(step).map_err(|failure| failure.at(&step.node))?;
        }
        self.plan.outputs.iter().map(|id| Ok(self.value(*id)?)).collect()
    }

    fn step(&mut self, step: &Step) -> Result<(), Failure> {
        let mut taken = Vec::with_capacity(step.inputs.len());
        for (at, id) in step.inputs.iter().enumerate() {
            // The last use takes the value itself, so that a primitive may work in its memory.
            let again = step.inputs.iter().skip(at + 1).any(|other| other == id);
            let last = !again && step.release.contains(id);
            let own = if last { self.values.get_mut(*id).and_then(Option::take) } else { None };
            taken.push(own.map_or_else(|| self.value(*id), Ok)?);
        }
        let outputs = match &step.op {
            Op::Host(node) => {
                let operands = taken.into_iter().map(Stored::host).collect::<Outcome<TVec<TValue>>>()?;
                let results = quietly(|| node.run(operands)).and_then(|done| done).map_err(Failure::Host)?;
                results.into_iter().map(Stored::Host).collect()
            }
            Op::Download(types) => self.download(step, taken, types)?,
            Op::Upload(info) => vec![Stored::Device(self.upload(info, taken)?)],
            op => {
                let kind = |id: &ValueId| self.plan.values.get(*id).map_or(Kind::Float, |info| info.kind);
                let operands = step.inputs.iter().map(kind).zip(taken).map(|(kind, value)| Ok((kind, value.device()?)));
                let operands = Operands(operands.collect::<Outcome<Vec<_>>>()?.into_iter());
                perform(op, operands, self.types)?.into_iter().map(Stored::Device).collect::<Vec<_>>()
            }
        };
        if outputs.len() != step.outputs.len() {
            return Err(format!("{} outputs, not {}", outputs.len(), step.outputs.len()).into());
        }
        for (id, tensor) in step.outputs.iter().zip(outputs) {
            self.set(*id, tensor)?;
        }
        for id in &step.release {
            self.values.get_mut(*id).and_then(Option::take);
        }
        Ok(())
    }

    fn download(&self, step: &Step, taken: Vec<Stored>, types: &[(DatumType, Vec<usize>)]) -> Outcome<Vec<Stored>> {
        let kind = |id: &ValueId| self.plan.values.get(*id).map_or(Kind::Float, |info| info.kind);
        let kinds = step.inputs.iter().map(kind);
        let tensors = kinds.zip(taken).map(|(kind, value)| Ok((kind, value.device()?))).collect::<Outcome<Vec<_>>>()?;
        let data = transfer::download(tensors)?;
        let typed = data.into_iter().zip(types).map(|(data, (datum_type, shape))| {
            transfer::on_host(data, *datum_type, shape).map(|tensor| Stored::Host(tensor.into_tvalue()))
        });
        typed.collect()
    }

    fn upload(&self, info: &ValueInfo, taken: Vec<Stored>) -> Outcome<DispatchTensor> {
        let value = taken.into_iter().next().ok_or("an operand is missing")?.host()?;
        self.types.upload(elements(&value)?, &info.shape, self.device)
    }

    fn set(&mut self, id: ValueId, tensor: Stored) -> Outcome<()> {
        let slot = self.values.get_mut(id).ok_or_else(|| format!("there is no value {id}"))?;
        *slot = Some(tensor);
        Ok(())
    }

    fn value(&self, id: ValueId) -> Outcome<Stored> {
        let computed = self.values.get(id).and_then(Option::clone);
        let constant = || self.constants.get(id).and_then(Option::as_ref).map(Stored::from);
        computed.or_else(constant).ok_or_else(|| format!("value {id} is not there"))
    }
}

/// The operands of a step, in order.
pub(super) struct Operands(std::vec::IntoIter<(Kind, DispatchTensor)>);

impl Operands {
    /// The kind of the next operand.
    pub fn kind(&self) -> Kind {
        self.0.as_slice().first().map_or(Kind::Float, |(kind, _)| *kind)
    }

    pub fn take(&mut self) -> Outcome<DispatchTensor> {
        self.optional().ok_or_else(|| "an operand is missing".to_owned())
    }

    pub fn optional(&mut self) -> Option<DispatchTensor> {
        self.0.next().map(|(_, tensor)| tensor)
    }

    pub fn rest(self) -> Vec<DispatchTensor> {
        self.0.map(|(_, tensor)| tensor).collect()
    }
}

fn perform(op: &Op, mut operands: Operands, types: Types) -> Outcome<Vec<DispatchTensor>> {
    let kind = operands.kind();
    let y = match op {
        Op::Conv(params) => image::conv(params, operands)?,
        Op::ConvTranspose(params) => image::conv_transpose(params, operands)?,
        Op::MaxPool(pool) => image::max_pool(pool, operands.take()?),
        Op::AvgPool { pool, count_padding } => image::avg_pool(pool, *count_padding, operands.take()?),
        Op::Interpolate { mode, size } => image::interpolate(*mode, *size, operands.take()?),
        Op::GridSample { padding, align_corners } => image::grid_sample(*padding, *align_corners, operands)?,
        Op::Unary(unary) => elementwise::unary(*unary, kind, operands.take()?),
        Op::Binary(binary) => elementwise::binary(*binary, operands, types)?,
        Op::BinaryScalar(binary, number) => elementwise::binary_scalar(*binary, kind, operands.take()?, *number)?,
        Op::Compare(compare) => elementwise::compare(*compare, operands, types)?,
        Op::CompareScalar(compare, number) => {
            elementwise::compare_scalar(*compare, kind, operands.take()?, *number, types)
        }
        Op::Logic(logic) => elementwise::logic(*logic, operands)?,
        Op::Select => elementwise::select(operands)?,
        Op::Cast(to) => elementwise::cast(kind, *to, operands.take()?, types),
        Op::Width { half } => elementwise::width(*half, operands.take()?),
        Op::MatMul => reduction::matmul(operands)?,
        Op::Reduce { reducer, axes } => reduction::reduce(*reducer, axes, kind, operands.take()?, types)?,
        Op::Softmax { axis, log } => reduction::softmax(*axis, *log, operands.take()?),
        Op::Concat { axis } => movement::concat(*axis, operands),
        Op::Slice(ranges) => movement::slice(ranges, kind, operands.take()?)?,
        Op::Reshape(shape) => movement::reshape(shape, kind, operands.take()?),
        Op::Permute(axes) => movement::permute(axes, kind, operands.take()?),
        Op::Expand(shape) => movement::expand(shape, kind, operands.take()?),
        Op::Pad { pads, mode } => movement::pad(pads, *mode, kind, operands.take()?)?,
        Op::Flip { axis } => movement::flip(*axis, kind, operands.take()?),
        Op::CumSum { axis } => reduction::cum_sum(*axis, kind, operands.take()?),
        Op::Host(_) | Op::Download(_) | Op::Upload(_) => return Err("a step between host and device".into()),
        Op::Gather { axis } => movement::gather(*axis, operands, types)?,
        Op::GatherElements { axis } => movement::gather_elements(*axis, operands)?,
        Op::TopK { axis, k, largest } => return Ok(movement::top_k(*axis, *k, *largest, operands.take()?, types)),
    };
    Ok(vec![y])
}
