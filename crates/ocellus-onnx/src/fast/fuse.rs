//! Convolutions take in what follows them: biases, factors, activations, sums.

use super::ir::{Conv, Graph, Id, Map, Op, Sum};
use crate::kernel::{Activation, Binary, Grid};

/// Fuses what can be; values that nobody needs any more stay, unused.
pub(super) fn fuse(graph: &mut Graph) {
    let mut uses = graph.uses();
    let live = graph.live();
    for id in (0..graph.values.len()).filter(|id| live[*id]) {
        if quantised_silu(graph, &mut uses, id).is_some() {
            continue;
        }
        compose(graph, &mut uses, id);
        absorb(graph, &mut uses, id);
    }
}

/// The operation of an input that nobody else needs.
fn only<'g>(graph: &'g Graph, uses: &[usize], id: Id) -> Option<&'g Op> {
    (uses[id] == 1).then(|| &graph.values[id].op)
}

/// Makes one function of two in a row, and names what exporters spell out.
fn compose(graph: &mut Graph, uses: &mut [usize], id: Id) {
    if let Some((x, map, gone)) = hard_swish(graph, uses, id) {
        for gone in gone {
            uses[gone] = 0;
        }
        uses[x] -= 1;
        graph.values[id].op = Op::Map(map);
        graph.values[id].inputs = vec![x];
        return;
    }
    let (Op::Map(outer), [before]) = (&graph.values[id].op, graph.values[id].inputs.as_slice()) else { return };
    let (outer, before) = (*outer, *before);
    let both = match (only(graph, uses, before), outer) {
        (Some(Op::Map(inner)), _) => one_of(*inner, outer).map(Op::Map),
        (Some(Op::Mean(factor)), Map::Mul(number)) => Some(Op::Mean(factor * number)),
        (Some(Op::Binary(op, Activation::None)), Map::Activation(activation)) => Some(Op::Binary(*op, activation)),
        _ => None,
    };
    if let Some(both) = both {
        uses[before] = 0;
        graph.values[id].op = both;
        graph.values[id].inputs = graph.values[before].inputs.clone();
    }
}

/// `outer(inner(x))` as one function.
fn one_of(inner: Map, outer: Map) -> Option<Map> {
    match (inner, outer) {
        (Map::Activation(inner), Map::Activation(outer)) => in_a_row(inner, outer).map(Map::Activation),
        (Map::Mul(a), Map::Mul(b)) => Some(Map::Mul(a * b)),
        (Map::Add(a), Map::Add(b)) => Some(Map::Add(a + b)),
        _ => None,
    }
}

/// Two functions in a row as one.
fn in_a_row(inner: Activation, outer: Activation) -> Option<Activation> {
    match (inner, outer) {
        (Activation::None, outer) => Some(outer),
        (Activation::Clip { min: a, max: b }, Activation::Clip { min: c, max: d }) => {
            Some(Activation::Clip { min: a.max(c).min(d), max: b.max(c).min(d) })
        }
        // Rounding keeps the order, so that bounds may as well be rounded and applied after it.
        (Activation::Clip { min, max }, Activation::Quantise(Grid { scale, low, high })) if min <= max => {
            let steps = |bound: f32| (bound / scale).max(low).min(high).round_ties_even();
            Some(Activation::Quantise(Grid { scale, low: steps(min), high: steps(max) }))
        }
        _ => None,
    }
}

/// Whether these are the bounds of a function, as `clip(x, 0, max)`.
fn bounded(map: &Map, bound: f32) -> bool {
    matches!(map, Map::Activation(Activation::Clip { min, max }) if *min == 0.0 && *max == bound)
}

/// `x * clip(x + 3, 0, 6) / 6` and its variants, and `clip(a x + b, 0, 1)`: the argument, the function, and the values
/// that it replaces.
fn hard_swish(graph: &Graph, uses: &[usize], id: Id) -> Option<(Id, Map, Vec<Id>)> {
    let value = &graph.values[id];
    match (&value.op, value.inputs.as_slice()) {
        // The division by 6 at the end.
        (Op::Map(Map::Mul(sixth)), [product]) if near(*sixth, 1.0 / 6.0) => {
            let Some(Op::Binary(Binary::Mul, Activation::None)) = only(graph, uses, *product) else { return None };
            let [a, b] = *graph.values[*product].inputs.as_slice() else { return None };
            for (x, gate) in [(a, b), (b, a)] {
                if !matches!(only(graph, uses, gate), Some(Op::Map(map)) if bounded(map, 6.0)) {
                    continue;
                }
                let sum = *graph.values[gate].inputs.first()?;
                let Some(Op::Map(Map::Add(3.0))) = only(graph, uses, sum) else { continue };
                if graph.values[sum].inputs == [x] {
                    return Some((x, Map::Activation(Activation::HardSwish), vec![*product, gate, sum]));
                }
            }
            None
        }
        (Op::Map(map), [sum]) if bounded(map, 1.0) => {
            let Some(Op::Map(Map::Add(b))) = only(graph, uses, *sum) else { return None };
            let product = *graph.values[*sum].inputs.first()?;
            let Some(Op::Map(Map::Mul(a))) = only(graph, uses, product) else { return None };
            let x = *graph.values[product].inputs.first()?;
            Some((x, Map::Activation(Activation::HardSigmoid { alpha: *a, beta: *b }), vec![*sum, product]))
        }
        (Op::Binary(Binary::Mul, Activation::None), [a, b]) => {
            [(*a, *b), (*b, *a)].into_iter().find_map(|(x, gate)| {
                let Some(Op::Map(Map::Activation(Activation::HardSigmoid { alpha, beta }))) = only(graph, uses, gate)
                else {
                    return None;
                };
                let same = graph.values[gate].inputs == [x] && near(*alpha, 1.0 / 6.0) && near(*beta, 0.5);
                same.then(|| (x, Map::Activation(Activation::HardSwish), vec![gate]))
            })
        }
        _ => None,
    }
}

/// Takes `q3(x * q2(sigmoid(x)))` into the convolution that `x = q1(conv)` is, the `q` being roundings to grids.
fn quantised_silu(graph: &mut Graph, uses: &mut [usize], id: Id) -> Option<()> {
    let rounded = |id: Id, op: &Op| match op {
        Op::Map(Map::Activation(Activation::Quantise(grid))) => Some((*grid, *graph.values[id].inputs.first()?)),
        _ => None,
    };
    let (product, multiplied) = rounded(id, &graph.values[id].op)?;
    let Op::Binary(Binary::Mul, Activation::None) = only(graph, uses, multiplied)? else { return None };
    let [a, b] = *graph.values[multiplied].inputs.as_slice() else { return None };
    for (conv, gated) in [(a, b), (b, a)] {
        let Some((gate, sigmoid)) = only(graph, uses, gated).and_then(|op| rounded(gated, op)) else { continue };
        let Some(Op::Map(Map::Activation(Activation::Sigmoid))) = only(graph, uses, sigmoid) else { continue };
        let Op::Conv(taken) = &graph.values[conv].op else { continue };
        let Activation::Quantise(x) = taken.activation else { continue };
        if uses[conv] != 2 || graph.values[sigmoid].inputs != [conv] || taken.sum == Some(Sum::AfterActivation) {
            continue;
        }
        let taken = Conv { activation: Activation::QuantisedSilu { x, gate, product }, ..taken.as_ref().clone() };
        for gone in [multiplied, gated, sigmoid, conv] {
            uses[gone] = 0;
        }
        let value = &mut graph.values[id];
        value.op = Op::Conv(Box::new(taken));
        value.image = true;
        graph.values[id].inputs = graph.values[conv].inputs.clone();
        return Some(());
    }
    None
}

fn near(a: f32, b: f32) -> bool {
    (a - b).abs() <= 1e-6
}

/// Takes value `id` into the convolution before it, which moves to its place.
fn absorb(graph: &mut Graph, uses: &mut [usize], id: Id) {
    let inputs = graph.values[id].inputs.clone();
    let op = graph.values[id].op.clone();
    // The later of two convolutions is the one to take the sum: the other has long been computed then.
    let mut order = inputs.clone();
    order.sort_unstable_by(|a, b| b.cmp(a));
    for before in order {
        let Some(Op::Conv(conv)) = only(graph, uses, before) else { continue };
        let mut conv = conv.as_ref().clone();
        let mut sources = graph.values[before].inputs.clone();
        let taken = match &op {
            Op::Map(map) => with_map(&mut conv, *map),
            Op::Binary(op, Activation::None) => {
                let other = inputs.iter().copied().find(|input| *input != before);
                other.is_some_and(|other| with_other(graph, &mut conv, &mut sources, *op, (before, other), &inputs))
            }
            _ => false,
        };
        if taken {
            uses[before] = 0;
            graph.values[id].op = Op::Conv(Box::new(conv));
            graph.values[id].inputs = sources;
            graph.values[id].image = true;
            return;
        }
    }
}

fn with_map(conv: &mut Conv, map: Map) -> bool {
    let linear = conv.activation == Activation::None && conv.sum != Some(Sum::AfterActivation);
    match map {
        Map::Add(number) if linear => {
            conv.bias.iter_mut().for_each(|bias| *bias += number);
            return true;
        }
        Map::Mul(number) if linear && conv.sum.is_none() => {
            conv.bias.iter_mut().chain(&mut conv.weights).for_each(|weight| *weight *= number);
            return true;
        }
        _ => {}
    }
    let Map::Activation(outer) = map else { return false };
    let inner = if conv.sum == Some(Sum::AfterActivation) { &mut conv.last } else { &mut conv.activation };
    let both = in_a_row(*inner, outer);
    *inner = both.unwrap_or(*inner);
    both.is_some()
}

/// Takes in an operation with a constant or with another image.
fn with_other(
    graph: &Graph,
    conv: &mut Conv,
    sources: &mut Vec<Id>,
    op: Binary,
    (before, other): (Id, Id),
    inputs: &[Id],
) -> bool {
    let shape = &graph.values[before].shape;
    if let Op::Constant(data) = &graph.values[other].op {
        let linear = conv.activation == Activation::None
            && conv.sum != Some(Sum::AfterActivation)
            && data.len() == conv.bias.len();
        return linear && inputs.first() == Some(&before) && with_channels(conv, op, data);
    }
    if op != Binary::Add || conv.sum.is_some() || graph.values[other].shape != *shape || !graph.values[other].image {
        return false;
    }
    conv.sum = Some(if conv.activation != Activation::None { Sum::AfterActivation } else { Sum::BeforeActivation });
    sources.push(other);
    true
}

/// Takes in one number a channel.
fn with_channels(conv: &mut Conv, op: Binary, data: &[f32]) -> bool {
    match op {
        Binary::Add => conv.bias.iter_mut().zip(data).for_each(|(bias, add)| *bias += add),
        Binary::Sub => conv.bias.iter_mut().zip(data).for_each(|(bias, add)| *bias -= add),
        Binary::Mul if conv.sum.is_none() => {
            let each = conv.weights.len() / data.len().max(1);
            for ((weights, bias), factor) in conv.weights.chunks_mut(each.max(1)).zip(&mut conv.bias).zip(data) {
                weights.iter_mut().for_each(|weight| *weight *= factor);
                *bias *= factor;
            }
        }
        Binary::Mul | Binary::Div | Binary::Max | Binary::Min => return false,
    }
    true
}
