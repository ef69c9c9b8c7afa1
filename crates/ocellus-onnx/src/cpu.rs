//! Running a graph on the CPU: convolutions and what surrounds them on channel-blocked images, all else through tract's
//! optimised plan.

use std::sync::Arc;

use tract_onnx::prelude::{IntoRunnable, IntoTValue, TValue, Tensor as TractTensor, TractResult, TypedRunnableModel};
use tract_onnx::tract_hir::internal::format_err;

use crate::contain::{on_deep_stack, quietly};
use crate::error::{Error, one_line};
use crate::fast::{FastPlan, Given, Gives, Outline};
use crate::graph::Graph;
use crate::tensor::{ElementType, Elements, Tensor, TensorInfo, Value};

/// A model made ready for the CPU. Runs are independent: several threads may run one plan at a time.
#[derive(Debug, Clone)]
pub struct CpuPlan {
    made: Made,
    inputs: Vec<TensorInfo>,
    outputs: Vec<TensorInfo>,
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
            Ok(Some(plan)) => return Ok(Self::of(Made::Blocked(plan), graph)),
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
        Ok(Self::of(Made::Tract(plan), graph))
    }

    fn of(made: Made, graph: &Graph) -> Self {
        Self { made, inputs: graph.inputs().to_vec(), outputs: graph.outputs().to_vec() }
    }

    /// What the plan does; none where all of it runs through tract's own.
    pub(crate) fn outline(&self) -> Option<Outline> {
        match &self.made {
            Made::Blocked(plan) => Some(plan.outline()),
            Made::Tract(_) => None,
        }
    }

    /// Runs the model on one float tensor for each input, in the order of [`Graph::inputs`]; outputs come in the
    /// order of [`Graph::outputs`], whatever their type in the file as `f32`.
    ///
    /// # Errors
    /// [`Error::InputCount`] and [`Error::WrongInput`] for tensors that do not fit, [`Error::Run`] when tract fails.
    pub fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, Error> {
        self.evaluate(self.accept(inputs)?, Made::run, |_, output| output.into_floats())
    }

    /// As [`run`](Self::run), on the calling thread alone, whatever the plan's threads: for callers that run several
    /// pictures at a time.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_alone(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, Error> {
        self.evaluate(self.accept(inputs)?, Made::run_alone, |_, output| output.into_floats())
    }

    /// Runs the model on one value for each input, in the order of [`Graph::inputs`]; outputs come in the order of
    /// [`Graph::outputs`], in the types of the file.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_values(&self, inputs: &[Value]) -> Result<Vec<Value>, Error> {
        self.count(inputs.len())?;
        let accept = |(info, value): (&TensorInfo, &Value)| {
            info.accept_value(value)?;
            given(value.elements.to_tract(&value.shape))
        };
        let values = self.inputs.iter().zip(inputs).map(accept).collect::<Result<_, _>>()?;
        self.evaluate(Given::Tensors(values), Made::run, |info, output| match output {
            Gives::Floats(floats) if info.dtype == ElementType::F32 => Ok(floats.into()),
            output => typed(info.dtype, &output.into_tensor()?),
        })
    }

    fn accept<'g>(&self, inputs: &'g [Tensor]) -> Result<Given<'g>, Error> {
        self.count(inputs.len())?;
        self.inputs.iter().zip(inputs).try_for_each(|(info, tensor)| info.accept(tensor))?;
        Ok(Given::Floats(inputs))
    }

    fn count(&self, got: usize) -> Result<(), Error> {
        let expected = self.inputs.len();
        if got == expected { Ok(()) } else { Err(Error::InputCount { expected, got }) }
    }

    fn evaluate<T>(
        &self,
        values: Given<'_>,
        run: impl FnOnce(&Made, Given<'_>) -> TractResult<Vec<Gives>>,
        read: impl Fn(&TensorInfo, Gives) -> TractResult<T>,
    ) -> Result<Vec<T>, Error> {
        let failed = |reason| Error::Run { reason };
        quietly(|| {
            let outputs = run(&self.made, values)?;
            self.outputs.iter().zip(outputs).map(|(info, output)| read(info, output)).collect::<TractResult<_>>()
        })
        .map_err(failed)?
        .map_err(|e| failed(one_line(&e)))
    }
}

impl Made {
    fn run(&self, values: Given<'_>) -> TractResult<Vec<Gives>> {
        match self {
            Self::Blocked(plan) => plan.run(values),
            Self::Tract(plan) => through_tract(plan, values),
        }
    }

    fn run_alone(&self, values: Given<'_>) -> TractResult<Vec<Gives>> {
        match self {
            Self::Blocked(plan) => plan.run_alone(values),
            Self::Tract(plan) => through_tract(plan, values),
        }
    }
}

fn through_tract(plan: &Arc<TypedRunnableModel>, values: Given<'_>) -> TractResult<Vec<Gives>> {
    Ok(plan.run(values.into_tensors()?)?.into_iter().map(Gives::Tensor).collect())
}

fn given(tensor: TractResult<TractTensor>) -> Result<TValue, Error> {
    tensor.map(IntoTValue::into_tvalue).map_err(|e| Error::Run { reason: one_line(&e) })
}

/// A value in the type that the file gives it.
pub(crate) fn typed(dtype: ElementType, value: &TValue) -> TractResult<Value> {
    let cast = value.cast_to_dt(dtype.to_tract())?;
    let elements = Elements::from_tract(&cast)?.ok_or_else(|| format_err!("its type is not supported"))?;
    Ok(Value { shape: value.shape().to_vec(), elements })
}

#[cfg(test)]
mod tests;
