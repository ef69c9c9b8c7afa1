//! Operators that pick elements by index: gather, top k.

use tract_onnx::prelude::TypedNode;
use tract_onnx::tract_core::ops::array::{Gather, GatherElements, Topk};

use super::bounds::Bounds;
use super::build::Builder;
use super::elements::integers;
use super::infer::Outcome;
use super::layout::slice_axis;
use super::step::{Binary, Compare, ConstantData, Kind, Op, SliceRange, Unary, ValueId};

/// Up to here floats hold every integer.
const EXACT: usize = 1 << 24;

pub(super) fn lower(b: &mut Builder<'_>, node: &TypedNode) -> Option<Outcome<Vec<ValueId>>> {
    if let Some(op) = node.op_as::<Gather>() {
        return Some(gather(b, node, op.axis).map(|y| vec![y]));
    }
    if let Some(op) = node.op_as::<GatherElements>() {
        return Some(gather_elements(b, node, op.axis).map(|y| vec![y]));
    }
    let op = node.op_as::<Topk>()?;
    Some(top_k(b, node, op))
}

fn gather(b: &mut Builder<'_>, node: &TypedNode, axis: usize) -> Outcome<ValueId> {
    let shape = b.output_info(node)?.shape;
    let x = b.input(node, 0)?;
    let extent = extent(b, x, axis)?;
    if let Some(tensor) = b.constant_input(node, 1) {
        let indices = checked(&integers(&tensor)?, extent)?;
        if let Some(range) = evenly_spaced(&indices) {
            let y = slice_axis(b, x, axis, range)?;
            return b.reshape(y, &shape);
        }
        let y = select(b, x, axis, &indices)?;
        return b.reshape(y, &shape);
    }
    let indices = b.index_input(node, 1)?;
    let indices = wrapped(b, indices, extent)?;
    let count = b.info(indices).volume();
    let indices = b.reshape(indices, &[count])?;
    let y = b.emit(Op::Gather { axis }, &[x, indices])?;
    b.reshape(y, &shape)
}

/// Takes these rows of an axis.
pub(super) fn select(b: &mut Builder<'_>, x: ValueId, axis: usize, indices: &[usize]) -> Outcome<ValueId> {
    let data: Result<Vec<i64>, _> = indices.iter().map(|i| i64::try_from(*i)).collect();
    let data = ConstantData::Int(data.map_err(|_| "an index is too large")?);
    let indices = b.constant(data, &[indices.len()])?;
    b.emit(Op::Gather { axis }, &[x, indices])
}

fn gather_elements(b: &mut Builder<'_>, node: &TypedNode, axis: usize) -> Outcome<ValueId> {
    let mut x = b.input(node, 0)?;
    let extent = extent(b, x, axis)?;
    let indices = match b.constant_input(node, 1) {
        Some(tensor) => {
            let data = checked(&integers(&tensor)?, extent)?;
            let data = data.iter().filter_map(|i| i64::try_from(*i).ok()).collect();
            b.constant(ConstantData::Int(data), tensor.shape())?
        }
        None => {
            let indices = b.index_input(node, 1)?;
            wrapped(b, indices, extent)?
        }
    };
    let wanted = b.shape(indices);
    for (other, want) in wanted.iter().enumerate() {
        if other != axis && b.info(x).shape.get(other).is_some_and(|have| have > want) {
            x = slice_axis(b, x, other, SliceRange { start: 0, end: *want, step: 1 })?;
        }
    }
    b.emit(Op::GatherElements { axis }, &[x, indices])
}

fn top_k(b: &mut Builder<'_>, node: &TypedNode, op: &Topk) -> Outcome<Vec<ValueId>> {
    let k = b.scalar_input(node, 1).ok_or("k is computed while it runs")?;
    if k < 1.0 {
        return Err(format!("the top {k} of an axis"));
    }
    let x = b.input(node, 0)?;
    b.emit_all(Op::TopK { axis: op.axis, k: k as usize, largest: op.largest }, &[x])
}

fn extent(b: &Builder<'_>, x: ValueId, axis: usize) -> Outcome<usize> {
    b.info(x).shape.get(axis).copied().ok_or_else(|| format!("there is no axis {axis}"))
}

/// Constant indices, negative ones counted from the end.
fn checked(indices: &[i64], extent: usize) -> Outcome<Vec<usize>> {
    let resolve = |index: &i64| {
        let from_start = usize::try_from(*index).ok();
        let from_end = || usize::try_from(index.unsigned_abs()).ok().and_then(|i| extent.checked_sub(i));
        from_start
            .or_else(from_end)
            .filter(|i| *i < extent)
            .ok_or_else(|| format!("index {index} of an axis of {extent}"))
    };
    indices.iter().map(resolve).collect()
}

/// The indices as a slice, where they are one.
fn evenly_spaced(indices: &[usize]) -> Option<SliceRange> {
    let (first, last) = (*indices.first()?, *indices.last()?);
    let step = match indices {
        [_] => 1,
        [a, b, ..] => b.checked_sub(*a).filter(|s| *s > 0)?,
        [] => return None,
    };
    let even = indices.windows(2).all(|w| w[1].checked_sub(w[0]) == Some(step));
    even.then_some(SliceRange { start: first, end: last + 1, step })
}

/// Indices computed by the graph: negative ones counted from the end, and none outside the
/// axis, because a device does not check them.
fn wrapped(b: &mut Builder<'_>, indices: ValueId, extent: usize) -> Outcome<ValueId> {
    let last = extent.saturating_sub(1);
    if b.bounds(indices).within(Bounds::of_axis(extent)) {
        return Ok(indices);
    }
    if extent > EXACT {
        return Err(format!("indices of an axis of {extent} are not exact as floats"));
    }
    let (min, max) = (-(extent as f32), last as f32);
    let indices = b.emit(Op::Unary(Unary::Clamp { min, max }), &[indices])?;
    let negative = b.emit(Op::CompareScalar(Compare::Less, 0.0), &[indices])?;
    let negative = b.emit(Op::Cast(Kind::Int), &[negative])?;
    let shift = b.emit(Op::BinaryScalar(Binary::Mul, extent as f64), &[negative])?;
    let indices = b.emit(Op::Binary(Binary::Add), &[indices, shift])?;
    b.emit(Op::Unary(Unary::Clamp { min: 0.0, max }), &[indices])
}
