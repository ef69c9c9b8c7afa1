//! What each device makes of a graph.

use std::collections::BTreeMap;

use tract_onnx::prelude::TypedModel;

use super::memory::{self, Memory};
use crate::burn_plan::{HostStep, host_steps};
use crate::contain::{on_deep_stack, quietly};
use crate::cpu::CpuPlan;
use crate::error::{Error, one_line};
use crate::fast::Outline;
use crate::graph::Graph;
use crate::lower::step::{Op, Plan};
use crate::lower::{self, Target};

/// A graph on one device.
#[derive(Debug, Clone)]
pub struct DeviceReport {
    /// `cpu`, or `burn` for all of burn's devices.
    pub device: &'static str,
    /// Why the device cannot run the model; none when it can.
    pub refused: Option<String>,
    /// How often each of the device's own operations occurs.
    pub steps: BTreeMap<String, usize>,
    /// What runs on the host instead, and why.
    pub host: Vec<HostStep>,
    /// What was joined.
    pub fusions: Fusions,
    /// Memory of one run.
    pub memory: Memory,
}

/// What a device joined into fewer steps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fusions {
    /// Steps before anything was joined.
    pub steps_before: usize,
    /// Steps that are run.
    pub steps_after: usize,
    /// Convolutions, and pointwise ones among the products.
    pub convolutions: usize,
    /// Those that add their bias themselves.
    pub with_bias: usize,
    /// Activations that a convolution applies itself.
    pub activations: usize,
    /// Sums of two images that a convolution computes itself.
    pub sums: usize,
    /// Changes of the order of axes.
    pub layout_changes: usize,
}

impl DeviceReport {
    fn refused(device: &'static str, reason: &Error) -> Self {
        Self {
            device,
            refused: Some(reason.to_string()),
            steps: BTreeMap::new(),
            host: Vec::new(),
            fusions: Fusions::default(),
            memory: Memory::default(),
        }
    }
}

/// The plan on channel-blocked images, or tract's optimised plan where that is what runs.
pub(super) fn cpu(graph: &Graph) -> DeviceReport {
    const DEVICE: &str = "cpu";
    let model = graph.typed().as_ref().clone();
    let failed = |reason| Error::Analysis { node: "-".into(), operator: "whole graph".into(), reason };
    match CpuPlan::new(graph).map(|plan| plan.outline()) {
        Err(reason) => DeviceReport::refused(DEVICE, &reason),
        Ok(Some(outline)) => blocked(graph, outline),
        Ok(None) => {
            let optimised = on_deep_stack(|| model.into_optimized());
            match optimised.map_err(failed).and_then(|model| model.map_err(|e| failed(one_line(&e)))) {
                Err(reason) => DeviceReport::refused(DEVICE, &reason),
                Ok(model) => through_tract(graph, &model),
            }
        }
    }
}

fn blocked(graph: &Graph, outline: Outline) -> DeviceReport {
    let Outline { steps, fused, buffers } = outline;
    let fusions = Fusions {
        steps_before: computing(graph.typed()),
        steps_after: steps.values().sum(),
        convolutions: fused.convolutions,
        // Its kernels start from the bias.
        with_bias: fused.convolutions,
        activations: fused.activations,
        sums: fused.sums,
        layout_changes: fused.layout_changes,
    };
    let known = memory::of_graph(graph.typed());
    // Buffers stay for the next run. What tract's parts give lies outside of them, but never all values at a time.
    let memory = Memory { activations: buffers.max(known.activations), ..known };
    DeviceReport { device: "cpu", refused: None, steps, host: Vec::new(), fusions, memory }
}

fn through_tract(graph: &Graph, model: &TypedModel) -> DeviceReport {
    let mut steps = BTreeMap::new();
    for name in names(model) {
        *steps.entry(name).or_default() += 1;
    }
    let convolutions = |name: &String| {
        matches!(name.as_str(), "OptMatMul" | "DepthWiseConv" | "DirectSpatialConv" | "BlockedConv" | "Conv")
    };
    let fusions = Fusions {
        steps_before: computing(graph.typed()),
        steps_after: computing(model),
        convolutions: names(model).filter(convolutions).count(),
        layout_changes: names(model).filter(|name| name == "MoveAxis").count(),
        ..Fusions::default()
    };
    // Packed weights are no plain constants any more; they take what they took before.
    let weights = memory::of_graph(graph.typed()).weights;
    let memory = Memory { weights, ..memory::of_graph(model) };
    DeviceReport { device: "cpu", refused: None, steps, host: Vec::new(), fusions, memory }
}

fn names(model: &TypedModel) -> impl Iterator<Item = String> {
    let names = model.nodes().iter().map(|node| node.op.name().into_owned());
    names.filter(|name| name != "Const" && name != "Source")
}

fn computing(model: &TypedModel) -> usize {
    names(model).count()
}

/// The lowering to burn's primitives, the same for all of its devices.
pub(super) fn burn(graph: &Graph) -> DeviceReport {
    const DEVICE: &str = "burn";
    // As GPUs are: what those leave to the host is told, though flex may do more.
    let target = Target { half: true, ..Target::default() };
    let lowered = quietly(|| lower::lower(graph.typed(), graph.limits(), target));
    let failed = |reason| Error::Lowering { node: "-".into(), operator: "whole graph".into(), reason };
    match lowered.map_err(failed).and_then(|plan| plan) {
        Err(reason) => DeviceReport::refused(DEVICE, &reason),
        Ok(plan) => {
            let workspace = memory::of_graph(graph.typed()).workspace;
            let mut steps = BTreeMap::new();
            for step in &plan.steps {
                *steps.entry(primitive(&step.op)).or_default() += 1;
            }
            let memory = memory::of_plan(&plan, workspace);
            DeviceReport {
                device: DEVICE,
                refused: None,
                steps,
                host: host_steps(&plan),
                fusions: fusions(&plan),
                memory,
            }
        }
    }
}

fn fusions(plan: &Plan) -> Fusions {
    let convolutions = || plan.steps.iter().filter(|step| matches!(step.op, Op::Conv(_) | Op::ConvTranspose(_)));
    Fusions {
        steps_before: plan.steps.len() + plan.joined,
        steps_after: plan.steps.len(),
        convolutions: convolutions().count(),
        with_bias: convolutions().filter(|step| step.inputs.len() > 2).count(),
        layout_changes: plan.steps.iter().filter(|step| matches!(step.op, Op::Permute(_))).count(),
        ..Fusions::default()
    }
}

/// The name of a step's operation: `Conv`, `Sigmoid`, `Add`.
fn primitive(op: &Op) -> String {
    let text = format!("{op:?}");
    let mut words = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let family = words.next().unwrap_or_default();
    let word = match op {
        Op::Unary(_) | Op::Binary(_) | Op::BinaryScalar(..) | Op::Compare(_) | Op::CompareScalar(..) | Op::Logic(_) => {
            words.next().unwrap_or(family)
        }
        Op::Host(node) => return format!("{} on the host", node.operator),
        Op::Reduce { reducer, .. } => return format!("{family}{reducer:?}"),
        _ => family,
    };
    word.to_owned()
}
