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
mod detr;
mod embedding;
mod find;
mod fitting;
mod gfl;
mod heatmap;
mod listed;
mod math;
mod selection;
mod spec;
mod ssd;
mod yolo;
mod yolo_raw;
mod yolox;

use ocellus_onnx::TensorInfo;

pub use self::boxes::Boxes;
pub use self::candidates::{Candidate, Decoded, MAX_CANDIDATES};
pub use self::classify::Classify;
pub use self::detr::Detr;
pub use self::embedding::{Embedding, Pool};
pub(in crate::model) use self::find::map_of;
pub use self::fitting::fitting;
pub use self::gfl::Gfl;
pub use self::heatmap::{Heatmap, HeatmapSpec, Sizes};
pub use self::listed::Listed;
pub use self::selection::{Level, Rows, Selection, Sparse};
pub use self::spec::{Activation, HeadSpec};
pub use self::ssd::{Ssd, SsdSpec};
pub use self::yolo::{Yolo, YoloLayout, YoloSpec};
pub use self::yolo_raw::YoloRaw;
pub use self::yolox::Yolox;

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
    /// No output, or more than one, looks like what the head reads.
    #[error(
        "{fitting} outputs look like the {shape} that the head `{head}` reads as `{key}`; say which with `{key} = \"NAME\"` \
         under [head] of a model.toml"
    )]
    Unclear {
        /// Kind of head.
        head: &'static str,
        /// What the output is called in a description.
        key: &'static str,
        /// The shape looked for, for people.
        shape: &'static str,
        /// How many there are.
        fitting: usize,
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
    /// See [`HeadSpec::Yolo`].
    Yolo(Yolo),
    /// See [`HeadSpec::Yolo`], layout `raw`.
    YoloRaw(YoloRaw),
    /// See [`HeadSpec::Gfl`].
    Gfl(Gfl),
    /// See [`HeadSpec::Boxes`].
    Boxes(Boxes),
    /// See [`HeadSpec::Detr`].
    Detr(Detr),
    /// See [`HeadSpec::Listed`].
    Listed(Listed),
    /// See [`HeadSpec::Ssd`].
    Ssd(Ssd),
    /// See [`HeadSpec::Heatmap`].
    Heatmap(Heatmap),
    /// See [`HeadSpec::Classify`].
    Classify(Classify),
    /// See [`HeadSpec::Embedding`].
    Embedding(Embedding),
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
            HeadSpec::Yolo(spec) if spec.layout == YoloLayout::Raw => Self::YoloRaw(YoloRaw::new(spec, size, outputs)?),
            HeadSpec::Yolo(spec) => Self::Yolo(Yolo::new(spec, size, outputs)?),
            HeadSpec::Gfl { strides, bins } => Self::Gfl(Gfl::new(strides, *bins, size, outputs)?),
            HeadSpec::Boxes { scores, boxes, background, normalised } => {
                Self::Boxes(Boxes::new([scores, boxes], *background, *normalised, size, outputs)?)
            }
            HeadSpec::Detr { activation, scores, boxes } => {
                Self::Detr(Detr::new(*activation, [scores.as_deref(), boxes.as_deref()], size, outputs)?)
            }
            HeadSpec::Listed { labels, boxes, scores, background, normalised } => {
                let names = [labels.as_deref(), boxes.as_deref(), scores.as_deref()];
                Self::Listed(Listed::new(names, *background, *normalised, size, outputs)?)
            }
            HeadSpec::Ssd(spec) => Self::Ssd(Ssd::new(spec, size, outputs)?),
            HeadSpec::Heatmap(spec) => Self::Heatmap(Heatmap::new(spec, size, outputs)?),
            HeadSpec::Classify { activation, top_k } => {
                Self::Classify(Classify::new(*activation, *top_k, size, outputs)?)
            }
            HeadSpec::Embedding { pool, output } => Self::Embedding(Embedding::new(*pool, output.as_deref(), outputs)?),
        })
    }

    /// How many classes the network tells apart; none where its outputs don't show that, because it gives classes by
    /// number, or where it has none.
    #[must_use]
    pub fn classes(&self) -> Option<usize> {
        match self {
            Self::Yolox(head) => Some(head.classes()),
            Self::Yolo(head) => head.classes(),
            Self::YoloRaw(head) => Some(head.classes()),
            Self::Gfl(head) => Some(head.classes()),
            Self::Boxes(head) => Some(head.classes()),
            Self::Detr(head) => Some(head.classes()),
            Self::Ssd(head) => Some(head.classes()),
            Self::Heatmap(head) => Some(head.classes()),
            Self::Classify(head) => Some(head.classes()),
            Self::Listed(_) | Self::Embedding(_) => None,
        }
    }

    /// How many proposals the network makes for a picture: anchors, queries, cells, the classes of a classifier, the
    /// numbers of a vector.
    #[must_use]
    pub fn rows(&self) -> usize {
        match self {
            Self::Yolox(head) => head.rows(),
            Self::Yolo(head) => head.rows(),
            Self::YoloRaw(head) => head.rows(),
            Self::Gfl(head) => head.rows(),
            Self::Boxes(head) => head.rows(),
            Self::Detr(head) => head.rows(),
            Self::Listed(head) => head.rows(),
            Self::Ssd(head) => head.rows(),
            Self::Heatmap(head) => head.rows(),
            Self::Classify(head) => head.classes(),
            Self::Embedding(head) => head.rows(),
        }
    }

    /// How candidates lie in the outputs, for a device that selects them; none where a head needs whole outputs.
    #[must_use]
    pub fn selection(&self) -> Option<Selection> {
        match self {
            Self::Yolox(head) => Some(head.selection()),
            Self::Yolo(head) => Some(head.selection()),
            Self::Gfl(head) => Some(head.selection()),
            Self::Boxes(head) => Some(head.selection()),
            Self::Detr(head) => head.selection(),
            // Softmax and peaks take neighbours; lists are short.
            Self::YoloRaw(_)
            | Self::Listed(_)
            | Self::Ssd(_)
            | Self::Heatmap(_)
            | Self::Classify(_)
            | Self::Embedding(_) => None,
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
            Self::Yolo(head) => head.decode(outputs, score),
            Self::YoloRaw(head) => head.decode(outputs, score),
            Self::Gfl(head) => head.decode(outputs, score),
            Self::Boxes(head) => head.decode(outputs, score),
            Self::Detr(head) => head.decode(outputs, score),
            Self::Listed(head) => head.decode(outputs, score),
            Self::Ssd(head) => head.decode(outputs, score),
            Self::Heatmap(head) => head.decode(outputs, score),
            Self::Classify(head) => head.decode(outputs, score),
            Self::Embedding(head) => head.decode(outputs),
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
