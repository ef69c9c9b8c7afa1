//! One run of a plan: values come into being, are used, and are freed.

use burn::backend::DispatchTensor;

use super::transfer::Types;
use super::{elementwise, image, movement, reduction};
use crate::lower::step::{Kind, Op, Plan, Step, ValueId};

/// What a primitive gives; the error says what is wrong with the plan.
pub(super) type Outcome<T> = Result<T, String>;

/// The values of one run.
pub(super) struct Execution<'p> {
    plan: &'p Plan,
    constants: &'p [Option<DispatchTensor>],
    types: Types,
    values: Vec<Option<DispatchTensor>>,
}

impl<'p> Execution<'p> {
    pub fn new(plan: &'p Plan, constants: &'p [Option<DispatchTensor>], types: Types) -> Self {
        Self { plan, constants, types, values: vec![None; plan.values.len()] }
    }

    /// Queues all steps; gives the outputs.
    pub fn run(mut self, inputs: Vec<DispatchTensor>) -> Outcome<Vec<DispatchTensor>> {
        for (id, tensor) in self.plan.inputs.iter().zip(inputs) {
            self.set(*id, tensor)?;
        }
        for step in &self.plan.steps {
            self.step(step).map_err(|reason| format!("node {:?}: {reason}", step.node))?;
        }
        self.plan.outputs.iter().map(|id| self.value(*id)).collect()
    }

    fn step(&mut self, step: &Step) -> Outcome<()> {
        let mut tensors = Vec::with_capacity(step.inputs.len());
        for (at, id) in step.inputs.iter().enumerate() {
            // The last use takes the value itself, so that a primitive may work in its memory.
            let again = step.inputs.iter().skip(at + 1).any(|other| other == id);
            let last = !again && step.release.contains(id);
            let taken = if last { self.values.get_mut(*id).and_then(Option::take) } else { None };
            tensors.push(taken.map_or_else(|| self.value(*id), Ok)?);
        }
        let kinds = step.inputs.iter().map(|id| self.plan.values.get(*id).map_or(Kind::Float, |info| info.kind));
        let operands = Operands(kinds.zip(tensors).collect::<Vec<_>>().into_iter());
        let outputs = perform(&step.op, operands, self.types)?;
        if outputs.len() != step.outputs.len() {
            return Err(format!("{} outputs, not {}", outputs.len(), step.outputs.len()));
        }
        for (id, tensor) in step.outputs.iter().zip(outputs) {
            self.set(*id, tensor)?;
        }
        for id in &step.release {
            self.values.get_mut(*id).and_then(Option::take);
        }
        Ok(())
    }

    fn set(&mut self, id: ValueId, tensor: DispatchTensor) -> Outcome<()> {
        let slot = self.values.get_mut(id).ok_or_else(|| format!("there is no value {id}"))?;
        *slot = Some(tensor);
        Ok(())
    }

    fn value(&self, id: ValueId) -> Outcome<DispatchTensor> {
        let of = |values: &[Option<DispatchTensor>]| values.get(id).and_then(Option::clone);
        of(&self.values).or_else(|| of(self.constants)).ok_or_else(|| format!("value {id} is not there"))
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
        Op::Gather { axis } => movement::gather(*axis, operands, types)?,
        Op::GatherElements { axis } => movement::gather_elements(*axis, operands)?,
        Op::TopK { axis, k, largest } => return Ok(movement::top_k(*axis, *k, *largest, operands.take()?, types)),
    };
    Ok(vec![y])
}
