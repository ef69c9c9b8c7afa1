//! Whatever the parameters of an operator are, it is refused or runs: nothing panics.

use tract_onnx::pb::AttributeProto;

use crate::cpu::CpuPlan;
use crate::error::Error;
use crate::graph::Graph;
use crate::limits::Limits;
use crate::tensor::Tensor;
use crate::testing::{Model, Random, float, int, ints, text};

/// Sizes that a hostile file may give, most of them fair.
const SIZES: [i64; 16] = [1, 2, 2, 3, 1, 2, 4, 8, 0, -1, -3, 5, 1 << 20, 1 << 40, i64::MAX, i64::MIN];

fn size(random: &mut Random) -> i64 {
    SIZES[random.below(SIZES.len())]
}

fn sizes(random: &mut Random, count: usize) -> Vec<i64> {
    (0..count).map(|_| size(random)).collect()
}

/// Runs a model of one operator; an error is as good as an answer, a panic inside is not.
fn survives(model: &Model, shape: &[usize]) -> bool {
    let judged = |result: Result<(), Error>| {
        if let Err(e) = &result {
            assert!(!e.to_string().contains("internal error"), "{e}\n{:?}", model.proto.graph);
        }
        result.is_ok()
    };
    let limits = Limits { tensor_elements: 1 << 20, ..Limits::default() };
    judged(Graph::parse(&model.bytes(), &limits).and_then(|graph| {
        let input = Tensor { shape: shape.to_vec(), data: vec![1.5; shape.iter().product()] };
        let inputs: Vec<Tensor> = graph.inputs().iter().map(|_| input.clone()).collect();
        CpuPlan::new(&graph)?.run(&inputs).map(|_| ())
    }))
}

/// Of many random models some run, and none panics.
fn endures(name: &str, mut make: impl FnMut(&mut Random) -> Model, shape: &[usize]) {
    let mut random = Random::new(11);
    let ran = (0..150).filter(|_| survives(&make(&mut random), shape)).count();
    assert!(ran > 0, "{name}: no model ran");
}

fn one(operator: &str, shape: &[i64], attributes: Vec<AttributeProto>) -> Model {
    Model::new().opset(22).input("x", shape).node_with(operator, &["x"], &["y"], attributes).output("y")
}

#[test]
fn pools_endure_any_parameters() {
    let make = |random: &mut Random| {
        let kernel = sizes(random, 2);
        let (strides, dilations, pads) = (sizes(random, 2), sizes(random, 2), sizes(random, 4));
        let kernel = if random.below(2) == 0 { vec![2, 2] } else { kernel };
        let mut attributes = vec![ints("kernel_shape", &kernel), int("p", size(random)), int("ceil_mode", 1)];
        let drawn = [ints("strides", &strides), ints("dilations", &dilations), ints("pads", &pads)];
        attributes.extend(drawn.into_iter().filter(|_| random.below(3) == 0));
        one("LpPool", &[1, 2, 6, 6], attributes)
    };
    endures("LpPool", make, &[1, 2, 6, 6]);
}

#[test]
fn padding_endures_any_sizes() {
    let crop = |random: &mut Random| {
        let model = Model::new().opset(22).input("x", &[2, 6, 6]).integers("sizes", &[3], &sizes(random, 3));
        model.node("CenterCropPad", &["x", "sizes"], &["y"]).output("y")
    };
    endures("CenterCropPad", crop, &[2, 6, 6]);
    let wrap = |random: &mut Random| {
        let model = Model::new().opset(22).input("x", &[6, 6]).integers("pads", &[4], &sizes(random, 4));
        model.node_with("Pad", &["x", "pads"], &["y"], vec![text("mode", "wrap")]).output("y")
    };
    endures("Pad", wrap, &[6, 6]);
}

#[test]
fn rearrangements_endure_any_parameters() {
    let one_hot = |random: &mut Random| {
        let model = Model::new().opset(22).input("x", &[2, 3]).integers("depth", &[1], &[size(random)]);
        let model = model.floats("values", &[2], &[0.0, 1.0]);
        model.node_with("OneHot", &["x", "depth", "values"], &["y"], vec![int("axis", size(random))]).output("y")
    };
    endures("OneHot", one_hot, &[2, 3]);
    let reverse = |random: &mut Random| {
        let model = Model::new().opset(22).input("x", &[3, 3]).integers("lengths", &[3], &sizes(random, 3));
        let axes = vec![int("batch_axis", random.below(2) as i64), int("time_axis", random.below(2) as i64)];
        model.node_with("ReverseSequence", &["x", "lengths"], &["y"], axes).output("y")
    };
    endures("ReverseSequence", reverse, &[3, 3]);
    let blocks = |random: &mut Random| {
        one("SpaceToDepth", &[1, 2, 4, 4], vec![int("blocksize", size(random)), text("mode", "CRD")])
    };
    endures("SpaceToDepth", blocks, &[1, 2, 4, 4]);
    let unpool = |random: &mut Random| {
        let model = Model::new().opset(22).input("x", &[1, 1, 2, 2]).integers("at", &[1, 1, 2, 2], &sizes(random, 4));
        let kernel = vec![ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2])];
        model.node_with("MaxUnpool", &["x", "at"], &["y"], kernel).output("y")
    };
    endures("MaxUnpool", unpool, &[1, 1, 2, 2]);
}

#[test]
fn regions_endure_any_corners() {
    let make = |random: &mut Random| {
        let corners: Vec<f32> = sizes(random, 4).into_iter().map(|v| v as f32).collect();
        let model = Model::new().opset(22).input("x", &[1, 2, 8, 8]).floats("regions", &[1, 4], &corners);
        let attributes = vec![
            int("output_height", size(random)),
            int("output_width", 2),
            int("sampling_ratio", random.below(4) as i64),
            float("spatial_scale", 0.5),
        ];
        let model = model.integers("owners", &[1], &[random.below(2) as i64]);
        model.node_with("RoiAlign", &["x", "regions", "owners"], &["y"], attributes).output("y")
    };
    endures("RoiAlign", make, &[1, 2, 8, 8]);
}

#[test]
fn attention_endures_any_heads_and_windows() {
    let make = |random: &mut Random| {
        let heads = [2, 2, 4, 1, 3, 0, -1, 1 << 40];
        let mut pick = || heads[random.below(heads.len())];
        let mut attributes = vec![int("q_num_heads", pick()), int("kv_num_heads", pick()), int("is_causal", 1)];
        attributes.push(int("left_window_size", size(random)));
        let model = Model::new().opset(25).input("q", &[1, 4, 8]).input("k", &[1, 4, 8]).input("v", &[1, 4, 8]);
        model.node_with("Attention", &["q", "k", "v"], &["y"], attributes).output("y")
    };
    endures("Attention", make, &[1, 4, 8]);
}

#[test]
fn integers_times_themselves_wrap_as_others_do() {
    for (dtype, code, expected) in
        [("int8", 3, [1.0, 16.0, -112.0]), ("int32", 6, [1.0, 16.0, 144.0]), ("int64", 7, [1.0, 16.0, 144.0])]
    {
        let model = Model::new()
            .input("x", &[3])
            .node_with("Cast", &["x"], &["i"], vec![int("to", code)])
            .node("Mul", &["i", "i"], &["y"])
            .output("y");
        let graph = Graph::parse(&model.bytes(), &Limits::default()).expect(dtype);
        let x = Tensor { shape: vec![3], data: vec![1.0, -4.0, 12.0] };
        let found = CpuPlan::new(&graph).and_then(|plan| plan.run(&[x])).expect(dtype);
        assert_eq!(found[0].data, expected, "{dtype}");
    }
}
