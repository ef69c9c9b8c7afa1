//! What a plan does, one step after the other, on buffers that are used again and again.

use std::sync::Arc;

use super::ir::Map;
use crate::kernel::{Activation, Binary, Channel, Conv, Pool, Resize, Shape};

/// Where numbers lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) source: Source,
    pub(super) start: usize,
    pub(super) len: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Buffer(usize),
    Constant(usize),
    Tensor(usize),
}

/// One step: reads some places, writes one.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) work: Work,
    pub(super) reads: Vec<Place>,
    /// None for parts of tract's, which give tensors.
    pub(super) write: Option<Place>,
}

/// What a step does. Images lie in blocks of channels, `[batch, channels / B, height, width, B]`.
#[derive(Debug, Clone)]
pub(super) enum Work {
    /// A convolution of an image of this shape. The second input, if there is one, is added, and this applied to the
    /// sum.
    Conv(Arc<Conv>, Shape, Activation),
    Map(Map),
    Binary(Binary, Activation),
    /// The second input has one number for each channel of each image of this shape.
    Scale(Binary, Activation, Shape),
    Pool(Arc<Pool>, Shape),
    /// Mean over height and width, times a factor.
    Mean(f32, Shape),
    /// Channels of the inputs, which have as many as is said.
    Channels(Arc<Vec<Channel>>, Vec<usize>, Shape),
    Resize(Arc<Resize>, Shape),
    ToBlocks(Shape),
    FromBlocks(Shape),
    /// Channels become the innermost axis.
    ChannelsLast(Shape),
    /// Runs of `run` numbers that lie `stride` apart.
    Gather {
        starts: Arc<Vec<usize>>,
        run: usize,
        stride: usize,
    },
    /// The inputs' rows in turn.
    Copy {
        rows: usize,
    },
    /// A part that tract runs, and the tensors that it gives.
    Part {
        part: usize,
        takes: Vec<Take>,
        gives: Vec<usize>,
    },
}

/// What tract takes: a tensor as it is, or what lies at the place that is read.
#[derive(Debug, Clone, Copy)]
pub(super) enum Take {
    Tensor(usize),
    Read(usize),
}

/// Where an output of the model comes from.
#[derive(Debug, Clone)]
pub(super) enum Output {
    Tensor(usize),
    /// With its shape.
    Place(Place, Vec<usize>),
}

/// Steps, and what they need.
#[derive(Debug, Clone)]
pub(super) struct Program {
    pub(super) steps: Vec<Step>,
    pub(super) outputs: Vec<Output>,
    pub(super) constants: Vec<Vec<f32>>,
    /// Number of tensors.
    pub(super) tensors: usize,
    /// Length of each buffer.
    pub(super) buffers: Vec<usize>,
}
