//! Heads: raw outputs of a network to candidates.
//!
//! A head checks the outputs' shapes once, against its strides and the input's size, when the model is
//! loaded. After that [`Head::decode`] may be fed any numbers: a candidate with an edge that is not finite or far
//! outside the input, or a score that is no probability, is dropped and counted, never passed on.
//!
//! Candidates are in pixels of the network's input (edges, not centres; they may lie outside of it), every
//! pair of anchor and class above the threshold being one, so that NMS can run class by class.

mod boxes;
mod candidates;
mod classify;
mod gfl;
mod selection;
mod yolox;

use ocellus_onnx::TensorInfo;
use serde::{Deserialize, Serialize};

pub use self::boxes::Boxes;
pub use self::candidates::{Candidate, Decoded, MAX_CANDIDATES};
pub use self::classify::Classify;
pub use self::gfl::Gfl;
pub use self::selection::{Level, Rows, Selection, Sparse};
pub use self::yolox::Yolox;

/// Which head, and its parameters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum HeadSpec {
    /// One output `[N, 5 + classes]`: box relative to the grid, objectness, classes; sigmoid done.
    Yolox {
        /// Pixels a grid cell, finest first.
        strides: Vec<u32>,
    },
    /// Generalised focal loss: per stride `[N, classes]` (sigmoid done) and `[N, 4 * bins]` (logits).
    Gfl {
        /// Pixels a grid cell, finest first.
        strides: Vec<u32>,
        /// Bins of each side's distribution.
        bins: usize,
    },
    /// Two outputs, `[N, classes]` and `[N, 4]`: scores and decoded boxes, left, top, right, bottom.
    Boxes {
        /// Name of the scores' output.
        scores: String,
        /// Name of the boxes' output.
        boxes: String,
        /// Whether the first column of the scores is the background, which is not a class.
        background: bool,
        /// Whether boxes are fractions of the input, not its pixels.
        normalised: bool,
    },
    /// One output `[classes]`.
    Classify {
        /// What makes probabilities of the output.
        activation: Activation,
        /// Most classes reported.
        top_k: usize,
    },
}

impl HeadSpec {
    /// Its name in a `model.toml`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Yolox { .. } => "yolox",
            Self::Gfl { .. } => "gfl",
            Self::Boxes { .. } => "boxes",
            Self::Classify { .. } => "classify",
        }
    }
}

/// What makes probabilities of a classifier's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// The output is logits.
    Softmax,
    /// The output is probabilities.
    None,
}

/// Why a head and a network do not go together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// Another number of outputs than the head reads.
    #[error("the head `{head}` reads {expected} outputs, but the network has {got}")]
    Count {
        /// Kind of head.
        head: &'static str,
        /// Outputs that it reads.
        expected: usize,
        /// Outputs that there are.
        got: usize,
    },
    /// No output has the name that the head reads.
    #[error("the head `{head}` reads an output called `{name}`, but the network has only {got}")]
    Missing {
        /// Kind of head.
        head: &'static str,
        /// The output's name.
        name: String,
        /// The outputs that there are.
        got: String,
    },
    /// An output has another shape than the head, its strides and the input's size imply.
    #[error("output `{output}` has shape {got:?}, but the head `{head}` expects {expected}")]
    Shape {
        /// Kind of head.
        head: &'static str,
        /// The output's name.
        output: String,
        /// The shape implied, for people.
        expected: String,
        /// The shape found.
        got: Vec<usize>,
    },
    /// A run gave another amount of numbers than the network promised.
    #[error("output number {index} gave {got} values a picture, not {expected}")]
    Length {
        /// Which output, from 0.
        index: usize,
        /// Values promised.
        expected: usize,
        /// Values there are.
        got: usize,
    },
}

/// A head that has been checked against a network's outputs.
#[derive(Debug, Clone)]
pub enum Head {
    /// See [`HeadSpec::Yolox`].
    Yolox(Yolox),
    /// See [`HeadSpec::Gfl`].
    Gfl(Gfl),
    /// See [`HeadSpec::Boxes`].
    Boxes(Boxes),
    /// See [`HeadSpec::Classify`].
    Classify(Classify),
}

impl Head {
    /// Checks that `outputs` are what this head reads from a network whose input has `size` (width, height).
    /// Outputs carry a batch axis first, whose extent does not matter.
    ///
    /// # Errors
    /// Which output is wrong, what was expected and what was found.
    pub fn new(spec: &HeadSpec, size: (u32, u32), outputs: &[TensorInfo]) -> Result<Self, HeadError> {
        let size = (size.0 as usize, size.1 as usize);
        Ok(match spec {
            HeadSpec::Yolox { strides } => Self::Yolox(Yolox::new(strides, size, outputs)?),
            HeadSpec::Gfl { strides, bins } => Self::Gfl(Gfl::new(strides, *bins, size, outputs)?),
            HeadSpec::Boxes { scores, boxes, background, normalised } => {
                Self::Boxes(Boxes::new([scores, boxes], *background, *normalised, size, outputs)?)
            }
            HeadSpec::Classify { activation, top_k } => {
                Self::Classify(Classify::new(*activation, *top_k, size, outputs)?)
            }
        })
    }

    /// How many classes the network tells apart.
    #[must_use]
    pub fn classes(&self) -> usize {
        match self {
            Self::Yolox(head) => head.classes(),
            Self::Gfl(head) => head.classes(),
            Self::Boxes(head) => head.classes(),
            Self::Classify(head) => head.classes(),
        }
    }

    /// How many proposals the network makes for a picture: anchors, or the classes of a classifier.
    #[must_use]
    pub fn rows(&self) -> usize {
        match self {
            Self::Yolox(head) => head.rows(),
            Self::Gfl(head) => head.rows(),
            Self::Boxes(head) => head.rows(),
            Self::Classify(head) => head.classes(),
        }
    }

    /// How candidates lie in the outputs, for a device that selects them; none where a head needs whole outputs.
    #[must_use]
    pub fn selection(&self) -> Option<Selection> {
        match self {
            Self::Yolox(head) => Some(head.selection()),
            Self::Gfl(head) => Some(head.selection()),
            Self::Boxes(head) => Some(head.selection()),
            Self::Classify(_) => None,
        }
    }

    /// The candidates of one picture that score above `score`, best first, at most [`MAX_CANDIDATES`].
    /// `outputs` are in the network's order, each without its batch axis.
    ///
    /// # Errors
    /// [`HeadError::Length`] where an output is missing or has another length than promised.
    pub fn decode(&self, outputs: &[&[f32]], score: f32) -> Result<Decoded, HeadError> {
        match self {
            Self::Yolox(head) => head.decode(outputs, score),
            Self::Gfl(head) => head.decode(outputs, score),
            Self::Boxes(head) => head.decode(outputs, score),
            Self::Classify(head) => head.decode(outputs, score),
        }
    }
}

/// Rows and columns of an output `[batch, rows, columns]` or `[rows, columns]`, none of them zero.
pub(in crate::model) fn matrix_of(output: &TensorInfo) -> Option<(usize, usize)> {
    match *output.shape.as_slice() {
        [_, rows, columns] | [rows, columns] if rows > 0 && columns > 0 => Some((rows, columns)),
        _ => None,
    }
}

/// Cells of a grid that leaves out what does not fill a cell.
pub(in crate::model) fn grid_cells_floor(size: (usize, usize), stride: usize) -> usize {
    (size.0 / stride.max(1)) * (size.1 / stride.max(1))
}

/// Cells of a grid that covers the whole input.
pub(in crate::model) fn grid_cells_ceil(size: (usize, usize), stride: usize) -> usize {
    size.0.div_ceil(stride.max(1)) * size.1.div_ceil(stride.max(1))
}

/// The numbers of output `index`, checked for their length.
fn values<'o>(outputs: &[&'o [f32]], index: usize, expected: usize) -> Result<&'o [f32], HeadError> {
    let found = outputs.get(index).copied().unwrap_or_default();
    if found.len() == expected { Ok(found) } else { Err(HeadError::Length { index, expected, got: found.len() }) }
}

/// A whole number of pixels or bins as a float; sizes are far below where that loses digits.
#[allow(clippy::cast_precision_loss)]
fn float(n: usize) -> f32 {
    n as f32
}

#[cfg(test)]
mod tests;
