//! Memory of a run, by the lives of its values.
//!
//! A value is there from the step that makes it to the last step that reads it; a step's outputs are there while its
//! inputs still are. Reuse in place, which some steps manage, is not counted on. Reshapes share their input's memory.

use tract_onnx::prelude::{OutletId, TypedModel, TypedNode};
use tract_onnx::tract_core::ops::cnn::Conv;

use crate::error::Error;
use crate::limits::Limits;
use crate::lower::step::{Kind, Op, Plan};

/// Memory of one run, bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Memory {
    /// Weights and other constants.
    pub weights: u64,
    /// The most that values between inputs and outputs take at a time, inputs and outputs included.
    pub activations: u64,
    /// The node at which that is.
    pub peak_at: String,
    /// What a step may need besides: the largest convolution's image unfolded into a matrix, one image at a time
    /// (im2col: Chellapilla et al., "High Performance Convolutional Neural Networks for Document Processing", 2006).
    /// Kernels that unfold nothing take less.
    pub workspace: u64,
}

impl Memory {
    /// All together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.weights.saturating_add(self.activations).saturating_add(self.workspace)
    }
}

/// One step of a schedule.
#[derive(Debug, Default)]
pub(super) struct Scheduled {
    pub reads: Vec<usize>,
    pub makes: Vec<usize>,
    /// Its output lies in the memory of its first input.
    pub shares: bool,
}

/// The most bytes alive at a time, and the step at which that is.
///
/// `bytes` has the size of each value, `given` are there from the start, `kept` to the end. Values that no step makes
/// and nobody gives, constants, take nothing.
pub(super) fn peak(steps: &[Scheduled], bytes: &[u64], given: &[usize], kept: &[usize]) -> (u64, usize) {
    // A buffer is known by the value that it was made for.
    let mut buffer: Vec<usize> = (0..bytes.len()).collect();
    for step in steps.iter().filter(|step| step.shares) {
        if let (Some(from), Some(to)) = (step.reads.first(), step.makes.first())
            && let Some(shared) = buffer.get(*from).copied()
            && let Some(slot) = buffer.get_mut(*to)
        {
            *slot = shared;
        }
    }
    let of = |value: &usize| buffer.get(*value).copied();
    let mut last = vec![0; bytes.len()];
    for (at, step) in steps.iter().enumerate() {
        for used in step.reads.iter().chain(&step.makes).filter_map(of) {
            last[used] = at;
        }
    }
    for used in kept.iter().filter_map(of) {
        last[used] = usize::MAX;
    }
    let mut alive = vec![false; bytes.len()];
    let mut now: u64 = 0;
    let mut most = (0, 0);
    let born = |values: &[usize], now: &mut u64, alive: &mut Vec<bool>| {
        for made in values.iter().filter_map(of) {
            if !std::mem::replace(&mut alive[made], true) {
                *now = now.saturating_add(bytes[made]);
            }
        }
    };
    born(given, &mut now, &mut alive);
    for (at, step) in steps.iter().enumerate() {
        // What shares a constant's memory takes nothing.
        let sharing_constant = step.shares && step.makes.first().and_then(of).is_some_and(|made| !alive[made]);
        if !sharing_constant {
            born(&step.makes, &mut now, &mut alive);
        }
        if now > most.0 {
            most = (now, at);
        }
        for used in step.reads.iter().chain(&step.makes).filter_map(of) {
            if last[used] == at && std::mem::replace(&mut alive[used], false) {
                now -= bytes[used];
            }
        }
    }
    most
}

/// Memory of the simplified graph in its order of evaluation.
pub(crate) fn of_graph(model: &TypedModel) -> Memory {
    let nodes = model.nodes();
    let mut firsts = Vec::with_capacity(nodes.len());
    let mut bytes = Vec::new();
    let mut weights: u64 = 0;
    for node in nodes {
        firsts.push(bytes.len());
        let constant = node.op.name() == "Const";
        for output in &node.outputs {
            let volume = output.fact.shape.as_concrete().map_or(0, volume);
            let size = volume.saturating_mul(output.fact.datum_type.size_of() as u64);
            if constant {
                weights = weights.saturating_add(size);
            }
            bytes.push(size);
        }
    }
    let value = |outlet: &OutletId| firsts.get(outlet.node).map(|first| first + outlet.slot);
    let order: Vec<&TypedNode> = model
        .eval_order()
        .unwrap_or_default()
        .into_iter()
        .filter_map(|id| nodes.get(id))
        .filter(|node| !matches!(&*node.op.name(), "Const" | "Source"))
        .collect();
    let steps: Vec<Scheduled> = order
        .iter()
        .map(|node| Scheduled {
            reads: node.inputs.iter().filter_map(value).collect(),
            makes: (0..node.outputs.len()).filter_map(|slot| value(&OutletId::new(node.id, slot))).collect(),
            shares: matches!(&*node.op.name(), "Reshape" | "AddAxis" | "RmAxis" | "IntoShape"),
        })
        .collect();
    let outlets = |outlets: &[OutletId]| outlets.iter().filter_map(value).collect::<Vec<_>>();
    let given = outlets(model.input_outlets().unwrap_or_default());
    let kept = outlets(model.output_outlets().unwrap_or_default());
    let (activations, at) = peak(&steps, &bytes, &given, &kept);
    let workspace = order.iter().map(|node| unfolded(model, node)).max().unwrap_or(0);
    let peak_at = order.get(at).map(|node| node.name.clone()).unwrap_or_default();
    Memory { weights, activations, peak_at, workspace }
}

/// Bytes of one image of a convolution's input unfolded: a column for each output place, a row for each weight of one
/// output channel. Depthwise and pointwise convolutions unfold nothing.
fn unfolded(model: &TypedModel, node: &TypedNode) -> u64 {
    let Some(conv) = node.op_as::<Conv>() else { return 0 };
    let extents = |outlet: OutletId| model.outlet_fact(outlet).ok()?.shape.as_concrete().map(volume);
    let Some(kernel) = node.inputs.get(1).copied().and_then(extents) else { return 0 };
    let Some(output) = node.outputs.first() else { return 0 };
    let channels = conv.pool_spec.output_channels as u64;
    let pointwise = conv.pool_spec.kernel_shape.iter().all(|extent| *extent == 1);
    if pointwise || conv.group >= conv.pool_spec.input_channels.max(2) || channels == 0 {
        return 0;
    }
    let shape = output.fact.shape.as_concrete().unwrap_or_default();
    let batch = if conv.pool_spec.data_format.has_n() { shape.first().copied().unwrap_or(1) as u64 } else { 1 };
    let places = volume(shape) / channels / batch.max(1);
    let rows = kernel / channels * conv.group as u64;
    places.saturating_mul(rows).saturating_mul(output.fact.datum_type.size_of() as u64)
}

/// Memory of a lowered plan, whose order and frees are those of its run. Integers and truth values are counted as wide
/// as the widest device has them.
pub(super) fn of_plan(plan: &Plan, workspace: u64) -> Memory {
    let size = |kind: Kind| match kind {
        Kind::Float | Kind::Bool => 4,
        Kind::Int | Kind::Host => 8,
    };
    let bytes: Vec<u64> = plan.values.iter().map(|info| volume(&info.shape).saturating_mul(size(info.kind))).collect();
    let weights = plan.constants.iter().filter_map(|(id, _)| bytes.get(*id)).sum();
    let steps: Vec<Scheduled> = plan
        .steps
        .iter()
        .map(|step| Scheduled {
            reads: step.inputs.clone(),
            makes: step.outputs.clone(),
            shares: matches!(step.op, Op::Reshape(_)),
        })
        .collect();
    let (activations, at) = peak(&steps, &bytes, &plan.inputs, &plan.outputs);
    let peak_at = plan.steps.get(at).map(|step| step.node.clone()).unwrap_or_default();
    Memory { weights, activations, peak_at, workspace }
}

fn volume(shape: &[usize]) -> u64 {
    shape.iter().fold(1, |n, extent| n.saturating_mul(*extent as u64))
}

/// Refuses a graph whose run takes more memory than the limits allow.
///
/// # Errors
/// [`Error::Memory`] with the node at which the most is needed.
pub(crate) fn check_budget(model: &TypedModel, limits: &Limits) -> Result<(), Error> {
    let memory = of_graph(model);
    if memory.total() <= limits.memory_bytes {
        return Ok(());
    }
    let operator =
        model.nodes().iter().find(|node| node.name == memory.peak_at).map(|node| node.op.name().into_owned());
    Err(Error::Memory {
        node: memory.peak_at.clone(),
        operator: operator.unwrap_or_else(|| "-".into()),
        needed: memory.total(),
        weights: memory.weights,
        activations: memory.activations,
        limit: limits.memory_bytes,
    })
}
