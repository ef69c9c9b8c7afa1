//! Files that contradict themselves, or hold what is not supported.

use tract_onnx::pb::tensor_proto::{DataLocation, DataType};
use tract_onnx::pb::{GraphProto, StringStringEntryProto};

use super::*;
use crate::testing::{float_tensor, ints, node, subgraph, tensor, value_info};

#[test]
fn no_bytes_no_protobuf_and_no_graph_are_told_apart() {
    let parse = |bytes: &[u8]| Graph::parse(bytes, &Limits::default()).expect_err("it is no model");
    assert!(matches!(parse(b""), Error::Empty));
    assert!(matches!(parse(b"\x89PNG\r\n\x1a\n"), Error::NotOnnx { .. }));
    assert!(matches!(parse(&[0xff; 64]), Error::NotOnnx { .. }));
    assert!(matches!(parse(&[0x08, 0x08]), Error::NotOnnx { .. }), "a version and nothing else");
}

#[test]
fn a_file_cut_short_anywhere_is_refused() {
    let bytes = small_network().bytes();
    for end in 0..bytes.len() {
        // A cut at the end of a field may leave a sound protobuf; the model must still not pass for whole.
        let cut = Graph::parse(&bytes[..end], &Limits::default());
        assert!(cut.is_err() || end + 16 > bytes.len(), "cut after {end} of {} bytes", bytes.len());
    }
}

#[test]
fn operators_that_do_not_exist_are_named_with_their_node() {
    let model = Model::new().input("x", &[2]).node("Frobnicate", &["x"], &["twisted"]).output("twisted");
    let error = refusal(&model);
    let Error::Unsupported { node, operator, .. } = &error else { panic!("{error}") };
    assert_eq!((node.as_str(), operator.as_str()), ("twisted", "Frobnicate"));
    let mut model = Model::new().input("x", &[2]).node("Relu", &["x"], &["y"]).output("y");
    model.graph().node[0].domain = "org.example".into();
    assert!(refusal(&model).to_string().contains("org.example.Relu"), "{}", refusal(&model));
}

#[test]
fn an_operator_used_wrongly_is_named_with_its_node() {
    let model = Model::new()
        .input("x", &[1, 3, 8, 8])
        .floats("w", &[4, 2, 3, 3], &[0.0; 72])
        .node("Conv", &["x", "w"], &["features"])
        .output("features");
    let error = refusal(&model);
    let Error::Analysis { node, operator, .. } = &error else { panic!("{error}") };
    assert_eq!((node.as_str(), operator.as_str()), ("features", "Conv"), "{error}");
}

#[test]
fn wires_that_lead_nowhere_are_found() {
    let dangling = Model::new().input("x", &[2]).node("Add", &["x", "ghost"], &["y"]).output("y");
    assert!(refusal(&dangling).to_string().contains("ghost"), "{}", refusal(&dangling));
    let nobody = Model::new().input("x", &[2]).node("Relu", &["x"], &["y"]).output("z");
    assert!(matches!(refusal(&nobody), Error::Malformed { .. }), "{}", refusal(&nobody));
    let cycle = Model::new().input("x", &[2]).node("Add", &["x", "b"], &["a"]).node("Relu", &["a"], &["b"]).output("b");
    assert!(refusal(&cycle).to_string().contains("cycle"), "{}", refusal(&cycle));
    let twice = Model::new().input("x", &[2]).node("Relu", &["x"], &["y"]).node("Abs", &["x"], &["y"]).output("y");
    assert!(refusal(&twice).to_string().contains("defined twice"), "{}", refusal(&twice));
    let listed = Model::new().input("x", &[2]).node("Relu", &["x"], &["y"]).output("y").output("y");
    assert!(refusal(&listed).to_string().contains("listed twice"), "{}", refusal(&listed));
}

#[test]
fn a_model_without_ends_is_refused() {
    let deaf = Model::new().floats("c", &[1], &[1.0]).node("Relu", &["c"], &["y"]).output("y");
    assert!(matches!(refusal(&deaf), Error::NoInputs));
    let mute = Model::new().input("x", &[2]).node("Relu", &["x"], &["y"]);
    assert!(matches!(refusal(&mute), Error::NoOutputs));
    let mut unversioned = small_network();
    unversioned.proto.opset_import.clear();
    assert!(refusal(&unversioned).to_string().contains("operator set"), "{}", refusal(&unversioned));
}

#[test]
fn only_numbers_of_known_rank_are_taken() {
    let words =
        Model::new().input_of("ids", DataType::String, &[Axis::Of(4)]).node("Identity", &["ids"], &["y"]).output("y");
    let error = refusal(&words);
    assert!(matches!(&error, Error::InputType { name, dtype } if name == "ids" && dtype == "string"), "{error}");
    let mut shapeless = Model::new().input("x", &[2]).node("Relu", &["x"], &["y"]).output("y");
    shapeless.graph().input[0].r#type = None;
    assert!(matches!(refusal(&shapeless), Error::InputType { .. }), "{}", refusal(&shapeless));
    let wide = Model::new().input("x", &[1 << 40, 0]).node("Relu", &["x"], &["y"]).output("y");
    assert!(matches!(refusal(&wide), Error::TooLarge { .. }), "{}", refusal(&wide));
}

#[test]
fn a_shape_that_depends_on_the_data_is_refused() {
    let model = Model::new()
        .input("x", &[8])
        .node("NonZero", &["x"], &["places"])
        .node_with("Cast", &["places"], &["y"], vec![crate::testing::int("to", 1)])
        .output("y");
    let error = refusal(&model);
    let named = matches!(&error, Error::Unresolved { place, .. } if place.contains("NonZero"));
    assert!(named && error.to_string().contains("TopK"), "{error}");
}

/// As detectors are exported whose boxes are suppressed inside: what follows gathers the boxes that were kept.
#[test]
fn suppression_inside_the_graph_is_refused_by_name_with_what_to_do() {
    let model = Model::new()
        .input("boxes", &[1, 20, 4])
        .input("scores", &[1, 3, 20])
        .integers("most", &[1], &[5])
        .floats("overlap", &[1], &[0.5])
        .floats("score", &[1], &[0.1])
        .node("NonMaxSuppression", &["boxes", "scores", "most", "overlap", "score"], &["kept"])
        .integers("column", &[1], &[2])
        .node_with("Gather", &["kept", "column"], &["rows"], vec![crate::testing::int("axis", 1)])
        .integers("flat", &[1], &[-1])
        .node("Reshape", &["rows", "flat"], &["picked"])
        .node_with("Gather", &["boxes", "picked"], &["y"], vec![crate::testing::int("axis", 1)])
        .output("y");
    let error = refusal(&model);
    let named = matches!(&error, Error::Unresolved { place, .. } if place.contains("NonMaxSuppression"));
    assert!(named && error.to_string().contains("nms=False"), "{error}");
}

#[test]
fn constants_must_hold_what_they_declare() {
    let with = |spoil: &dyn Fn(&mut tract_onnx::pb::TensorProto)| {
        let mut constant = float_tensor("c", &[3], &[1.0, 2.0, 3.0]);
        spoil(&mut constant);
        refusal(&Model::new().input("x", &[3]).initialiser(constant).node("Add", &["x", "c"], &["y"]).output("y"))
    };
    let short = with(&|t| t.raw_data.truncate(8));
    assert!(short.to_string().contains("12 bytes"), "{short}");
    assert!(matches!(with(&|t| t.dims = vec![-3]), Error::Malformed { .. }));
    assert!(matches!(with(&|t| t.dims = vec![1 << 40, 1 << 40]), Error::TooLarge { .. }));
    assert!(matches!(with(&|t| t.data_type = DataType::Complex64 as i32), Error::Malformed { .. }));
    assert!(matches!(with(&|t| t.data_type = 99), Error::Malformed { .. }));
    let external = with(&|t| {
        t.data_location = Some(DataLocation::External as i32);
        t.external_data = vec![StringStringEntryProto { key: "location".into(), value: "../../etc/passwd".into() }];
    });
    assert!(matches!(&external, Error::ExternalData { tensor } if tensor == "c"), "{external}");
}

#[test]
fn constants_in_attributes_are_checked_too() {
    let mut constant = float_tensor("c", &[2], &[1.0, 2.0]);
    constant.raw_data.pop();
    let model = Model::new()
        .input("x", &[2])
        .node_with("Constant", &[], &["c"], vec![tensor("value", constant)])
        .node("Add", &["x", "c"], &["y"])
        .output("y");
    assert!(refusal(&model).to_string().contains("\"c\""), "{}", refusal(&model));
}

#[test]
fn sizes_in_attributes_are_bounded() {
    for (name, values) in [("strides", [0, 1]), ("strides", [-1, 1]), ("pads", [i64::MAX, 0]), ("dilations", [0, 0])] {
        let values = if name == "pads" { vec![values[0], 0, 0, 0] } else { values.to_vec() };
        let model = Model::new()
            .input("x", &[1, 1, 8, 8])
            .floats("w", &[1, 1, 3, 3], &[1.0; 9])
            .node_with("Conv", &["x", "w"], &["y"], vec![ints(name, &values)])
            .output("y");
        assert!(parse(&model).is_err(), "{name} of {values:?}");
    }
}

#[test]
fn images_have_enough_axes() {
    let normalised = Model::new()
        .input("x", &[4])
        .floats("c", &[4], &[1.0; 4])
        .node("BatchNormalization", &["x", "c", "c", "c", "c"], &["flat"])
        .output("flat");
    let convolved = Model::new()
        .input("x", &[1, 3])
        .floats("w", &[2, 3], &[1.0; 6])
        .node("Conv", &["x", "w"], &["flat"])
        .output("flat");
    let pooled = Model::new().input("x", &[]).node("GlobalMaxPool", &["x"], &["flat"]).output("flat");
    for model in [normalised, convolved, pooled] {
        let error = refusal(&model);
        assert!(matches!(&error, Error::Analysis { node, .. } if node == "flat"), "{error}");
        assert!(error.to_string().contains("axes"), "{error}");
    }
}

#[test]
fn an_order_of_axes_names_each_once() {
    for order in [[0, 0, 1], [0, 1, 3], [-1, 0, 1], [i64::MAX, 0, 1]] {
        let model = Model::new()
            .input("x", &[2, 3, 4])
            .node_with("Transpose", &["x"], &["turned"], vec![ints("perm", &order)])
            .output("turned");
        let error = refusal(&model);
        assert!(matches!(error, Error::Malformed { .. }) && error.to_string().contains("turned"), "{error}");
    }
}

#[test]
fn branches_hold_simple_operators_only() {
    let branch = |operator: &str| GraphProto {
        name: "branch".into(),
        node: vec![node(operator, &["x"], &["z"], vec![])],
        output: vec![value_info("z", DataType::Float, &[Axis::Of(2)])],
        ..GraphProto::default()
    };
    let model = |operator: &str| {
        Model::new()
            .input("x", &[2])
            .input("limit", &[])
            .node("ReduceMax", &["x"], &["top"])
            .node("Greater", &["top", "limit"], &["yes"])
            .node_with(
                "If",
                &["yes"],
                &["y"],
                vec![subgraph("then_branch", branch("Relu")), subgraph("else_branch", branch(operator))],
            )
            .output("y")
    };
    let error = refusal(&model("LSTM"));
    assert!(matches!(&error, Error::Unsupported { operator, .. } if operator == "LSTM"), "{error}");
}

#[test]
fn two_nodes_of_one_name_are_no_trouble() {
    let mut model = Model::new().input("x", &[2]).node("Relu", &["x"], &["a"]).node("Abs", &["a"], &["y"]).output("y");
    for node in &mut model.graph().node {
        node.name = "twin".into();
    }
    parse(&model).expect("ONNX allows it");
}
