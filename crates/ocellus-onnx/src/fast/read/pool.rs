//! Windows that take the largest or the mean, and sums over whole images.

use tract_onnx::prelude::TypedNode;
use tract_onnx::tract_core::ops::cnn::{MaxPool, PaddingSpec, SumPool};
use tract_onnx::tract_core::ops::nn::{Reduce, Reducer};

use super::Reader;
use super::conv::{enter, leave, window};
use crate::fast::ir::Op;
use crate::fast::view::{View, extent};
use crate::kernel::{Pool, PoolKind};

pub(super) fn read(reader: &mut Reader<'_>, node: &TypedNode) -> Option<View> {
    if let Some(op) = node.op_as::<Reduce>() {
        return sum(reader, node, op);
    }
    let (spec, kind) = if let Some(op) = node.op_as::<MaxPool>() {
        if op.with_index_outputs.is_some() {
            return None;
        }
        (&op.pool_spec, PoolKind::Max)
    } else {
        let op = node.op_as::<SumPool>()?;
        if !op.normalize {
            return None;
        }
        (&op.pool_spec, PoolKind::Average { include_padding: op.count_include_pad })
    };
    if spec.rank() == 0 || spec.rank() > 2 || matches!(spec.padding, PaddingSpec::ExplicitOnnxPool(_, _, true)) {
        return None;
    }
    let x = reader.own(node, 0)?;
    let axes = enter(&x, spec)?;
    let input = [0, 1, 2, 3].map(|axis| extent(&axes[axis]));
    let window = window(spec, [input[2], input[3]])?;
    Pool::new(reader.isa, kind, window)?;
    let [height, width] = window.output(input[2], input[3])?;
    let image = reader.image(&x, axes)?;
    let shape = [input[0], input[1], height, width];
    let id = reader.graph.add(Op::Pool(kind, window), vec![image], &shape);
    Some(leave(reader, id, spec))
}

fn sum(reader: &mut Reader<'_>, node: &TypedNode, op: &Reduce) -> Option<View> {
    if op.reducer != Reducer::Sum {
        return None;
    }
    let x = reader.own(node, 0)?;
    let roles = reader.roles(&x)?;
    let summed = |role: usize| {
        let at = roles.iter().position(|r| *r == Some(role));
        at.is_none_or(|at| op.axes.contains(&at))
    };
    let only_area = op.axes.iter().all(|axis| !matches!(roles.get(*axis), Some(Some(0 | 1)) | None));
    if !only_area || !summed(2) || !summed(3) {
        return None;
    }
    let image = reader.image(&x, Reader::by_role(&x, &roles))?;
    let [n, c, h, w] = reader.graph.image(image)?;
    let id = reader.graph.add(Op::Mean((h * w) as f32), vec![image], &[n, c, 1, 1]);
    Some(reader.with_roles(id, &roles))
}
