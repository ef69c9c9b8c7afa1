//! From tract's simplified graph to a [`Plan`]: one translation per family of operators.
//!
//! The graph must be decluttered and have concrete shapes. Every node becomes typed steps;
//! what those give is compared with the shapes that tract worked out, so that a plan that was
//! made can only fail on the device, never on its shapes. An operator that no family knows, or that
//! a device could get wrong, becomes a step on the host ([`host`]), or is refused here, by name.
//!
//! All floats become 32-bit, or 16-bit where half precision is asked for; all integers the device's integers.

mod bounds;
mod build;
mod conv;
mod einsum;
mod elements;
mod elementwise;
mod fuse;
mod gather;
pub(crate) mod host;
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
pub(crate) use self::elements::{elements, floats};
use self::infer::Outcome;
use self::step::{Plan, ValueId};
use crate::burn_plan::Precision;
use crate::error::Error;
use crate::limits::Limits;

/// What matters of a device, and what is asked of it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Target {
    /// Its integers have 64 bits, and its powers are those of the host.
    pub wide_integers: bool,
    /// It has 16-bit floats.
    pub half: bool,
    pub precision: Precision,
    /// Refuse a node that would run on the host.
    pub strict: bool,
}

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
pub(crate) fn lower(model: &TypedModel, limits: &Limits, target: Target) -> Result<Plan, Error> {
    let unsorted =
        |e| Error::Lowering { node: String::new(), operator: "graph".into(), reason: crate::error::one_line(&e) };
    let mut builder = Builder::new(model, limits, target);
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
        if let Err(reason) = carry_over(&mut builder, node) {
            if target.strict {
                return Err(refused(node, reason));
            }
            builder.settle_on_host(node, reason).map_err(|reason| refused(node, reason))?;
        }
    }
    let mut plan = Plan::default();
    for outlet in model.output_outlets().map_err(unsorted)? {
        let value = builder.output(*outlet).map_err(|r| refused(model.node(outlet.node), r))?;
        plan.outputs.push(value);
    }
    let outputs = plan.outputs;
    let mut plan = builder.finish(outputs);
    fuse::fuse(&mut plan);
    if target.precision == Precision::F16 {
        precision::halve(&mut plan);
        fuse::drop_unread(&mut plan);
    }
    release(&mut plan);
    Ok(plan)
}

/// Makes steps of the device of one node; nothing is left of them where that fails.
fn carry_over(builder: &mut Builder<'_>, node: &TypedNode) -> Outcome<()> {
    builder.stays_on_host(node)?;
    let before = builder.mark();
    let outputs = FAMILIES
        .iter()
        .find_map(|family| family(builder, node))
        .unwrap_or_else(|| Err("there is no translation for this operator".into()));
    let done = outputs.and_then(|outputs| builder.settle(node, &outputs));
    if done.is_err() {
        builder.rewind(before);
    }
    done
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
