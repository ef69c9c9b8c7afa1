mod broken;
mod mutations;
mod sizes;

use std::path::Path;

use super::*;
use crate::cpu::CpuPlan;
use crate::samples;
use crate::tensor::{ElementType, Tensor};
use crate::testing::{Axis, Model, int, ints, small_network};
use tract_onnx::pb::tensor_proto::DataType;

fn parse(model: &Model) -> Result<Graph, Error> {
    Graph::parse(&model.bytes(), &Limits::default())
}

/// The error for a model that must be refused.
fn refusal(model: &Model) -> Error {
    parse(model).expect_err("it must be refused")
}

#[test]
fn a_small_network_is_described() {
    let mut model = small_network();
    model.proto.producer_version = "1.2".into();
    let graph = parse(&model).expect("it is sound");
    assert_eq!(graph.inputs().len(), 1);
    assert_eq!(graph.inputs()[0].name, "image");
    assert_eq!(graph.inputs()[0].dtype, ElementType::F32);
    assert_eq!(graph.inputs()[0].shape, [1, 3, 8, 8], "an open batch is 1");
    assert_eq!(graph.outputs().len(), 1);
    assert_eq!((graph.outputs()[0].name.as_str(), graph.outputs()[0].shape.as_slice()), ("scores", [1, 4].as_slice()));
    assert_eq!(graph.parameters(), 108 + 4 + 16);
    assert_eq!(graph.opset(), 13);
    assert_eq!(graph.producer(), "tests 1.2");
    assert_eq!(graph.metadata().graph, "g");
    assert_eq!(graph.operators().get("Conv"), Some(&1), "{:?}", graph.operators());
}

#[test]
fn outputs_come_in_the_files_order_with_their_types() {
    let model = Model::new()
        .input("x", &[2, 3])
        .node("Shape", &["x"], &["shape"])
        .node("Relu", &["x"], &["y"])
        .node("Greater", &["x", "y"], &["z"])
        .output("z")
        .output("shape")
        .output("y");
    let graph = parse(&model).expect("it is sound");
    let found: Vec<_> = graph.outputs().iter().map(|o| (o.name.as_str(), o.dtype.name(), o.shape.clone())).collect();
    assert_eq!(found, [("z", "bool", vec![2, 3]), ("shape", "i64", vec![2]), ("y", "f32", vec![2, 3])]);
}

#[test]
fn an_input_can_be_fixed_to_a_value() {
    let model = Model::new().input("x", &[2, 3]).input("scale", &[3]).node("Mul", &["x", "scale"], &["y"]).output("y");
    let graph = parse(&model).expect("it is sound");
    let scale = Value { shape: vec![3], elements: vec![1.0_f32, 2.0, 3.0].into() };
    let fixed = graph.with_constant("scale", &scale).expect("it fits");
    assert_eq!(fixed.inputs().iter().map(|i| i.name.as_str()).collect::<Vec<_>>(), ["x"]);
    let batch = fixed.with_batch(4).expect("it still has its batch");
    for (graph, rows) in [(&fixed, 2), (&batch, 4)] {
        let x = Tensor { shape: vec![rows, 3], data: vec![1.0; rows * 3] };
        let found = CpuPlan::new(graph).and_then(|plan| plan.run(&[x])).expect("it runs");
        assert_eq!(found[0].data, [1.0, 2.0, 3.0].repeat(rows));
    }
    let refused = |name: &str, value: &Value| graph.with_constant(name, value).expect_err(name).to_string();
    assert!(refused("size", &scale).contains("one of x, scale"), "{}", refused("size", &scale));
    assert!(refused("x", &scale).contains("[2, 3]"), "{}", refused("x", &scale));
    let whole = Value { shape: vec![3], elements: vec![1_i64, 2, 3].into() };
    assert!(refused("scale", &whole).contains("i64"), "{}", refused("scale", &whole));
    let x = Value { shape: vec![2, 3], elements: vec![0.0_f32; 6].into() };
    assert!(fixed.with_constant("x", &x).expect_err("the last").to_string().contains("the only one"));
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let missing = Graph::load(Path::new("/nowhere/model.onnx"), &Limits::default()).expect_err("no such file");
    assert!(matches!(missing, Error::Io { .. }) && missing.to_string().contains("/nowhere/model.onnx"), "{missing}");
    let folder = tempfile::tempdir().expect("a folder");
    let said = Graph::load(folder.path(), &Limits::default()).expect_err("a folder").to_string();
    assert!(said.contains("directory"), "{said}");
}

#[test]
fn what_is_wrong_in_a_file_is_said_with_its_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("empty.onnx");
    std::fs::write(&path, b"").expect("written");
    let error = Graph::load(&path, &Limits::default()).expect_err("it is empty");
    assert!(error.to_string().contains("empty.onnx"), "{error}");
    assert!(matches!(error.cause(), Error::Empty) && !error.is_device());
    let path = folder.path().join("sound.onnx");
    std::fs::write(&path, small_network().bytes()).expect("written");
    Graph::load(&path, &Limits::default()).expect("it is sound");
    let limits = Limits { file_bytes: 100, ..Limits::default() };
    let error = Graph::load(&path, &limits).expect_err("it is larger");
    assert!(matches!(error.cause(), Error::TooLarge { limit: 100, .. }), "{error}");
}

#[test]
fn a_batch_is_taken_where_the_file_leaves_it_open() {
    let graph = parse(&small_network()).expect("it is sound");
    let four = graph.with_batch(4).expect("the batch is open");
    assert_eq!(four.inputs()[0].shape, [4, 3, 8, 8]);
    assert_eq!(four.outputs()[0].shape, [4, 4]);
    assert!(matches!(graph.with_batch(0), Err(Error::Batch { batch: 0, .. })));
}

#[test]
fn a_graph_that_is_bound_to_its_batch_says_so() {
    let mean = Model::new()
        .input("x", &[1, 4])
        .integers("axes", &[1], &[0])
        .node_with("ReduceSum", &["x", "axes"], &["sum"], vec![int("keepdims", 1)])
        .node("Add", &["x", "sum"], &["y"])
        .output("y");
    let error = parse(&mean).and_then(|graph| graph.with_batch(2)).expect_err("pictures would be mixed");
    assert!(matches!(error, Error::Batch { batch: 2, .. }) && error.to_string().contains("one by one"), "{error}");
    assert!(error.to_string().contains("beside it"), "{error}");
    let lost = Model::new()
        .input("x", &[1, 4])
        .node_with("ReduceMax", &["x"], &["y"], vec![ints("axes", &[0]), int("keepdims", 1)])
        .output("y");
    let error = parse(&lost).and_then(|graph| graph.with_batch(2)).expect_err("one row comes out");
    assert!(error.to_string().contains("first axis"), "{error}");
}

#[test]
fn constants_that_carry_a_batch_of_one_are_generalised() {
    let flat = Model::new()
        .input("x", &[1, 4, 2])
        .integers("to", &[2], &[1, -1])
        .node("Reshape", &["x", "to"], &["flat"])
        .integers("back", &[3], &[1, 4, 2])
        .node("Reshape", &["flat", "back"], &["rows"])
        .floats("token", &[1, 1, 2], &[5.0, 6.0])
        .node_with("Concat", &["token", "rows"], &["y"], vec![int("axis", 1)])
        .output("y");
    let graph = parse(&flat).expect("it is sound");
    let three = graph.with_batch(3).expect("its constants can be generalised");
    assert_eq!(three.outputs()[0].shape, [3, 5, 2]);
    let shape = vec![3, 4, 2];
    let input = Tensor { data: (0_u8..24).map(f32::from).collect(), shape };
    let outputs = CpuPlan::new(&three).and_then(|plan| plan.run(&[input])).expect("it runs");
    assert_eq!(outputs[0].data[10..14], [5.0, 6.0, 8.0, 9.0], "the second picture after its token");
}

#[test]
fn open_sides_are_taken_from_the_size() {
    let axes = [Axis::Open("N"), Axis::Of(3), Axis::Open("H"), Axis::Open("W")];
    let model = Model::new().input_of("image", DataType::Float, &axes).node("Relu", &["image"], &["y"]).output("y");
    let error = refusal(&model);
    let Error::Unresolved { place, what, .. } = &error else { panic!("{error}") };
    assert!(place.contains("image") && what.contains('H') && what.contains("axis 2"), "{error}");
    let graph = Graph::parse_with_size(&model.bytes(), (64, 48), &Limits::default()).expect("the size is given");
    assert_eq!(graph.inputs()[0].shape, [1, 3, 48, 64], "height before width");
    let fixed = Graph::parse_with_size(&small_network().bytes(), (64, 48), &Limits::default()).expect("sound");
    assert_eq!(fixed.inputs()[0].shape, [1, 3, 8, 8], "the file's own size stays");
}

#[test]
fn shapes_that_no_input_has_are_refused() {
    let graph = parse(&small_network()).expect("it is sound");
    assert!(matches!(graph.with_input_shape(&[]), Err(Error::InputCount { expected: 1, got: 0 })));
    for wrong in [vec![1, 3, 8], vec![0, 3, 8, 8], vec![1, 3, 8, 8, 1]] {
        assert!(matches!(graph.with_input_shape(&[wrong]), Err(Error::WrongInput { .. })));
    }
    assert!(graph.with_input_shape(&[vec![1, 5, 8, 8]]).is_err(), "the kernel takes 3 channels");
    let error = graph.with_input_shape(&[vec![1 << 20, 3, 1 << 10, 1 << 10]]).expect_err("it is too large");
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
    let larger = graph.with_input_shape(&[vec![1, 3, 16, 16]]).expect("the size is free to change");
    assert_eq!(larger.outputs()[0].shape, [1, 4]);
}

#[test]
fn known_models_load() {
    for (name, input, outputs) in [
        ("yolox_nano_416", [1, 3, 416, 416], 1),
        ("light_person_detector_192", [1, 3, 192, 192], 1),
        ("nanodet_m_320", [1, 3, 320, 320], 6),
        ("picodet_s_320_coco", [1, 3, 320, 320], 8),
        ("ultraface_rfb320", [1, 3, 240, 320], 2),
        ("efficientnet_lite0", [1, 3, 224, 224], 1),
    ] {
        let Some(path) = samples::path(&format!("models/{name}.onnx")) else { return };
        let graph = Graph::load(&path, &Limits::default()).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(graph.inputs()[0].shape, input, "{name}");
        assert_eq!(graph.outputs().len(), outputs, "{name}");
        assert!(graph.parameters() > 100_000, "{name}: {} parameters", graph.parameters());
    }
}
