//! Ocellus as its users meet it: the built binary, real brokers, real clips, a real browser.

mod cameras;
mod cli;
mod commands;
mod configs;
mod contracts;
mod daemon;
mod demo;
mod disk;
mod doctor;
mod eval;
mod evidence;
mod guide;
mod heads;
mod helm;
mod insights;
mod iothub;
mod onnx;
mod outbox;
mod peers;
mod policy;
mod protobuf;
mod reviews;
#[path = "../../crates/ocellus-onnx/src/samples.rs"]
mod samples;
mod serve;
mod traces;
mod tracks;
