//! Half precision: which values of a plan lie on the device as 16-bit floats.
//!
//! Convolutions and products of matrices, and what lies between them, are halved: there the time and the memory
//! go. What stays in 32 bits:
//!
//! * What no convolution or product follows, as the decoding of boxes, where pixels and scores need more digits
//!   than 11 bits give.
//! * Sums and means, softmax, and the powers that are summed: of 16-bit numbers these lose digits or overflow.
//! * Softplus and Mish, which square an exponential.
//! * Numbers made from integers, and sampling, whose coordinates need more digits.
//!
//! Weights that are too large for 16 bits become the largest number that is not.

use std::collections::HashMap;

use half::f16;

use super::step::{Binary, ConstantData, Kind, Op, Plan, Reducer, Step, Unary, ValueId};

/// Windows of more cells than this are summed in 32 bits.
const LARGE_WINDOW: usize = 64;

/// Halves what can be halved. Inputs and outputs of the plan stay in 32 bits.
pub(super) fn halve(plan: &mut Plan) {
    let wide = widths(plan);
    let mut rewriter = Rewriter::new(plan);
    for (mut step, wide) in std::mem::take(&mut rewriter.plan.steps).into_iter().zip(wide) {
        for id in &mut step.inputs {
            *id = rewriter.as_width(*id, wide, &step.node);
        }
        for id in &step.outputs {
            rewriter.half[*id] = !wide && rewriter.is_float(*id);
        }
        rewriter.steps.push(step);
    }
    let outputs = std::mem::take(&mut rewriter.plan.outputs);
    let outputs = outputs.into_iter().map(|id| rewriter.as_width(id, true, "output")).collect();
    let steps = rewriter.steps;
    plan.steps = steps;
    plan.outputs = outputs;
}

/// For each step whether it works in 32 bits.
fn widths(plan: &Plan) -> Vec<bool> {
    let followed = followed(plan);
    let summed = only_summed(plan);
    let constant: Vec<bool> = {
        let mut constant = vec![false; plan.values.len()];
        plan.constants.iter().for_each(|(id, _)| constant[*id] = true);
        constant
    };
    let mut wide_value: Vec<bool> = vec![false; plan.values.len()];
    plan.inputs.iter().for_each(|id| wide_value[*id] = true);
    let mut wides = Vec::with_capacity(plan.steps.len());
    for step in &plan.steps {
        let float = |id: &&ValueId| plan.values[**id].kind == Kind::Float && !constant[**id];
        let mut operands = step.inputs.iter().filter(float).peekable();
        let made_here = operands.peek().is_none();
        let wide = if is_heavy(&step.op) {
            false
        } else if needs_width(&step.op) || made_here {
            true
        } else {
            let last = step.outputs.iter().all(|id| !followed[*id]);
            let powers = raises(step) && step.outputs.iter().all(|id| summed[*id]);
            let comparison = matches!(step.op, Op::Compare(_));
            let wide_operands =
                if comparison { operands.any(|id| wide_value[*id]) } else { operands.all(|id| wide_value[*id]) };
            last || powers || wide_operands
        };
        // Weights of the nets between 0 and 1 are as good in 16 bits.
        let narrowed = matches!(step.op, Op::Softmax { log: false, .. });
        step.outputs.iter().for_each(|id| wide_value[*id] = wide && !narrowed);
        wides.push(wide);
    }
    wides
}

fn is_heavy(op: &Op) -> bool {
    matches!(op, Op::Conv(_) | Op::ConvTranspose(_) | Op::MatMul)
}

fn needs_width(op: &Op) -> bool {
    match op {
        Op::Softmax { .. }
        | Op::GridSample { .. }
        | Op::Interpolate { .. }
        | Op::Upload(_)
        | Op::Download(_)
        | Op::CumSum { .. }
        | Op::Unary(Unary::Mish | Unary::Softplus)
        | Op::TopK { .. } => true,
        Op::Reduce { reducer, .. } => matches!(reducer, Reducer::Sum | Reducer::Mean | Reducer::Prod),
        Op::AvgPool { pool, .. } => pool.kernel.iter().product::<usize>() > LARGE_WINDOW,
        _ => false,
    }
}

/// Whether the results can be far larger than the operands.
fn raises(step: &Step) -> bool {
    match &step.op {
        Op::Unary(Unary::Square | Unary::Power { .. } | Unary::Exp) => true,
        Op::Binary(Binary::Mul) => step.inputs.first() == step.inputs.get(1),
        _ => false,
    }
}

/// For each value whether a convolution or product comes of it.
fn followed(plan: &Plan) -> Vec<bool> {
    let mut followed = vec![false; plan.values.len()];
    for step in plan.steps.iter().rev() {
        if is_heavy(&step.op) || step.outputs.iter().any(|id| followed[*id]) {
            step.inputs.iter().for_each(|id| followed[*id] = true);
        }
    }
    followed
}

/// For each value whether all that reads it sums it up.
fn only_summed(plan: &Plan) -> Vec<bool> {
    let mut summed = vec![true; plan.values.len()];
    plan.outputs.iter().for_each(|id| summed[*id] = false);
    for step in &plan.steps {
        if !matches!(step.op, Op::Reduce { reducer: Reducer::Sum | Reducer::Mean, .. }) {
            step.inputs.iter().for_each(|id| summed[*id] = false);
        }
    }
    summed
}

struct Rewriter<'p> {
    plan: &'p mut Plan,
    steps: Vec<Step>,
    /// Whether a value lies in 16 bits.
    half: Vec<bool>,
    /// Where each constant stands in the plan's list.
    constants: HashMap<ValueId, usize>,
    /// The same number in the other width.
    twins: HashMap<ValueId, ValueId>,
}

impl<'p> Rewriter<'p> {
    fn new(plan: &'p mut Plan) -> Self {
        let constants = plan.constants.iter().enumerate().map(|(at, (id, _))| (*id, at)).collect();
        let half = vec![false; plan.values.len()];
        Self { plan, steps: Vec::new(), half, constants, twins: HashMap::new() }
    }

    fn is_float(&self, id: ValueId) -> bool {
        self.plan.values[id].kind == Kind::Float
    }

    /// The value in 32 bits when `wide`, else in 16; what is no float stays what it is.
    fn as_width(&mut self, id: ValueId, wide: bool, node: &str) -> ValueId {
        if !self.is_float(id) || self.half[id] != wide {
            return id;
        }
        if let Some(twin) = self.twins.get(&id) {
            return *twin;
        }
        let twin = self.plan.values.len();
        self.plan.values.push(self.plan.values[id].clone());
        self.half.push(!wide);
        match self.constants.get(&id).map(|at| &self.plan.constants[*at].1) {
            Some(ConstantData::Float(data)) => {
                let data = ConstantData::Half(data.iter().map(|v| narrow(*v)).collect());
                self.plan.constants.push((twin, data));
            }
            _ => {
                let op = Op::Width { half: !wide };
                let (inputs, outputs) = (vec![id], vec![twin]);
                self.steps.push(Step { node: node.to_owned(), op, inputs, outputs, release: Vec::new() });
            }
        }
        self.twins.insert(id, twin);
        twin
    }
}

/// To 16 bits, finite numbers staying finite.
pub(crate) fn narrow(number: f32) -> f16 {
    let largest = f16::MAX.to_f32();
    if number.is_finite() { f16::from_f32(number.clamp(-largest, largest)) } else { f16::from_f32(number) }
}
