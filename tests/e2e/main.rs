//! Ocellus as its users meet it: the built binary, real brokers, real clips, a real browser.

mod cli;
mod daemon;
mod demo;
mod eval;
mod heads;
mod onnx;
mod peers;
mod protobuf;
#[path = "../../crates/ocellus-onnx/src/samples.rs"]
mod samples;
