//! Parts of the graph that tract runs.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tract_onnx::prelude::{
    IntoRunnable, OutletId, TValue, TVec, TractResult, TypedFact, TypedModel, TypedRunnableModel,
};
use tract_onnx::tract_core::internal::SpecialOps;
use tract_onnx::tract_core::ops::konst::Const;

use super::given::value;

/// Some nodes of a graph as a plan of tract's.
#[derive(Debug, Clone)]
pub(super) struct Part {
    plan: Arc<TypedRunnableModel>,
    /// What it takes, as outlets of the whole graph.
    pub(super) inputs: Vec<OutletId>,
    shapes: Vec<Vec<usize>>,
}

impl Part {
    /// Makes a plan of nodes that are given in order; returned with the outlets that others need of it.
    pub(super) fn new(model: &TypedModel, nodes: Vec<usize>) -> Option<(Self, Vec<OutletId>)> {
        let outputs = needed(model, &nodes).ok()?;
        match Self::plan(model, &nodes, &outputs) {
            Ok(part) => Some((part, outputs)),
            Err(reason) => {
                tracing::debug!(reason = crate::error::one_line(&reason), "a part of a graph stays whole");
                None
            }
        }
    }

    fn plan(model: &TypedModel, nodes: &[usize], outputs: &[OutletId]) -> TractResult<Self> {
        let mut part = TypedModel { symbols: model.symbols.clone(), ..TypedModel::default() };
        let mut known: HashMap<OutletId, OutletId> = HashMap::new();
        let (mut inputs, mut shapes) = (vec![], vec![]);
        for &id in nodes {
            let node = model.node(id);
            let mut wires = vec![];
            for outlet in &node.inputs {
                if !known.contains_key(outlet) {
                    let (source, fact) = (model.node(outlet.node), model.outlet_fact(*outlet)?);
                    let wire = if let Some(constant) = source.op_as::<Const>() {
                        part.wire_node(&*source.name, constant.clone(), &[])?
                    } else {
                        inputs.push(*outlet);
                        let shape = fact.shape.as_concrete().map(<[usize]>::to_vec).unwrap_or_default();
                        shapes.push(shape.clone());
                        let fact = TypedFact::dt_shape(fact.datum_type, &shape);
                        TVec::from_elem(part.add_source(format!("{}.{}", source.name, outlet.slot), fact)?, 1)
                    };
                    known.insert(*outlet, wire[0]);
                }
                wires.push(known[outlet]);
            }
            for (slot, wire) in part.wire_node(&*node.name, node.op.clone(), &wires)?.into_iter().enumerate() {
                known.insert(OutletId::new(id, slot), wire);
            }
        }
        let outlets: Vec<OutletId> = outputs.iter().filter_map(|outlet| known.get(outlet).copied()).collect();
        part.select_output_outlets(&outlets)?;
        let plan = part.into_optimized()?.into_runnable()?;
        Ok(Self { plan, inputs, shapes })
    }

    /// The names of its operators.
    pub(super) fn operators(&self) -> impl Iterator<Item = String> {
        let names = self.plan.model().nodes().iter().map(|node| node.op.name().into_owned());
        names.filter(|name| name != "Const" && name != "Source")
    }

    /// Runs it on one value for each input.
    pub(super) fn run(&self, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        self.plan.run(inputs)
    }

    /// A tensor of the `ix`-th input's shape.
    pub(super) fn tensor(&self, ix: usize, data: &[f32]) -> TractResult<TValue> {
        let shape = self.shapes.get(ix).map_or(&[][..], Vec::as_slice);
        value(shape, data)
    }
}

/// The outlets of these nodes that other nodes take, or that the model gives.
fn needed(model: &TypedModel, nodes: &[usize]) -> TractResult<Vec<OutletId>> {
    let inside: HashSet<usize> = nodes.iter().copied().collect();
    let given: HashSet<OutletId> = model.output_outlets()?.iter().copied().collect();
    let mut needed = vec![];
    for &id in nodes {
        for (slot, outlet) in model.node(id).outputs.iter().enumerate() {
            let at = OutletId::new(id, slot);
            if given.contains(&at) || outlet.successors.iter().any(|to| !inside.contains(&to.node)) {
                needed.push(at);
            }
        }
    }
    Ok(needed)
}
