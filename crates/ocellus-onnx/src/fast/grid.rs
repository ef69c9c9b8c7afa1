//! Which values lie on a grid, as those of quantised models do.

use super::ir::{Graph, Id, Map, Op, Sum};
use crate::kernel::{Activation, Grid, PoolKind};

/// Values that are looked through.
const DEPTH: usize = 16;

/// The grid on which all numbers of a value lie: they were rounded to it, and at most moved or picked since.
pub(super) fn of(graph: &Graph, id: Id) -> Option<Grid> {
    within(graph, id, DEPTH)
}

fn within(graph: &Graph, id: Id, depth: usize) -> Option<Grid> {
    let depth = depth.checked_sub(1)?;
    let value = &graph.values[id];
    match &value.op {
        Op::Conv(conv) if conv.sum == Some(Sum::AfterActivation) => rounded(conv.last),
        Op::Conv(conv) => rounded(conv.activation),
        Op::Map(Map::Activation(activation)) | Op::Binary(_, activation) => rounded(*activation),
        Op::Pool(PoolKind::Max, _) | Op::Channels(_) => {
            let mut grids = value.inputs.iter().map(|input| within(graph, *input, depth));
            let first = grids.next()??;
            grids.all(|grid| grid == Some(first)).then_some(first)
        }
        Op::Resize(taps) if taps.iter().flatten().all(|tap| tap.weight == 0.0) => {
            within(graph, *value.inputs.first()?, depth)
        }
        _ => None,
    }
}

fn rounded(activation: Activation) -> Option<Grid> {
    match activation {
        Activation::Quantise(grid) | Activation::QuantisedSilu { product: grid, .. } => Some(grid),
        _ => None,
    }
}
