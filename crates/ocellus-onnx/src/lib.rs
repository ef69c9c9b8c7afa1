//! ONNX vision models at run time.
//!
//! tract loads, checks and simplifies an ONNX file into a small set of core operators with known
//! shapes ([`graph`]). The same graph then runs on the CPU, on kernels of our own and tract's ([`cpu`]), or
//! is lowered, operator by operator, to burn, and runs on its devices. Whatever a file contains, loading
//! it ends with a graph or with one of the cases of [`error::Error`], in bounded time and memory
//! ([`limits::Limits`]).
//!
//! ```
//! use ocellus_onnx::cpu::CpuPlan;
//! use ocellus_onnx::error::Error;
//! use ocellus_onnx::graph::Graph;
//! use ocellus_onnx::limits::Limits;
//! use ocellus_onnx::tensor::Tensor;
//!
//! // A model of one operator, `y = Relu(x)`, `x` of shape `[1, 2]`: the bytes of an ONNX file.
//! let bytes: &[u8] = b"\x08\x08\x3a\x35\x0a\x0c\x0a\x01x\x12\x01y\x22\x04Relu\x12\x01g\
//!     \x5a\x13\x0a\x01x\x12\x0e\x0a\x0c\x08\x01\x12\x08\x0a\x02\x08\x01\x0a\x02\x08\x02\
//!     \x62\x0d\x0a\x01y\x12\x08\x0a\x06\x08\x01\x12\x02\x0a\x00\x42\x02\x10\x0d";
//! let graph = Graph::parse(bytes, &Limits::default())?;
//! assert_eq!(graph.inputs()[0].shape, [1, 2]);
//!
//! let plan = CpuPlan::new(&graph)?;
//! let outputs = plan.run(&[Tensor { shape: vec![1, 2], data: vec![-1.0, 2.0] }])?;
//! assert_eq!(outputs[0].data, [0.0, 2.0]);
//! # Ok::<(), Error>(())
//! ```
//!
//! In the order in which a model passes through them:
//!
//! - [`limits`]: how large a model may be
//! - [`graph`]: load, check, fix shapes, simplify
//! - [`cpu`]: run on the CPU
//! - [`burn_plan`] (and `lower`): run on burn's devices
//! - [`kernel`]: convolutions and their kin on channel-blocked images, for the CPU
//! - [`shapes`]: models for inputs of any shape that they admit
//! - [`tensor`]: what goes in and comes out
//! - [`report`]: what a model costs, before it runs
//! - [`error`]: what can go wrong
//! - [`coverage`]: which operators are right on which device
#![deny(unsafe_code)]

mod analyse;
pub mod burn_plan;
mod check;
mod contain;
pub mod cpu;
pub mod error;
mod fast;
pub mod graph;
pub mod kernel;
pub mod limits;
mod lower;
mod operators;
pub mod report;
mod rewrite;
pub mod shapes;
mod source;
pub mod tensor;

pub use burn_plan::{BurnOptions, BurnPlan, DeviceTensor, HostStep, Precision};
pub use cpu::CpuPlan;
pub use error::Error;
pub use graph::Graph;
pub use limits::Limits;
pub use report::Report;
pub use shapes::{DeclaredInput, Extent, OpenModel, Plans};
pub use source::Metadata;
pub use tensor::{ElementType, Elements, Tensor, TensorInfo, Value};

#[doc = include_str!("../docs/operators.md")]
pub mod coverage {}

/// The example in the README is compiled with the tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(test)]
mod samples;
#[cfg(test)]
mod testing;
