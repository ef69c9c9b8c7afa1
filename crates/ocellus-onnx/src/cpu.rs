//! Running a graph on the CPU: convolutions and what surrounds them on channel-blocked images, all else through tract's
//! optimised plan.

use std::sync::Arc;

use tract_onnx::prelude::{
    IntoRunnable, IntoTValue, TValue, TVec, Tensor as TractTensor, TractResult, TypedRunnableModel,
};

use crate::contain::{on_deep_stack, quietly};
use crate::error::{Error, one_line};
use crate::fast::FastPlan;
pub use crate::fast::Fused;
use crate::graph::Graph;
use crate::tensor::{Tensor, TensorInfo};

/// A model made ready for the CPU. Runs are independent: several threads may run one plan at a time.
#[derive(Debug, Clone)]
pub struct CpuPlan {
    made: Made,
    inputs: Vec<TensorInfo>,
}

#[derive(Debug, Clone)]
enum Made {
    Blocked(FastPlan),
    Tract(Arc<TypedRunnableModel>),
}

impl CpuPlan {
    /// Chooses kernels, packs weights and fixes the order of evaluation, for runs on the calling thread alone.
    ///
    /// # Errors
    /// [`Error::Analysis`] when tract cannot make a plan of the graph.
    pub fn new(graph: &Graph) -> Result<Self, Error> {
        Self::with_threads(graph, 1)
    }

    /// As [`new`](Self::new), for runs that share their work among this many threads.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_threads(graph: &Graph, threads: usize) -> Result<Self, Error> {
        let blocked = on_deep_stack(|| FastPlan::new(graph.typed(), threads.max(1)));
        match blocked {
            Ok(Some(plan)) => return Ok(Self { made: Made::Blocked(plan), inputs: graph.inputs().to_vec() }),
            Ok(None) => {}
            Err(reason) => tracing::warn!(reason, "A model runs without blocked images, which may be slower."),
        }
        Self::through_tract(graph)
    }

    /// As [`new`](Self::new), with nothing but tract's own kernels.
    fn through_tract(graph: &Graph) -> Result<Self, Error> {
        let failed = |reason: String| Error::Analysis { node: "-".into(), operator: "whole graph".into(), reason };
        let model = graph.typed().as_ref().clone();
        let plan = on_deep_stack(|| model.into_optimized().and_then(IntoRunnable::into_runnable))
            .map_err(failed)?
            .map_err(|e| failed(one_line(&e)))?;
        Ok(Self { made: Made::Tract(plan), inputs: graph.inputs().to_vec() })
    }

    /// What was fused; none where all of it runs through tract's own plan.
    #[must_use]
    pub fn fused(&self) -> Option<Fused> {
        match &self.made {
            Made::Blocked(plan) => Some(plan.fused()),
            Made::Tract(_) => None,
        }
    }

    /// Runs the model on one tensor for each input, in the order of [`Graph::inputs`]; outputs come in the order of
    /// [`Graph::outputs`], whatever their type in the file as `f32`.
    ///
    /// # Errors
    /// [`Error::InputCount`] and [`Error::WrongInput`] for tensors that do not fit, [`Error::Run`] when tract fails.
    pub fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, Error> {
        self.run_by(inputs, Made::run)
    }

    /// As [`run`](Self::run), on the calling thread alone, whatever the plan's threads: for callers that run several
    /// pictures at a time.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_alone(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, Error> {
        self.run_by(inputs, Made::run_alone)
    }

    fn run_by(
        &self,
        inputs: &[Tensor],
        run: impl FnOnce(&Made, TVec<TValue>) -> TractResult<TVec<TValue>>,
    ) -> Result<Vec<Tensor>, Error> {
        if inputs.len() != self.inputs.len() {
            return Err(Error::InputCount { expected: self.inputs.len(), got: inputs.len() });
        }
        let values: TVec<TValue> =
            self.inputs.iter().zip(inputs).map(|(info, tensor)| accept(info, tensor)).collect::<Result<_, _>>()?;
        let failed = |reason| Error::Run { reason };
        quietly(|| run(&self.made, values)?.iter().map(float).collect::<Result<Vec<_>, _>>())
            .map_err(failed)?
            .map_err(|e| failed(one_line(&e)))
    }
}

impl Made {
    fn run(&self, values: TVec<TValue>) -> TractResult<TVec<TValue>> {
        match self {
            Self::Blocked(plan) => plan.run(values),
            Self::Tract(plan) => plan.run(values),
        }
    }

    fn run_alone(&self, values: TVec<TValue>) -> TractResult<TVec<TValue>> {
        match self {
            Self::Blocked(plan) => plan.run_alone(values),
            Self::Tract(plan) => plan.run(values),
        }
    }
}

fn accept(info: &TensorInfo, tensor: &Tensor) -> Result<TValue, Error> {
    info.accept(tensor)?;
    TractTensor::from_shape(&tensor.shape, &tensor.data)
        .map(IntoTValue::into_tvalue)
        .map_err(|e| Error::Run { reason: one_line(&e) })
}

fn float(value: &TValue) -> TractResult<Tensor> {
    let cast = value.cast_to::<f32>()?;
    let data = cast.try_as_plain_ram()?.as_slice::<f32>()?.to_vec();
    Ok(Tensor { shape: value.shape().to_vec(), data })
}

#[cfg(test)]
mod tests;
