//! Running a graph on the CPU, through tract's optimised plan.

use std::sync::Arc;

use tract_onnx::prelude::{IntoRunnable, IntoTValue, TValue, TVec, Tensor as TractTensor, TypedRunnableModel};

use crate::contain::{on_deep_stack, quietly};
use crate::error::{Error, one_line};
use crate::graph::Graph;
use crate::tensor::{Tensor, TensorInfo};

/// A model made ready for the CPU. Runs are independent: several threads may run one plan at a time,
/// each run using one thread.
#[derive(Debug, Clone)]
pub struct CpuPlan {
    plan: Arc<TypedRunnableModel>,
    inputs: Vec<TensorInfo>,
}

impl CpuPlan {
    /// Chooses kernels, packs weights and fixes the order of evaluation.
    ///
    /// # Errors
    /// [`Error::Analysis`] when tract cannot make a plan of the graph.
    pub fn new(graph: &Graph) -> Result<Self, Error> {
        let failed = |reason: String| Error::Analysis { node: "-".into(), operator: "whole graph".into(), reason };
        let model = graph.typed().as_ref().clone();
        let plan = on_deep_stack(|| model.into_optimized().and_then(IntoRunnable::into_runnable))
            .map_err(failed)?
            .map_err(|e| failed(one_line(&e)))?;
        Ok(Self { plan, inputs: graph.inputs().to_vec() })
    }

    /// Runs the model on one tensor for each input, in the order of [`Graph::inputs`]; outputs come in the order of
    /// [`Graph::outputs`], whatever their type in the file as `f32`.
    ///
    /// # Errors
    /// [`Error::InputCount`] and [`Error::WrongInput`] for tensors that do not fit, [`Error::Run`] when tract fails.
    pub fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, Error> {
        if inputs.len() != self.inputs.len() {
            return Err(Error::InputCount { expected: self.inputs.len(), got: inputs.len() });
        }
        let values: TVec<TValue> =
            self.inputs.iter().zip(inputs).map(|(info, tensor)| accept(info, tensor)).collect::<Result<_, _>>()?;
        let failed = |reason| Error::Run { reason };
        quietly(|| self.plan.run(values)?.iter().map(float).collect::<Result<Vec<_>, _>>())
            .map_err(failed)?
            .map_err(|e| failed(one_line(&e)))
    }
}

fn accept(info: &TensorInfo, tensor: &Tensor) -> Result<TValue, Error> {
    info.accept(tensor)?;
    TractTensor::from_shape(&tensor.shape, &tensor.data)
        .map(IntoTValue::into_tvalue)
        .map_err(|e| Error::Run { reason: one_line(&e) })
}

fn float(value: &TValue) -> tract_onnx::prelude::TractResult<Tensor> {
    let cast = value.cast_to::<f32>()?;
    let data = cast.try_as_plain_ram()?.as_slice::<f32>()?.to_vec();
    Ok(Tensor { shape: value.shape().to_vec(), data })
}

#[cfg(test)]
mod tests;
