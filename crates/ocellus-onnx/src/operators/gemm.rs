//! `Gemm` whose factors have the type of the matrices: tract's are 32-bit floats, which other matrices do not take.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::ops::math;
use tract_onnx::tract_hir::tract_core::ops::einsum::EinSum;

use super::Built;

/// `alpha * A * B + beta * C`; see <https://onnx.ai/onnx/operators/onnx__Gemm.html>.
#[derive(Debug, Clone, PartialEq)]
struct Gemm {
    alpha: f32,
    beta: f32,
    transpose: [bool; 2],
}

impl Eq for Gemm {}

pub(super) fn build(_ctx: &ParsingContext, node: &NodeProto) -> Built {
    let own = Gemm {
        alpha: node.get_attr_opt("alpha")?.unwrap_or(1.0),
        beta: node.get_attr_opt("beta")?.unwrap_or(1.0),
        transpose: [node.get_attr_opt("transA")?.unwrap_or(false), node.get_attr_opt("transB")?.unwrap_or(false)],
    };
    Ok((expand(own), vec![]))
}

impl Gemm {
    /// `wire` times a number, unless that is 1.
    fn scaled(&self, model: &mut TypedModel, name: String, wire: OutletId, by: f32) -> TractResult<OutletId> {
        if by == 1.0 {
            return Ok(wire);
        }
        let fact = model.outlet_fact(wire)?;
        let factor = tensor0(by).cast_to_dt(fact.datum_type)?.into_owned().broadcast_into_rank(fact.rank())?;
        let factor = model.add_const(format!("{name}.factor"), factor)?;
        Ok(model.wire_node(name, math::mul(), &[wire, factor])?[0])
    }
}

impl Expansion for Gemm {
    fn name(&self) -> StaticName {
        "Gemm".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        ensure!((2..=3).contains(&inputs.len()), "it takes two or three inputs, not {}", inputs.len());
        check_output_arity(outputs, 1)?;
        for input in inputs {
            solver.equals(&input.datum_type, &outputs[0].datum_type)?;
        }
        for matrix in inputs[..2].iter().chain(&outputs[..1]) {
            solver.equals(&matrix.rank, 2)?;
        }
        let [(row_a, column_a), (row_b, column_b)] = self.transpose.map(|t| if t { (1, 0) } else { (0, 1) });
        solver.equals(&inputs[0].shape[row_a], &outputs[0].shape[0])?;
        solver.equals(&inputs[0].shape[column_a], &inputs[1].shape[row_b])?;
        solver.equals(&inputs[1].shape[column_b], &outputs[0].shape[1])
    }

    fn wire(&self, name: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let axes = AxesMapping::for_numpy_matmul(2, self.transpose[0], self.transpose[1], false)?;
        let dtype = model.outlet_fact(inputs[0])?.datum_type;
        let product = model.wire_node(format!("{name}.ab"), EinSum::new(axes, dtype), &inputs[..2])?[0];
        let product = self.scaled(model, format!("{name}.alpha"), product, self.alpha)?;
        let Some(&bias) = inputs.get(2).filter(|_| self.beta != 0.0) else { return Ok(tvec![product]) };
        let mut bias = self.scaled(model, format!("{name}.beta"), bias, self.beta)?;
        for k in model.outlet_fact(bias)?.rank()..2 {
            bias = model.wire_node(format!("{name}.axis_{k}"), AxisOp::Add(0), &[bias])?[0];
        }
        model.wire_node(name, math::add(), &[product, bias])
    }
}
