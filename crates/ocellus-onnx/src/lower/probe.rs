//! What an operator does, found by running it: for resizes whose parameters tract keeps to itself.

use tract_onnx::prelude::{
    DatumType, IntoRunnable, IntoTValue, IntoTensor, SpecialOps, Tensor as TractTensor, TractResult, TypedNode, tvec,
};
use tract_onnx::tract_core::internal::{TypedFact, TypedModel};

use super::build::{Builder, floats};
use super::infer::Outcome;

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
    let mut others = Vec::new();
    for ix in 1..node.inputs.len() {
        others.push(b.constant_input(node, ix).ok_or("a size is computed while it runs")?);
    }
    let alone = || -> TractResult<TractTensor> {
        let mut model = TypedModel::default();
        let mut operands = vec![model.add_source("x", TypedFact::dt_shape(DatumType::F32, shape))?];
        for (ix, tensor) in others.into_iter().enumerate() {
            operands.push(model.add_const(format!("operand{ix}"), tensor)?);
        }
        let outputs = model.wire_node("y", node.op.clone(), &operands)?;
        model.select_output_outlets(&outputs)?;
        let x = TractTensor::from_shape(shape, &data)?.into_tvalue();
        Ok(model.into_runnable()?.run(tvec!(x))?.remove(0).into_tensor())
    };
    floats(&alone().map_err(|e| format!("{e:#}"))?)
}
