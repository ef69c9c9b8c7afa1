//! A faster plan for the CPU: neighbourhoods of convolutions run on channel-blocked images, the rest through tract.
//!
//! tract's simplified graph is read into values of our own ([`ir`], [`read`]): views stand for what only moves numbers
//! ([`view`]), convolutions take in what follows them ([`fuse`]), values are given a layout and a buffer ([`place`],
//! [`buffers`]), and the steps run on buffers that are used again ([`run`]). Nodes that are not understood become parts
//! that tract runs ([`parts`]).

mod buffers;
mod fuse;
mod given;
mod grid;
mod ir;
mod outline;
mod parts;
mod place;
mod read;
mod run;
mod step;
mod team;
mod view;

use std::sync::Arc;

use rayon::{ThreadPool, ThreadPoolBuilder};
use tract_onnx::prelude::{TractResult, TypedModel};
use tract_onnx::tract_core::internal::bail;
use tract_onnx::tract_core::ops::cnn::Conv;

pub(crate) use self::given::{Given, Gives};
use self::ir::Op;
pub(crate) use self::outline::Outline;
use self::run::Runner;
use self::step::Work;
use crate::kernel::{Activation, Isa};

/// What was made of a graph for the CPU.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Fused {
    /// Convolutions, pointwise ones included, that run on channel-blocked images.
    pub(crate) convolutions: usize,
    /// Activations that were taken into a convolution.
    pub(crate) activations: usize,
    /// Sums of two images that were taken into a convolution.
    pub(crate) sums: usize,
    /// Changes between the blocked and the plain layout in one run.
    pub(crate) layout_changes: usize,
    /// Parts of the graph that tract runs.
    pub(crate) parts: usize,
}

/// A plan on channel-blocked images.
#[derive(Debug, Clone)]
pub(crate) struct FastPlan {
    runner: Arc<Runner>,
    pool: Option<Arc<ThreadPool>>,
    fused: Fused,
}

impl FastPlan {
    /// Makes a plan; none where the graph has no convolution that gains, or is not understood.
    pub(crate) fn new(model: &TypedModel, threads: usize) -> Option<Self> {
        if !model.nodes().iter().any(|node| node.op_is::<Conv>()) {
            return None;
        }
        let isa = Isa::best();
        let (mut graph, parts) = read::read(model, isa)?;
        fuse::fuse(&mut graph);
        let facts = model.output_outlets().ok()?.iter().map(|outlet| model.outlet_fact(*outlet));
        let shapes = facts.map(|fact| Some(fact.ok()?.shape.as_concrete()?.to_vec())).collect::<Option<Vec<_>>>()?;
        let program = place::place(&graph, &shapes, isa)?;
        let fused = count(&graph, &program.steps, parts.len());
        if fused.convolutions == 0 {
            return None;
        }
        let pool = if threads > 1 {
            let pool = ThreadPoolBuilder::new().num_threads(threads).thread_name(|n| format!("onnx-{n}")).build();
            Some(Arc::new(pool.ok()?))
        } else {
            None
        };
        Some(Self { runner: Arc::new(Runner::new(program, parts, isa)), pool, fused })
    }

    /// Runs it, on all its threads.
    pub(crate) fn run(&self, inputs: Given<'_>) -> TractResult<Vec<Gives>> {
        match &self.pool {
            Some(pool) => team::together(pool, || self.runner.run(inputs, pool.current_num_threads()))
                .unwrap_or_else(|| bail!("a thread of the plan is gone")),
            None => self.run_alone(inputs),
        }
    }

    /// As [`run`](Self::run), on the calling thread.
    pub(crate) fn run_alone(&self, inputs: Given<'_>) -> TractResult<Vec<Gives>> {
        self.runner.run(inputs, 1)
    }
}

fn count(graph: &ir::Graph, steps: &[step::Step], parts: usize) -> Fused {
    let mut fused = Fused { parts, ..Fused::default() };
    let live = graph.live();
    for value in graph.values.iter().zip(live).filter_map(|(value, live)| live.then_some(value)) {
        if let Op::Conv(conv) = &value.op {
            fused.convolutions += 1;
            fused.activations += usize::from(conv.activation != Activation::None);
            fused.sums += usize::from(conv.sum.is_some());
        }
    }
    let moves = |work: &Work| matches!(work, Work::ToBlocks(_) | Work::FromBlocks(_) | Work::ChannelsLast(_));
    fused.layout_changes = steps.iter().filter(|step| moves(&step.work)).count();
    fused
}

#[cfg(test)]
mod tests;
