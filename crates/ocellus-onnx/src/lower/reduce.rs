//! Operators over whole axes: sums, maxima, softmax, normalisation.

use tract_onnx::prelude::TypedNode;
use tract_onnx::tract_core::ops::array::CumSum;
use tract_onnx::tract_core::ops::nn::{Reduce, Reducer as TractReducer, RmsNorm, Softmax, SoftmaxKind};

use super::build::Builder;
use super::infer::Outcome;
use super::step::{Binary, Op, Reducer, Unary, ValueId};

pub(super) fn lower(b: &mut Builder<'_>, node: &TypedNode) -> Option<Outcome<Vec<ValueId>>> {
    let value = if let Some(op) = node.op_as::<CumSum>() {
        cum_sum(b, node, op)
    } else if let Some(op) = node.op_as::<Reduce>() {
        reduce(b, node, op)
    } else if let Some(op) = node.op_as::<Softmax>() {
        softmax(b, node, op)
    } else {
        let op = node.op_as::<RmsNorm>()?;
        rms_norm(b, node, op)
    };
    Some(value.map(|y| vec![y]))
}

fn cum_sum(b: &mut Builder<'_>, node: &TypedNode, op: &CumSum) -> Outcome<ValueId> {
    if op.exclusive {
        return Err("running sums without their last element are not supported".into());
    }
    let mut x = b.input(node, 0)?;
    if op.reverse {
        x = b.emit(Op::Flip { axis: op.axis }, &[x])?;
    }
    let mut y = b.emit(Op::CumSum { axis: op.axis }, &[x])?;
    if op.reverse {
        y = b.emit(Op::Flip { axis: op.axis }, &[y])?;
    }
    Ok(y)
}

fn reduce(b: &mut Builder<'_>, node: &TypedNode, op: &Reduce) -> Outcome<ValueId> {
    let mut x = b.input(node, 0)?;
    let axes = op.axes.to_vec();
    if axes.is_empty() {
        return Ok(x);
    }
    let reducer = match op.reducer {
        TractReducer::Sum => Reducer::Sum,
        TractReducer::Max => Reducer::Max,
        TractReducer::Min => Reducer::Min,
        TractReducer::Prod => Reducer::Prod,
        TractReducer::ArgMax(false) => Reducer::ArgMax,
        TractReducer::ArgMin(false) => Reducer::ArgMin,
        TractReducer::MeanOfSquares => {
            x = b.emit(Op::Unary(Unary::Square), &[x])?;
            Reducer::Mean
        }
        other => return Err(format!("reduction {other:?} is not supported")),
    };
    b.emit(Op::Reduce { reducer, axes }, &[x])
}

fn softmax(b: &mut Builder<'_>, node: &TypedNode, op: &Softmax) -> Outcome<ValueId> {
    if op.quant_output_dt.is_some() {
        return Err("quantised softmax is not supported".into());
    }
    let x = b.input(node, 0)?;
    let log = match op.kind {
        SoftmaxKind::Softmax => false,
        SoftmaxKind::LogSoftmax => true,
    };
    if let [axis] = *op.axes {
        return b.emit(Op::Softmax { axis, log }, &[x]);
    }
    let axes = op.axes.to_vec();
    let shape = b.shape(x);
    let top = b.emit(Op::Reduce { reducer: Reducer::Max, axes: axes.clone() }, &[x])?;
    let below = b.emit(Op::Binary(Binary::Sub), &[x, top])?;
    let exp = b.emit(Op::Unary(Unary::Exp), &[below])?;
    let sum = b.emit(Op::Reduce { reducer: Reducer::Sum, axes }, &[exp])?;
    let y = if log {
        let ln = b.emit(Op::Unary(Unary::Ln), &[sum])?;
        b.emit(Op::Binary(Binary::Sub), &[below, ln])?
    } else {
        b.emit(Op::Binary(Binary::Div), &[exp, sum])?
    };
    b.reshape(y, &shape)
}

fn rms_norm(b: &mut Builder<'_>, node: &TypedNode, op: &RmsNorm) -> Outcome<ValueId> {
    let eps = op.eps.cast_to_scalar::<f64>().map_err(|e| format!("{e:#}"))?;
    let x = b.input(node, 0)?;
    let square = b.emit(Op::Unary(Unary::Square), &[x])?;
    let mean = b.emit(Op::Reduce { reducer: Reducer::Mean, axes: vec![op.axis] }, &[square])?;
    let mean = b.emit(Op::BinaryScalar(Binary::Add, eps), &[mean])?;
    let scale = b.emit(Op::Unary(Unary::Rsqrt), &[mean])?;
    b.emit(Op::Binary(Binary::Mul), &[x, scale])
}
