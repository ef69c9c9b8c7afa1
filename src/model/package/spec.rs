//! What `model.toml` says, complete: every default filled in and every value checked.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::PackageError;
use crate::config::PrecisionChoice;
use crate::model::heads::HeadSpec;
use crate::model::input::{Channels, Letterbox, Normalise};
use crate::model::preprocess::InputSpec;

/// The weights' file name where the description names none.
pub const DEFAULT_WEIGHTS: &str = "model.onnx";
/// The labels' file name where the description names none.
pub const DEFAULT_LABELS: &str = "labels.txt";

/// The effective description of a model. Written as TOML it is a valid `model.toml`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Spec {
    /// The model's name: letters, digits, `.`, `_` and `-`.
    pub name: String,
    /// Its version, preferably semantic.
    pub version: String,
    /// What it answers.
    pub task: Task,
    /// File name of the weights, relative to the package.
    pub weights: String,
    /// File name of the labels, relative to the package, or `builtin:coco80`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<String>,
    /// Floats on a GPU.
    #[serde(skip_serializing_if = "is_default")]
    pub precision: PrecisionChoice,
    /// From pixels to the network's input.
    pub input: Input,
    /// From the network's outputs to candidates.
    pub head: HeadSpec,
    /// Thresholds in operation.
    pub thresholds: Thresholds,
    /// Thresholds for measuring accuracy.
    pub evaluation: EvaluationThresholds,
    /// What may be lost on the golden set.
    #[serde(skip_serializing_if = "is_default")]
    pub golden: Golden,
    /// Where it comes from.
    #[serde(skip_serializing_if = "Provenance::is_empty")]
    pub provenance: Provenance,
}

impl Spec {
    /// The same as a `model.toml`.
    ///
    /// # Errors
    /// When a provenance metric has no form in TOML.
    pub fn to_toml(&self) -> Result<String, PackageError> {
        toml::to_string(self).map_err(|e| PackageError::Input {
            model: self.name.clone(),
            reason: format!("its description can't be written as TOML: {e}"),
        })
    }
}

/// What a model answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// Which objects are where.
    Detect,
    /// What the whole picture shows.
    Classify,
    /// A vector that describes the whole picture.
    Embed,
}

/// From pixels to the network's input.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Input {
    /// Width and height in pixels; by default what the weights' input says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<[u32; 2]>,
    /// How the picture fits.
    pub letterbox: Letterbox,
    /// For `crop`: the short side's length before the cut; by default no margin is cut off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resize_short: Option<u32>,
    /// Value of padding pixels, 0..=255.
    pub pad: f32,
    /// Order of the channels.
    pub channels: Channels,
    /// Subtracted, per channel in the order of `channels`.
    pub mean: [f32; 3],
    /// Divided by, per channel in the order of `channels`.
    pub std: [f32; 3],
    /// Multiplies the pixel value 0..=255 before `mean` and `std`.
    pub scale: f32,
}

impl Input {
    /// What the preprocessing needs to know, for an input of this size.
    #[must_use]
    pub fn with_size(&self, width: u32, height: u32) -> InputSpec {
        InputSpec {
            width,
            height,
            letterbox: self.letterbox,
            resize_short: self.resize_short.unwrap_or(width.min(height)),
            normalise: Normalise {
                channels: self.channels,
                scale: self.scale,
                mean: self.mean,
                std: self.std,
                pad: self.pad,
            },
        }
    }
}

/// Thresholds in operation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Thresholds {
    /// Detections score above this, 0..=1.
    pub score: f32,
    /// Of two boxes of one class whose IoU is above this, the weaker is dropped, 0..=1.
    pub nms: f32,
    /// Most detections a frame.
    pub max_detections: usize,
}

/// Thresholds for measuring accuracy, where a low score still counts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct EvaluationThresholds {
    /// As [`Thresholds::score`].
    pub score: f32,
    /// As [`Thresholds::nms`].
    pub nms: f32,
}

impl EvaluationThresholds {
    /// The same as thresholds to run with; COCO counts 100 detections a picture.
    #[must_use]
    pub fn thresholds(&self) -> Thresholds {
        Thresholds { score: self.score, nms: self.nms, max_detections: crate::eval::MAX_DETECTIONS }
    }
}

/// What may be lost on the golden set.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Golden {
    /// The most by which a score or an overlap may be off in 16-bit floats, 0..=1.
    pub tolerance: f32,
}

impl Default for Golden {
    /// Less than what tells a good detection from a doubtful one.
    fn default() -> Self {
        Self { tolerance: 0.05 }
    }
}

/// Whether a setting may be left out.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Where a model comes from.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// Name or digest of the model that it was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// Name or digest of the data that it was trained on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<String>,
    /// Whatever was measured.
    #[serde(default, skip_serializing_if = "toml::Table::is_empty")]
    pub metrics: toml::Table,
}

impl Provenance {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The longest name or version.
const MAX_NAME: usize = 100;

/// Whether a text may be a model's name or version: it becomes part of file names and messages.
pub(super) fn is_name(text: &str) -> bool {
    text.len() <= MAX_NAME
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-+".contains(c))
}

/// A model's name made from the name of its file.
pub(super) fn name_of(file: &Path) -> String {
    let stem = file.file_stem().map(|s| s.to_string_lossy()).unwrap_or_default();
    let clean: String = stem
        .chars()
        .map(|c| if is_name(&format!("a{c}")) { c } else { '-' })
        .skip_while(|c| !c.is_ascii_alphanumeric())
        .take(MAX_NAME)
        .collect();
    if clean.is_empty() { "model".to_owned() } else { clean }
}
