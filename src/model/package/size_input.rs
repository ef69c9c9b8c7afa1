//! A second input that takes the picture's size.
//!
//! RT-DETR, D-FINE and their kin are exported with an input `orig_target_sizes`, `[1, 2]` of int64: width and height of
//! the picture that boxes are to be scaled to. Given the size of the network's own input, boxes come out in its pixels,
//! as every head's do. ONNX lets a constant (an initialiser) stand in for an input of the same name, and Protocol Buffers
//! merge a message that comes twice, so the constant is appended to the file's bytes.

use bytes::Bytes;
use ocellus_onnx::{ElementType, TensorInfo};

/// Names under which exporters ask for the size.
const NAMES: [&str; 4] = ["orig_target_sizes", "orig_size", "target_sizes", "target_size"];

/// The input's name, and the width and height of the picture that the other input takes.
#[must_use]
pub fn asked_for(inputs: &[TensorInfo]) -> Option<(&str, (usize, usize))> {
    let is_size = |info: &TensorInfo| {
        info.dtype == ElementType::I64 && info.shape == [1, 2] && NAMES.contains(&info.name.as_str())
    };
    let (picture, size) = match inputs {
        [picture, size] | [size, picture] if is_size(size) => (picture, size),
        _ => return None,
    };
    match *picture.shape.as_slice() {
        [_, _, height, width] => Some((&size.name, (width, height))),
        _ => None,
    }
}

/// The weights with the input `name` fixed to this width and height.
#[must_use]
pub fn fixed(weights: &[u8], name: &str, (width, height): (usize, usize)) -> Bytes {
    let raw: Vec<u8> = [width as u64, height as u64].into_iter().flat_map(u64::to_le_bytes).collect();
    // TensorProto: dims 1 and 2, data_type INT64, name, raw_data.
    let tensor = [number(1, 1), number(1, 2), number(2, 7), bytes(8, name.as_bytes()), bytes(9, &raw)].concat();
    // ModelProto.graph.initializer.
    let more = bytes(7, &bytes(5, &tensor));
    [weights, &more].concat().into()
}

fn varint(mut value: usize) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let low = u8::try_from(value & 0x7f).unwrap_or_default();
        value >>= 7;
        if value == 0 {
            out.push(low);
            return out;
        }
        out.push(low | 0x80);
    }
}

fn number(field: usize, value: usize) -> Vec<u8> {
    [varint(field << 3), varint(value)].concat()
}

fn bytes(field: usize, value: &[u8]) -> Vec<u8> {
    [varint((field << 3) | 2), varint(value.len()), value.to_vec()].concat()
}
