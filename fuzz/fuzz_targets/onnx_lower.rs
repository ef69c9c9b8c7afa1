//! Bytes as an ONNX file, carried to devices and run: a plan that was made runs, or fails with a typed error on `cpu`,
//! where tract checks while it runs. burn's primitives check nothing, so there a plan that was made must run.
//!
//! Graphs are small enough to run in no time.

#![no_main]

use burn::tensor::Device;
use libfuzzer_sys::fuzz_target;
use ocellus_onnx::{BurnPlan, CpuPlan, Graph, Limits, Tensor};

const LIMITS: Limits = Limits {
    file_bytes: 1 << 18,
    nodes: 100,
    rank: 6,
    tensor_elements: 1 << 13,
    constant_elements: 1 << 15,
    total_elements: 1 << 17,
    memory_bytes: 1 << 21,
};

fuzz_target!(|bytes: &[u8]| {
    let Ok(graph) = Graph::parse(bytes, &LIMITS) else { return };
    let _ = graph.report();
    run(&graph);
    if let Ok(batched) = graph.with_batch(2) {
        run(&batched);
    }
});

fn run(graph: &Graph) {
    let half = |shape: &[usize]| Tensor { shape: shape.to_vec(), data: vec![0.5; shape.iter().product()] };
    let inputs: Vec<Tensor> = graph.inputs().iter().map(|info| half(&info.shape)).collect();
    let _ = CpuPlan::new(graph).and_then(|plan| plan.run(&inputs));
    if let Ok(plan) = BurnPlan::new(graph, &Device::flex()) {
        plan.run_tensors(&inputs).expect("the lowering lets nothing through that cannot run");
    }
}
