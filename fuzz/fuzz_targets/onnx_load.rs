//! Bytes as an ONNX file: loading ends with a graph or a typed error, and a graph can be described and given a batch.
//!
//! Panics of tract's are contained and become errors; what this finds are aborts, hangs, memory that grows without
//! bound, and panics outside of that containment.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ocellus_onnx::{Graph, Limits};

const LIMITS: Limits = Limits {
    file_bytes: 1 << 20,
    nodes: 500,
    rank: 6,
    tensor_elements: 1 << 16,
    constant_elements: 1 << 18,
    total_elements: 1 << 20,
    memory_bytes: 1 << 24,
};

fuzz_target!(|bytes: &[u8]| {
    let Ok(graph) = Graph::parse(bytes, &LIMITS) else { return };
    assert!(graph.memory().total() <= LIMITS.memory_bytes);
    if let Ok(batched) = graph.with_batch(2) {
        assert!(batched.memory().total() <= LIMITS.memory_bytes);
    }
});
