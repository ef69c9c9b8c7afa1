//! Models: what a package says about a network, and what the network's numbers mean.
//!
//! ```text
//! package directory or bare .onnx ─► package ─► (graph loaded by engine) ─► resolve ─► Resolved
//!                                       ▲                                               │
//!                                    profiles                picture ─► preprocess ─► graph ─► heads ─► nms ─► objects
//! ```
//!
//! - [`package`]: a directory or file on disk, its description (`model.toml`), labels and digest.
//! - [`shipped`]: the package inside the binary.
//! - [`profiles`]: built-in descriptions of well-known networks, for bare `.onnx` files.
//! - [`input`]: where a picture lies in the network's input. [`preprocess`]: the pixels.
//! - [`heads`]: raw outputs to candidates. [`nms`]: candidates to detections.
//! - [`engine`]: loads, batches and runs.
//!
//! Boxes are in pixels of the network's input (edges, not centres) until [`package::Resolved::objects`]
//! turns them into fractions of the frame.

pub mod engine;
pub mod heads;
pub mod input;
pub mod nms;
pub mod package;
pub mod preprocess;
pub mod profiles;
pub mod shipped;
