use tract_onnx::prelude::IntoRunnable;

use super::{FastPlan, Given, Gives};
use crate::graph::Graph;
use crate::limits::Limits;
use crate::samples;
use crate::tensor::{Tensor, TensorInfo};
use crate::testing::{Model, Random, float, int, ints};

/// What tract's own plan and ours make of the same noise, and how far apart they are, relative to the range.
fn difference(graph: &Graph, threads: usize) -> (FastPlan, f32) {
    let fast = FastPlan::new(graph.typed(), threads).expect("it has convolutions");
    let tract = graph.typed().as_ref().clone().into_optimized().and_then(IntoRunnable::into_runnable).expect("a plan");
    let mut random = Random::new(11);
    let mut worst: f32 = 0.0;
    // Twice: the second run finds the buffers of the first.
    for _ in 0..2 {
        let mut noise = |info: &TensorInfo| {
            let data = random.values(info.shape.iter().product(), -1.0, 1.0);
            Tensor { shape: info.shape.clone(), data }
        };
        let inputs: Vec<Tensor> = graph.inputs().iter().map(&mut noise).collect();
        let expected = tract.run(Given::Floats(&inputs).into_tensors().expect("tensors")).expect("tract runs it");
        let found = fast.run(Given::Floats(&inputs)).expect("it runs");
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.into_iter().zip(expected) {
            let expected = Gives::Tensor(expected).into_floats().expect("numbers");
            let found = found.into_floats().expect("numbers");
            assert_eq!(found.shape, expected.shape);
            let (found, expected) = (found.data, expected.data);
            let range = expected.iter().fold(1e-6_f32, |range, x| range.max(x.abs()));
            let apart = found.iter().zip(&expected).map(|(a, b)| (a - b).abs());
            worst = apart.fold(worst, |worst, d| if d.is_nan() { f32::INFINITY } else { worst.max(d / range) });
        }
    }
    (fast, worst)
}

fn agrees(model: &Model) -> FastPlan {
    let graph = Graph::parse(&model.bytes(), &Limits::default()).expect("it is sound");
    let (plan, worst) = difference(&graph, 1);
    assert!(worst <= 1e-4, "{worst:e} of the range");
    plan
}

#[test]
fn sample_models_agree_with_tract() {
    let names = ["yolox_nano_416", "light_person_detector_192", "nanodet_m_320", "picodet_s_320_coco"];
    for name in names.into_iter().chain(["ultraface_rfb320", "efficientnet_lite0"]) {
        let Some(path) = samples::path(&format!("models/{name}.onnx")) else { return };
        let graph = Graph::load(&path, &Limits::default()).expect("it loads");
        let (plan, worst) = difference(&graph, 2);
        println!("{name}: {worst:.1e} {:?}", plan.outline().fused);
        assert!(worst <= 1e-3, "{name}: {worst:e} of the range");
        assert!(plan.outline().fused.convolutions > 20, "{name}: {:?}", plan.outline().fused);
    }
}

/// A convolution of `x` to `y` with its own weights.
fn convolution(
    model: Model,
    (x, y): (&str, &str),
    [o, i, k]: [i64; 3],
    attributes: Vec<tract_onnx::pb::AttributeProto>,
) -> Model {
    let weights = format!("{y}.w");
    // Equal convolutions of one input would become one.
    let seed = y.bytes().map(u64::from).sum::<u64>() + o as u64;
    let data = Random::new(seed).values((o * i * k * k) as usize, -0.5, 0.5);
    model.floats(&weights, &[o, i, k, k], &data).node_with("Conv", &[x, &weights], &[y], attributes)
}

#[test]
fn sums_and_activations_are_fused() {
    let same = || vec![ints("pads", &[1, 1, 1, 1])];
    let model = Model::new().input("x", &[1, 3, 9, 7]);
    let model = convolution(model, ("x", "a"), [20, 3, 3], same()).node("Relu", &["a"], &["b"]);
    let model = convolution(model, ("b", "c"), [20, 20, 1], vec![]).node("Sigmoid", &["c"], &["s"]);
    let model = model.node("Mul", &["c", "s"], &["d"]).node("Add", &["d", "b"], &["e"]);
    let mut depthwise = same();
    depthwise.push(int("group", 20));
    let model = convolution(model, ("e", "f"), [20, 1, 3], depthwise).node("HardSwish", &["f"], &["y"]);
    let fused = agrees(&model.opset(14).output("y")).outline().fused;
    assert_eq!((fused.convolutions, fused.activations, fused.sums), (3, 3, 1), "{fused:?}");
}

#[test]
fn shuffles_splits_and_joins_are_gathers_of_channels() {
    let model = Model::new().input("x", &[1, 5, 6, 6]);
    let model = convolution(model, ("x", "a"), [18, 5, 1], vec![]);
    let model = convolution(model, ("x", "b"), [18, 5, 1], vec![])
        .node_with("Concat", &["a", "b"], &["c"], vec![int("axis", 1)])
        .integers("split", &[5], &[1, 2, 18, 6, 6])
        .integers("joined", &[4], &[1, 36, 6, 6])
        .node("Reshape", &["c", "split"], &["d"])
        .node_with("Transpose", &["d"], &["e"], vec![ints("perm", &[0, 2, 1, 3, 4])])
        .node("Reshape", &["e", "joined"], &["f"])
        .node_with("Split", &["f"], &["g", "h"], vec![int("axis", 1)]);
    let model = convolution(model, ("g", "i"), [7, 18, 3], vec![])
        .node_with("Transpose", &["h"], &["j"], vec![ints("perm", &[0, 2, 3, 1])])
        .output("i")
        .output("j");
    assert_eq!(agrees(&model).outline().fused.convolutions, 3);
}

#[test]
fn what_is_not_understood_is_left_to_tract() {
    let model = Model::new().input("x", &[2, 4, 8, 8]);
    let model = convolution(model, ("x", "a"), [6, 4, 3], vec![ints("strides", &[2, 2])])
        .node("Sin", &["a"], &["b"])
        .node_with("LeakyRelu", &["b"], &["c"], vec![float("alpha", 0.2)]);
    let model = convolution(model, ("c", "d"), [33, 6, 1], vec![])
        .node("GlobalAveragePool", &["d"], &["e"])
        .node("Mul", &["d", "e"], &["f"])
        .node_with("MaxPool", &["f"], &["g"], vec![ints("kernel_shape", &[2, 2])])
        .node_with("Softmax", &["g"], &["y"], vec![int("axis", 1)])
        .output("y");
    let fused = agrees(&model).outline().fused;
    assert_eq!(fused.convolutions, 2);
    assert_eq!(fused.parts, 2, "{fused:?}");
}

#[test]
fn convolutions_take_in_quantised_silu() {
    let model = Model::new().input("x", &[1, 3, 9, 7]);
    let model = convolution(model, ("x", "a"), [20, 3, 3], vec![])
        .quantised("a", "b", 0.02, 120)
        .node("Sigmoid", &["b"], &["s"])
        .quantised("s", "t", 0.004, 0)
        .node("Mul", &["b", "t"], &["c"])
        .quantised("c", "d", 0.02, 10);
    let model = convolution(model, ("d", "y"), [4, 20, 1], vec![]).output("y");
    let graph = Graph::parse(&model.bytes(), &Limits::default()).expect("it is sound");
    let (plan, worst) = difference(&graph, 1);
    assert!(worst <= 0.02, "{worst:e} of the range");
    let fused = plan.outline().fused;
    assert_eq!((fused.convolutions, fused.activations, fused.layout_changes), (2, 1, 1), "{fused:?}");
}

#[test]
fn convolutions_take_in_quantisation() {
    let model = Model::new().input("x", &[1, 3, 9, 7]).quantised("x", "q", 0.01, 100);
    let model = convolution(model, ("q", "a"), [20, 3, 3], vec![ints("pads", &[1, 1, 1, 1])])
        .node("Relu", &["a"], &["b"])
        .quantised("b", "c", 0.02, 20);
    let model = convolution(model, ("c", "d"), [20, 20, 1], vec![])
        .quantised("d", "e", 0.03, 128)
        .node("Add", &["e", "c"], &["f"])
        .quantised("f", "g", 0.05, 90)
        .node_with("MaxPool", &["g"], &["h"], vec![ints("kernel_shape", &[2, 2])])
        .quantised("h", "y", 0.05, 90)
        .output("y");
    let graph = Graph::parse(&model.bytes(), &Limits::default()).expect("it is sound");
    let rounded = graph.operators().get("QuantizeDequantize").copied();
    assert_eq!(rounded, Some(5), "the last rounds an output: {:?}", graph.operators());
    assert!(!graph.operators().contains_key("DequantizeLinearF32"), "{:?}", graph.operators());
    let (plan, worst) = difference(&graph, 1);
    // A sum that falls between two values may be rounded to either.
    assert!(worst <= 0.05, "{worst:e} of the range");
    let fused = plan.outline().fused;
    assert_eq!((fused.convolutions, fused.activations, fused.sums), (2, 2, 1), "{fused:?}");
}
