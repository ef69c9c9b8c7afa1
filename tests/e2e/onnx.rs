//! ONNX files whose outputs are known numbers, written field by field.

use super::protobuf::{bytes, number};

/// A graph under construction.
#[derive(Default)]
pub struct Graph {
    fields: Vec<u8>,
}

impl Graph {
    pub fn new() -> Self {
        Self::default()
    }

    /// The picture, `[1, 3, side, side]`, and `zero`, a number made of it.
    pub fn picture(self, name: &str, side: u64) -> Self {
        self.field(11, &value(name, 1, Some(&[1, 3, side, side])))
            .field(5, &tensor("nought", &[], 1, &0.0_f32.to_le_bytes()))
            .node("ReduceMean", &[name], "mean", &[int("keepdims", 0)])
            .node("Mul", &["mean", "nought"], "zero", &[])
    }

    /// An input of whole numbers.
    pub fn integer_input(self, name: &str, shape: &[u64]) -> Self {
        self.field(11, &value(name, 7, Some(shape)))
    }

    /// An output that is always these numbers, though the file computes it from the picture.
    pub fn constant(self, name: &str, shape: &[u64], values: &[f32]) -> Self {
        let constant = format!("{name}_values");
        self.field(5, &floats(&constant, shape, values))
            .node("Add", &[&constant, "zero"], name, &[])
            .field(12, &value(name, 1, None))
    }

    /// An output of boxes that are multiplied by a width and height, as deployed transformers do.
    pub fn scaled_boxes(self, name: &str, size: &str, shape: &[u64], values: &[f32]) -> Self {
        self.field(5, &floats("boxes_values", shape, values))
            .node("Cast", &[size], "size_f", &[int("to", 1)])
            .node("Concat", &["size_f", "size_f"], "size_4", &[int("axis", 1)])
            .node("Mul", &["boxes_values", "size_4"], "boxes_px", &[])
            .node("Add", &["boxes_px", "zero"], name, &[])
            .field(12, &value(name, 1, None))
    }

    /// The file: ir_version, graph, opset_import { version }.
    pub fn bytes(&self) -> Vec<u8> {
        let graph = [bytes(2, b"g"), self.fields.clone()].concat();
        [number(1, 8), bytes(7, &graph), bytes(8, &number(2, 13))].concat()
    }

    fn field(mut self, field: u64, content: &[u8]) -> Self {
        self.fields.extend(bytes(field, content));
        self
    }

    /// NodeProto: input, output, op_type, attribute.
    fn node(self, op: &str, inputs: &[&str], output: &str, attributes: &[Vec<u8>]) -> Self {
        let inputs: Vec<u8> = inputs.iter().flat_map(|i| bytes(1, i.as_bytes())).collect();
        let node = [inputs, bytes(2, output.as_bytes()), bytes(4, op.as_bytes()), attributes.concat()].concat();
        self.field(1, &node)
    }
}

/// AttributeProto: name, i, type INT.
fn int(name: &str, value: u64) -> Vec<u8> {
    bytes(5, &[bytes(1, name.as_bytes()), number(3, value), number(20, 2)].concat())
}

/// TensorProto: dims, data_type, name, raw_data.
fn tensor(name: &str, dims: &[u64], data_type: u64, raw: &[u8]) -> Vec<u8> {
    let dims: Vec<u8> = dims.iter().flat_map(|d| number(1, *d)).collect();
    [dims, number(2, data_type), bytes(8, name.as_bytes()), bytes(9, raw)].concat()
}

fn floats(name: &str, dims: &[u64], values: &[f32]) -> Vec<u8> {
    assert_eq!(dims.iter().product::<u64>(), values.len() as u64, "{name}");
    tensor(name, dims, 1, &values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>())
}

/// ValueInfoProto: name, type { tensor_type { elem_type, shape } }.
fn value(name: &str, data_type: u64, shape: Option<&[u64]>) -> Vec<u8> {
    let dims = |shape: &[u64]| shape.iter().flat_map(|d| bytes(1, &number(1, *d))).collect::<Vec<u8>>();
    let shape = shape.map(|shape| bytes(2, &dims(shape))).unwrap_or_default();
    let tensor_type = [number(1, data_type), shape].concat();
    [bytes(1, name.as_bytes()), bytes(2, &bytes(1, &tensor_type))].concat()
}
