//! What a plan does, for reports.

use std::collections::BTreeMap;

use super::ir::Map;
use super::step::{Step, Work};
use super::{FastPlan, Fused};
use crate::kernel::Binary;

/// A plan in numbers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outline {
    /// How often each kernel runs; what tract runs under the name that tract gives it.
    pub(crate) steps: BTreeMap<String, usize>,
    /// What was joined.
    pub(crate) fused: Fused,
    /// Bytes of the buffers of one run.
    pub(crate) buffers: u64,
}

impl FastPlan {
    /// What the plan does.
    pub(crate) fn outline(&self) -> Outline {
        let program = &self.runner.program;
        let mut steps = BTreeMap::new();
        for step in &program.steps {
            match step.work {
                Work::Part { part, .. } => {
                    for name in self.runner.parts.get(part).into_iter().flat_map(|part| part.operators()) {
                        *steps.entry(format!("{name} by tract")).or_default() += 1;
                    }
                }
                _ => *steps.entry(kernel(step).to_owned()).or_default() += 1,
            }
        }
        let buffers = program.buffers.iter().map(|len| 4 * *len as u64).sum();
        Outline { steps, fused: self.fused, buffers }
    }
}

/// The name of a step's kernel.
fn kernel(step: &Step) -> &'static str {
    match &step.work {
        Work::Conv(..) => "Conv",
        Work::Map(Map::Activation(_)) => "Activation",
        Work::Map(_) => "Scalar",
        Work::Binary(op, _) | Work::Scale(op, ..) => match op {
            Binary::Add => "Add",
            Binary::Sub => "Sub",
            Binary::Mul => "Mul",
            Binary::Div => "Div",
            Binary::Max => "Max",
            Binary::Min => "Min",
        },
        Work::Pool(..) => "Pool",
        Work::Mean(..) => "Mean",
        Work::Channels(..) => "Channels",
        Work::Resize(..) => "Resize",
        Work::ToBlocks(_) => "ToBlocks",
        Work::FromBlocks(_) => "FromBlocks",
        Work::ChannelsLast(_) => "ChannelsLast",
        Work::Gather { .. } => "Gather",
        Work::Copy { .. } => "Copy",
        Work::Part { .. } => "Part",
    }
}
