//! Einstein sums of an image and a constant: convolutions with windows of one cell.

use tract_onnx::prelude::TypedNode;
use tract_onnx::tract_core::internal::InOut;
use tract_onnx::tract_core::ops::einsum::EinSum;

use super::Reader;
use crate::fast::ir::{Conv, Op};
use crate::fast::view::{Axis, Digit, View, digits, extent, offsets};
use crate::kernel::{ConvSpec, Layout, Window};

pub(super) fn read(reader: &mut Reader<'_>, node: &TypedNode) -> Option<View> {
    let op = node.op_as::<EinSum>()?;
    if op.q_params.is_some() || node.inputs.len() != 2 {
        return None;
    }
    let side = [0, 1].into_iter().find(|ix| reader.constant(node, *ix).is_some())?;
    let (weights_at, image_at) = (side, 1 - side);
    let sum = Sum {
        image: labels(op, InOut::In(image_at))?,
        weights: labels(op, InOut::In(weights_at))?,
        output: labels(op, InOut::Out(0))?,
    };
    // Sums over the last axes of what lies in rows are products of matrices, which tract does well.
    let x = if sum.is_image() { reader.anchor(node, image_at)? } else { reader.own(node, image_at)? };
    if !sum.is_image() && !reader.graph.values[x.base].image {
        return None;
    }
    let (shape, data) = reader.floats(node, weights_at)?;
    let plan = sum.plan(&x, &shape)?;
    let input = [0, 1, 2, 3].map(|axis| extent(&plan.axes[axis]));
    let out: usize = plan.out.iter().map(|(_, n)| n).product();
    let output = [input[0], out, input[2], input[3]];
    let spec = ConvSpec {
        in_channels: input[1],
        out_channels: out,
        groups: 1,
        window: Window::square(1, 1, 0),
        input: Layout::Blocked,
    };
    if !spec.supported(reader.isa) {
        return None;
    }
    let image = reader.image(&x, plan.axes.clone())?;
    let weights = sum.arranged(&plan, &shape, &data)?;
    let conv = Conv::new(spec, weights, vec![0.0; out]);
    let id = reader.graph.add(Op::Conv(Box::new(conv)), vec![image], &output);
    Some(sum.view(&plan, id, output))
}

/// A sum, by the labels of its axes.
struct Sum {
    image: Vec<char>,
    weights: Vec<char>,
    output: Vec<char>,
}

/// A sum as a convolution.
struct Plan {
    /// Axes of the image, `[batch, channels, height, width]`.
    axes: [Axis; 4],
    /// Labels of the channels summed over, in the image's order.
    summed: Vec<char>,
    /// Labels of the channels it gives, in the output's order, and their extents.
    out: Vec<(char, usize)>,
    /// Labels of batch, height and width.
    kept: [Option<char>; 3],
}

impl Sum {
    /// Whether height and width follow the channels that are summed.
    fn is_image(&self) -> bool {
        let summed = |label: &char| self.weights.contains(label) && !self.output.contains(label);
        match self.image.as_slice() {
            [.., channels, height, width] => {
                summed(channels)
                    && [height, width].into_iter().all(|l| self.output.contains(l) && !self.weights.contains(l))
            }
            _ => false,
        }
    }

    fn plan(&self, x: &View, weights: &[usize]) -> Option<Plan> {
        let (mut channels, mut summed, mut kept) = (Axis::new(), vec![], vec![]);
        for (label, axis) in self.image.iter().zip(&x.axes) {
            match (self.weights.contains(label), self.output.contains(label)) {
                (true, false) => {
                    channels.extend(axis);
                    summed.push(*label);
                }
                (false, true) => kept.push((*label, axis.clone())),
                _ if axis.is_empty() => {}
                _ => return None,
            }
        }
        let mut out = vec![];
        for (label, extent) in self.weights.iter().zip(weights) {
            match (self.image.contains(label), self.output.contains(label)) {
                (true, false) | (false, true) => {}
                _ if *extent == 1 => {}
                _ => return None,
            }
        }
        for label in &self.output {
            if let Some(at) = self.weights.iter().position(|l| l == label)
                && !self.image.contains(label)
            {
                out.push((*label, *weights.get(at)?));
            }
        }
        if kept.len() > 3 {
            kept.retain(|(_, axis)| !axis.is_empty());
        }
        let mut kept = kept.into_iter().rev();
        let (width, height, batch) = (kept.next(), kept.next(), kept.next());
        if kept.next().is_some() || summed.is_empty() {
            return None;
        }
        let axis = |part: &Option<(char, Axis)>| part.as_ref().map_or_else(Vec::new, |(_, axis)| axis.clone());
        let axes = [axis(&batch), channels, axis(&height), axis(&width)];
        let label = |part: Option<(char, Axis)>| part.map(|(label, _)| label);
        Some(Plan { axes, summed, out, kept: [label(batch), label(height), label(width)] })
    }

    /// The weights as `[out, in]`.
    fn arranged(&self, plan: &Plan, shape: &[usize], data: &[f32]) -> Option<Vec<f32>> {
        let view = View::whole(0, shape);
        let axis = |label: &char| self.weights.iter().position(|l| l == label).map(|at| view.axes[at].clone());
        let mut order: Vec<Digit> = vec![];
        for label in plan.out.iter().map(|(label, _)| label).chain(&plan.summed) {
            order.extend(axis(label)?);
        }
        let picked: Option<Vec<f32>> = offsets(&order).into_iter().map(|at| data.get(at).copied()).collect();
        picked.filter(|weights| weights.len() == data.len())
    }

    /// The image that the convolution gives, with the axes of the sum's output.
    fn view(&self, plan: &Plan, id: usize, output: [usize; 4]) -> View {
        let whole = View::whole(id, &output);
        let mut stride = output[2] * output[3];
        let mut channels: Vec<(char, Axis)> = vec![];
        for (label, extent) in plan.out.iter().rev() {
            channels.push((*label, digits(*extent, stride)));
            stride *= extent;
        }
        let axis = |label: &char| {
            let kept = plan.kept.iter().position(|kept| kept.as_ref() == Some(label));
            match kept {
                Some(at) => whole.axes[[0, 2, 3][at]].clone(),
                None => channels.iter().find(|(l, _)| l == label).map_or_else(Vec::new, |(_, axis)| axis.clone()),
            }
        };
        View { axes: self.output.iter().map(axis).collect(), ..whole }
    }
}

/// The label of each axis; none where one occurs twice.
fn labels(op: &EinSum, slot: InOut) -> Option<Vec<char>> {
    let mut labels = vec!['\0'; op.axes.rank(slot)];
    for axis in op.axes.iter_all_axes() {
        match axis.interface(slot) {
            [] => {}
            [at] => *labels.get_mut(*at)? = axis.repr,
            _ => return None,
        }
    }
    Some(labels)
}
