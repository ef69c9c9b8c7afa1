//! Ocellus: a vision appliance in one binary.
//!
//! The rooms, in the order in which data flows through them; each knows the types it takes and gives, never its
//! neighbours. Only [`daemon`] knows all of them.
//!
//! ```text
//! camera ─► frame ─► gpu, model ─► detection ─► scene ─► event ─► publish   MQTT
//!                                                  └───► detection ─┬► publish
//!                                                                   ├► web       page, live view
//!                                                                   ├► evidence ─► privacy ─► outbox ─► ship   object stores
//!                                                                   └► insights ────────────► outbox ─► ship   Parquet
//! ```

#![forbid(unsafe_code)]
#![warn(missing_docs)]
// Whether wgpu's types may be shared between threads is asked of types that lie deeper in each other than 128.
#![recursion_limit = "256"]

mod backoff;
mod causes;
pub mod clock;
pub mod command;
pub mod config;
mod digest;
mod logs;
mod outage;
pub mod random;
pub mod secret;
mod sqlite;
pub mod state;

pub mod frame;

pub mod camera;
pub mod gpu;
pub mod model;

pub mod detection;
pub mod draw;
pub mod eval;

pub mod event;
pub mod scene;

pub mod evidence;
pub mod insights;
pub mod learn;
pub mod outbox;
pub mod privacy;
pub mod publish;
pub mod serve;
pub mod ship;
pub mod status;
pub mod traces;
pub mod web;

pub mod cli;
pub mod daemon;
pub mod doctor;

#[cfg(test)]
#[path = "../crates/ocellus-onnx/src/samples.rs"]
mod samples;
