//! Ocellus as its users meet it: the built binary, real brokers, real clips, a real browser.

mod cameras;
mod cli;
mod contracts;
mod daemon;
mod demo;
mod eval;
mod heads;
mod onnx;
mod outbox;
mod peers;
mod protobuf;
#[path = "../../crates/ocellus-onnx/src/samples.rs"]
mod samples;
mod tracks;
