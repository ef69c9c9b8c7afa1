//! Einstein sums: pointwise convolutions and products of matrices.

use std::sync::Arc;

use tract_onnx::prelude::{Tensor as TractTensor, TypedNode};
use tract_onnx::tract_core::internal::InOut;
use tract_onnx::tract_core::ops::einsum::EinSum;

use super::build::Builder;
use super::elements::elements;
use super::infer::Outcome;
use super::step::{ConvParams, Op, Reducer, ValueId};

/// A factor of the sum: one label and extent per axis. Constants are rearranged at load.
struct Factor {
    labels: Vec<char>,
    shape: Vec<usize>,
    source: Source,
}

enum Source {
    Value(ValueId),
    Constant(Arc<TractTensor>),
}

pub(super) fn lower(b: &mut Builder<'_>, node: &TypedNode) -> Option<Outcome<Vec<ValueId>>> {
    let op = node.op_as::<EinSum>()?;
    Some(einsum(b, node, op).map(|y| vec![y]))
}

fn einsum(b: &mut Builder<'_>, node: &TypedNode, op: &EinSum) -> Outcome<ValueId> {
    if op.q_params.is_some() {
        return Err("quantised products are not supported".into());
    }
    let output = labels(op, InOut::Out(0))?;
    let mut factors = Vec::new();
    for ix in 0..node.inputs.len() {
        factors.push(factor(b, node, op, ix)?);
    }
    squeeze(&mut factors, &output);
    for ix in 0..factors.len() {
        let others: Vec<char> =
            factors.iter().enumerate().filter(|(i, _)| *i != ix).flat_map(|(_, f)| f.labels.clone()).collect();
        sum_own(b, &mut factors[ix], &others, &output)?;
    }
    let shape = b.output_info(node)?.shape;
    let (value, order) = match factors.as_slice() {
        [x] => (x.arrange(b, &x.labels, &x.shape)?, x.labels.clone()),
        [x, y] => match pointwise(b, x, y, &output)? {
            Some(value) => return Ok(value),
            None => product(b, x, y, &output)?,
        },
        _ => return Err(format!("sums of {} factors are not supported", factors.len())),
    };
    let axes = positions(&order, &present(&output, &order))?;
    let value = b.permute(value, &axes)?;
    b.reshape(value, &shape)
}

/// The labels of `output` that occur in `order`; the others have extent 1.
fn present(output: &[char], order: &[char]) -> Vec<char> {
    output.iter().copied().filter(|l| order.contains(l)).collect()
}

fn labels(op: &EinSum, slot: InOut) -> Outcome<Vec<char>> {
    let rank = op.axes.rank(slot);
    let mut labels = vec!['\0'; rank];
    for axis in op.axes.iter_all_axes() {
        match axis.interface(slot) {
            [] => {}
            [at] if *at < rank => labels[*at] = axis.repr,
            _ => return Err("a label twice in one factor is not supported".into()),
        }
    }
    Ok(labels)
}

fn factor(b: &mut Builder<'_>, node: &TypedNode, op: &EinSum, ix: usize) -> Outcome<Factor> {
    let labels = labels(op, InOut::In(ix))?;
    if let Some(tensor) = b.constant_input(node, ix) {
        let shape = tensor.shape().to_vec();
        return Ok(Factor { labels, shape, source: Source::Constant(tensor) });
    }
    let value = b.input(node, ix)?;
    Ok(Factor { labels, shape: b.shape(value), source: Source::Value(value) })
}

/// Drops axes of extent 1 where they mean nothing: the label is elsewhere, or not in the output.
fn squeeze(factors: &mut [Factor], output: &[char]) {
    for ix in 0..factors.len() {
        let needless: Vec<char> = factors[ix]
            .labels
            .iter()
            .zip(&factors[ix].shape)
            .filter(|(label, extent)| {
                let elsewhere = factors.iter().enumerate().any(|(i, f)| i != ix && f.labels.contains(label));
                **extent == 1 && (elsewhere || !output.contains(label))
            })
            .map(|(label, _)| *label)
            .collect();
        for label in needless {
            factors[ix].drop_label(label);
        }
    }
}

/// Sums a factor over labels that occur nowhere else.
fn sum_own(b: &mut Builder<'_>, factor: &mut Factor, others: &[char], output: &[char]) -> Outcome<()> {
    let own: Vec<char> = factor.labels.iter().copied().filter(|l| !others.contains(l) && !output.contains(l)).collect();
    if own.is_empty() {
        return Ok(());
    }
    let value = factor.arrange(b, &factor.labels, &factor.shape)?;
    let axes = positions(&factor.labels, &own)?;
    let sum = b.emit(Op::Reduce { reducer: Reducer::Sum, axes }, &[value])?;
    own.into_iter().for_each(|label| factor.drop_label(label));
    factor.source = Source::Value(b.reshape(sum, &factor.shape)?);
    Ok(())
}

/// A constant matrix times the channels of an image, as a convolution: that keeps the memory
/// layout that the convolutions around it use, and takes their biases.
fn pointwise(b: &mut Builder<'_>, x: &Factor, y: &Factor, output: &[char]) -> Outcome<Option<ValueId>> {
    let (weights, image) = match (&x.source, &y.source) {
        (Source::Constant(_), Source::Value(_)) => (x, y),
        (Source::Value(_), Source::Constant(_)) => (y, x),
        _ => return Ok(None),
    };
    let (&[n, channel, h, w], &[on, out, oh, ow]) = (&*image.labels, output) else {
        return Ok(None);
    };
    let fits = weights.labels.len() == 2
        && weights.labels.contains(&channel)
        && weights.labels.contains(&out)
        && channel != out
        && (n, h, w) == (on, oh, ow);
    if !fits {
        return Ok(None);
    }
    let extents = weights.extents(&[out, channel])?;
    let kernel = weights.arrange(b, &[out, channel], &[extents[0], extents[1], 1, 1])?;
    let image = image.arrange(b, &image.labels, &image.shape)?;
    let params = ConvParams { stride: [1, 1], pads: [(0, 0); 2], dilation: [1, 1], groups: 1 };
    b.emit(Op::Conv(params), &[image, kernel]).map(Some)
}

/// A batched product of matrices; gives the value and the labels of its axes.
fn product(b: &mut Builder<'_>, x: &Factor, y: &Factor, output: &[char]) -> Outcome<(ValueId, Vec<char>)> {
    let shared = |l: &&char| x.labels.contains(l) && y.labels.contains(l);
    let batch: Vec<char> = output.iter().filter(shared).copied().collect();
    let first = output.iter().find(|l| !batch.contains(l));
    let swap = first.is_some_and(|l| y.labels.contains(l));
    let (left, right) = if swap { (y, x) } else { (x, y) };
    let summed: Vec<char> =
        left.labels.iter().copied().filter(|l| right.labels.contains(l) && !batch.contains(l)).collect();
    let only = |a: &Factor, z: &Factor| -> Vec<char> {
        output.iter().copied().filter(|l| a.labels.contains(l) && !z.labels.contains(l)).collect()
    };
    let (rows, columns) = (only(left, right), only(right, left));
    let join = |parts: [&[char]; 3]| parts.concat();
    let size = |f: &Factor, l: &[char]| f.extents(l).map(|e| e.iter().product::<usize>());
    let batches = left.extents(&batch)?;
    if batches != right.extents(&batch)? || left.extents(&summed)? != right.extents(&summed)? {
        return Err("the factors' extents differ".into());
    }
    let matrix = |a: usize, z: usize| [batches.as_slice(), &[a, z]].concat();
    let (m, k, n) = (size(left, &rows)?, size(left, &summed)?, size(right, &columns)?);
    let a = left.arrange(b, &join([&batch, &rows, &summed]), &matrix(m, k))?;
    let z = right.arrange(b, &join([&batch, &summed, &columns]), &matrix(k, n))?;
    let value = b.emit(Op::MatMul, &[a, z])?;
    let order = join([&batch, &rows, &columns]);
    let mut shape = batches.clone();
    shape.extend(left.extents(&rows)?);
    shape.extend(right.extents(&columns)?);
    Ok((b.reshape(value, &shape)?, order))
}

impl Factor {
    fn drop_label(&mut self, label: char) {
        if let Some(at) = self.labels.iter().position(|l| *l == label) {
            self.labels.remove(at);
            self.shape.remove(at);
        }
    }

    fn extents(&self, labels: &[char]) -> Outcome<Vec<usize>> {
        Ok(positions(&self.labels, labels)?.into_iter().map(|at| self.shape[at]).collect())
    }

    /// The factor's value with its axes in this order, seen as `shape`.
    fn arrange(&self, b: &mut Builder<'_>, order: &[char], shape: &[usize]) -> Outcome<ValueId> {
        let axes = positions(&self.labels, order)?;
        match &self.source {
            Source::Value(value) => {
                let value = b.reshape(*value, &self.shape)?;
                let value = b.permute(value, &axes)?;
                b.reshape(value, shape)
            }
            Source::Constant(tensor) => {
                let tensor = tensor.as_ref().clone();
                let arranged =
                    tensor.into_shape(&self.shape).and_then(|t| t.permute_axes(&axes)).map_err(|e| format!("{e:#}"))?;
                b.constant(elements(&arranged)?, shape)
            }
        }
    }
}

/// Where each of `wanted` stands in `labels`.
fn positions(labels: &[char], wanted: &[char]) -> Outcome<Vec<usize>> {
    if labels.len() < wanted.len() {
        return Err(format!("labels {wanted:?} of a factor with {labels:?}"));
    }
    let find = |w: &char| labels.iter().position(|l| l == w).ok_or_else(|| format!("label {w} is in no factor"));
    wanted.iter().map(find).collect()
}
