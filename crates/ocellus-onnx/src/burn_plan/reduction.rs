//! Steps over whole axes: sums, extremes, softmax, products of matrices.

use burn::backend::ops::{ActivationOps, FloatTensorOps, IntTensorOps};
use burn::backend::{Dispatch as B, DispatchTensor};

use super::execute::{Operands, Outcome};
use super::transfer::Types;
use crate::lower::step::{Kind, Reducer};

pub(super) fn matmul(mut operands: Operands) -> Outcome<DispatchTensor> {
    Ok(B::float_matmul(operands.take()?, operands.take()?))
}

pub(super) fn cum_sum(axis: usize, kind: Kind, x: DispatchTensor) -> DispatchTensor {
    if kind == Kind::Int { B::int_cumsum(x, axis) } else { B::float_cumsum(x, axis) }
}

pub(super) fn softmax(axis: usize, log: bool, x: DispatchTensor) -> DispatchTensor {
    if log { B::log_softmax(x, axis) } else { B::softmax(x, axis) }
}

/// Reduces one axis after the other; each keeps its place with an extent of 1.
pub(super) fn reduce(
    reducer: Reducer,
    axes: &[usize],
    kind: Kind,
    x: DispatchTensor,
    types: Types,
) -> Outcome<DispatchTensor> {
    axes.iter().try_fold(x, |x, axis| {
        Ok(match (kind, reducer) {
            (Kind::Float, Reducer::Sum) => B::float_sum_dim(x, *axis),
            (Kind::Float, Reducer::Mean) => B::float_mean_dim(x, *axis),
            (Kind::Float, Reducer::Max) => B::float_max_dim(x, *axis),
            (Kind::Float, Reducer::Min) => B::float_min_dim(x, *axis),
            (Kind::Float, Reducer::Prod) => B::float_prod_dim(x, *axis),
            (Kind::Float, Reducer::ArgMax) => B::float_argmax(x, *axis, types.int),
            (Kind::Float, Reducer::ArgMin) => B::float_argmin(x, *axis, types.int),
            (Kind::Int, Reducer::Sum) => B::int_sum_dim(x, *axis),
            (Kind::Int, Reducer::Max) => B::int_max_dim(x, *axis),
            (Kind::Int, Reducer::Min) => B::int_min_dim(x, *axis),
            _ => return Err(format!("there is no primitive for {reducer:?} of {kind:?}")),
        })
    })
}
