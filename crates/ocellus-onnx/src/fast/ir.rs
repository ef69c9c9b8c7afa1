//! The graph between tract's and the steps: values with a shape, one operation each, in an order in which they can be
//! computed.

use std::sync::Arc;

use super::view::View;
use crate::kernel::{Activation, Binary, Channel, ConvSpec, PoolKind, Tap, Window};

/// A value, by its place in [`Graph::values`].
pub(super) type Id = usize;

/// What one value is computed from.
#[derive(Debug, Clone)]
pub(super) struct Value {
    pub(super) op: Op,
    pub(super) inputs: Vec<Id>,
    /// Row-major extents; of an image `[batch, channels, height, width]`.
    pub(super) shape: Vec<usize>,
    /// Lies in channel blocks when it is computed here.
    pub(super) image: bool,
}

/// An operation that gives one value.
#[derive(Debug, Clone)]
pub(super) enum Op {
    /// An input of the model, or an output of the part of the graph that is its input: a tensor by number.
    Tensor(usize),
    /// A part of the graph that tract runs, by number. Has no value itself.
    Part(usize),
    Constant(Arc<Vec<f32>>),
    Conv(Box<Conv>),
    Map(Map),
    /// Element by element. The second operand has the shape of the first, or one number a channel.
    Binary(Binary, Activation),
    Pool(PoolKind, Window),
    /// Mean over height and width, times a factor.
    Mean(f32),
    /// Channels picked from the inputs.
    Channels(Vec<Channel>),
    /// Height and width resampled.
    Resize([Vec<Tap>; 2]),
    /// The elements of a view of the input, row-major.
    Gather(View),
    /// Row-major values one after the other along an axis.
    Concat(usize),
}

/// A convolution with what was fused into it: `activation(conv(x) + bias + before)`, or
/// `last(activation(conv(x) + bias) + after)`.
#[derive(Debug, Clone)]
pub(super) struct Conv {
    /// Its input's layout is chosen when it is placed.
    pub(super) spec: ConvSpec,
    /// `[out, in / groups, height, width]`.
    pub(super) weights: Vec<f32>,
    /// One a channel.
    pub(super) bias: Vec<f32>,
    pub(super) activation: Activation,
    /// Whether the second input is added, and where.
    pub(super) sum: Option<Sum>,
    /// What is applied to a sum after the activation.
    pub(super) last: Activation,
}

impl Conv {
    /// With nothing fused into it.
    pub(super) fn new(spec: ConvSpec, weights: Vec<f32>, bias: Vec<f32>) -> Self {
        Self { spec, weights, bias, activation: Activation::None, sum: None, last: Activation::None }
    }
}

/// Where another image of the output's shape is added to a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sum {
    BeforeActivation,
    AfterActivation,
}

/// A function of one number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Map {
    Add(f32),
    Mul(f32),
    Activation(Activation),
}

/// Values in an order in which they can be computed.
#[derive(Debug, Default)]
pub(super) struct Graph {
    pub(super) values: Vec<Value>,
    /// Number of tensors: the model's inputs first.
    pub(super) tensors: usize,
    /// The model's outputs.
    pub(super) outputs: Vec<Id>,
}

impl Graph {
    pub(super) fn add(&mut self, op: Op, inputs: Vec<Id>, shape: &[usize]) -> Id {
        let image = match &op {
            Op::Conv(_) | Op::Pool(..) | Op::Mean(_) | Op::Channels(_) | Op::Resize(_) => true,
            Op::Map(_) | Op::Binary(..) => inputs.first().is_some_and(|&x| self.values[x].image),
            Op::Tensor(_) | Op::Part(_) | Op::Constant(_) | Op::Gather(_) | Op::Concat(_) => false,
        };
        self.values.push(Value { op, inputs, shape: shape.to_vec(), image });
        self.values.len() - 1
    }

    pub(super) fn len(&self, id: Id) -> usize {
        self.values[id].shape.iter().product()
    }

    /// Extents of an image.
    pub(super) fn image(&self, id: Id) -> Option<[usize; 4]> {
        let value = &self.values[id];
        if value.image { value.shape.as_slice().try_into().ok() } else { None }
    }

    /// Whether it was computed by operations of this graph, not read from a tensor.
    pub(super) fn is_own(&self, id: Id) -> bool {
        !matches!(self.values[id].op, Op::Tensor(_) | Op::Part(_) | Op::Constant(_))
    }

    /// How often each value is used, by other values and as output.
    pub(super) fn uses(&self) -> Vec<usize> {
        let live = self.live();
        let mut uses = vec![0; self.values.len()];
        let inputs = self.values.iter().zip(&live).filter(|(_, live)| **live).flat_map(|(value, _)| &value.inputs);
        for &id in inputs.chain(&self.outputs) {
            uses[id] += 1;
        }
        uses
    }

    /// Which values an output depends on.
    pub(super) fn live(&self) -> Vec<bool> {
        let mut live = vec![false; self.values.len()];
        let mut waiting = self.outputs.clone();
        while let Some(id) = waiting.pop() {
            if !std::mem::replace(&mut live[id], true) {
                waiting.extend(&self.values[id].inputs);
            }
        }
        live
    }
}
