//! Small files that ask for much: they are refused before anything is done for them.

use super::*;
use crate::testing::{int, ints, text};

/// Refused for a size, and says which node asked for it.
fn too_large(model: &Model, node: &str) {
    let error = refusal(model);
    let by_size = matches!(error, Error::TooLarge { .. } | Error::Analysis { .. });
    assert!(by_size && error.to_string().contains(node), "{error}");
}

#[test]
fn constants_that_unfold_are_refused() {
    let filled = Model::new()
        .input("x", &[1])
        .integers("shape", &[3], &[100_000, 100_000, 100])
        .node("ConstantOfShape", &["shape"], &["flood"])
        .node("Add", &["x", "flood"], &["y"])
        .output("y");
    too_large(&filled, "flood");
    let range = Model::new()
        .input("x", &[1])
        .floats("start", &[], &[0.0])
        .floats("end", &[], &[1e12])
        .floats("step", &[], &[1.0])
        .node("Range", &["start", "end", "step"], &["flood"])
        .node("Add", &["x", "flood"], &["y"])
        .output("y");
    too_large(&range, "flood");
    let tile = Model::new()
        .input("x", &[1])
        .floats("seed", &[4], &[1.0; 4])
        .integers("times", &[1], &[1 << 40])
        .node("Tile", &["seed", "times"], &["flood"])
        .node("Add", &["x", "flood"], &["y"])
        .output("y");
    too_large(&tile, "flood");
}

#[test]
fn inputs_that_unfold_are_refused() {
    let expand = Model::new()
        .input("x", &[1, 1])
        .integers("shape", &[2], &[1 << 20, 1 << 20])
        .node("Expand", &["x", "shape"], &["flood"])
        .output("flood");
    too_large(&expand, "flood");
    let pad = Model::new()
        .input("x", &[1, 1])
        .integers("pads", &[4], &[1 << 30, 1 << 30, 0, 0])
        .node("Pad", &["x", "pads"], &["flood"])
        .output("flood");
    too_large(&pad, "flood");
    let resize = Model::new()
        .input("x", &[1, 1, 2, 2])
        .floats("scales", &[4], &[1.0, 1.0, 1e6, 1e6])
        .node_with("Resize", &["x", "", "scales"], &["flood"], vec![text("mode", "nearest")])
        .output("flood");
    too_large(&resize, "flood");
}

#[test]
fn doubling_again_and_again_is_refused() {
    let mut model = Model::new().input("x", &[1024]);
    let mut last = "x".to_owned();
    for step in 0..40 {
        let next = format!("doubled{step}");
        model = model.node_with("Concat", &[&last, &last], &[&next], vec![int("axis", 0)]);
        last = next;
    }
    let error = refusal(&model.output(&last));
    assert!(matches!(error, Error::TooLarge { .. }) && error.to_string().contains("doubled"), "{error}");
}

#[test]
fn much_work_on_constants_is_refused() {
    // Each fits the limits; their product would take minutes.
    let model = Model::new()
        .input("x", &[1])
        .integers("shape", &[2], &[8000, 8000])
        .node("ConstantOfShape", &["shape"], &["a"])
        .node("MatMul", &["a", "a"], &["b"])
        .node("Add", &["x", "b"], &["y"])
        .output("y");
    let error = refusal(&model);
    assert!(matches!(error, Error::TooLarge { .. }) && error.to_string().contains("\"b\""), "{error}");
}

#[test]
fn tensors_of_two_to_the_forty_are_refused_wherever_they_arise() {
    let wide_pads = Model::new()
        .input("x", &[1, 1, 8, 8])
        .floats("w", &[1, 1, 1, 1], &[1.0])
        .node("Relu", &["x"], &["r"])
        .node_with("Conv", &["r", "w"], &["flood"], vec![ints("pads", &[1 << 19, 1 << 19, 1 << 19, 1 << 19])])
        .node("GlobalAveragePool", &["flood"], &["y"])
        .output("y");
    too_large(&wide_pads, "flood");
    let wide_pool = Model::new()
        .input("x", &[1, 1, 8, 8])
        .node("Relu", &["x"], &["r"])
        .floats("scales", &[4], &[1.0, 1.0, 131_072.0, 131_072.0])
        .node_with("Resize", &["r", "", "scales"], &["flood"], vec![text("mode", "linear")])
        .node("GlobalMaxPool", &["flood"], &["y"])
        .output("y");
    too_large(&wide_pool, "flood");
    let broadcast = Model::new()
        .input("x", &[1 << 20, 1])
        .integers("turned", &[2], &[1, 1 << 20])
        .node("Reshape", &["x", "turned"], &["across"])
        .node("Add", &["x", "across"], &["flood"])
        .node_with("ReduceMax", &["flood"], &["y"], vec![])
        .output("y");
    too_large(&broadcast, "flood");
    let product = Model::new()
        .input("x", &[1 << 20, 1])
        .integers("turned", &[2], &[1, 1 << 20])
        .node("Reshape", &["x", "turned"], &["across"])
        .node("MatMul", &["x", "across"], &["flood"])
        .node_with("ReduceMax", &["flood"], &["y"], vec![])
        .output("y");
    too_large(&product, "flood");
}

#[test]
fn a_batch_that_unfolds_is_refused() {
    let graph = parse(&small_network()).expect("it is sound");
    let error = graph.with_batch(1 << 40).expect_err("2^40 pictures");
    assert!(matches!(error, Error::TooLarge { .. }) && error.to_string().contains("image"), "{error}");
    let tight = Limits { memory_bytes: 100_000, ..Limits::default() };
    let graph = Graph::parse(&small_network().bytes(), &tight).expect("one picture fits");
    let error = graph.with_batch(1000).expect_err("a thousand do not");
    assert!(matches!(error, Error::Memory { .. }), "{error}");
}

#[test]
fn more_memory_than_the_budget_is_refused_with_the_node_that_takes_it() {
    let model = Model::new()
        .input("x", &[1, 1, 16, 16])
        .floats("scales", &[4], &[1.0, 1.0, 64.0, 64.0])
        .node("Relu", &["x"], &["small"])
        .node_with("Resize", &["small", "", "scales"], &["large"], vec![text("mode", "nearest")])
        .node("Sigmoid", &["large"], &["also_large"])
        .node("GlobalMaxPool", &["also_large"], &["y"])
        .output("y");
    // The enlarged picture and its sigmoid: 2 x 1024 x 1024 floats.
    let tight = Limits { memory_bytes: (8 << 20) - 1, ..Limits::default() };
    let error = Graph::parse(&model.bytes(), &tight).expect_err("8 MiB are needed");
    assert!(matches!(&error, Error::Memory { activations, .. } if *activations == 8 << 20), "{error:?}");
    let said = error.to_string();
    assert!(said.contains("also_large") && said.contains("8.0 MiB") && said.contains("raise the limit"), "{said}");
    Graph::parse(&model.bytes(), &Limits { memory_bytes: (8 << 20) + 64, ..tight }).expect("the budget is enough");
}

#[test]
fn the_limits_hold() {
    let bytes = small_network().bytes();
    let refused = |limits: Limits| match Graph::parse(&bytes, &limits) {
        Err(Error::TooLarge { .. } | Error::Memory { .. }) => true,
        Err(other) => panic!("{other}"),
        Ok(_) => false,
    };
    let default = Limits::default();
    assert!(!refused(default));
    assert!(refused(Limits { file_bytes: 64, ..default }));
    assert!(refused(Limits { nodes: 3, ..default }));
    assert!(refused(Limits { rank: 3, ..default }));
    assert!(refused(Limits { tensor_elements: 100, ..default }));
    assert!(refused(Limits { constant_elements: 100, ..default }));
    assert!(refused(Limits { total_elements: 300, ..default }));
    assert!(refused(Limits { memory_bytes: 1000, ..default }));
}

#[test]
fn a_long_chain_of_nodes_fits_the_stack() {
    let mut model = Model::new().input("x", &[2]);
    let mut last = "x".to_owned();
    for step in 0..3000 {
        let next = format!("s{step}");
        model = model.node(if step % 2 == 0 { "Sin" } else { "Cos" }, &[&last], &[&next]);
        last = next;
    }
    let graph = parse(&model.output(&last)).expect("it is long, not wrong");
    assert!(graph.operators().values().sum::<usize>() >= 3000);
}

#[test]
fn a_name_as_deep_expression_is_refused_or_harmless() {
    let deep: &'static str = Box::leak(format!("{}N{}", "(".repeat(100_000), ")".repeat(100_000)).into_boxed_str());
    let model = Model::new()
        .input_of("x", DataType::Float, &[Axis::Open(deep), Axis::Of(2)])
        .node("Relu", &["x"], &["y"])
        .output("y");
    assert!(parse(&model).is_err());
}
