//! Small models, one for each way in which an operator of the simplified graph can be used.

mod images;
mod numbers;
mod shapes;

pub(crate) use images::normalised;

use super::{Model, Random};
use crate::graph::Graph;
use crate::limits::Limits;
use crate::tensor::Tensor;

/// A model with the range of its inputs.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) model: Model,
    low: f32,
    high: f32,
}

impl Case {
    fn new(name: &'static str, model: Model) -> Self {
        Self { name, model, low: -2.0, high: 2.0 }
    }

    fn between(mut self, low: f32, high: f32) -> Self {
        (self.low, self.high) = (low, high);
        self
    }

    pub(crate) fn graph(&self) -> Graph {
        Graph::parse(&self.model.bytes(), &Limits::default()).unwrap_or_else(|e| panic!("{}: {e}", self.name))
    }

    /// Reproducible inputs for the graph.
    pub(crate) fn inputs(&self, graph: &Graph) -> Vec<Tensor> {
        let mut random = Random::new(self.name.len() as u64 + 42);
        let tensor = |shape: &Vec<usize>| {
            let count = shape.iter().product();
            Tensor { shape: shape.clone(), data: random.values(count, self.low, self.high) }
        };
        graph.inputs().iter().map(|info| &info.shape).map(tensor).collect()
    }
}

/// All cases.
pub(crate) fn all() -> Vec<Case> {
    [images::all(), numbers::all(), shapes::all()].into_iter().flatten().collect()
}
