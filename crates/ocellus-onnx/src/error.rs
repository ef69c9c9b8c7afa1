//! What can go wrong with a model, each case saying where and what to do.

use std::path::PathBuf;

/// Why a model was refused or could not be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file could not be read.
    #[error("cannot read model {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Something is wrong with the model in this file; the cause is in `source`.
    #[error("model {}: {source}", path.display())]
    InFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<Error>,
    },
    /// The file has no bytes.
    #[error("the file is empty: fetch or export the model again")]
    Empty,
    /// The bytes are not an ONNX model, or only the beginning of one.
    #[error("not an ONNX model, or cut short ({reason}): fetch or export it again")]
    NotOnnx {
        /// What the decoder met.
        reason: String,
    },
    /// Something in the model is larger than the [`Limits`](crate::limits::Limits) allow.
    #[error("{what} is {found}, more than the limit of {limit}: use a smaller model or input, or raise the limit")]
    TooLarge {
        /// What was measured, with its place in the model.
        what: String,
        /// How large it is.
        found: String,
        /// What is allowed.
        limit: u64,
    },
    /// One run takes more memory than the [`Limits`](crate::limits::Limits) allow.
    #[error(
        "running the model takes {}, more than the limit of {}: weights {}, intermediate values {} at node {node:?} \
         ({operator}); use a smaller model or input, or raise the limit",
        mebibytes(*needed), mebibytes(*limit), mebibytes(*weights), mebibytes(*activations)
    )]
    Memory {
        /// The node at which the most is needed.
        node: String,
        /// Its operator in the simplified graph.
        operator: String,
        /// Bytes of all together.
        needed: u64,
        /// Bytes of weights.
        weights: u64,
        /// Bytes of the values that are there when that node runs.
        activations: u64,
        /// Bytes that are allowed.
        limit: u64,
    },
    /// The graph contradicts itself: a dangling input, a cycle, a value defined twice, ….
    #[error("{place}: {reason}; the model is broken: export it again")]
    Malformed {
        /// Node, tensor, input or output.
        place: String,
        /// What is wrong there.
        reason: String,
    },
    /// An operator that is not supported, or not in this use.
    #[error("node {node:?}: operator {operator} is not supported ({why}): export the model without it")]
    Unsupported {
        /// The node's name, or its first output's where it has none.
        node: String,
        /// The operator's name, with its domain where that is not ONNX's own.
        operator: String,
        /// In what respect.
        why: String,
    },
    /// The weights lie in another file.
    #[error(
        "tensor {tensor:?} lies outside the model file: save the model with its weights in one file \
         (onnx.save(model, path, save_as_external_data=False))"
    )]
    ExternalData {
        /// The tensor.
        tensor: String,
    },
    /// A shape that is not known before the model runs.
    #[error("the shape of {place} is not fixed ({what}): {advice}")]
    Unresolved {
        /// The input or node.
        place: String,
        /// What is unknown.
        what: String,
        /// What to do.
        advice: String,
    },
    /// Shapes and types could not be worked out.
    #[error("node {node:?} ({operator}) cannot be analysed: {reason}")]
    Analysis {
        /// The node's name.
        node: String,
        /// Its operator.
        operator: String,
        /// Why not.
        reason: String,
    },
    /// The model takes no input.
    #[error("the model has no inputs: there is nothing to run it on")]
    NoInputs,
    /// The model gives no output.
    #[error("the model has no outputs: there is nothing to run it for")]
    NoOutputs,
    /// An input of a type that no tensor at the edge can have: text, a sequence, ….
    #[error("input {name:?} takes {dtype}, and only numbers and truth values are supported: convert the model")]
    InputType {
        /// The input.
        name: String,
        /// Its element type.
        dtype: String,
    },
    /// A tensor, or a shape asked for, that does not fit the input.
    #[error("input {name:?} expects {expected}, got {got}")]
    WrongInput {
        /// The input.
        name: String,
        /// What it takes.
        expected: String,
        /// What was given.
        got: String,
    },
    /// Not as many tensors or shapes as the model has inputs.
    #[error("the model has {expected} input(s), got {got}: give one tensor (or shape) for each, in the file's order")]
    InputCount {
        /// How many the model has.
        expected: usize,
        /// How many were given.
        got: usize,
    },
    /// The model cannot take several pictures at a time.
    #[error("batch {batch} is not possible: {reason}; run the pictures one by one or export with a dynamic batch")]
    Batch {
        /// The batch asked for.
        batch: usize,
        /// What stands in the way.
        reason: String,
    },
    /// The model failed while it ran.
    #[error("the model failed while running: {reason}")]
    Run {
        /// What happened.
        reason: String,
    },
    /// An operator of the simplified graph cannot be carried to the device.
    #[error("node {node:?} ({operator}) cannot run on this device: {reason}; use the cpu device for this model")]
    Lowering {
        /// The node's name.
        node: String,
        /// The operator of the simplified graph.
        operator: String,
        /// Why not.
        reason: String,
    },
    /// The device failed, or is not there.
    #[error("device {device}: {reason}")]
    Device {
        /// Which device.
        device: String,
        /// What happened, and what to do about it.
        reason: String,
    },
}

impl Error {
    /// The cause itself, without the file it was met in.
    #[must_use]
    pub fn cause(&self) -> &Self {
        match self {
            Self::InFile { source, .. } => source.cause(),
            other => other,
        }
    }

    /// Whether the device is to blame, not the model: it failed, is lost, or ran out of memory.
    #[must_use]
    pub fn is_device(&self) -> bool {
        matches!(self.cause(), Self::Device { .. })
    }

    pub(crate) fn malformed(place: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Malformed { place: place.into(), reason: reason.into() }
    }

    pub(crate) fn too_large(what: impl Into<String>, found: impl ToString, limit: u64) -> Self {
        Self::TooLarge { what: what.into(), found: found.to_string(), limit }
    }
}

/// An amount of memory for people, rounded up so that what is more than a limit shows as more.
fn mebibytes(bytes: u64) -> String {
    let tenths = (u128::from(bytes) * 10).div_ceil(1 << 20);
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}

/// One line of a cause with all its contexts, outermost first; long texts are cut.
pub(crate) fn one_line(error: &tract_onnx::prelude::TractError) -> String {
    shorten(&format!("{error:#}"))
}

/// A text on one line, at most some 400 characters of it.
pub(crate) fn shorten(text: &str) -> String {
    const MOST: usize = 400;
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= MOST {
        return line;
    }
    let mut cut: String = line.chars().take(MOST).collect();
    cut.push('…');
    cut
}
