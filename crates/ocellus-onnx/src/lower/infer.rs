//! Shapes and kinds of what a step gives; refuses operands that do not fit.
//!
//! Primitives of the backends check nothing: a convolution with the wrong number of channels
//! returns numbers. So every step passes through here once, at load.

use super::step::{Binary, ConvParams, ConvTransposeParams, Kind, Logic, Op, PoolParams, Reducer, Unary, ValueInfo};

/// What an operator's translation gives; the error says why the operator is refused.
pub(crate) type Outcome<T> = Result<T, String>;

/// Shape and kind of each output of `op` on `inputs`.
///
/// # Errors
///
/// The reason, when the operands do not fit the operation.
pub(crate) fn infer(op: &Op, inputs: &[&ValueInfo]) -> Outcome<Vec<ValueInfo>> {
    let one = |shape: Vec<usize>, kind| Ok(vec![ValueInfo { shape, kind }]);
    match op {
        Op::Host(node) => Ok(node.outputs.iter().map(|shape| ValueInfo::new(Kind::Host, shape.as_slice())).collect()),
        Op::Download(types) => {
            ensure(types.len() == inputs.len(), || "one type per value is needed".into())?;
            Ok(types.iter().map(|(_, shape)| ValueInfo::new(Kind::Host, shape.as_slice())).collect())
        }
        Op::Upload(info) => {
            of_kind(inputs, 0, Kind::Host)?;
            Ok(vec![info.clone()])
        }
        Op::Flip { axis } | Op::CumSum { axis } => {
            let x = operand(inputs, 0)?;
            extent(x, *axis)?;
            ensure(matches!(op, Op::Flip { .. }) || x.kind != Kind::Bool, || "a sum of truth values".into())?;
            Ok(vec![x.clone()])
        }
        Op::Conv(params) => one(conv(params, inputs)?, Kind::Float),
        Op::ConvTranspose(params) => one(conv_transpose(params, inputs)?, Kind::Float),
        Op::MaxPool(pool) | Op::AvgPool { pool, .. } => one(pooled(pool, inputs)?, Kind::Float),
        Op::Interpolate { size, .. } => {
            let [n, c, h, w] = image(float(inputs, 0)?)?;
            ensure(h * w > 0 && size.iter().all(|s| *s > 0), || "resize of nothing".into())?;
            one(vec![n, c, size[0], size[1]], Kind::Float)
        }
        Op::GridSample { .. } => {
            let [n, c, _, _] = image(float(inputs, 0)?)?;
            let [gn, h, w, pair] = image(float(inputs, 1)?)?;
            ensure(gn == n && pair == 2, || format!("grid of batch {gn}, {pair} coordinates"))?;
            one(vec![n, c, h, w], Kind::Float)
        }
        Op::Unary(Unary::Clamp { .. }) if operand(inputs, 0)?.kind == Kind::Int => {
            one(operand(inputs, 0)?.shape.clone(), Kind::Int)
        }
        Op::Unary(_) | Op::Width { .. } => one(float(inputs, 0)?.shape.clone(), Kind::Float),
        Op::Binary(binary) => {
            let kind = arithmetic_kind(*binary, operand(inputs, 0)?)?;
            one(broadcast_pair(inputs)?, kind)
        }
        Op::BinaryScalar(binary, _) => {
            let x = operand(inputs, 0)?;
            one(x.shape.clone(), arithmetic_kind(*binary, x)?)
        }
        Op::Compare(_) => {
            not_bool(inputs)?;
            one(broadcast_pair(inputs)?, Kind::Bool)
        }
        Op::CompareScalar(..) => one(not_bool(inputs)?.shape.clone(), Kind::Bool),
        Op::Logic(Logic::Not) => one(of_kind(inputs, 0, Kind::Bool)?.shape.clone(), Kind::Bool),
        Op::Logic(_) => {
            of_kind(inputs, 0, Kind::Bool)?;
            one(broadcast_pair(inputs)?, Kind::Bool)
        }
        Op::Select => {
            let (on, off) = (operand(inputs, 1)?, operand(inputs, 2)?);
            let condition = of_kind(inputs, 0, Kind::Bool)?;
            ensure(on == off && condition.shape == on.shape, || "branches differ".into())?;
            one(on.shape.clone(), on.kind)
        }
        Op::Cast(kind) => one(operand(inputs, 0)?.shape.clone(), *kind),
        Op::MatMul => one(matmul(float(inputs, 0)?, float(inputs, 1)?)?, Kind::Float),
        Op::Reduce { reducer, axes } => reduce(*reducer, axes, operand(inputs, 0)?),
        Op::Softmax { axis, .. } => {
            let x = float(inputs, 0)?;
            extent(x, *axis)?;
            one(x.shape.clone(), Kind::Float)
        }
        Op::Concat { axis } => concat(*axis, inputs),
        Op::Slice(ranges) => {
            let x = operand(inputs, 0)?;
            ensure(ranges.len() == x.shape.len(), || "one range per axis is needed".into())?;
            let fits = ranges.iter().zip(&x.shape).all(|(r, d)| r.step > 0 && r.end <= *d);
            ensure(fits, || format!("slice {ranges:?} of {:?}", x.shape))?;
            one(ranges.iter().map(|r| r.len()).collect(), x.kind)
        }
        Op::Reshape(shape) => {
            let x = operand(inputs, 0)?;
            ensure(x.volume() == shape.iter().product::<usize>(), || format!("reshape of {:?} to {shape:?}", x.shape))?;
            one(shape.clone(), x.kind)
        }
        Op::Permute(axes) => {
            let x = operand(inputs, 0)?;
            let mut sorted = axes.clone();
            sorted.sort_unstable();
            ensure(sorted.iter().copied().eq(0..x.shape.len()), || format!("axes {axes:?}"))?;
            one(axes.iter().filter_map(|a| x.shape.get(*a)).copied().collect(), x.kind)
        }
        Op::Expand(shape) => {
            let x = operand(inputs, 0)?;
            ensure(broadcast(&x.shape, shape)? == *shape, || format!("expansion of {:?} to {shape:?}", x.shape))?;
            one(shape.clone(), x.kind)
        }
        Op::Pad { pads, .. } => {
            let x = operand(inputs, 0)?;
            ensure(pads.len() == x.shape.len(), || "one pad per axis is needed".into())?;
            one(x.shape.iter().zip(pads).map(|(d, (a, b))| d + a + b).collect(), x.kind)
        }
        Op::Gather { axis } => {
            let (x, indices) = (operand(inputs, 0)?, of_kind(inputs, 1, Kind::Int)?);
            ensure(indices.shape.len() == 1, || "indices of one axis are needed".into())?;
            extent(x, *axis)?;
            let mut shape = x.shape.clone();
            shape.splice(axis..=axis, indices.shape.iter().copied());
            one(shape, x.kind)
        }
        Op::GatherElements { axis } => {
            let (x, indices) = (operand(inputs, 0)?, of_kind(inputs, 1, Kind::Int)?);
            extent(x, *axis)?;
            let same = |(i, (a, b)): (usize, (&usize, &usize))| i == *axis || a == b;
            let fits = x.shape.len() == indices.shape.len() && x.shape.iter().zip(&indices.shape).enumerate().all(same);
            ensure(fits, || format!("{:?} indexed by {:?}", x.shape, indices.shape))?;
            one(indices.shape.clone(), x.kind)
        }
        Op::TopK { axis, k, .. } => {
            let x = float(inputs, 0)?;
            ensure(*k > 0 && *k <= extent(x, *axis)?, || format!("top {k} of {:?}", x.shape))?;
            let mut shape = x.shape.clone();
            shape.splice(axis..=axis, [*k]);
            Ok(vec![ValueInfo::new(Kind::Float, shape.clone()), ValueInfo::new(Kind::Int, shape)])
        }
    }
}

/// Cells that a window of `kernel` at `dilation` spans.
pub(crate) fn span(kernel: usize, dilation: usize) -> usize {
    kernel.saturating_sub(1) * dilation + 1
}

/// The shape that two shapes of equal rank stretch to.
///
/// # Errors
///
/// The reason, when extents differ and neither is 1.
pub(crate) fn broadcast(a: &[usize], b: &[usize]) -> Outcome<Vec<usize>> {
    let refuse = || format!("shapes {a:?} and {b:?} do not broadcast");
    if a.len() != b.len() {
        return Err(refuse());
    }
    let extents = a.iter().zip(b).map(|(x, y)| match (x, y) {
        (1, d) | (d, 1) => Ok(*d),
        (x, y) if x == y => Ok(*x),
        _ => Err(refuse()),
    });
    extents.collect()
}

fn ensure(condition: bool, reason: impl FnOnce() -> String) -> Outcome<()> {
    if condition { Ok(()) } else { Err(reason()) }
}

fn operand<'a>(inputs: &[&'a ValueInfo], ix: usize) -> Outcome<&'a ValueInfo> {
    inputs.get(ix).copied().ok_or_else(|| format!("operand {ix} is missing"))
}

fn of_kind<'a>(inputs: &[&'a ValueInfo], ix: usize, kind: Kind) -> Outcome<&'a ValueInfo> {
    let info = operand(inputs, ix)?;
    ensure(info.kind == kind, || format!("operand {ix} is {:?}, not {kind:?}", info.kind))?;
    Ok(info)
}

fn float<'a>(inputs: &[&'a ValueInfo], ix: usize) -> Outcome<&'a ValueInfo> {
    of_kind(inputs, ix, Kind::Float)
}

fn not_bool<'a>(inputs: &[&'a ValueInfo]) -> Outcome<&'a ValueInfo> {
    let info = operand(inputs, 0)?;
    ensure(info.kind != Kind::Bool, || "comparison of booleans is not supported".into())?;
    Ok(info)
}

fn extent(info: &ValueInfo, axis: usize) -> Outcome<usize> {
    info.shape.get(axis).copied().ok_or_else(|| format!("axis {axis} of shape {:?}", info.shape))
}

fn image(info: &ValueInfo) -> Outcome<[usize; 4]> {
    <[usize; 4]>::try_from(info.shape.as_slice()).map_err(|_| format!("four axes are needed, not {:?}", info.shape))
}

fn arithmetic_kind(binary: Binary, x: &ValueInfo) -> Outcome<Kind> {
    match x.kind {
        Kind::Float if binary != Binary::Rem => Ok(Kind::Float),
        Kind::Int if binary != Binary::Pow => Ok(Kind::Int),
        kind => Err(format!("{binary:?} on {kind:?} is not supported")),
    }
}

fn broadcast_pair(inputs: &[&ValueInfo]) -> Outcome<Vec<usize>> {
    let (a, b) = (operand(inputs, 0)?, operand(inputs, 1)?);
    ensure(a.kind == b.kind, || format!("operands are {:?} and {:?}", a.kind, b.kind))?;
    broadcast(&a.shape, &b.shape)
}

fn conv(params: &ConvParams, inputs: &[&ValueInfo]) -> Outcome<Vec<usize>> {
    let [n, c, h, w] = image(float(inputs, 0)?)?;
    let [o, i, kh, kw] = image(float(inputs, 1)?)?;
    let g = params.groups;
    ensure(g > 0 && c == i * g && o % g == 0, || format!("{c} channels, kernel {o}x{i}x{kh}x{kw}, {g} groups"))?;
    bias(inputs, o)?;
    let out = |axis: usize, input: usize, kernel: usize| {
        let (before, after) = params.pads[axis];
        let spans = span(kernel, params.dilation[axis]);
        windows(input + before + after, spans, params.stride[axis])
    };
    Ok(vec![n, o, out(0, h, kh)?, out(1, w, kw)?])
}

fn conv_transpose(params: &ConvTransposeParams, inputs: &[&ValueInfo]) -> Outcome<Vec<usize>> {
    let [n, c, h, w] = image(float(inputs, 0)?)?;
    let [i, o, kh, kw] = image(float(inputs, 1)?)?;
    ensure(params.groups > 0 && c == i && c % params.groups == 0, || {
        format!("{c} channels, kernel {i}x{o}x{kh}x{kw}, {} groups", params.groups)
    })?;
    bias(inputs, o * params.groups)?;
    let out = |axis: usize, input: usize, kernel: usize| {
        let full =
            input.saturating_sub(1) * params.stride[axis] + span(kernel, params.dilation[axis]) + params.extra[axis];
        full.checked_sub(2 * params.crop[axis]).filter(|_| input > 0 && kernel > 0)
    };
    let (oh, ow) = out(0, h, kh).zip(out(1, w, kw)).ok_or("nothing is left after cropping")?;
    Ok(vec![n, o * params.groups, oh, ow])
}

fn bias(inputs: &[&ValueInfo], channels: usize) -> Outcome<()> {
    match inputs.get(2) {
        Some(b) => ensure(b.shape == [channels] && b.kind == Kind::Float, || {
            format!("bias of shape {:?} for {channels} channels", b.shape)
        }),
        None => Ok(()),
    }
}

fn windows(padded: usize, spans: usize, stride: usize) -> Outcome<usize> {
    padded
        .checked_sub(spans)
        .and_then(|room| room.checked_div(stride))
        .map(|count| count + 1)
        .ok_or_else(|| format!("a window of {spans} does not fit into {padded}"))
}

fn pooled(pool: &PoolParams, inputs: &[&ValueInfo]) -> Outcome<Vec<usize>> {
    let [n, c, h, w] = image(float(inputs, 0)?)?;
    let out = |axis: usize, input: usize| {
        let spans = span(pool.kernel[axis], pool.dilation[axis]);
        windows(input + 2 * pool.pads[axis], spans, pool.stride[axis])
    };
    Ok(vec![n, c, out(0, h)?, out(1, w)?])
}

fn matmul(a: &ValueInfo, b: &ValueInfo) -> Outcome<Vec<usize>> {
    let refuse = || format!("product of {:?} and {:?}", a.shape, b.shape);
    let ([batch_a @ .., m, k], [batch_b @ .., k2, n]) = (&*a.shape, &*b.shape) else {
        return Err(refuse());
    };
    ensure(k == k2 && batch_a == batch_b, refuse)?;
    Ok(batch_a.iter().chain([m, n]).copied().collect())
}

fn reduce(reducer: Reducer, axes: &[usize], x: &ValueInfo) -> Outcome<Vec<ValueInfo>> {
    let mut shape = x.shape.clone();
    for axis in axes {
        ensure(extent(x, *axis)? > 0, || "reduction of nothing".into())?;
        shape.splice(axis..=axis, [1]);
    }
    let index = matches!(reducer, Reducer::ArgMax | Reducer::ArgMin);
    ensure(!index || axes.len() == 1, || format!("{reducer:?} of {} axes", axes.len()))?;
    let countable = matches!(reducer, Reducer::Sum | Reducer::Max | Reducer::Min);
    match x.kind {
        Kind::Float if index => Ok(vec![ValueInfo::new(Kind::Int, shape)]),
        Kind::Float => Ok(vec![ValueInfo::new(Kind::Float, shape)]),
        Kind::Int if countable => Ok(vec![ValueInfo::new(Kind::Int, shape)]),
        kind => Err(format!("{reducer:?} of {kind:?} is not supported")),
    }
}

fn concat(axis: usize, inputs: &[&ValueInfo]) -> Outcome<Vec<ValueInfo>> {
    let first = operand(inputs, 0)?;
    let mut shape = first.shape.clone();
    let mut total = 0;
    for input in inputs {
        total += extent(input, axis)?;
        let alike = |(i, (a, b)): (usize, (&usize, &usize))| i == axis || a == b;
        let fits = input.kind == first.kind
            && input.shape.len() == first.shape.len()
            && input.shape.iter().zip(&first.shape).enumerate().all(alike);
        ensure(fits, || format!("{:?} joined to {:?}", input.shape, first.shape))?;
    }
    shape.splice(axis..=axis, [total]);
    Ok(vec![ValueInfo { shape, kind: first.kind }])
}
