//! Thousands of spoilt models, the same ones on every run: whatever becomes of them, nothing here panics.

use std::panic::{set_hook, take_hook};
use std::sync::{Arc, Mutex};

use burn::tensor::Device;

use super::*;
use crate::burn_plan::BurnPlan;
use crate::contain::quietly;
use crate::cpu::CpuPlan;
use crate::tensor::Tensor;
use crate::testing::Random;
use crate::testing::cases;

/// Small, so that what is accepted runs in no time.
const LIMITS: Limits = Limits {
    file_bytes: 1 << 20,
    nodes: 200,
    rank: 6,
    tensor_elements: 1 << 14,
    constant_elements: 1 << 16,
    total_elements: 1 << 18,
    memory_bytes: 1 << 26,
};
/// Sizes that have broken parsers before.
const EXTREMES: [i64; 12] =
    [0, 1, -1, 2, 7, -2, i32::MAX as i64, i32::MIN as i64, 1 << 40, i64::MAX, i64::MIN, u32::MAX as i64];
const BYTE_MUTANTS: usize = 4_000;
const FIELD_MUTANTS: usize = 8_000;

/// What became of the mutants.
#[derive(Default)]
struct Tally {
    accepted: usize,
    refused: usize,
    /// Ran on both devices.
    compared: usize,
    /// Models that burn was made ready for and then failed on: the lowering has let something through.
    failed: Vec<String>,
    /// Models that cpu and burn compute differently.
    differing: Vec<String>,
}

impl Tally {
    /// Takes a model through everything that a model may go through.
    fn use_it(&mut self, bytes: &[u8]) {
        let Ok(graph) = Graph::parse(bytes, &LIMITS) else {
            self.refused += 1;
            return;
        };
        self.accepted += 1;
        assert!(graph.memory().total() <= LIMITS.memory_bytes, "the budget is kept");
        let _ = graph.report();
        self.run(&graph);
        if let Ok(batched) = graph.with_batch(2) {
            self.run(&batched);
        }
    }

    fn run(&mut self, graph: &Graph) {
        let halves = |shape: &Vec<usize>| Tensor { shape: shape.clone(), data: vec![0.5; shape.iter().product()] };
        let inputs: Vec<Tensor> = graph.inputs().iter().map(|info| halves(&info.shape)).collect();
        let expected = CpuPlan::new(graph).and_then(|plan| plan.run(&inputs));
        let Ok(plan) = BurnPlan::new(graph, &Device::flex()) else { return };
        match (plan.run_tensors(&inputs), expected) {
            // It takes something else than floats.
            (Err(Error::WrongInput { .. }), Err(Error::WrongInput { .. })) => {}
            // An index divided by another that happens to be 0: no shape or constant tells beforehand.
            (Err(error), Err(_)) if error.to_string().contains("divide by zero") => {}
            (Err(error), _) => self.failed.push(format!("{error}: {:?}", graph.operators())),
            (Ok(found), Ok(expected)) => {
                self.compared += 1;
                if !expected.iter().zip(&found).all(|(a, b)| alike(a, b)) {
                    self.differing.push(format!("{:?}", graph.operators()));
                }
            }
            (Ok(_), Err(_)) => {}
        }
    }
}

/// Whether two tensors are the same up to rounding. Values beyond what is fair to compare count as alike: what overflows
/// on the way differs between devices.
fn alike(expected: &Tensor, found: &Tensor) -> bool {
    let fair = |v: f32| v.is_finite() && v.abs() < 1e6;
    let range = expected.data.iter().filter(|v| fair(**v)).fold(1e-3_f32, |most, v| most.max(v.abs()));
    let near = |(a, b): (&f32, &f32)| !(fair(*a) && fair(*b)) || (a - b).abs() <= 1e-3 * range;
    expected.shape == found.shape && expected.data.iter().zip(&found.data).all(near)
}

/// Panics that come from this crate's own code, as `file:line`, are collected while `work` runs.
fn own_panics(work: impl FnOnce()) -> Vec<String> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let _ = quietly(|| ());
    let (before, places) = (take_hook(), Arc::clone(&seen));
    let before = Arc::new(before);
    let outer = Arc::clone(&before);
    set_hook(Box::new(move |info| {
        let place = info.location().map(|l| (l.file().to_owned(), l.line()));
        if let Some((file, line)) = place
            && file.contains("ocellus-onnx/src")
            && !file.contains("test")
            && !file.ends_with("contain.rs")
            && let Ok(mut places) = places.lock()
        {
            places.push(format!("{file}:{line}"));
        }
        outer(info);
    }));
    work();
    let _ = take_hook();
    set_hook(Box::new(move |info| before(info)));
    seen.lock().map(|places| places.clone()).unwrap_or_default()
}

#[test]
fn spoilt_models_never_break_loading_lowering_or_running() {
    let tally = exercise(2024, BYTE_MUTANTS, FIELD_MUTANTS);
    let Tally { accepted, refused, compared, .. } = tally;
    assert!(accepted > 1000 && refused > 1000, "{accepted} accepted, {refused} refused: these mutants test little");
    assert!(compared > 1000, "only {compared} ran on both devices");
}

/// Others on every run, unless `OCELLUS_SEED` says which.
#[test]
#[ignore = "takes minutes: 100,000 mutants"]
fn many_spoilt_models_never_break_loading_lowering_or_running() {
    let now = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |t| t.as_secs());
    let seed = std::env::var("OCELLUS_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(now);
    println!("OCELLUS_SEED={seed}");
    let Tally { accepted, refused, compared, .. } = exercise(seed, 40_000, 60_000);
    println!("{accepted} accepted, {refused} refused, {compared} runs compared");
}

fn exercise(seed: u64, byte_mutants: usize, field_mutants: usize) -> Tally {
    let seeds: Vec<Model> = std::iter::once(small_network()).chain(cases::all().into_iter().map(|c| c.model)).collect();
    let mut random = Random::new(seed);
    let mut tally = Tally::default();
    let panics = own_panics(|| {
        for _ in 0..byte_mutants {
            tally.use_it(&bytes_mutant(&seeds, &mut random));
        }
        for _ in 0..field_mutants {
            let mut model = seeds[random.below(seeds.len())].clone();
            for _ in 0..=random.below(3) {
                field_mutation(&mut model, &mut random);
            }
            tally.use_it(&model.bytes());
        }
    });
    assert!(panics.is_empty(), "{panics:?}");
    let Tally { failed, differing, .. } = &tally;
    assert!(failed.is_empty(), "{} fail on the device:\n{}", failed.len(), failed.join("\n"));
    assert!(differing.is_empty(), "{} differ between devices:\n{}", differing.len(), differing.join("\n"));
    tally
}

fn bytes_mutant(seeds: &[Model], random: &mut Random) -> Vec<u8> {
    let mut bytes = seeds[random.below(seeds.len())].bytes();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len().max(1));
        match random.below(6) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            1 if at < bytes.len() => bytes[at] = (random.bits() & 0xff) as u8,
            2 => bytes.insert(at, (random.bits() & 0xff) as u8),
            3 if at < bytes.len() => drop(bytes.remove(at)),
            4 => bytes.truncate(at),
            _ => {
                let other = seeds[random.below(seeds.len())].bytes();
                let from = random.below(other.len());
                let length = random.below(32).min(other.len() - from);
                bytes.splice(at..at, other[from..from + length].iter().copied());
            }
        }
    }
    bytes
}

fn extreme(random: &mut Random) -> i64 {
    EXTREMES[random.below(EXTREMES.len())]
}

/// Changes one field to something that a decoder takes.
fn field_mutation(model: &mut Model, random: &mut Random) {
    const OPERATORS: [&str; 16] = [
        "Conv",
        "MaxPool",
        "Resize",
        "Reshape",
        "Concat",
        "Slice",
        "Gather",
        "TopK",
        "Pad",
        "MatMul",
        "Softmax",
        "Transpose",
        "Expand",
        "ReduceSum",
        "Split",
        "Squeeze",
    ];
    let kind = random.below(8);
    let graph = model.graph();
    let nodes = graph.node.len().max(1);
    let pick = random.below(nodes);
    match kind {
        0 | 1 => {
            let Some(node) = graph.node.get_mut(pick) else { return };
            let attributes = node.attribute.len().max(1);
            let Some(attribute) = node.attribute.get_mut(random.below(attributes)) else { return };
            let count = attribute.ints.len().max(1);
            match attribute.ints.get_mut(random.below(count)) {
                Some(value) => *value = extreme(random),
                None => attribute.i = extreme(random),
            }
        }
        2 => {
            let constants = graph.initializer.len().max(1);
            let Some(tensor) = graph.initializer.get_mut(random.below(constants)) else { return };
            let count = tensor.int64_data.len().max(1);
            match tensor.int64_data.get_mut(random.below(count)) {
                Some(value) => *value = extreme(random),
                None => tensor.dims.push(extreme(random)),
            }
        }
        3 => {
            if let Some(node) = graph.node.get_mut(pick) {
                node.op_type = OPERATORS[random.below(OPERATORS.len())].into();
            }
        }
        4 => {
            let names: Vec<String> = graph.node.iter().flat_map(|n| n.output.iter().chain(&n.input).cloned()).collect();
            let name = names.get(random.below(names.len().max(1))).cloned().unwrap_or_default();
            let Some(node) = graph.node.get_mut(pick) else { return };
            let count = node.input.len().max(1);
            match node.input.get_mut(random.below(count)) {
                Some(input) => *input = name,
                None => node.input.push(name),
            }
        }
        5 => {
            if let Some(node) = graph.node.get_mut(pick) {
                node.attribute.pop();
            }
        }
        6 => {
            if let Some(node) = graph.node.get_mut(pick) {
                node.input.pop();
            }
        }
        _ => model.proto.opset_import[0].version = 1 + random.below(24) as i64,
    }
}
