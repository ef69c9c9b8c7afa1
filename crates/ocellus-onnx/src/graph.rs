//! A loaded model: checked, with known shapes, simplified to core operators.

mod batch;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use tract_onnx::prelude::TypedModel;

use crate::analyse;
use crate::contain::on_deep_stack;
use crate::error::{Error, one_line};
use crate::limits::Limits;
use crate::report::{self, Memory, check_budget};
use crate::shapes::DeclaredInput;
use crate::source::{Metadata, Source};
use crate::tensor::{TensorInfo, Value};

/// A model that is ready for a device: all shapes known, constants folded.
///
/// Cheap to clone: copies share weights and graph.
#[derive(Debug, Clone)]
pub struct Graph {
    source: Arc<Source>,
    typed: Arc<TypedModel>,
    inputs: Vec<TensorInfo>,
    outputs: Vec<TensorInfo>,
}

impl Graph {
    /// Loads a model file whose shapes are all in the file; an open batch becomes 1.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be read, else [`Error::InFile`] around what [`parse`](Self::parse) says.
    pub fn load(path: &Path, limits: &Limits) -> Result<Self, Error> {
        Self::load_with(path, limits, &[])
    }

    /// As [`load`](Self::load), with one shape for each input, for models whose height and width are open.
    ///
    /// # Errors
    /// As [`load`](Self::load); [`Error::InputCount`] and [`Error::WrongInput`] for shapes that do not fit.
    pub fn load_with(path: &Path, limits: &Limits, shapes: &[Vec<usize>]) -> Result<Self, Error> {
        let bytes = read(path, limits)?;
        Self::parse_with(&bytes, limits, shapes)
            .map_err(|source| Error::InFile { path: path.to_owned(), source: Box::new(source) })
    }

    /// Reads a model from the bytes of an ONNX file; an open batch becomes 1.
    ///
    /// # Errors
    /// What is wrong with the model: every case of [`Error`] up to [`Error::InputType`].
    pub fn parse(bytes: &[u8], limits: &Limits) -> Result<Self, Error> {
        Self::parse_with(bytes, limits, &[])
    }

    /// As [`parse`](Self::parse), with one shape for each input; no shapes at all stands for those of the file.
    ///
    /// # Errors
    /// As [`parse`](Self::parse); [`Error::InputCount`] and [`Error::WrongInput`] for shapes that do not fit.
    pub fn parse_with(bytes: &[u8], limits: &Limits, shapes: &[Vec<usize>]) -> Result<Self, Error> {
        let source = Arc::new(deep(|| Source::parse(bytes, limits))?);
        let shapes = if shapes.is_empty() { source.default_shapes()? } else { shapes.to_vec() };
        Self::analysed(source, shapes)
    }

    /// As [`parse`](Self::parse), for pictures of this width and height: open axes of an input
    /// `[batch, channels, height, width]` take them; axes that the file fixes stay as they are.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn parse_with_size(bytes: &[u8], size: (usize, usize), limits: &Limits) -> Result<Self, Error> {
        let source = Arc::new(deep(|| Source::parse(bytes, limits))?);
        let shapes = source.shapes_for(size)?;
        Self::analysed(source, shapes)
    }

    pub(crate) fn analysed(source: Arc<Source>, shapes: Vec<Vec<usize>>) -> Result<Self, Error> {
        source.accept_shapes(&shapes)?;
        let typed = deep(|| analyse::typed(&source, &shapes))?;
        Self::accepted(source, shapes, typed)
    }

    /// A graph within the budget.
    fn accepted(source: Arc<Source>, shapes: Vec<Vec<usize>>, typed: TypedModel) -> Result<Self, Error> {
        let typed = Arc::new(typed);
        check_budget(&typed, &source.limits)?;
        let inputs = source.describe_inputs(shapes);
        let outputs = source.describe_outputs(&typed)?;
        tracing::debug!(inputs = ?inputs, nodes = typed.nodes().len(), "analysed an ONNX model");
        Ok(Self { source, typed, inputs, outputs })
    }

    /// The inputs, in the file's order.
    #[must_use]
    pub fn inputs(&self) -> &[TensorInfo] {
        &self.inputs
    }

    /// The outputs, in the file's order.
    #[must_use]
    pub fn outputs(&self) -> &[TensorInfo] {
        &self.outputs
    }

    /// The same model for inputs of other shapes, one for each input.
    ///
    /// # Errors
    /// [`Error::InputCount`], [`Error::WrongInput`] (rank, or an extent that the file fixes to 0 or leaves no room
    /// for), [`Error::Analysis`] where the graph does not admit the shape, [`Error::TooLarge`], [`Error::Memory`].
    pub fn with_input_shape(&self, shapes: &[Vec<usize>]) -> Result<Self, Error> {
        Self::analysed(Arc::clone(&self.source), shapes.to_vec())
    }

    /// The inputs as the file declares them, with the axes that it leaves open.
    #[must_use]
    pub fn declared_inputs(&self) -> &[DeclaredInput] {
        self.source.inputs()
    }

    /// The same model with the input `name` fixed to a value: it is no input any more, and what follows from it is folded.
    ///
    /// # Errors
    /// [`Error::WrongInput`] where there is no such input, its type or shape is another, or it is the only one; what
    /// [`parse`](Self::parse) says against the graph with this value in it.
    pub fn with_constant(&self, name: &str, value: &Value) -> Result<Self, Error> {
        let wrong = |expected: String, got: String| Error::WrongInput { name: name.to_owned(), expected, got };
        let ix = self.inputs.iter().position(|input| input.name == name);
        let names = || self.inputs.iter().map(|input| input.name.as_str()).collect::<Vec<_>>().join(", ");
        let ix = ix.ok_or_else(|| wrong(format!("one of {}", names()), "no input of this name".into()))?;
        let mut others = self.inputs.clone();
        others.remove(ix).accept_value(value)?;
        if others.is_empty() {
            return Err(wrong("another input beside it".into(), "the only one".into()));
        }
        let failed = |e| self.source.locate(&one_line(&e));
        let tensor = value.elements.to_tract(&value.shape).map_err(failed)?;
        let source = self.source.with_constant(ix, tensor).map_err(failed)?;
        Self::analysed(Arc::new(source), others.into_iter().map(|input| input.shape).collect())
    }

    /// How often each core operator occurs in the simplified graph, inputs and constants left out.
    #[must_use]
    pub fn operators(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for node in self.typed.nodes() {
            let name = node.op.name();
            if name != "Source" && name != "Const" {
                *counts.entry(name.into_owned()).or_default() += 1;
            }
        }
        counts
    }

    /// Number of weights in the file, integers that only steer shapes not counted.
    #[must_use]
    pub fn parameters(&self) -> u64 {
        self.source.weights.values().fold(0, |sum, weights| sum.saturating_add(weights.count))
    }

    /// Memory that one run takes, as far as it can be told before.
    #[must_use]
    pub fn memory(&self) -> Memory {
        report::of_graph(&self.typed)
    }

    /// Version of the ONNX operator set the model was written for.
    #[must_use]
    pub fn opset(&self) -> i64 {
        self.source.metadata.opset
    }

    /// The program that wrote the file, with its version; empty where the file does not say.
    #[must_use]
    pub fn producer(&self) -> &str {
        &self.source.metadata.producer
    }

    /// What else the file says about itself.
    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        &self.source.metadata
    }

    /// The model as the file states it.
    pub(crate) fn source(&self) -> &Source {
        &self.source
    }

    /// The limits it was loaded with.
    pub(crate) fn limits(&self) -> &Limits {
        &self.source.limits
    }

    /// The simplified graph.
    #[must_use]
    pub(crate) fn typed(&self) -> &Arc<TypedModel> {
        &self.typed
    }
}

pub(crate) fn deep<T: Send>(work: impl FnOnce() -> Result<T, Error> + Send) -> Result<T, Error> {
    on_deep_stack(work)
        .unwrap_or_else(|reason| Err(Error::Analysis { node: "-".into(), operator: "whole graph".into(), reason }))
}

pub(crate) fn read(path: &Path, limits: &Limits) -> Result<Vec<u8>, Error> {
    use std::io::Read;
    let io = |source| Error::Io { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(io)?;
    let meta = file.metadata().map_err(io)?;
    if meta.is_dir() {
        return Err(io(std::io::Error::new(std::io::ErrorKind::IsADirectory, "it is a directory, not an ONNX file")));
    }
    // One byte more than allowed is enough to tell that the file is too large, whatever its metadata says.
    let mut bytes = Vec::new();
    file.take(limits.file_bytes.saturating_add(1)).read_to_end(&mut bytes).map_err(io)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
