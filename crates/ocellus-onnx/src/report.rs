//! What a model costs, before it runs: operators before and after simplification, arithmetic, parameters, memory,
//! and what each device makes of the graph.
//!
//! ```
//! # use ocellus_onnx::{Graph, Limits};
//! # fn report(bytes: &[u8]) -> Result<(), ocellus_onnx::Error> {
//! let report = Graph::parse(bytes, &Limits::default())?.report();
//! println!("{} multiply-accumulates", report.work.macs);
//! for node in report.nodes.iter().take(5) {
//!     println!("{} ({}): {}", node.name, node.operator, node.work.flops);
//! }
//! # Ok(()) }
//! ```

mod devices;
mod memory;
mod work;

#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::AddAssign;

pub use self::devices::{DeviceReport, Fusions};
pub use self::memory::Memory;
pub(crate) use self::memory::{check_budget, of_graph};
pub use self::work::Class;
use crate::graph::Graph;

/// What is known about a model once it is loaded. Nothing was run for it.
#[derive(Debug, Clone)]
pub struct Report {
    /// How often each operator occurs in the file's graph.
    pub file_operators: BTreeMap<String, usize>,
    /// How often each core operator occurs after simplification, inputs and constants left out.
    pub operators: BTreeMap<String, usize>,
    /// Nodes of the file of which nothing is left: computed while loading, joined to a neighbour, or without effect.
    pub folded: usize,
    /// Weights in the file by element type; integers that only steer shapes are not counted.
    pub parameters: BTreeMap<String, Parameters>,
    /// Arithmetic of one run.
    pub work: Work,
    /// Arithmetic of one run by class of operator; classes that do not occur are left out.
    pub classes: BTreeMap<Class, Work>,
    /// Every node of the simplified graph that computes something, the most expensive first.
    pub nodes: Vec<NodeReport>,
    /// Memory of one run of the simplified graph in its order of evaluation.
    pub memory: Memory,
    /// What each device makes of it.
    pub devices: Vec<DeviceReport>,
}

/// Weights of one element type.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Parameters {
    /// Number of weights.
    pub count: u64,
    /// Bytes that they take in memory.
    pub bytes: u64,
}

/// An amount of arithmetic.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Work {
    /// Multiply-accumulates.
    pub macs: u64,
    /// Floating-point operations: two for each multiply-accumulate, and those that are none.
    pub flops: u64,
}

impl AddAssign for Work {
    fn add_assign(&mut self, other: Self) {
        self.macs = self.macs.saturating_add(other.macs);
        self.flops = self.flops.saturating_add(other.flops);
    }
}

/// One node of the simplified graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeReport {
    /// Its name; parts of a node of the file begin with that node's.
    pub name: String,
    /// Its operator in the simplified graph.
    pub operator: String,
    /// What kind of work it does.
    pub class: Class,
    /// Shape of its first output.
    pub shape: Vec<usize>,
    /// Arithmetic of one run.
    pub work: Work,
}

impl Graph {
    /// What the model costs and what devices make of it. Takes about as long as making it ready for every device,
    /// without touching one.
    #[must_use]
    pub fn report(&self) -> Report {
        let mut nodes: Vec<NodeReport> = work::nodes(self.typed());
        let mut classes: BTreeMap<Class, Work> = BTreeMap::new();
        let mut total = Work::default();
        for node in &nodes {
            *classes.entry(node.class).or_default() += node.work;
            total += node.work;
        }
        nodes.retain(|node| node.work.flops > 0);
        nodes.sort_by_key(|node| Reverse(node.work.flops));
        Report {
            file_operators: self.source().operator_counts(),
            operators: self.operators(),
            folded: self.folded(),
            parameters: self.source().weights.clone(),
            work: total,
            classes,
            nodes,
            memory: self.memory(),
            devices: vec![devices::cpu(self), devices::burn(self)],
        }
    }

    /// Nodes of the file to which no computing node of the simplified graph goes back.
    fn folded(&self) -> usize {
        let left: BTreeSet<&str> = self
            .typed()
            .nodes()
            .iter()
            .filter(|node| !matches!(&*node.op.name(), "Const" | "Source"))
            .filter_map(|node| self.source().origin(&node.name))
            .collect();
        self.source().operator_counts().values().sum::<usize>().saturating_sub(left.len())
    }
}
