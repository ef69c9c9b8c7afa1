//! Quantising and dequantising in a row, as exporters write it around each operator, as one function of floats.
//!
//! `DequantizeLinear(QuantizeLinear(x))` with one scale and zero point rounds `x` to a grid of at most 256 values, which
//! floats hold exactly. As one function it needs no integers between, so convolutions take it in as they take in an
//! activation, and devices without narrow integers run it. Values that are on the grid are not rounded again.

use tract_onnx::prelude::{DatumType, OutletId, Tensor, TractResult, TypedModel, TypedModelPatch};
use tract_onnx::tract_core::internal::ElementWiseMiniOp;
use tract_onnx::tract_core::ops::array::{Slice, TypedConcat};
use tract_onnx::tract_core::ops::change_axes::AxisOp;
use tract_onnx::tract_core::ops::cnn::MaxPool;
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_core::ops::quant::{DequantizeLinearF32, QuantizeLinearI8, QuantizeLinearU8};

use crate::kernel::{self, Activation, Grid, Isa};

/// Nodes that are looked through to find whether a value is on a grid.
const DEPTH: usize = 16;

/// Rounds each number to the nearest value of a grid.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct QuantizeDequantize(pub(crate) Grid);

// No part of a grid is NaN: see `pair`.
impl Eq for QuantizeDequantize {}

impl ElementWiseMiniOp for QuantizeDequantize {
    fn name(&self) -> String {
        "QuantizeDequantize".into()
    }

    fn eval_in_place(&self, t: &mut Tensor, _: Option<DatumType>) -> TractResult<()> {
        let mut plain = t.try_as_plain_ram_mut()?;
        kernel::activate(Isa::best(), Activation::Quantise(self.0), plain.as_slice_mut::<f32>()?, 1);
        Ok(())
    }
}

/// Joins all pairs, and drops those whose input is on their grid.
pub(crate) fn join(model: &mut TypedModel) -> TractResult<()> {
    for id in model.eval_order()? {
        let Some((x, grid)) = pair(model, id) else { continue };
        let node = model.node(id);
        let mut patch = TypedModelPatch::default();
        let mut wire = patch.tap_model(model, x)?;
        // An output stays a node of its own.
        if model.outputs.contains(&id.into()) || !on_grid(model, x, grid, DEPTH) {
            let op = ElementWiseOp(Box::new(QuantizeDequantize(grid)), None);
            wire = patch.wire_node(&node.name, op, &[wire])?[0];
        }
        patch.shunt_outside(model, id.into(), wire)?;
        patch.apply(model)?;
    }
    model.compact()
}

/// The floats that a dequantisation gets, quantised in between, and their grid.
fn pair(model: &TypedModel, id: usize) -> Option<(OutletId, Grid)> {
    let node = model.node(id);
    let op = node.op_as::<DequantizeLinearF32>()?;
    let before = model.node(node.inputs.first()?.node);
    let function = &before.op_as::<ElementWiseOp>()?.0;
    let (inverse, zero, least, most) = if let Some(op) = function.downcast_ref::<QuantizeLinearU8>() {
        (op.scale, i32::from(op.zero_point), i32::from(u8::MIN), i32::from(u8::MAX))
    } else {
        let op = function.downcast_ref::<QuantizeLinearI8>()?;
        (op.scale, i32::from(op.zero_point), i32::from(i8::MIN), i32::from(i8::MAX))
    };
    let x = *before.inputs.first()?;
    let floats = model.outlet_fact(x).ok()?.datum_type == DatumType::F32;
    let steps = |n: i32| i16::try_from(n - zero).ok().map(f32::from);
    let ordinary = (1e-30..=1e30).contains(&op.scale);
    let same = ordinary && op.scale.recip() == inverse && op.zero_point == zero;
    let grid = Grid { scale: op.scale, low: steps(least)?, high: steps(most)? };
    (floats && same).then_some((x, grid))
}

/// Whether all of a value was rounded to this grid before, and only moved or picked since.
fn on_grid(model: &TypedModel, outlet: OutletId, grid: Grid, depth: usize) -> bool {
    let node = model.node(outlet.node);
    let Some(depth) = depth.checked_sub(1) else { return false };
    if let Some(op) = node.op_as::<ElementWiseOp>() {
        return op.0.downcast_ref::<QuantizeDequantize>().is_some_and(|op| op.0 == grid);
    }
    let moves = node.op_is::<AxisOp>() || node.op_is::<Slice>() || node.op_is::<TypedConcat>();
    let picks = node.op_as::<MaxPool>().is_some_and(|pool| pool.with_index_outputs.is_none());
    (moves || picks) && node.inputs.iter().all(|input| on_grid(model, *input, grid, depth))
}

#[cfg(test)]
mod tests {
    use crate::cpu::CpuPlan;
    use crate::graph::Graph;
    use crate::limits::Limits;
    use crate::tensor::Tensor;
    use crate::testing::{Model, ints};

    fn operators(model: &Model) -> (Graph, usize) {
        let graph = Graph::parse(&model.bytes(), &Limits::default()).expect("it is sound");
        let count = graph.operators().get("QuantizeDequantize").copied().unwrap_or(0);
        (graph, count)
    }

    #[test]
    fn halves_go_to_the_even_neighbour_and_what_is_beyond_to_the_last() {
        let (graph, count) = operators(&Model::new().input("x", &[7]).quantised("x", "y", 0.5, 250).output("y"));
        assert_eq!(count, 1, "{:?}", graph.operators());
        let data = vec![0.25, 0.75, -0.25, 1.3, 9.0, -124.9, -200.0];
        let found =
            CpuPlan::new(&graph).and_then(|plan| plan.run(&[Tensor { shape: vec![7], data }])).expect("it runs");
        assert_eq!(found[0].data, [0.0, 1.0, 0.0, 1.5, 2.5, -125.0, -125.0]);
    }

    #[test]
    fn what_was_only_moved_is_not_rounded_again() {
        let model = Model::new()
            .input("x", &[2, 3])
            .quantised("x", "a", 0.1, 3)
            .node_with("Transpose", &["a"], &["b"], vec![ints("perm", &[1, 0])])
            .quantised("b", "c", 0.1, 3)
            .node("Neg", &["c"], &["y"])
            .output("y");
        let (graph, count) = operators(&model);
        assert_eq!(count, 1, "{:?}", graph.operators());
        let other = Model::new()
            .input("x", &[2, 3])
            .quantised("x", "a", 0.1, 3)
            .quantised("a", "c", 0.1, 4)
            .node("Neg", &["c"], &["y"])
            .output("y");
        assert_eq!(operators(&other).1, 2, "the grids differ");
    }
}
