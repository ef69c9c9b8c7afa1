//! Whole models on each device, against what other runtimes make of them. One binary, a module for each kind of proof.

mod architectures;
mod conformance;
mod dynamic;
mod models;
mod quantised;
#[path = "../../src/samples.rs"]
mod samples;
mod support;
