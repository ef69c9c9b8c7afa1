//! Operators that run on the host, each by tract's own evaluation of its node.
//!
//! A node comes here when no family carries it over, when its values have types or shapes that a device does not
//! hold, or when the device's integers could give another answer.

use std::fmt;
use std::sync::Arc;

use tract_onnx::prelude::{IntoRunnable, SpecialOps, TValue, TVec, TypedModel, TypedNode, TypedRunnableModel};
use tract_onnx::tract_core::internal::TypedFact;

use super::infer::Outcome;

/// A node of the graph, made ready to run by itself.
#[derive(Clone)]
pub(crate) struct HostNode {
    /// Its operator in the simplified graph.
    pub operator: String,
    /// Why it does not run on the device.
    pub reason: String,
    /// The shapes of what it gives, empty where they are not known before it runs.
    pub outputs: Vec<Vec<usize>>,
    plan: Arc<TypedRunnableModel>,
}

impl fmt::Debug for HostNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostNode").field("operator", &self.operator).field("reason", &self.reason).finish()
    }
}

impl PartialEq for HostNode {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.plan, &other.plan)
    }
}

impl HostNode {
    /// Takes the node out of its graph, constant operands with it.
    ///
    /// # Errors
    /// What tract says against the node.
    pub fn new(model: &TypedModel, node: &TypedNode, reason: String) -> Outcome<Self> {
        let alone = || {
            let mut single = TypedModel { symbols: model.symbols.clone(), ..TypedModel::default() };
            let mut operands = TVec::new();
            for (ix, outlet) in node.inputs.iter().enumerate() {
                let fact = model.outlet_fact(*outlet)?;
                operands.push(match &fact.konst {
                    Some(tensor) => single.add_const(format!("operand{ix}"), Arc::clone(tensor))?,
                    None => single
                        .add_source(format!("operand{ix}"), TypedFact::dt_shape(fact.datum_type, fact.shape.clone()))?,
                });
            }
            let outputs = single.wire_node(&node.name, node.op.clone(), &operands)?;
            single.select_output_outlets(&outputs)?;
            single.into_optimized()?.into_runnable()
        };
        let plan = alone().map_err(|e| crate::error::one_line(&e))?;
        let shape = |fact: &TypedFact| fact.shape.as_concrete().map(<[usize]>::to_vec).unwrap_or_default();
        let outputs = node.outputs.iter().map(|outlet| shape(&outlet.fact)).collect();
        Ok(Self { operator: node.op().name().into_owned(), reason, outputs, plan })
    }

    /// Evaluates it on its operands, constant ones left out.
    ///
    /// # Errors
    /// What tract says.
    pub fn run(&self, operands: TVec<TValue>) -> Outcome<TVec<TValue>> {
        self.plan.run(operands).map_err(|e| crate::error::one_line(&e))
    }
}
