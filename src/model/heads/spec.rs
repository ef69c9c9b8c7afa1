//! Which head, as a description says it.

use serde::{Deserialize, Serialize};

use super::embedding::Pool;
use super::heatmap::HeatmapSpec;
use super::ssd::SsdSpec;
use super::yolo::YoloSpec;

/// Which head, and its parameters.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum HeadSpec {
    /// One output `[N, 5 + classes]`: box relative to the grid, objectness, classes; sigmoid done.
    Yolox {
        /// Pixels a grid cell, finest first.
        strides: Vec<u32>,
    },
    /// The YOLO family after YOLOX.
    Yolo(YoloSpec),
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
    /// Two outputs, `[Q, classes]` and `[Q, 4]`: scores and boxes, centre and size as fractions of the input.
    Detr {
        /// What makes probabilities of the scores; with `softmax` the last one is "no object".
        activation: Activation,
        /// Name of the scores' output; by default found by shape and name.
        #[serde(skip_serializing_if = "Option::is_none")]
        scores: Option<String>,
        /// Name of the boxes' output; by default found by shape and name.
        #[serde(skip_serializing_if = "Option::is_none")]
        boxes: Option<String>,
    },
    /// Three outputs: labels `[K]`, boxes `[K, 4]` and scores `[K]` of detections that the network chose.
    Listed {
        /// Name of the labels' output; by default found by shape and name.
        #[serde(skip_serializing_if = "Option::is_none")]
        labels: Option<String>,
        /// Name of the boxes' output; by default found by shape and name.
        #[serde(skip_serializing_if = "Option::is_none")]
        boxes: Option<String>,
        /// Name of the scores' output; by default found by shape and name.
        #[serde(skip_serializing_if = "Option::is_none")]
        scores: Option<String>,
        /// Whether label 0 is the background, which is not a class.
        background: bool,
        /// Whether boxes are fractions of the input, not its pixels.
        normalised: bool,
    },
    /// Scores and offsets from prior boxes.
    Ssd(SsdSpec),
    /// A heat map with sizes and offsets.
    Heatmap(HeatmapSpec),
    /// One output, a vector that describes the picture.
    Embedding {
        /// How a vector is made of a transformer's tokens.
        pool: Pool,
        /// Name of the output; by default the only one.
        #[serde(skip_serializing_if = "Option::is_none")]
        output: Option<String>,
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
            Self::Yolo(_) => "yolo",
            Self::Gfl { .. } => "gfl",
            Self::Boxes { .. } => "boxes",
            Self::Detr { .. } => "detr",
            Self::Listed { .. } => "listed",
            Self::Ssd(_) => "ssd",
            Self::Heatmap(_) => "heatmap",
            Self::Embedding { .. } => "embedding",
            Self::Classify { .. } => "classify",
        }
    }
}

/// What makes probabilities of a network's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// They are logits of which one is right.
    Softmax,
    /// They are logits, each for itself.
    Sigmoid,
    /// They are probabilities.
    None,
}
