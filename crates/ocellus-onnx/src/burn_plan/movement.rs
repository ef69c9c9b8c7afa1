//! Steps that move elements: reshapes, slices, joins, padding, picking by index.

use burn::backend::ops::{BoolTensorOps, FloatTensorOps, IntTensorOps, PadMode as BurnPadMode};
use burn::backend::{Dispatch as B, DispatchTensor, Scalar};
use burn::tensor::{Shape, Slice};

use super::execute::{Operands, Outcome};
use super::transfer::{Types, extents};
use crate::lower::step::{Kind, PadMode, SliceRange};

pub(super) fn reshape(shape: &[usize], kind: Kind, x: DispatchTensor) -> DispatchTensor {
    let shape = Shape::from(extents(shape).to_vec());
    match kind {
        Kind::Float | Kind::Host => B::float_reshape(x, shape),
        Kind::Int => B::int_reshape(x, shape),
        Kind::Bool => B::bool_reshape(x, shape),
    }
}

pub(super) fn expand(shape: &[usize], kind: Kind, x: DispatchTensor) -> DispatchTensor {
    let shape = Shape::from(extents(shape).to_vec());
    match kind {
        Kind::Float | Kind::Host => B::float_expand(x, shape),
        Kind::Int => B::int_expand(x, shape),
        Kind::Bool => B::bool_expand(x, shape),
    }
}

pub(super) fn permute(axes: &[usize], kind: Kind, x: DispatchTensor) -> DispatchTensor {
    match kind {
        Kind::Float | Kind::Host => B::float_permute(x, axes),
        Kind::Int => B::int_permute(x, axes),
        Kind::Bool => B::bool_permute(x, axes),
    }
}

pub(super) fn concat(axis: usize, operands: Operands) -> DispatchTensor {
    match operands.kind() {
        Kind::Float | Kind::Host => B::float_cat(operands.rest(), axis),
        Kind::Int => B::int_cat(operands.rest(), axis),
        Kind::Bool => B::bool_cat(operands.rest(), axis),
    }
}

pub(super) fn slice(ranges: &[SliceRange], kind: Kind, x: DispatchTensor) -> Outcome<DispatchTensor> {
    let signed = |n: usize| isize::try_from(n).map_err(|_| format!("{n} is too large for a slice"));
    let slices = ranges
        .iter()
        .map(|r| Ok(Slice::with_step(signed(r.start)?, Some(signed(r.end)?), signed(r.step)?)))
        .collect::<Outcome<Vec<Slice>>>()?;
    Ok(match kind {
        Kind::Float | Kind::Host => B::float_slice(x, &slices),
        Kind::Int => B::int_slice(x, &slices),
        Kind::Bool => B::bool_slice(x, &slices),
    })
}

pub(super) fn pad(pads: &[(usize, usize)], mode: PadMode, kind: Kind, x: DispatchTensor) -> Outcome<DispatchTensor> {
    let mode = match mode {
        PadMode::Constant(value) => BurnPadMode::Constant(value),
        PadMode::Reflect => BurnPadMode::Reflect,
        PadMode::Edge => BurnPadMode::Edge,
    };
    match kind {
        Kind::Float | Kind::Host => Ok(B::float_pad(x, pads, mode)),
        Kind::Int => Ok(B::int_pad(x, pads, mode)),
        Kind::Bool => Err("there is no primitive that pads truth values".into()),
    }
}

pub(super) fn flip(axis: usize, kind: Kind, x: DispatchTensor) -> DispatchTensor {
    match kind {
        Kind::Int => B::int_flip(x, &[axis]),
        Kind::Bool => B::bool_flip(x, &[axis]),
        Kind::Float | Kind::Host => B::float_flip(x, &[axis]),
    }
}

pub(super) fn gather(axis: usize, mut operands: Operands, types: Types) -> Outcome<DispatchTensor> {
    let kind = operands.kind();
    let (x, indices) = (operands.take()?, operands.take()?);
    Ok(match kind {
        Kind::Float | Kind::Host => B::float_select(x, axis, indices),
        Kind::Int => B::int_select(x, axis, indices),
        // As integers: flex forgets that what it selects are truth values.
        Kind::Bool => {
            let y = B::int_select(B::bool_into_int(x, types.int), axis, indices);
            B::int_not_equal_elem(y, Scalar::Int(0), types.bool)
        }
    })
}

pub(super) fn gather_elements(axis: usize, mut operands: Operands) -> Outcome<DispatchTensor> {
    let kind = operands.kind();
    let (x, indices) = (operands.take()?, operands.take()?);
    Ok(match kind {
        Kind::Float | Kind::Host => B::float_gather(axis, x, indices),
        Kind::Int => B::int_gather(axis, x, indices),
        Kind::Bool => B::bool_gather(axis, x, indices),
    })
}

pub(super) fn top_k(axis: usize, k: usize, largest: bool, x: DispatchTensor, types: Types) -> Vec<DispatchTensor> {
    if largest {
        let (values, indices) = B::float_topk_with_indices(x, axis, k, types.int);
        return vec![values, indices];
    }
    let (values, indices) = B::float_topk_with_indices(B::float_neg(x), axis, k, types.int);
    vec![B::float_neg(values), indices]
}
