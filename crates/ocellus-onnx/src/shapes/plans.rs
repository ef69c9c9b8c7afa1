//! Plans for the shapes last used.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use burn::tensor::Device;

use super::model::OpenModel;
use crate::burn_plan::{BurnOptions, BurnPlan};
use crate::cpu::CpuPlan;
use crate::error::Error;
use crate::graph::Graph;
use crate::tensor::Tensor;

type Make<P> = dyn Fn(&Graph) -> Result<P, Error> + Send + Sync;
type Shapes = Vec<Vec<usize>>;

/// A model on a device, for inputs of any shape that it admits: a plan is made when a shape is met for the first time.
///
/// Each plan has its own copy of the weights, so few are kept: those whose shapes were used last.
pub struct Plans<P> {
    model: OpenModel,
    most: usize,
    make: Box<Make<P>>,
    /// The last used comes last.
    kept: Mutex<VecDeque<(Shapes, Arc<P>)>>,
}

impl<P> Plans<P> {
    /// At most `most` plans (and at least one), made by `make`.
    pub fn new(
        model: OpenModel,
        most: usize,
        make: impl Fn(&Graph) -> Result<P, Error> + Send + Sync + 'static,
    ) -> Self {
        Self { model, most: most.max(1), make: Box::new(make), kept: Mutex::default() }
    }

    /// The model.
    #[must_use]
    pub fn model(&self) -> &OpenModel {
        &self.model
    }

    /// How many plans are kept at present.
    #[must_use]
    pub fn len(&self) -> usize {
        self.kept().len()
    }

    /// Whether no plan was made yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The plan for inputs of these shapes.
    ///
    /// # Errors
    /// As [`OpenModel::graph`], and what the device says of the graph.
    pub fn plan(&self, shapes: &[Vec<usize>]) -> Result<Arc<P>, Error> {
        if let Some(plan) = self.recall(shapes) {
            return Ok(plan);
        }
        // Not under the lock: runs of other shapes go on meanwhile.
        let plan = Arc::new((self.make)(&self.model.graph(shapes)?)?);
        let mut kept = self.kept();
        kept.retain(|(of, _)| of != shapes);
        kept.push_back((shapes.to_vec(), Arc::clone(&plan)));
        while kept.len() > self.most {
            kept.pop_front();
        }
        Ok(plan)
    }

    /// A plan that is kept, now the last used.
    fn recall(&self, shapes: &[Vec<usize>]) -> Option<Arc<P>> {
        let mut kept = self.kept();
        let place = kept.iter().position(|(of, _)| of == shapes)?;
        let entry = kept.remove(place)?;
        let plan = Arc::clone(&entry.1);
        kept.push_back(entry);
        Some(plan)
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, VecDeque<(Shapes, Arc<P>)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn plan_for(&self, inputs: &[Tensor]) -> Result<Arc<P>, Error> {
        self.plan(&inputs.iter().map(|tensor| tensor.shape.clone()).collect::<Shapes>())
    }
}

impl Plans<CpuPlan> {
    /// Plans for the CPU, each run using this many threads.
    #[must_use]
    pub fn cpu(model: OpenModel, threads: usize, most: usize) -> Self {
        Self::new(model, most, move |graph| CpuPlan::with_threads(graph, threads))
    }

    /// As [`CpuPlan::run`].
    ///
    /// # Errors
    /// As [`plan`](Self::plan) and [`CpuPlan::run`].
    pub fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, Error> {
        self.plan_for(inputs)?.run(inputs)
    }
}

impl Plans<BurnPlan> {
    /// Plans for a device of burn's.
    #[must_use]
    pub fn burn(model: OpenModel, device: Device, options: BurnOptions, most: usize) -> Self {
        Self::new(model, most, move |graph| BurnPlan::with_options(graph, &device, &options))
    }

    /// As [`BurnPlan::run_tensors`].
    ///
    /// # Errors
    /// As [`plan`](Self::plan) and [`BurnPlan::run_tensors`].
    pub fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, Error> {
        self.plan_for(inputs)?.run_tensors(inputs)
    }
}

impl<P> fmt::Debug for Plans<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plans").field("most", &self.most).field("kept", &self.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use tract_onnx::pb::tensor_proto::DataType;

    use super::*;
    use crate::limits::Limits;
    use crate::testing::{Axis, Model};

    fn open(axes: &[Axis]) -> OpenModel {
        let model = Model::new().input_of("x", DataType::Float, axes).node("Relu", &["x"], &["y"]).output("y");
        OpenModel::parse(&model.bytes(), &Limits::default()).expect("it is sound")
    }

    #[test]
    fn the_plans_used_last_are_kept() {
        let plans = Plans::new(open(&[Axis::Open("n"), Axis::Of(2)]), 2, |graph| Ok(graph.clone()));
        let of = |n: usize| plans.plan(&[vec![n, 2]]).expect("any n is admitted");
        let one = of(1);
        assert_eq!(one.outputs()[0].shape, [1, 2]);
        let two = of(2);
        assert!(Arc::ptr_eq(&one, &of(1)), "it is kept");
        of(3);
        assert!(Arc::ptr_eq(&one, &of(1)), "it was used after two");
        assert!(!Arc::ptr_eq(&two, &of(2)), "it was let go");
        assert_eq!(plans.len(), 2);
    }

    #[test]
    fn what_cannot_be_planned_is_not_kept() {
        let plans = Plans::cpu(open(&[Axis::Open("n"), Axis::Of(2)]), 1, 2);
        assert!(matches!(plans.plan(&[vec![1, 3]]), Err(Error::WrongInput { .. })));
        assert!(matches!(plans.plan(&[]), Err(Error::InputCount { .. })));
        assert!(plans.is_empty());
    }

    #[test]
    fn axes_of_one_name_are_equally_long() {
        let square = open(&[Axis::Open("side"), Axis::Open("side")]);
        assert!(square.graph(&[vec![3, 3]]).is_ok());
        let error = square.graph(&[vec![3, 4]]).expect_err("no square");
        assert!(error.to_string().contains("sidexside"), "{error}");
        let nameless = open(&[Axis::Open(""), Axis::Open("")]);
        assert!(nameless.graph(&[vec![3, 4]]).is_ok(), "nothing says that these are equal");
    }
}
