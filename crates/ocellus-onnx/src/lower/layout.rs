//! Operators that only move elements: reshapes, permutations, slices, joins, padding, repeats.

use tract_onnx::prelude::{TDim, TypedNode};
use tract_onnx::tract_core::internal::{AxisOp, DimLike};
use tract_onnx::tract_core::ops::Downsample;
use tract_onnx::tract_core::ops::array::{MultiBroadcastTo, Pad, PadMode as TractPadMode, Slice, Tile, TypedConcat};
use tract_onnx::tract_core::ops::identity::Identity;

use super::build::Builder;
use super::infer::Outcome;
use super::step::{Op, PadMode, SliceRange, ValueId};

pub(super) fn lower(b: &mut Builder<'_>, node: &TypedNode) -> Option<Outcome<Vec<ValueId>>> {
    let value = if let Some(op) = node.op_as::<AxisOp>() {
        axis_op(b, node, op)
    } else if let Some(op) = node.op_as::<TypedConcat>() {
        b.inputs(node).and_then(|parts| b.emit(Op::Concat { axis: op.axis }, &parts))
    } else if let Some(op) = node.op_as::<Slice>() {
        slice(b, node, op)
    } else if let Some(op) = node.op_as::<Downsample>() {
        downsample(b, node, op)
    } else if let Some(op) = node.op_as::<Pad>() {
        pad(b, node, op)
    } else if node.op_is::<MultiBroadcastTo>() {
        broadcast_to(b, node)
    } else if let Some(op) = node.op_as::<Tile>() {
        tile(b, node, op)
    } else if node.op_is::<Identity>() {
        b.input(node, 0)
    } else {
        return None;
    };
    Some(value.map(|y| vec![y]))
}

fn axis_op(b: &mut Builder<'_>, node: &TypedNode, op: &AxisOp) -> Outcome<ValueId> {
    let x = b.input(node, 0)?;
    match op {
        AxisOp::Move(from, to) => {
            let mut axes: Vec<usize> = (0..b.info(x).shape.len()).collect();
            if *from >= axes.len() || *to >= axes.len() {
                return Err(format!("axis {from} cannot move to {to}"));
            }
            let axis = axes.remove(*from);
            axes.insert(*to, axis);
            b.permute(x, &axes)
        }
        AxisOp::Add(_) | AxisOp::Rm(_) | AxisOp::Reshape(..) => {
            let shape = b.output_info(node)?.shape;
            b.reshape(x, &shape)
        }
    }
}

fn slice(b: &mut Builder<'_>, node: &TypedNode, op: &Slice) -> Outcome<ValueId> {
    let (start, end) = (extent(&op.start)?, extent(&op.end)?);
    let x = b.input(node, 0)?;
    slice_axis(b, x, op.axis, SliceRange { start, end, step: 1 })
}

fn downsample(b: &mut Builder<'_>, node: &TypedNode, op: &Downsample) -> Outcome<ValueId> {
    let x = b.input(node, 0)?;
    let end = b.info(x).shape.get(op.axis).copied().unwrap_or(0);
    let step = op.stride.unsigned_abs();
    if op.stride >= 0 {
        return slice_axis(b, x, op.axis, SliceRange { start: op.modulo, end, step });
    }
    // Backwards from the end, as far as `modulo`.
    let x = b.emit(Op::Flip { axis: op.axis }, &[x])?;
    slice_axis(b, x, op.axis, SliceRange { start: 0, end: end.saturating_sub(op.modulo), step })
}

/// Cuts one axis and leaves the others whole.
pub(super) fn slice_axis(b: &mut Builder<'_>, x: ValueId, axis: usize, range: SliceRange) -> Outcome<ValueId> {
    let mut ranges: Vec<SliceRange> =
        b.info(x).shape.iter().map(|d| SliceRange { start: 0, end: *d, step: 1 }).collect();
    *ranges.get_mut(axis).ok_or_else(|| format!("there is no axis {axis}"))? = range;
    b.emit(Op::Slice(ranges), &[x])
}

fn pad(b: &mut Builder<'_>, node: &TypedNode, op: &Pad) -> Outcome<ValueId> {
    let mode = match &op.mode {
        TractPadMode::Constant(value) => {
            PadMode::Constant(value.cast_to_scalar::<f32>().map_err(|e| format!("{e:#}"))?)
        }
        TractPadMode::Reflect => PadMode::Reflect,
        TractPadMode::Edge => PadMode::Edge,
    };
    let x = b.input(node, 0)?;
    let reach = |(extent, (before, after)): (&usize, &(usize, usize))| before.max(after) < extent;
    if mode == PadMode::Reflect && !b.info(x).shape.iter().zip(&op.pads).all(reach) {
        return Err(format!("reflection by {:?} is wider than the tensor", op.pads));
    }
    b.emit(Op::Pad { pads: op.pads.clone(), mode }, &[x])
}

fn broadcast_to(b: &mut Builder<'_>, node: &TypedNode) -> Outcome<ValueId> {
    let target = b.output_info(node)?.shape;
    let x = b.input(node, 0)?;
    let shape = b.shape(x);
    let missing = target.len().saturating_sub(shape.len());
    let aligned: Vec<usize> = std::iter::repeat_n(1, missing).chain(shape).collect();
    let x = b.reshape(x, &aligned)?;
    b.expand(x, &target)
}

fn tile(b: &mut Builder<'_>, node: &TypedNode, op: &Tile) -> Outcome<ValueId> {
    let mut x = b.input(node, 0)?;
    for (axis, times) in op.multipliers.iter().enumerate() {
        x = repeat(b, x, axis, extent(times)?, Repeat::Whole)?;
    }
    Ok(x)
}

/// What is repeated along an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// Each element in place: `aabb`.
    Each,
    /// The axis as a whole: `abab`.
    Whole,
}

/// Repeats along an axis.
pub(super) fn repeat(b: &mut Builder<'_>, x: ValueId, axis: usize, times: usize, what: Repeat) -> Outcome<ValueId> {
    if times == 1 {
        return Ok(x);
    }
    let mut shape = b.shape(x);
    let extent = shape.get(axis).copied().ok_or_else(|| format!("there is no axis {axis}"))?;
    let inserted = if what == Repeat::Each { axis + 1 } else { axis };
    shape.insert(inserted, 1);
    let x = b.reshape(x, &shape)?;
    shape.splice(inserted..=inserted, [times]);
    let x = b.expand(x, &shape)?;
    shape.remove(inserted);
    shape.splice(axis..=axis, [extent * times]);
    b.reshape(x, &shape)
}

fn extent(dim: &TDim) -> Outcome<usize> {
    dim.to_usize().map_err(|_| format!("{dim} is not known before it runs"))
}
