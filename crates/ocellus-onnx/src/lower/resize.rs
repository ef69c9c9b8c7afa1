//! Resampling: upsampling, resizing, sampling at a grid.
//!
//! tract gives the weight of every input cell for every output cell of an axis. Where that is
//! what a backend's primitive does, the primitive is used; copies of whole cells become a
//! repeat or a gather; everything else is a product with the matrix of weights, which is exact
//! for every mode and coordinate transformation there is.

use tract_onnx::prelude::TypedNode;
use tract_onnx::tract_core::ops::nn::resize::AxisPlan;
use tract_onnx::tract_core::ops::nn::{GridSample, InterpolationMode, NearestUpsample, PaddingMode, Resize};

use super::build::Builder;
use super::elements::floats;
use super::gather::select;
use super::infer::Outcome;
use super::layout::{Repeat, repeat};
use super::probe::copied_cells;
use super::step::{ConstantData, GridPadding, Interpolation, Op, ValueId};

/// The most weights that resampling one axis may take, in memory and in a product of matrices.
const WEIGHTS: usize = 1 << 24;

pub(super) fn lower(b: &mut Builder<'_>, node: &TypedNode) -> Option<Outcome<Vec<ValueId>>> {
    let value = if let Some(op) = node.op_as::<NearestUpsample>() {
        upsample(b, node, &op.scales)
    } else if let Some(op) = node.op_as::<Resize>() {
        resize(b, node, op)
    } else if node.op().name() == "Resize" {
        by_cells(b, node)
    } else {
        let op = node.op_as::<GridSample>()?;
        grid_sample(b, node, op)
    };
    Some(value.map(|y| vec![y]))
}

fn upsample(b: &mut Builder<'_>, node: &TypedNode, scales: &[usize]) -> Outcome<ValueId> {
    let mut x = b.input(node, 0)?;
    // Primitives compute the input cell in floating point, which is exact for powers of two.
    if let ([1, 1, h, w], [_, _, ih, iw]) = (scales, &*b.shape(x))
        && h.is_power_of_two()
        && w.is_power_of_two()
    {
        let size = [ih * h, iw * w];
        return b.emit(Op::Interpolate { mode: Interpolation::Nearest, size }, &[x]);
    }
    for (axis, times) in scales.iter().enumerate() {
        x = repeat(b, x, axis, *times, Repeat::Each)?;
    }
    Ok(x)
}

fn resize(b: &mut Builder<'_>, node: &TypedNode, op: &Resize) -> Outcome<ValueId> {
    let mut x = b.input(node, 0)?;
    let (from, to) = (b.shape(x), b.output_info(node)?.shape);
    let scales = scales(b, node, op, &from, &to)?;
    let mut axes = Vec::new();
    for (axis, scale) in scales.into_iter().enumerate() {
        if from[axis] != to[axis] || scale != 1.0 {
            if from[axis].saturating_mul(to[axis]) > WEIGHTS {
                return Err(format!("an axis of {} resized to {} takes too many weights", from[axis], to[axis]));
            }
            let plan = op.plan_axis(scale, from[axis], to[axis]);
            axes.push((axis, weights(&plan, from[axis])?));
        }
    }
    if let [.., (2, h), (3, w)] = axes.as_slice()
        && axes.len() == 2
        && from.len() == 4
    {
        let modes = [Interpolation::Bilinear, Interpolation::BilinearAligned];
        let does = |mode: &Interpolation| {
            alike(h, &primitive(*mode, from[2], to[2])) && alike(w, &primitive(*mode, from[3], to[3]))
        };
        if let Some(mode) = modes.into_iter().find(does) {
            return b.emit(Op::Interpolate { mode, size: [to[2], to[3]] }, &[x]);
        }
    }
    for (axis, weights) in axes {
        x = resample(b, x, axis, &weights)?;
    }
    Ok(x)
}

/// A resize that tract does not reduce to its core operator, as that to the nearest cell with halves rounded down.
fn by_cells(b: &mut Builder<'_>, node: &TypedNode) -> Outcome<ValueId> {
    let mut x = b.input(node, 0)?;
    let (from, to) = (b.shape(x), b.output_info(node)?.shape);
    if from.len() != to.len() {
        return Err(format!("resize of {from:?} to {to:?}"));
    }
    let cells: Vec<Vec<usize>> = (0..from.len()).map(|axis| copied_cells(b, node, axis)).collect::<Outcome<_>>()?;
    for (axis, cells) in cells.into_iter().enumerate() {
        if !cells.iter().copied().eq(0..from[axis]) {
            x = select(b, x, axis, &cells)?;
        }
    }
    Ok(x)
}

/// Output extent over input extent per axis, as the node says or its shapes imply.
fn scales(b: &Builder<'_>, node: &TypedNode, op: &Resize, from: &[usize], to: &[usize]) -> Outcome<Vec<f32>> {
    if from.len() != to.len() || from.contains(&0) {
        return Err(format!("resize of {from:?} to {to:?}"));
    }
    let given = op.optional_scales_input.and_then(|ix| b.constant_input(node, ix));
    if let Some(tensor) = given.filter(|t| t.len() == from.len()) {
        return floats(&tensor);
    }
    Ok(from.iter().zip(to).map(|(i, o)| *o as f32 / *i as f32).collect())
}

/// One row per output cell, one column per input cell.
struct Weights {
    inputs: usize,
    rows: Vec<Vec<f32>>,
}

fn weights(plan: &AxisPlan, inputs: usize) -> Outcome<Weights> {
    if plan.extrapolated.contains(&true) {
        return Err("extrapolation is not supported".into());
    }
    let rows = plan
        .indices
        .chunks_exact(plan.window)
        .zip(plan.weights.chunks_exact(plan.window))
        .map(|(indices, weights)| {
            let mut row = vec![0.0; inputs];
            for (at, weight) in indices.iter().zip(weights) {
                if let Some(cell) = row.get_mut(*at) {
                    *cell += weight;
                }
            }
            row
        })
        .collect();
    Ok(Weights { inputs, rows })
}

/// What a primitive does along an axis.
fn primitive(mode: Interpolation, inputs: usize, outputs: usize) -> Weights {
    let last = inputs.saturating_sub(1) as f64;
    let row = |out: usize| {
        let at = match mode {
            Interpolation::Nearest => (out as f64 * inputs as f64 / outputs as f64).floor(),
            Interpolation::Bilinear => (out as f64 + 0.5) * inputs as f64 / outputs as f64 - 0.5,
            Interpolation::BilinearAligned => out as f64 * last / outputs.saturating_sub(1).max(1) as f64,
        };
        let at = at.clamp(0.0, last);
        let low = at.floor();
        let part = (at - low) as f32;
        let mut row = vec![0.0; inputs];
        for (cell, weight) in [(low, 1.0 - part), ((low + 1.0).min(last), part)] {
            if let Some(slot) = row.get_mut(cell as usize) {
                *slot += weight;
            }
        }
        row
    };
    Weights { inputs, rows: (0..outputs).map(row).collect() }
}

fn alike(a: &Weights, b: &Weights) -> bool {
    let pairs = a.rows.iter().zip(&b.rows);
    a.rows.len() == b.rows.len() && pairs.flat_map(|(x, y)| x.iter().zip(y)).all(|(x, y)| (x - y).abs() < 1e-5)
}

/// Resamples one axis by any weights.
fn resample(b: &mut Builder<'_>, x: ValueId, axis: usize, weights: &Weights) -> Outcome<ValueId> {
    let copied = |row: &Vec<f32>| {
        let at = row.iter().position(|w| *w == 1.0)?;
        row.iter().enumerate().all(|(i, w)| i == at || *w == 0.0).then_some(at)
    };
    if let Some(indices) = weights.rows.iter().map(copied).collect::<Option<Vec<usize>>>() {
        return select(b, x, axis, &indices);
    }
    let shape = b.shape(x);
    let (inputs, outputs) = (weights.inputs, weights.rows.len());
    let mut to_last: Vec<usize> = (0..shape.len()).filter(|a| *a != axis).collect();
    to_last.push(axis);
    let mut back: Vec<usize> = (0..shape.len() - 1).collect();
    back.insert(axis, shape.len() - 1);
    let lines: usize = shape.iter().enumerate().filter(|(a, _)| *a != axis).map(|(_, d)| d).product();
    let matrix: Vec<f32> = (0..inputs).flat_map(|i| weights.rows.iter().map(move |row| row[i])).collect();
    let matrix = b.constant(ConstantData::Float(matrix), &[inputs, outputs])?;
    let x = b.permute(x, &to_last)?;
    let x = b.reshape(x, &[lines, inputs])?;
    let y = b.emit(Op::MatMul, &[x, matrix])?;
    let mut spread: Vec<usize> = shape.iter().enumerate().filter(|(a, _)| *a != axis).map(|(_, d)| *d).collect();
    spread.push(outputs);
    let y = b.reshape(y, &spread)?;
    b.permute(y, &back)
}

fn grid_sample(b: &mut Builder<'_>, node: &TypedNode, op: &GridSample) -> Outcome<ValueId> {
    if op.mode != InterpolationMode::Bilinear {
        return Err(format!("sampling mode {:?} is not supported", op.mode));
    }
    let padding = match op.padding_mode {
        PaddingMode::Zeros => GridPadding::Zeros,
        PaddingMode::Border => GridPadding::Border,
        PaddingMode::Reflection => GridPadding::Reflection,
    };
    let (x, grid) = (b.input(node, 0)?, b.input(node, 1)?);
    b.emit(Op::GridSample { padding, align_corners: op.align_corners }, &[x, grid])
}
