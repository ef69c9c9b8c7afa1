//! Resampling of height and width.

use tract_onnx::prelude::TypedNode;
use tract_onnx::tract_core::ops::nn::{NearestUpsample, Resize};

use super::Reader;
use crate::fast::ir::Op;
use crate::fast::view::View;
use crate::kernel::Tap;

pub(super) fn read(reader: &mut Reader<'_>, node: &TypedNode) -> Option<View> {
    let (from, to) = {
        let x = reader.own(node, 0)?;
        (x.shape(), reader.shape(node.id.into())?)
    };
    if from.len() != to.len() {
        return None;
    }
    let mut taps: Vec<Option<Vec<Tap>>> = Vec::with_capacity(from.len());
    if let Some(op) = node.op_as::<NearestUpsample>() {
        for ((from, to), scale) in from.iter().zip(&to).zip(&op.scales) {
            let cells = (0..*to).map(|at| Tap::nearest((at / scale).min(from - 1)));
            taps.push((*scale != 1).then(|| cells.collect()));
        }
    } else {
        let op = node.op_as::<Resize>()?;
        for (axis, scale) in scales(reader, node, op, &from, &to)?.into_iter().enumerate() {
            let resampled = from[axis] != to[axis] || scale != 1.0;
            taps.push(if resampled { Some(planned(op, scale, from[axis], to[axis])?) } else { None });
        }
    }
    resampled(reader, node, &taps)
}

fn resampled(reader: &mut Reader<'_>, node: &TypedNode, taps: &[Option<Vec<Tap>>]) -> Option<View> {
    let x = reader.own(node, 0)?;
    let roles = reader.roles(&x)?;
    let image = reader.image(&x, Reader::by_role(&x, &roles))?;
    let mut shape = reader.graph.image(image)?;
    let mut both = [2, 3].map(|axis| same(shape[axis]));
    for (axis, taps) in taps.iter().enumerate() {
        let Some(taps) = taps else { continue };
        let role = roles[axis].filter(|role| *role >= 2)?;
        shape[role] = taps.len();
        both[role - 2] = taps.clone();
    }
    let id = reader.graph.add(Op::Resize(both), vec![image], &shape);
    Some(reader.with_roles(id, &roles))
}

/// Each cell as it is.
fn same(cells: usize) -> Vec<Tap> {
    (0..cells).map(Tap::nearest).collect()
}

fn scales(reader: &Reader<'_>, node: &TypedNode, op: &Resize, from: &[usize], to: &[usize]) -> Option<Vec<f32>> {
    let given = op.optional_scales_input.and_then(|ix| reader.floats(node, ix)).map(|(_, scales)| scales);
    let given = given.filter(|scales| scales.len() == from.len());
    Some(given.unwrap_or_else(|| from.iter().zip(to).map(|(i, o)| *o as f32 / *i as f32).collect()))
}

/// tract's own plan of an axis, where at most two cells count and their weights make up 1.
fn planned(op: &Resize, scale: f32, from: usize, to: usize) -> Option<Vec<Tap>> {
    let plan = op.plan_axis(scale, from, to);
    if plan.extrapolated.contains(&true) || plan.window == 0 || plan.indices.iter().any(|cell| *cell >= from) {
        return None;
    }
    let rows = plan.indices.chunks_exact(plan.window).zip(plan.weights.chunks_exact(plan.window));
    rows.map(|(cells, weights)| {
        let mut row = cells.iter().copied().zip(weights.iter().copied()).filter(|(_, weight)| *weight != 0.0);
        let (low, share) = row.next()?;
        let (high, weight) = row.next().unwrap_or((low, 1.0 - share));
        let whole = (share + weight - 1.0).abs() <= 1e-6 && row.next().is_none();
        whole.then_some(Tap { low, high, weight })
    })
    .collect()
}
