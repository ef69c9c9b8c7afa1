//! Operators that run on the host, each by tract's own evaluation of its node.
//!
//! A node comes here when no family carries it over, when its values have types or shapes that a device does not
//! hold, or when the device's integers could give another answer.

use std::fmt;
use std::sync::Arc;

use tract_onnx::prelude::{
    DatumType, IntoRunnable, IntoTValue, SpecialOps, TValue, TVec, TypedModel, TypedNode, TypedRunnableModel, tensor0,
};
use tract_onnx::tract_core::internal::TypedFact;

use super::infer::Outcome;
use crate::contain::quietly;
use crate::error::one_line;

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
    /// What tract says against the node, or that it fails whatever it is given: by an index that its axis has not, or
    /// elements of a type that it does not take.
    pub fn new(model: &TypedModel, node: &TypedNode, reason: String) -> Outcome<Self> {
        let plan = alone(model, node, |fact| fact.datum_type)?;
        attempt(&plan, model, node)?;
        let shape = |fact: &TypedFact| fact.shape.as_concrete().map(<[usize]>::to_vec).unwrap_or_default();
        let outputs = node.outputs.iter().map(|outlet| shape(&outlet.fact)).collect();
        Ok(Self { operator: node.op().name().into_owned(), reason, outputs, plan })
    }

    /// Evaluates it on its operands, constant ones left out.
    ///
    /// # Errors
    /// What tract says.
    pub fn run(&self, operands: TVec<TValue>) -> Outcome<TVec<TValue>> {
        self.plan.run(operands).map_err(|e| one_line(&e))
    }
}

/// A plan of nothing but this node, constant operands in it, the others of the type that is said.
///
/// # Errors
/// What tract says against the node.
pub(super) fn alone(
    model: &TypedModel,
    node: &TypedNode,
    datum_type: impl Fn(&TypedFact) -> DatumType,
) -> Outcome<Arc<TypedRunnableModel>> {
    let make = || {
        let mut single = TypedModel { symbols: model.symbols.clone(), ..TypedModel::default() };
        let mut operands = TVec::new();
        for (ix, outlet) in node.inputs.iter().enumerate() {
            let fact = model.outlet_fact(*outlet)?;
            operands.push(match &fact.konst {
                Some(tensor) => single.add_const(format!("operand{ix}"), Arc::clone(tensor))?,
                None => single
                    .add_source(format!("operand{ix}"), TypedFact::dt_shape(datum_type(fact), fact.shape.clone()))?,
            });
        }
        let outputs = single.wire_node(&node.name, node.op.clone(), &operands)?;
        single.select_output_outlets(&outputs)?;
        single.into_optimized()?.into_runnable()
    };
    make().map_err(|e| one_line(&e))
}

/// Runs the node on zeros, and where it fails on them (as a division does), on ones.
///
/// # Errors
/// Why it fails on both.
fn attempt(plan: &Arc<TypedRunnableModel>, model: &TypedModel, node: &TypedNode) -> Outcome<()> {
    let run = |number: i64| {
        let Some(operands) = filled(model, node, number) else { return Ok(()) };
        quietly(|| plan.run(operands).map(|_| ())).and_then(|ran| ran.map_err(|e| one_line(&e)))
    };
    run(0).or_else(|_| run(1))
}

/// Operands that are not constant, full of one number; none where their shapes are known only while it runs.
fn filled(model: &TypedModel, node: &TypedNode, number: i64) -> Option<TVec<TValue>> {
    let facts = node.inputs.iter().map(|outlet| model.outlet_fact(*outlet).ok()).collect::<Option<Vec<_>>>()?;
    let operand = |fact: &TypedFact| {
        let number = tensor0(number).cast_to_dt(fact.datum_type).ok()?.into_owned();
        number.broadcast_to_shape(fact.shape.as_concrete()?).ok().map(IntoTValue::into_tvalue)
    };
    facts.into_iter().filter(|fact| fact.konst.is_none()).map(operand).collect()
}
