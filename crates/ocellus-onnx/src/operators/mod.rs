//! ONNX operators beyond, or instead of, those that tract brings.
//!
//! tract's front end is extended through its register of operators. Where tract has an operator that is right in most
//! uses, ours stands in for the others only ([`native::Choice`]), so that the rest keeps tract's kernels and fusions.

mod attention;
mod batch_norm;
mod elementwise;
mod gemm;
mod native;
mod pad;
mod pool;
mod quantize;
mod rearrange;
mod reduce;
mod roi_align;

use std::sync::LazyLock;

use tract_onnx::Onnx;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::{InferenceOp, TractResult, format_err};

/// What the builder of an operator gives: the operator, and the outer values that it uses.
type Built = TractResult<(Box<dyn InferenceOp>, Vec<String>)>;

static STANDARD: LazyLock<Onnx> = LazyLock::new(tract_onnx::onnx);

/// tract's front end with the operators of this folder.
pub(crate) fn framework() -> Onnx {
    let mut onnx = STANDARD.clone().with_ignore_value_info(true);
    let register = &mut onnx.op_register;
    register.insert("Attention", attention::build);
    register.insert("BatchNormalization", batch_norm::build);
    register.insert("BitShift", elementwise::bit_shift);
    register.insert("Celu", elementwise::celu);
    register.insert("CenterCropPad", pad::center_crop_pad);
    register.insert("ConstantOfShape", rearrange::constant_of_shape);
    register.insert("DequantizeLinear", quantize::dequantize);
    register.insert("Dropout", elementwise::dropout);
    register.insert("Gemm", gemm::build);
    register.insert("LpPool", pool::lp_pool);
    register.insert("MatMul", reduce::mat_mul);
    register.insert("MaxUnpool", pool::max_unpool);
    register.insert("Mul", elementwise::mul);
    register.insert("OneHot", rearrange::one_hot);
    register.insert("Pad", pad::pad);
    register.insert("QuantizeLinear", quantize::quantize);
    register.insert("ReduceMax", reduce::max);
    register.insert("ReduceMin", reduce::min);
    register.insert("ReverseSequence", rearrange::reverse_sequence);
    register.insert("RoiAlign", roi_align::build);
    register.insert("SpaceToDepth", rearrange::space_to_depth);
    register.insert("Swish", elementwise::swish);
    register.insert("Upsample", rearrange::upsample);
    onnx
}

/// tract's own operator for a node.
fn standard(ctx: &ParsingContext, node: &NodeProto) -> Built {
    let build = STANDARD.op_register.0.get(&node.op_type);
    build.ok_or_else(|| format_err!("there is no implementation of {}", node.op_type))?(ctx, node)
}

#[cfg(test)]
mod tests;
