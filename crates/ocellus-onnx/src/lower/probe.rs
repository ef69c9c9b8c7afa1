//! What an operator does, found by running it: for resizes whose parameters tract keeps to itself.

use tract_onnx::prelude::{DatumType, IntoTValue, Tensor as TractTensor, TypedNode, tvec};

use super::build::Builder;
use super::elements::floats;
use super::host::alone;
use super::infer::Outcome;
use crate::error::one_line;

/// For each cell along `axis` of the output of `node`, the cell of the input that is copied there.
///
/// # Errors
///
/// When the output is not made of whole cells, or other operands than the first are not constant.
pub(super) fn copied_cells(b: &mut Builder<'_>, node: &TypedNode, axis: usize) -> Outcome<Vec<usize>> {
    let x = b.input(node, 0)?;
    let (from, to) = (b.shape(x), b.output_info(node)?.shape);
    let (Some(extent), Some(wanted)) = (from.get(axis).copied(), to.get(axis).copied()) else {
        return Err(format!("there is no axis {axis}"));
    };
    let counted = run(b, node, &from, axis, |cell| cell as f32)?;
    let inner: usize = to.iter().skip(axis + 1).product();
    let line = counted.iter().step_by(inner.max(1)).take(wanted);
    let cells: Vec<usize> = line.map(|v| *v as usize).collect();
    // Averages of neighbours pass for cells in a row of numbers, not in scattered ones.
    let scattered = |cell: usize| (cell.wrapping_mul(2_654_435_761) % 65_521) as f32;
    let found = run(b, node, &from, axis, scattered)?;
    let copied = found.iter().enumerate().all(|(at, value)| {
        let cell = cells.get(at / inner.max(1) % wanted.max(1));
        cell.is_some_and(|cell| *cell < extent && scattered(*cell) == *value)
    });
    if copied { Ok(cells) } else { Err("this mode of resizing is not supported".into()) }
}

/// The output of `node` for an input that varies along `axis` only.
fn run(
    b: &Builder<'_>,
    node: &TypedNode,
    shape: &[usize],
    axis: usize,
    value: impl Fn(usize) -> f32,
) -> Outcome<Vec<f32>> {
    let inner: usize = shape.iter().skip(axis + 1).product();
    let (extent, volume) = (shape.get(axis).copied().unwrap_or(1).max(1), shape.iter().product::<usize>());
    let data: Vec<f32> = (0..volume).map(|at| value(at / inner.max(1) % extent)).collect();
    if (1..node.inputs.len()).any(|ix| b.constant_input(node, ix).is_none()) {
        return Err("a size is computed while it runs".into());
    }
    let x = TractTensor::from_shape(shape, &data).map_err(|e| one_line(&e))?.into_tvalue();
    let outputs = alone(b.model(), node, |_| DatumType::F32)?.run(tvec!(x)).map_err(|e| one_line(&e))?;
    floats(outputs.first().ok_or("it gives nothing")?)
}
