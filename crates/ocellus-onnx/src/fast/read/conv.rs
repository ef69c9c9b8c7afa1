//! Convolutions.

use tract_onnx::prelude::{DatumType, TypedNode};
use tract_onnx::tract_core::ops::cnn::{Conv as TractConv, PoolSpec};

use super::{Reader, floats};
use crate::fast::ir::{Conv, Op};
use crate::fast::view::{Axis, View, extent};
use crate::kernel::{ConvSpec, Layout, Window};

pub(super) fn read(reader: &mut Reader<'_>, node: &TypedNode) -> Option<View> {
    let op = node.op_as::<TractConv>()?;
    let spec = &op.pool_spec;
    if op.q_params.is_some() || spec.rank() == 0 || spec.rank() > 2 {
        return None;
    }
    let kernel = reader.constant(node, 1)?;
    if kernel.datum_type() != DatumType::F32 {
        return None;
    }
    // [groups, out / groups, in / groups, height * width]
    let weights = floats(&op.kernel_fmt.kernel_as_group_o_i_hw(&kernel, op.group).ok()?)?;
    let bias = bias(reader, node, spec.output_channels)?;
    let x = reader.anchor(node, 0)?;
    let axes = enter(&x, spec)?;
    let input = [0, 1, 2, 3].map(|axis| extent(&axes[axis]));
    let window = window(spec, [input[2], input[3]])?;
    let (in_channels, out_channels) = (input[1], spec.output_channels);
    let groups = op.group;
    let kernel_spec = ConvSpec { in_channels, out_channels, groups, window, input: Layout::Blocked };
    if !kernel_spec.supported(reader.isa) {
        return None;
    }
    let [height, width] = window.output(input[2], input[3])?;
    let output = [input[0], out_channels, height, width];
    let image = reader.image(&x, axes)?;
    let conv = Conv::new(kernel_spec, weights, bias);
    let id = reader.graph.add(Op::Conv(Box::new(conv)), vec![image], &output);
    Some(leave(reader, id, spec))
}

/// One number a channel; zeros where the node has none.
fn bias(reader: &Reader<'_>, node: &TypedNode, channels: usize) -> Option<Vec<f32>> {
    if node.inputs.len() < 3 {
        return Some(vec![0.0; channels]);
    }
    let (_, bias) = reader.floats(node, 2)?;
    match bias.as_slice() {
        [one] => Some(vec![*one; channels]),
        some => (some.len() == channels).then_some(bias),
    }
}

/// The axes of an image in the order `[batch, channels, height, width]`.
pub(super) fn enter(x: &View, spec: &PoolSpec) -> Option<[Axis; 4]> {
    let mut axes = x.axes.clone();
    if !spec.data_format.has_n() {
        axes.insert(0, vec![]);
    }
    if axes.len() != spec.rank() + 2 {
        return None;
    }
    if spec.data_format.c_is_last() {
        let channels = axes.pop()?;
        axes.insert(1, channels);
    }
    if spec.rank() == 1 {
        axes.insert(2, vec![]);
    }
    axes.try_into().ok()
}

/// An image seen with the axes that an operator gives.
pub(super) fn leave(reader: &Reader<'_>, id: usize, spec: &PoolSpec) -> View {
    let spatial = if spec.rank() == 1 { vec![3] } else { vec![2, 3] };
    let mut roles = vec![];
    if spec.data_format.has_n() {
        roles.push(Some(0));
    }
    let at = roles.len();
    roles.extend(spatial.into_iter().map(Some));
    roles.insert(if spec.data_format.c_is_last() { roles.len() } else { at }, Some(1));
    reader.with_roles(id, &roles)
}

/// The window over an image of this size.
pub(super) fn window(spec: &PoolSpec, size: [usize; 2]) -> Option<Window> {
    let pads = spec.computed_padding(if spec.rank() == 1 { &size[1..] } else { &size });
    let pads: Vec<(usize, usize)> = pads.iter().map(|pad| (pad.pad_before, pad.pad_after)).collect();
    let [(top, bottom), (left, right)] = pair(&pads, (0, 0))?;
    Some(Window {
        kernel: pair(&spec.kernel_shape, 1)?,
        stride: pair(&spec.strides(), 1)?,
        dilation: pair(&spec.dilations(), 1)?,
        padding: [top, left, bottom, right],
    })
}

/// Height and width from one number per spatial axis; the one there is means the width.
pub(super) fn pair<T: Copy>(per_axis: &[T], neutral: T) -> Option<[T; 2]> {
    match *per_axis {
        [width] => Some([neutral, width]),
        [height, width] => Some([height, width]),
        _ => None,
    }
}
