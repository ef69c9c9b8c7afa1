//! Convolutions, plain and transposed.

use tract_onnx::prelude::{Tensor as TractTensor, TypedNode};
use tract_onnx::tract_core::ops::cnn::{Conv, Deconv, KernelFormat, PoolSpec};

use super::build::Builder;
use super::elements::floats;
use super::image::ImageLayout;
use super::infer::Outcome;
use super::step::{ConstantData, ConvParams, ConvTransposeParams, Op, SliceRange, ValueId};

pub(super) fn lower(b: &mut Builder<'_>, node: &TypedNode) -> Option<Outcome<Vec<ValueId>>> {
    if let Some(op) = node.op_as::<Conv>() {
        return Some(conv(b, node, op).map(|y| vec![y]));
    }
    let op = node.op_as::<Deconv>()?;
    Some(deconv(b, node, op).map(|y| vec![y]))
}

fn conv(b: &mut Builder<'_>, node: &TypedNode, op: &Conv) -> Outcome<ValueId> {
    if op.q_params.is_some() {
        return Err("quantised convolutions are not supported".into());
    }
    let spec = &op.pool_spec;
    let layout = ImageLayout::new(spec.data_format, spec.rank())?;
    let x = b.input(node, 0)?;
    let x = layout.enter(b, x)?;
    let kernel = match b.constant_input(node, 1) {
        Some(kernel) => constant_kernel(b, &kernel, op.kernel_fmt, op.group, layout, spec, false)?,
        None => dynamic_kernel(b, node, op.kernel_fmt)?,
    };
    let size = &b.shape(x)[2..2 + spec.rank()];
    let pads: Vec<(usize, usize)> =
        spec.computed_padding(size).iter().map(|pad| (pad.pad_before, pad.pad_after)).collect();
    let params = ConvParams {
        stride: layout.pair(&spec.strides(), 1)?,
        pads: layout.pair(&pads, (0, 0))?,
        dilation: layout.pair(&spec.dilations(), 1)?,
        groups: op.group,
    };
    let mut operands = vec![x, kernel];
    operands.extend(bias(b, node, spec.output_channels)?);
    let y = b.emit(Op::Conv(params), &operands)?;
    layout.leave(b, y)
}

fn deconv(b: &mut Builder<'_>, node: &TypedNode, op: &Deconv) -> Outcome<ValueId> {
    let spec = &op.pool_spec;
    let layout = ImageLayout::new(spec.data_format, spec.rank())?;
    let x = b.input(node, 0)?;
    let x = layout.enter(b, x)?;
    let kernel = b.constant_input(node, 1).ok_or("the kernel is computed while it runs")?;
    let kernel = constant_kernel(b, &kernel, op.kernel_format, op.group, layout, spec, true)?;
    let size = &b.shape(x)[2..2 + spec.rank()];
    let crops = spec
        .padding
        .compute_for_deconv(size, &spec.kernel_shape, &spec.dilations(), &spec.strides(), &op.adjustments)
        .map_err(|e| format!("{e:#}"))?;
    let crops: Vec<(usize, usize)> = crops.iter().map(|c| (c.pad_before, c.pad_after)).collect();
    let crops = layout.pair(&crops, (0, 0))?;
    let even = crops.iter().all(|(before, after)| before == after);
    let params = ConvTransposeParams {
        stride: layout.pair(&spec.strides(), 1)?,
        crop: if even { crops.map(|(before, _)| before) } else { [0, 0] },
        extra: layout.pair(&op.adjustments, 0)?,
        dilation: layout.pair(&spec.dilations(), 1)?,
        groups: op.group,
    };
    let mut operands = vec![x, kernel];
    operands.extend(bias(b, node, spec.output_channels)?);
    let mut y = b.emit(Op::ConvTranspose(params), &operands)?;
    if !even {
        y = crop(b, y, crops)?;
    }
    layout.leave(b, y)
}

/// Cuts height and width at both ends.
fn crop(b: &mut Builder<'_>, y: ValueId, crops: [(usize, usize); 2]) -> Outcome<ValueId> {
    let shape = b.shape(y);
    let [n, c, h, w] = *shape else { return Err(format!("{shape:?} is not an image")) };
    let range = |extent: usize, (before, after): (usize, usize)| SliceRange {
        start: before,
        end: extent.saturating_sub(after),
        step: 1,
    };
    let whole = |extent| SliceRange { start: 0, end: extent, step: 1 };
    let ranges = vec![whole(n), whole(c), range(h, crops[0]), range(w, crops[1])];
    b.emit(Op::Slice(ranges), &[y])
}

/// A kernel as the plan wants it: `[out, in / groups, h, w]`, or with the first two exchanged
/// within each group when `transposed`.
fn constant_kernel(
    b: &mut Builder<'_>,
    kernel: &TractTensor,
    format: KernelFormat,
    groups: usize,
    layout: ImageLayout,
    spec: &PoolSpec,
    transposed: bool,
) -> Outcome<ValueId> {
    let [h, w] = layout.pair(&spec.kernel_shape, 1)?;
    if kernel.rank() != spec.rank() + 2 || kernel.rank() < 3 {
        return Err(format!("kernel of shape {:?}", kernel.shape()));
    }
    // [groups, out / groups, in / groups, h * w]
    let mut grouped = format.kernel_as_group_o_i_hw(kernel, groups).map_err(|e| format!("{e:#}"))?;
    if transposed {
        grouped = grouped.permute_axes(&[0, 2, 1, 3]).map_err(|e| format!("{e:#}"))?;
    }
    let [g, first, second, _] = *grouped.shape() else {
        return Err(format!("kernel of shape {:?}", kernel.shape()));
    };
    let data = ConstantData::Float(floats(&grouped)?);
    b.constant(data, &[g * first, second, h, w])
}

/// A kernel that is computed by the graph, in the one layout that needs no rearrangement.
fn dynamic_kernel(b: &mut Builder<'_>, node: &TypedNode, format: KernelFormat) -> Outcome<ValueId> {
    if format != KernelFormat::OIHW {
        return Err(format!("a kernel computed in layout {format:?} is not supported"));
    }
    let kernel = b.input(node, 1)?;
    let mut shape = b.shape(kernel);
    if shape.len() == 3 {
        shape.push(1);
    }
    b.reshape(kernel, &shape)
}

/// The bias, one number per channel; none when it is all zero.
fn bias(b: &mut Builder<'_>, node: &TypedNode, channels: usize) -> Outcome<Option<ValueId>> {
    let Some(tensor) = b.constant_input(node, 2) else {
        if node.inputs.len() < 3 {
            return Ok(None);
        }
        let value = b.input(node, 2)?;
        return b.reshape(value, &[channels]).map(Some);
    };
    let mut data = floats(&tensor)?;
    if data.iter().all(|v| *v == 0.0) {
        return Ok(None);
    }
    if let [one] = *data {
        data = vec![one; channels];
    }
    b.constant(ConstantData::Float(data), &[channels]).map(Some)
}
