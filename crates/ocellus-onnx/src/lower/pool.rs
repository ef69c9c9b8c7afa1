//! Windows: largest value, sum, mean.
//!
//! The backends pad both ends alike and round the number of windows down. What does not fit
//! that (uneven pads, windows that reach past the padding) is padded by a step of its own.

use tract_onnx::prelude::TypedNode;
use tract_onnx::tract_core::ops::cnn::{MaxPool, PaddingSpec, PoolSpec, SumPool};

use super::build::Builder;
use super::image::ImageLayout;
use super::infer::{Outcome, span};
use super::step::{Binary, ConstantData, Op, PadMode, PoolParams, ValueId};

/// Where the windows of one axis lie.
#[derive(Debug, Clone, Copy)]
struct Windows {
    input: usize,
    count: usize,
    kernel: usize,
    stride: usize,
    dilation: usize,
    /// Cells before the input that the first window covers.
    before: usize,
    /// Cells after the input that the file asks for.
    declared_after: usize,
    /// Windows may reach past the declared padding.
    overhang: bool,
}

pub(super) fn lower(b: &mut Builder<'_>, node: &TypedNode) -> Option<Outcome<Vec<ValueId>>> {
    let value = if let Some(op) = node.op_as::<MaxPool>() {
        max_pool(b, node, op)
    } else {
        let op = node.op_as::<SumPool>()?;
        sum_pool(b, node, op)
    };
    Some(value.map(|y| vec![y]))
}

fn max_pool(b: &mut Builder<'_>, node: &TypedNode, op: &MaxPool) -> Outcome<ValueId> {
    if op.with_index_outputs.is_some() {
        return Err("indices of the largest values are not supported".into());
    }
    let spec = &op.pool_spec;
    let layout = ImageLayout::new(spec.data_format, spec.rank())?;
    let x = b.input(node, 0)?;
    let x = layout.enter(b, x)?;
    let windows = windows(spec, layout, &b.shape(x))?;
    // The lowest finite number: shaders have no literal for infinity.
    let (x, pool) = padded(b, x, windows, f32::MIN)?;
    let y = b.emit(Op::MaxPool(pool), &[x])?;
    layout.leave(b, y)
}

fn sum_pool(b: &mut Builder<'_>, node: &TypedNode, op: &SumPool) -> Outcome<ValueId> {
    let spec = &op.pool_spec;
    if spec.dilations().iter().any(|d| *d != 1) {
        return Err("sums under dilated windows are not supported".into());
    }
    let layout = ImageLayout::new(spec.data_format, spec.rank())?;
    let x = b.input(node, 0)?;
    let x = layout.enter(b, x)?;
    let windows = windows(spec, layout, &b.shape(x))?;
    let (x, pool) = padded(b, x, windows, 0.0)?;
    let natural = op.normalize && !op.count_include_pad && windows.iter().all(|w| w.is_even());
    let y = b.emit(Op::AvgPool { pool, count_padding: !natural }, &[x])?;
    let y = if natural { y } else { rescale(b, y, op, windows)? };
    layout.leave(b, y)
}

/// Turns means over whole windows into what `op` asks for.
fn rescale(b: &mut Builder<'_>, y: ValueId, op: &SumPool, windows: [Windows; 2]) -> Outcome<ValueId> {
    let whole = (windows[0].kernel * windows[1].kernel) as f32;
    let counts = windows.map(|w| -> Vec<usize> {
        (0..w.count)
            .map(|at| match (op.normalize, op.count_include_pad) {
                (false, _) => 1,
                (true, true) => w.taps_within_padding(at),
                (true, false) => w.taps_within_input(at),
            })
            .collect()
    });
    let factors: Vec<f32> =
        counts[0].iter().flat_map(|h| counts[1].iter().map(move |w| whole / (h * w).max(1) as f32)).collect();
    match factors.first() {
        Some(first) if factors.iter().all(|f| f == first) => {
            if *first == 1.0 {
                return Ok(y);
            }
            b.emit(Op::BinaryScalar(Binary::Mul, f64::from(*first)), &[y])
        }
        _ => {
            let shape = [1, 1, windows[0].count, windows[1].count];
            let factors = b.constant(ConstantData::Float(factors), &shape)?;
            b.emit(Op::Binary(Binary::Mul), &[y, factors])
        }
    }
}

fn windows(spec: &PoolSpec, layout: ImageLayout, image: &[usize]) -> Outcome<[Windows; 2]> {
    let size = &image[2..2 + spec.rank()];
    let pads = spec.computed_padding(size);
    let declared = match &spec.padding {
        PaddingSpec::Explicit(_, after) | PaddingSpec::ExplicitOnnxPool(_, after, _) => Some(after.clone()),
        _ => None,
    };
    let overhang = matches!(spec.padding, PaddingSpec::ExplicitOnnxPool(_, _, true));
    let axes: Vec<Windows> = pads
        .iter()
        .enumerate()
        .map(|(axis, pad)| Windows {
            input: size[axis],
            count: pad.convoluted,
            kernel: spec.kernel_shape[axis],
            stride: spec.stride(axis),
            dilation: spec.dilation(axis),
            before: pad.pad_before,
            declared_after: declared.as_ref().map_or(pad.pad_after, |after| after[axis]),
            overhang,
        })
        .collect();
    let absent = Windows {
        input: 1,
        count: 1,
        kernel: 1,
        stride: 1,
        dilation: 1,
        before: 0,
        declared_after: 0,
        overhang: false,
    };
    layout.pair(&axes, absent)
}

/// The parameters of the primitive, and `x` with what padding the primitive cannot do.
fn padded(b: &mut Builder<'_>, x: ValueId, windows: [Windows; 2], value: f32) -> Outcome<(ValueId, PoolParams)> {
    let even = windows.iter().all(|w| w.is_even());
    let params = PoolParams {
        kernel: windows.map(|w| w.kernel),
        stride: windows.map(|w| w.stride),
        pads: windows.map(|w| if even { w.before } else { 0 }),
        dilation: windows.map(|w| w.dilation),
    };
    if even {
        return Ok((x, params));
    }
    let [h, w] = windows.map(|w| (w.before, w.after()));
    let pads = vec![(0, 0), (0, 0), h, w];
    let x = b.emit(Op::Pad { pads, mode: PadMode::Constant(value) }, &[x])?;
    Ok((x, params))
}

impl Windows {
    /// Cells after the input that the last window covers.
    fn after(&self) -> usize {
        let reach = self.count.saturating_sub(1) * self.stride + span(self.kernel, self.dilation);
        reach.saturating_sub(self.input + self.before)
    }

    /// Whether padding both ends by `before` gives these windows.
    fn is_even(&self) -> bool {
        let room = (self.input + 2 * self.before).checked_sub(span(self.kernel, self.dilation));
        room.is_some_and(|room| room / self.stride + 1 == self.count)
            && self.after() <= self.before
            && 2 * self.before <= self.kernel
    }

    fn taps_within_padding(&self, window: usize) -> usize {
        if !self.overhang {
            return self.kernel;
        }
        let end = self.before + self.input + self.declared_after;
        let start = window * self.stride;
        (0..self.kernel).filter(|k| start + k * self.dilation < end).count()
    }

    fn taps_within_input(&self, window: usize) -> usize {
        let start = window * self.stride;
        let inside = self.before..self.before + self.input;
        (0..self.kernel).filter(|k| inside.contains(&(start + k * self.dilation))).count()
    }
}
