//! ONNX files small enough for a software adapter, written field by field.

#[path = "../../../tests/e2e/protobuf.rs"]
mod protobuf;

use protobuf::{bytes, number};

/// TensorProto: dims, data_type, name, raw_data.
fn tensor(name: &str, dims: &[u64], data_type: u64, raw: &[u8]) -> Vec<u8> {
    let dims: Vec<u8> = dims.iter().flat_map(|d| number(1, *d)).collect();
    bytes(5, &[dims, number(2, data_type), bytes(8, name.as_bytes()), bytes(9, raw)].concat())
}

fn floats(name: &str, dims: &[u64], values: &[f32]) -> Vec<u8> {
    tensor(name, dims, 1, &values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>())
}

fn integers(name: &str, values: &[i64]) -> Vec<u8> {
    tensor(name, &[values.len() as u64], 7, &values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>())
}

/// ValueInfoProto: name, type { tensor_type { elem_type FLOAT, shape } }.
fn value(field: u64, name: &str, dims: &[u64]) -> Vec<u8> {
    let dims: Vec<u8> = dims.iter().flat_map(|d| bytes(1, &number(1, *d))).collect();
    let tensor_type = [number(1, 1), bytes(2, &dims)].concat();
    bytes(field, &[bytes(1, name.as_bytes()), bytes(2, &bytes(1, &tensor_type))].concat())
}

fn node(inputs: &[&str], output: &str, op: &str, attributes: &[Vec<u8>]) -> Vec<u8> {
    let inputs: Vec<u8> = inputs.iter().flat_map(|i| bytes(1, i.as_bytes())).collect();
    bytes(1, &[inputs, bytes(2, output.as_bytes()), bytes(4, op.as_bytes()), attributes.concat()].concat())
}

/// AttributeProto: name, ints, type INTS.
fn ints(name: &str, values: &[u64]) -> Vec<u8> {
    let values: Vec<u8> = values.iter().flat_map(|v| number(8, *v)).collect();
    bytes(5, &[bytes(1, name.as_bytes()), values, number(20, 7)].concat())
}

/// AttributeProto: name, i, type INT.
fn int(name: &str, value: u64) -> Vec<u8> {
    bytes(5, &[bytes(1, name.as_bytes()), number(3, value), number(20, 2)].concat())
}

/// ModelProto: ir_version, graph, opset_import { version }.
fn model(graph: &[Vec<u8>]) -> Vec<u8> {
    [number(1, 8), bytes(7, &[bytes(2, b"tiny"), graph.concat()].concat()), bytes(8, &number(2, 13))].concat()
}

/// Some numbers around 0, the same every time.
fn weights(count: usize, size: f32) -> Vec<f32> {
    let weight =
        |i: usize| ((i * 7 % 27) as f32 - 13.0) / 13.0 * size * if (i / 27).is_multiple_of(2) { 1.0 } else { -1.0 };
    (0..count).map(weight).collect()
}

/// `y = Relu(Conv(x, w, b, strides = 2))`, `x` a picture of `width` x `height`, `w` of `[4, 3, 3, 3]`.
pub fn small_model(width: u64, height: u64) -> Vec<u8> {
    // Every other filter is the negative of the one before, so that some answers are above zero.
    model(&[
        node(&["x", "w", "b"], "c", "Conv", &[ints("strides", &[2, 2])]),
        node(&["c"], "y", "Relu", &[]),
        floats("w", &[4, 3, 3, 3], &weights(4 * 27, 0.325)),
        floats("b", &[4], &[0.1, -0.2, 0.3, 0.0]),
        value(11, "x", &[1, 3, height, width]),
        value(12, "y", &[1, 4, (height - 3) / 2 + 1, (width - 3) / 2 + 1]),
    ])
}

/// Classes of [`detector`].
pub const CLASSES: u64 = 2;

/// What the head `yolox` reads, of a picture of `side` x `side`: one convolution a grid, of strides 8 and 16.
/// `lift` moves objectness up or down.
pub fn detector(side: u64, lift: f32) -> Vec<u8> {
    let columns = 5 + CLASSES;
    let mut graph = vec![value(11, "x", &[1, 3, side, side]), integers("flat", &[0, columns as i64, -1])];
    let mut bias = vec![0.0; columns as usize];
    bias[4] = lift;
    graph.push(floats("b", &[columns], &bias));
    for stride in [8_u64, 16] {
        let named = |what: &str| format!("{what}{stride}");
        let kernel = weights((columns * 3 * stride * stride) as usize, 0.02 / stride as f32);
        graph.push(floats(&named("w"), &[columns, 3, stride, stride], &kernel));
        graph.push(node(&["x", &named("w"), "b"], &named("c"), "Conv", &[ints("strides", &[stride, stride])]));
        graph.push(node(&[&named("c"), "flat"], &named("f"), "Reshape", &[]));
    }
    let anchors = (side / 8).pow(2) + (side / 16).pow(2);
    graph.extend([
        node(&["f8", "f16"], "all", "Concat", &[int("axis", 2)]),
        node(&["all"], "rows", "Transpose", &[ints("perm", &[0, 2, 1])]),
        node(&["rows"], "y", "Sigmoid", &[]),
        value(12, "y", &[1, anchors, columns]),
    ]);
    model(&graph)
}

/// A `model.toml` for [`detector`].
pub const DETECTOR_TOML: &str = "name = \"tiny\"\nversion = \"1\"\ntask = \"detect\"\n[input]\nletterbox = \"stretch\"\n\
    [head]\nkind = \"yolox\"\nstrides = [8, 16]\n[thresholds]\nscore = 0.3\nnms = 0.6\n";
