//! Arithmetic of the operators of the simplified graph.
//!
//! A multiply-accumulate (MAC) counts as two floating-point operations. `|x|` is the number of elements of `x`.
//!
//! | class | MACs | other operations |
//! |---|---|---|
//! | convolution | `|y| · |kernel| / C_out` | |
//! | transposed convolution | `|x| · |kernel| / C_in` | |
//! | product of matrices | product of the extents of all labels of the Einstein sum | |
//! | pooling | | `|y| ·` window |
//! | reduction | | `|x|` |
//! | normalisation | | softmax `5 |x|` (maximum, difference, exponential, sum, quotient), RMS norm `3 |x|` |
//! | resampling | `4 |y|`: bilinear | |
//! | element by element | | `|y|`, whatever the function |
//! | movement of data | | |
//!
//! Convolutions and products as in Sze et al., "Efficient Processing of Deep Neural Networks: A Tutorial and Survey",
//! Proc. IEEE 105 (2017), equation 1 and figure 9: padding counts as work. Publications that say "FLOPs" of a model
//! often mean MACs (EfficientNet, MobileNet, ResNet), those of YOLOX mean two for each.

use tract_onnx::prelude::{TypedFact, TypedModel, TypedNode};
use tract_onnx::tract_core::internal::InOut;
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::cnn::{Conv, Deconv, MaxPool, PoolSpec, SumPool};
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;

use super::{NodeReport, Work};

/// What kind of work a node does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Class {
    /// Convolutions, transposed ones too.
    Convolution,
    /// Products of matrices, pointwise convolutions among them.
    Product,
    /// Maxima and means under windows.
    Pooling,
    /// Sums, means, extremes along axes; choosing the largest.
    Reduction,
    /// Softmax and norms.
    Normalisation,
    /// Interpolation.
    Resampling,
    /// One result from one element of each operand.
    Elementwise,
    /// Copies and views: no arithmetic.
    Movement,
}

impl Class {
    /// As people call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Convolution => "convolution",
            Self::Product => "matrix product",
            Self::Pooling => "pooling",
            Self::Reduction => "reduction",
            Self::Normalisation => "normalisation",
            Self::Resampling => "resampling",
            Self::Elementwise => "elementwise",
            Self::Movement => "movement",
        }
    }
}

/// All nodes but inputs and constants, in the graph's order.
pub(super) fn nodes(model: &TypedModel) -> Vec<NodeReport> {
    let computing = model.nodes().iter().filter(|node| !matches!(&*node.op.name(), "Const" | "Source"));
    computing
        .map(|node| {
            let inputs: Vec<&TypedFact> = node.inputs.iter().filter_map(|i| model.outlet_fact(*i).ok()).collect();
            let (class, work) = work(node, &inputs);
            NodeReport {
                name: node.name.clone(),
                operator: node.op.name().into_owned(),
                class,
                shape: node.outputs.first().map(|o| shape(&o.fact)).unwrap_or_default(),
                work,
            }
        })
        .collect()
}

fn work(node: &TypedNode, inputs: &[&TypedFact]) -> (Class, Work) {
    let given = inputs.first().map_or(0, |fact| volume(fact));
    let made: u64 = node.outputs.iter().map(|o| volume(&o.fact)).fold(0, u64::saturating_add);
    let kernel = inputs.get(1).map_or(0, |fact| volume(fact));
    if let Some(conv) = node.op_as::<Conv>() {
        return (Class::Convolution, macs(made, kernel / (conv.pool_spec.output_channels as u64).max(1)));
    }
    if let Some(conv) = node.op_as::<Deconv>() {
        return (Class::Convolution, macs(given, kernel / (conv.pool_spec.input_channels as u64).max(1)));
    }
    if let Some(sum) = node.op_as::<EinSum>() {
        return einsum(sum, inputs, given);
    }
    if let Some(window) = window(node) {
        return (Class::Pooling, operations(made.saturating_mul(window)));
    }
    if node.op_as::<ElementWiseOp>().is_some() || node.op_as::<TypedBinOp>().is_some() {
        return (Class::Elementwise, operations(made));
    }
    let name = node.op.name();
    match &*name {
        "Softmax" | "LogSoftmax" => (Class::Normalisation, operations(given.saturating_mul(5))),
        "RmsNorm" | "ScaledRmsNorm" => (Class::Normalisation, operations(given.saturating_mul(3))),
        "Resize" | "GridSample" => (Class::Resampling, macs(made, 4)),
        "Topk" | "CumSum" => (Class::Reduction, operations(given)),
        _ if name.starts_with("Reduce<") => (Class::Reduction, operations(given)),
        _ if MOVEMENTS.contains(&&*name) => (Class::Movement, Work::default()),
        _ => (Class::Elementwise, operations(made)),
    }
}

const MOVEMENTS: [&str; 26] = [
    "Reshape",
    "AddAxis",
    "RmAxis",
    "MoveAxis",
    "IntoShape",
    "Concat",
    "Slice",
    "StridedSlice",
    "DynSlice",
    "Downsample",
    "Pad",
    "Gather",
    "GatherElements",
    "GatherNd",
    "ScatterElements",
    "ScatterNd",
    "MultiBroadcastTo",
    "Tile",
    "DynTile",
    "NearestUpsample",
    "Onehot",
    "Trilu",
    "Range",
    "Identity",
    "Cast",
    "Shape",
];

/// Labels that both factors have, or the output has, with the extent they have anywhere.
fn einsum(sum: &EinSum, inputs: &[&TypedFact], given: u64) -> (Class, Work) {
    if inputs.len() < 2 {
        return (Class::Reduction, operations(given));
    }
    let extents = sum.axes.iter_all_axes().map(|axis| {
        let slots = inputs.iter().enumerate();
        let of_axis = slots.flat_map(|(slot, fact)| {
            let shape = shape(fact);
            axis.interface(InOut::In(slot)).iter().filter_map(move |at| shape.get(*at).copied()).collect::<Vec<_>>()
        });
        of_axis.max().unwrap_or(1) as u64
    });
    (Class::Product, macs(extents.fold(1, u64::saturating_mul), 1))
}

/// Elements under the window of a pooling.
fn window(node: &TypedNode) -> Option<u64> {
    let of = |spec: &PoolSpec| spec.kernel_shape.iter().fold(1_u64, |n, extent| n.saturating_mul(*extent as u64));
    let max = node.op_as::<MaxPool>().map(|pool| of(&pool.pool_spec));
    max.or_else(|| node.op_as::<SumPool>().map(|pool| of(&pool.pool_spec)))
}

fn macs(times: u64, each: u64) -> Work {
    let macs = times.saturating_mul(each);
    Work { macs, flops: macs.saturating_mul(2) }
}

fn operations(flops: u64) -> Work {
    Work { macs: 0, flops }
}

fn shape(fact: &TypedFact) -> Vec<usize> {
    fact.shape.as_concrete().map(<[usize]>::to_vec).unwrap_or_default()
}

/// Elements; shapes of a loaded graph are known and within the limits.
fn volume(fact: &TypedFact) -> u64 {
    fact.shape.as_concrete().map_or(0, |shape| shape.iter().fold(1, |n, extent| n.saturating_mul(*extent as u64)))
}
