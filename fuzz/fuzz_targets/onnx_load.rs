//! Bytes as an ONNX file: loading ends with a graph or a typed error, and what loads can be made ready to run.
//!
//! Panics of tract's are contained and become errors; what this finds are aborts, hangs, memory that grows without
//! bound, and panics outside of that containment.

#![no_main]

use burn::tensor::Device;
use libfuzzer_sys::fuzz_target;
use ocellus_onnx::{BurnPlan, CpuPlan, Graph, Limits};

const LIMITS: Limits = Limits {
    file_bytes: 1 << 20,
    nodes: 500,
    rank: 6,
    tensor_elements: 1 << 16,
    constant_elements: 1 << 18,
    total_elements: 1 << 20,
    memory_bytes: 1 << 26,
};

fuzz_target!(|bytes: &[u8]| {
    let Ok(graph) = Graph::parse(bytes, &LIMITS) else { return };
    let _ = graph.with_batch(2);
    let _ = CpuPlan::new(&graph);
    let _ = BurnPlan::new(&graph, &Device::flex());
});
