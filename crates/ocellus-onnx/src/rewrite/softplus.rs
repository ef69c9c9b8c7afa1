//! Softplus and Mish, which come from the parser as `ln(1 + exp(x))` and `x tanh(ln(1 + exp(x)))`.
//!
//! So spelled they overflow from 88 on, and of the small values of negative arguments they lose the digits: all that the
//! sum with 1 rounds away, and on devices whose logarithms and hyperbolic tangents are only exact to a share of 1, nearly
//! the rest. As one function each they are computed from the exponential of a number that is not positive, and
//! convolutions take Mish in.

use tract_onnx::prelude::{DatumType, OutletId, Tensor, TractResult, TypedModel, TypedModelPatch};
use tract_onnx::tract_core::internal::ElementWiseMiniOp;
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;

use crate::kernel::{self, Activation, Isa};

/// `ln(1 + exp(x))`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Softplus;

impl ElementWiseMiniOp for Softplus {
    fn name(&self) -> String {
        "Softplus".into()
    }

    fn eval_in_place(&self, t: &mut Tensor, _: Option<DatumType>) -> TractResult<()> {
        let mut plain = t.try_as_plain_ram_mut()?;
        plain.as_slice_mut::<f32>()?.iter_mut().for_each(|x| *x = softplus(*x));
        Ok(())
    }
}

fn softplus(x: f32) -> f32 {
    let below = (-x.abs()).exp().ln_1p();
    if x > 0.0 { x + below } else { below }
}

/// `x tanh(ln(1 + exp(x)))`, Misra 2019.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mish;

impl ElementWiseMiniOp for Mish {
    fn name(&self) -> String {
        "Mish".into()
    }

    fn eval_in_place(&self, t: &mut Tensor, _: Option<DatumType>) -> TractResult<()> {
        let mut plain = t.try_as_plain_ram_mut()?;
        kernel::activate(Isa::best(), Activation::Mish, plain.as_slice_mut::<f32>()?, 1);
        Ok(())
    }
}

/// Gives both their names, where they are of 32-bit floats.
pub(crate) fn name(model: &mut TypedModel) -> TractResult<()> {
    for id in model.eval_order()? {
        if let Some(x) = spelled_softplus(model, id) {
            replace(model, id, x, ElementWiseOp(Box::new(Softplus), None))?;
        }
    }
    // What was taken out of the order is not in it any more.
    for id in model.eval_order()? {
        if let Some(x) = spelled_mish(model, id) {
            replace(model, id, x, ElementWiseOp(Box::new(Mish), None))?;
        }
    }
    model.compact()
}

fn replace(model: &mut TypedModel, id: usize, x: OutletId, op: ElementWiseOp) -> TractResult<()> {
    let mut patch = TypedModelPatch::default();
    let wire = patch.tap_model(model, x)?;
    let wire = patch.wire_node(&model.node(id).name, op, &[wire])?[0];
    patch.shunt_outside(model, id.into(), wire)?;
    patch.apply(model)
}

/// The argument, where a node is the function of that name.
fn function(model: &TypedModel, id: usize, name: &str) -> Option<OutletId> {
    let node = model.node(id);
    (node.op_as::<ElementWiseOp>()?.0.name() == name).then(|| node.inputs.first().copied())?
}

/// Both operands, where a node is the operation of that name.
fn operands(model: &TypedModel, id: usize, name: &str) -> Option<[OutletId; 2]> {
    let node = model.node(id);
    (node.op_as::<TypedBinOp>()?.0.name() == name).then(|| node.inputs.as_slice().try_into().ok())?
}

fn spelled_softplus(model: &TypedModel, id: usize) -> Option<OutletId> {
    let [a, b] = operands(model, function(model, id, "Ln")?.node, "Add")?;
    let x = [(a, b), (b, a)].into_iter().find_map(|(exp, other)| {
        let x = function(model, exp.node, "Exp")?;
        is_one(model, other).then_some(x)
    })?;
    let (from, to) = (model.outlet_fact(x).ok()?, model.outlet_fact(id.into()).ok()?);
    (from.datum_type == DatumType::F32 && from.shape == to.shape).then_some(x)
}

fn is_one(model: &TypedModel, outlet: OutletId) -> bool {
    let constant = model.outlet_fact(outlet).ok().and_then(|fact| fact.konst.clone());
    constant.is_some_and(|constant| constant.len() == 1 && constant.cast_to_scalar::<f32>().is_ok_and(|one| one == 1.0))
}

fn spelled_mish(model: &TypedModel, id: usize) -> Option<OutletId> {
    let [a, b] = operands(model, id, "Mul")?;
    [(a, b), (b, a)].into_iter().find_map(|(x, gate)| {
        let softplus = function(model, gate.node, "Tanh")?;
        (function(model, softplus.node, "Softplus")? == x).then_some(x)
    })
}

#[cfg(test)]
mod tests {
    use super::softplus;
    use crate::cpu::CpuPlan;
    use crate::graph::Graph;
    use crate::limits::Limits;
    use crate::tensor::Tensor;
    use crate::testing::Model;

    const ARGUMENTS: [f32; 8] = [-200.0, -30.0, -9.998, -0.5, 0.0, 3.0, 88.8, 1e4];

    fn run(operators: &[&str]) -> (Graph, Vec<f32>) {
        let last = operators.len() - 1;
        let name = |i: usize| if i == last { "y".to_owned() } else { format!("v{i}") };
        let mut model = Model::new().input("x", &[8]);
        for (i, operator) in operators.iter().enumerate() {
            let before = if i == 0 { "x".to_owned() } else { name(i - 1) };
            model = match *operator {
                "Mul" => model.node("Mul", &["x", &before], &[&name(i)]),
                operator => model.node(operator, &[&before], &[&name(i)]),
            };
        }
        let graph = Graph::parse(&model.output("y").bytes(), &Limits::default()).expect("it is sound");
        let x = Tensor { shape: vec![8], data: ARGUMENTS.to_vec() };
        let found = CpuPlan::new(&graph).and_then(|plan| plan.run(&[x])).expect("it runs");
        (graph, found[0].data.clone())
    }

    fn close(found: &[f32], expected: impl Fn(f64) -> f64) {
        for (found, x) in found.iter().zip(ARGUMENTS) {
            let expected = expected(x.into());
            let error = (f64::from(*found) - expected).abs();
            assert!(error <= 1e-30 + 1e-6 * expected.abs(), "of {x}: {found:e}, not {expected:e}");
        }
    }

    #[test]
    fn small_values_keep_their_digits_and_large_ones_do_not_overflow() {
        let exact = |x: f64| x.max(0.0) + (-x.abs()).exp().ln_1p();
        let (graph, found) = run(&["Softplus"]);
        assert_eq!(graph.operators().get("Softplus"), Some(&1), "{:?}", graph.operators());
        close(&found, exact);
        close(&ARGUMENTS.map(softplus), exact);
        for operators in [&["Mish"][..], &["Softplus", "Tanh", "Mul"]] {
            let (graph, found) = run(operators);
            assert_eq!(graph.operators().get("Mish"), Some(&1), "{:?}", graph.operators());
            close(&found, |x| x * exact(x).tanh());
        }
    }
}
