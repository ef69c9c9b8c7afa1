//! From tract's simplified graph to a [`Plan`]: one translation per family of operators.
//!
//! The graph must be decluttered and have concrete shapes. Every node becomes typed steps;
//! what those give is compared with the shapes that tract worked out, so that a plan that was
//! made can only fail on the device, never on its shapes. An operator that no family knows is
//! refused here, by name, not at run time.
//!
//! All floats become 32-bit, or 16-bit where half precision is asked for; all integers the device's integers.

mod build;
mod conv;
mod einsum;
mod elementwise;
mod fuse;
mod gather;
mod image;
mod infer;
mod layout;
mod pool;
mod precision;
mod probe;
mod reduce;
mod resize;
pub(crate) mod step;

#[cfg(test)]
mod tests;

use tract_onnx::prelude::{TypedModel, TypedNode};

use self::build::Builder;
use self::infer::Outcome;
use self::step::{Plan, ValueId};
use crate::burn_plan::Precision;
use crate::error::Error;
use crate::limits::Limits;

/// Translates a node of one family, or gives `None` when the operator is not of that family.
type Family = fn(&mut Builder<'_>, &TypedNode) -> Option<Outcome<Vec<ValueId>>>;

const FAMILIES: [Family; 8] = [
    conv::lower,
    elementwise::lower,
    layout::lower,
    einsum::lower,
    pool::lower,
    reduce::lower,
    resize::lower,
    gather::lower,
];

/// Lowers a decluttered graph with concrete shapes.
///
/// # Errors
///
/// [`Error::Lowering`] with the node and operator that cannot be translated.
pub(crate) fn lower(model: &TypedModel, limits: &Limits, precision: Precision) -> Result<Plan, Error> {
    let unsorted =
        |e| Error::Lowering { node: String::new(), operator: "graph".into(), reason: crate::error::one_line(&e) };
    let mut builder = Builder::new(model, limits);
    for outlet in model.input_outlets().map_err(unsorted)? {
        let node = model.node(outlet.node);
        builder.add_input(*outlet).map_err(|reason| refused(node, reason))?;
    }
    for id in model.eval_order().map_err(unsorted)? {
        let node = model.node(id);
        if builder.is_settled(node) {
            continue;
        }
        builder.enter(node);
        let outputs = FAMILIES
            .iter()
            .find_map(|family| family(&mut builder, node))
            .unwrap_or_else(|| Err("there is no translation for this operator".into()));
        outputs.and_then(|outputs| builder.settle(node, &outputs)).map_err(|reason| refused(node, reason))?;
    }
    let mut plan = Plan::default();
    for outlet in model.output_outlets().map_err(unsorted)? {
        let value = builder.value(*outlet).map_err(|r| refused(model.node(outlet.node), r))?;
        plan.outputs.push(value);
    }
    let outputs = plan.outputs;
    let mut plan = builder.finish(outputs);
    fuse::fuse(&mut plan);
    if precision == Precision::F16 {
        precision::halve(&mut plan);
        fuse::drop_unread(&mut plan);
    }
    release(&mut plan);
    Ok(plan)
}

fn refused(node: &TypedNode, reason: String) -> Error {
    Error::Lowering { node: node.name.clone(), operator: node.op().name().into_owned(), reason }
}

/// Notes after which step each value is no longer needed. Constants and outputs stay.
fn release(plan: &mut Plan) {
    let mut needed: Vec<bool> = vec![false; plan.values.len()];
    let kept = plan.constants.iter().map(|(id, _)| id).chain(&plan.outputs);
    for id in kept {
        needed[*id] = true;
    }
    for step in plan.steps.iter_mut().rev() {
        step.release.clear();
        for id in step.inputs.iter().chain(&step.outputs) {
            if !std::mem::replace(&mut needed[*id], true) {
                step.release.push(*id);
            }
        }
    }
}
