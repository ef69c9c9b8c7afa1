//! Operators that only move numbers: views where that can be.

use tract_onnx::prelude::{TDim, TypedNode};
use tract_onnx::tract_core::internal::{AxisOp, DimLike};
use tract_onnx::tract_core::ops::Downsample;
use tract_onnx::tract_core::ops::array::{Slice, TypedConcat};
use tract_onnx::tract_core::ops::identity::Identity;

use super::Reader;
use crate::fast::ir::{Id, Op};
use crate::fast::view::View;

pub(super) fn read(reader: &mut Reader<'_>, node: &TypedNode) -> Option<View> {
    if node.op_is::<TypedConcat>() {
        return concat(reader, node);
    }
    let movement = Movement::of(reader, node)?;
    let x = reader.any(node, 0)?;
    if let Some(view) = movement.apply(x.clone()) {
        return Some(view);
    }
    // What cannot be seen through one view is moved first.
    let shape = x.shape();
    if !reader.graph.is_own(x.base) {
        return None;
    }
    let base = x.base;
    let id = reader.graph.add(Op::Gather(x), vec![base], &shape);
    movement.apply(View::whole(id, &shape))
}

enum Movement {
    Same,
    Move(usize, usize),
    Reshape(Vec<usize>),
    Slice(usize, usize, usize),
    Thin(usize, usize, usize),
}

impl Movement {
    fn of(reader: &Reader<'_>, node: &TypedNode) -> Option<Self> {
        if let Some(op) = node.op_as::<AxisOp>() {
            return match op {
                AxisOp::Move(from, to) => Some(Self::Move(*from, *to)),
                AxisOp::Add(_) | AxisOp::Rm(_) | AxisOp::Reshape(..) => reader.shape(node.id.into()).map(Self::Reshape),
            };
        }
        if let Some(op) = node.op_as::<Slice>() {
            return Some(Self::Slice(op.axis, known(&op.start)?, known(&op.end)?));
        }
        if let Some(op) = node.op_as::<Downsample>() {
            return Some(Self::Thin(op.axis, op.modulo, usize::try_from(op.stride).ok()?));
        }
        node.op_is::<Identity>().then_some(Self::Same)
    }

    fn apply(&self, x: View) -> Option<View> {
        match self {
            Self::Same => Some(x),
            Self::Move(from, to) => x.moved(*from, *to),
            Self::Reshape(shape) => x.reshaped(shape),
            Self::Slice(axis, start, end) => x.sliced(*axis, *start, *end),
            Self::Thin(axis, first, step) => x.thinned(*axis, *first, *step),
        }
    }
}

/// Images are joined along their channels; all else in rows.
fn concat(reader: &mut Reader<'_>, node: &TypedNode) -> Option<View> {
    let axis = node.op_as::<TypedConcat>()?.axis;
    let parts = (0..node.inputs.len()).map(|ix| reader.any(node, ix)).collect::<Option<Vec<View>>>()?;
    let shape = reader.shape(node.id.into())?;
    if let Some(joined) = channels(reader, &parts, axis) {
        return Some(joined);
    }
    // Values of tract alone are left to tract, but for those of the model's input.
    let of_tract = |view: &View| {
        matches!(reader.graph.values[view.base].op, Op::Tensor(_)) && {
            !reader.graph.values[view.base].inputs.is_empty()
        }
    };
    if parts.iter().any(of_tract) {
        return None;
    }
    let mut inputs = vec![];
    for part in parts {
        inputs.push(reader.plain(part));
    }
    let id = reader.graph.add(Op::Concat(axis), inputs, &shape);
    Some(View::whole(id, &shape))
}

/// Images of one size joined along their channels.
fn channels(reader: &mut Reader<'_>, parts: &[View], axis: usize) -> Option<View> {
    let mut roles: Option<Vec<Option<usize>>> = None;
    for part in parts {
        let own = reader.roles(part)?;
        if own.get(axis).copied().flatten().is_some_and(|role| role != 1) {
            return None;
        }
        match &mut roles {
            None => roles = Some(own),
            Some(known) => {
                for (known, own) in known.iter_mut().zip(own) {
                    if own.is_some() && known.is_some() && *known != own {
                        return None;
                    }
                    *known = known.or(own);
                }
            }
        }
    }
    let mut roles = roles?;
    *roles.get_mut(axis)? = Some(1);
    if roles.iter().filter(|role| **role == Some(1)).count() != 1 {
        return None;
    }
    let mut picked: Vec<(Id, usize)> = vec![];
    let mut shape = [0; 4];
    for part in parts {
        let id = reader.image(part, Reader::by_role(part, &roles))?;
        let part = reader.graph.image(id)?;
        if !picked.is_empty() && (part[0] != shape[0] || part[2..] != shape[2..]) {
            return None;
        }
        picked.extend((0..part[1]).map(|channel| (id, channel)));
        shape = [part[0], picked.len(), part[2], part[3]];
    }
    let id = reader.pick(picked, &shape);
    Some(reader.with_roles(id, &roles))
}

fn known(dim: &TDim) -> Option<usize> {
    dim.to_usize().ok()
}
