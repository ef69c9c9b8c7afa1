//! From a package to its graph: the picture's size fixed, and told to a model that asks for it.
//!
//! RT-DETR, D-FINE and their kin are exported with an input `orig_target_sizes`, `[1, 2]` of int64: width and height of
//! the picture that boxes are to be scaled to. Given the size of the network's own input, boxes come out in its pixels,
//! as every head's do.

use ocellus_onnx::{ElementType, Elements, Error as GraphError, Graph, Limits, TensorInfo, Value};

use super::{EngineError, memory};
use crate::model::package::Package;

/// Names under which exporters ask for the size.
const SIZES: [&str; 4] = ["orig_target_sizes", "orig_size", "target_sizes", "target_size"];

/// Loads a package's graph within the limits, an open input size fixed to what the description says.
///
/// # Errors
/// When the weights are no usable ONNX, or a run takes more than `memory_mib`, by default [`memory::default_mib`].
pub fn load(package: &Package, memory_mib: Option<u64>) -> Result<Graph, EngineError> {
    let memory_bytes = memory_mib.unwrap_or_else(memory::default_mib).saturating_mul(1 << 20);
    let limits = Limits { memory_bytes, ..Limits::default() };
    let size = package.spec().and_then(|spec| spec.input.size).map(|[w, h]| (w as usize, h as usize));
    let parsed = match size {
        Some(size) => Graph::parse_with_size(package.weights(), size, &limits),
        None => Graph::parse(package.weights(), &limits),
    };
    // Its file is what people know a model by that can't be read.
    let path = || package.path().display().to_string();
    parsed.and_then(|graph| with_picture_size(&graph)).map_err(|error| match error {
        GraphError::Unresolved { place, what, .. } if place.starts_with("input") => {
            EngineError::OpenSize { model: path(), what }
        }
        source @ GraphError::Memory { .. } => EngineError::Memory { model: path(), source },
        source => EngineError::Graph { model: path(), source },
    })
}

/// The graph with the input that takes the picture's size, if it has one, fixed to what its other input takes.
fn with_picture_size(graph: &Graph) -> Result<Graph, GraphError> {
    let Some((name, [width, height])) = size_input(graph.inputs()) else { return Ok(graph.clone()) };
    graph.with_constant(name, &Value { shape: vec![1, 2], elements: Elements::from(vec![width, height]) })
}

/// The name of the input that takes the picture's size, and width and height of what the other takes.
fn size_input(inputs: &[TensorInfo]) -> Option<(&str, [i64; 2])> {
    let is_size = |info: &TensorInfo| {
        info.dtype == ElementType::I64 && info.shape == [1, 2] && SIZES.contains(&info.name.as_str())
    };
    let (picture, size) = match inputs {
        [picture, size] | [size, picture] if is_size(size) => (picture, size),
        _ => return None,
    };
    match *picture.shape.as_slice() {
        [_, _, height, width] => Some((&size.name, [i64::try_from(width).ok()?, i64::try_from(height).ok()?])),
        _ => None,
    }
}
