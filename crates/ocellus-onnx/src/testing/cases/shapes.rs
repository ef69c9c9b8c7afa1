//! Operators that only move elements.

use tract_onnx::pb::AttributeProto;

use super::super::{Model, int, ints, text};
use super::Case;

pub(super) fn all() -> Vec<Case> {
    [layouts(), parts(), pads(), picks(), truths()].into_iter().flatten().collect()
}

fn through(operator: &str, x: &[i64], attributes: Vec<AttributeProto>) -> Model {
    Model::new().input("x", x).node_with(operator, &["x"], &["y"], attributes).output("y")
}

/// `x` through an operator that takes a list of integers.
fn with_list(operator: &str, x: &[i64], list: &[i64]) -> Model {
    let count = list.len() as i64;
    Model::new().input("x", x).integers("list", &[count], list).node(operator, &["x", "list"], &["y"]).output("y")
}

fn layouts() -> Vec<Case> {
    let columns_last = vec![int("blocksize", 2), text("mode", "CRD")];
    vec![
        Case::new("reshape", with_list("Reshape", &[2, 3, 4], &[4, -1])),
        Case::new("flatten", through("Flatten", &[2, 3, 4], vec![])),
        Case::new("transpose", through("Transpose", &[2, 3, 4], vec![ints("perm", &[2, 0, 1])])),
        Case::new("squeeze", with_list("Squeeze", &[2, 1, 3], &[1])),
        Case::new("unsqueeze", with_list("Unsqueeze", &[2, 3], &[0, 3])),
        Case::new("expand", with_list("Expand", &[3, 1], &[2, 3, 4])),
        Case::new("tile", with_list("Tile", &[2, 3], &[2, 3])),
        Case::new("depth to space", through("DepthToSpace", &[1, 8, 2, 3], vec![int("blocksize", 2)])),
        Case::new("depth to space, columns last", through("DepthToSpace", &[1, 8, 2, 3], columns_last)),
        Case::new("space to depth", through("SpaceToDepth", &[1, 2, 4, 6], vec![int("blocksize", 2)])),
        Case::new("identity", through("Identity", &[2, 3], vec![])),
    ]
}

fn parts() -> Vec<Case> {
    let sliced = |start: i64, end: i64, step: i64| {
        Model::new()
            .input("x", &[3, 8])
            .integers("starts", &[1], &[start])
            .integers("ends", &[1], &[end])
            .integers("axes", &[1], &[1])
            .integers("steps", &[1], &[step])
            .node("Slice", &["x", "starts", "ends", "axes", "steps"], &["y"])
            .output("y")
    };
    let concat = |axis| {
        Model::new()
            .input("a", &[2, 3])
            .input("b", &[2, 3])
            .node_with("Concat", &["a", "b", "a"], &["y"], vec![int("axis", axis)])
            .output("y")
    };
    let split = Model::new()
        .input("x", &[2, 5])
        .integers("sizes", &[2], &[2, 3])
        .node_with("Split", &["x", "sizes"], &["y", "z"], vec![int("axis", 1)])
        .output("z")
        .output("y");
    vec![
        Case::new("slice", sliced(2, 6, 1)),
        Case::new("slice, to the end", sliced(-3, i64::MAX, 1)),
        Case::new("slice, steps", sliced(1, 8, 3)),
        Case::new("concat", concat(0)),
        Case::new("concat, inner axis", concat(1)),
        Case::new("split", split),
    ]
}

fn pads() -> Vec<Case> {
    let padded = |mode: &str| {
        Model::new()
            .input("x", &[1, 2, 3, 4])
            .integers("pads", &[8], &[0, 0, 1, 2, 0, 0, 2, 1])
            .floats("value", &[], &[0.5])
            .node_with("Pad", &["x", "pads", "value"], &["y"], vec![text("mode", mode)])
            .output("y")
    };
    vec![
        Case::new("pad", padded("constant")),
        Case::new("pad, reflected", padded("reflect")),
        Case::new("pad, edges", padded("edge")),
    ]
}

fn picks() -> Vec<Case> {
    let gather = |indices: &[i64], axis| {
        let model = Model::new().input("x", &[4, 3]).integers("at", &[indices.len() as i64], indices);
        model.node_with("Gather", &["x", "at"], &["y"], vec![int("axis", axis)]).output("y")
    };
    let top = |largest| {
        Model::new()
            .input("x", &[2, 7])
            .integers("k", &[1], &[3])
            .node_with("TopK", &["x", "k"], &["y", "i"], vec![int("axis", 1), int("largest", largest)])
            .output("y")
            .output("i")
    };
    let computed = Model::new()
        .input("x", &[4, 3])
        .input("s", &[2, 4])
        .node_with("ArgMax", &["s"], &["at"], vec![int("axis", 1), int("keepdims", 0)])
        .node_with("Gather", &["x", "at"], &["y"], vec![int("axis", 0)])
        .output("y");
    let elements = Model::new()
        .input("x", &[4, 3])
        .node_with("ArgMax", &["x"], &["at"], vec![int("axis", 0)])
        .node_with("GatherElements", &["x", "at"], &["y"], vec![int("axis", 0)])
        .output("y");
    vec![
        Case::new("gather", gather(&[2, 0, -1, 2], 0)),
        Case::new("gather, a range", gather(&[0, 2], 1)),
        Case::new("gather at computed places", computed),
        Case::new("gather elements at computed places", elements),
        Case::new("top 3", top(1)),
        Case::new("bottom 3", top(0)),
    ]
}

/// Truth values through operators that move them, then through one that takes truth values only.
fn truths() -> Vec<Case> {
    let moved = |name, operator: &str, list: &[i64], attributes: Vec<AttributeProto>| {
        let count = list.len() as i64;
        let mut operands = vec!["p"];
        operands.extend((count > 0).then_some("list"));
        let model = Model::new()
            .input("a", &[4, 3])
            .input("b", &[4, 3])
            .integers("list", &[count], list)
            .node("Less", &["a", "b"], &["p"])
            .node_with(operator, &operands, &["q"], attributes)
            .node("Not", &["q"], &["y"])
            .output("y")
            .output("q");
        Case::new(name, model)
    };
    let joined = Model::new()
        .input("a", &[2, 3])
        .input("b", &[2, 3])
        .node("Less", &["a", "b"], &["p"])
        .node("Greater", &["a", "b"], &["q"])
        .node_with("Concat", &["p", "q", "p"], &["r"], vec![int("axis", 1)])
        .node("Not", &["r"], &["y"])
        .output("y");
    vec![
        moved("gather truth values", "Gather", &[3, 0, 1], vec![int("axis", 0)]),
        moved("reshape truth values", "Reshape", &[2, 6], vec![]),
        moved("transpose truth values", "Transpose", &[], vec![ints("perm", &[1, 0])]),
        moved("expand truth values", "Expand", &[2, 4, 3], vec![]),
        moved("tile truth values", "Tile", &[2, 2], vec![]),
        Case::new("concat truth values", joined),
    ]
}
