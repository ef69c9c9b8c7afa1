//! Functions of one and of two numbers.

use std::sync::Arc;

use tract_onnx::prelude::TypedNode;
use tract_onnx::tract_core::internal::ElementWiseMiniOp;
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_core::ops::nn::{GeluApproximate, LeakyRelu};

use super::Reader;
use crate::fast::ir::{Id, Map, Op};
use crate::fast::view::{View, offsets};
use crate::kernel::{Activation, Binary};
use crate::rewrite::QuantizeDequantize;

/// Elements that a constant may be spread to.
const SPREAD: usize = 1 << 22;

pub(super) fn read(reader: &mut Reader<'_>, node: &TypedNode) -> Option<View> {
    if let Some(op) = node.op_as::<ElementWiseOp>() {
        // Rounding pays at the model's inputs too.
        let rounds = op.0.downcast_ref::<QuantizeDequantize>().is_some();
        let x = if rounds { reader.anchor(node, 0)? } else { reader.own(node, 0)? };
        return Some(map(reader, x, function(op.0.as_ref())?));
    }
    let op = node.op_as::<TypedBinOp>()?;
    let name = op.0.name();
    if let Some((shape, data)) = reader.floats(node, 1) {
        let x = reader.own(node, 0)?;
        return with_constant(reader, node, x, name, &shape, data);
    }
    if let Some((shape, data)) = reader.floats(node, 0) {
        let x = reader.own(node, 1)?;
        if name == "Sub" {
            let x = map(reader, x, Map::Mul(-1.0));
            return with_constant(reader, node, x, "Add", &shape, data);
        }
        return if name == "Div" { None } else { with_constant(reader, node, x, name, &shape, data) };
    }
    let (x, y) = (reader.own(node, 0)?, reader.own(node, 1)?);
    two(reader, &x, &y, binary(name)?)
}

fn function(op: &dyn ElementWiseMiniOp) -> Option<Map> {
    if let Some(op) = op.downcast_ref::<LeakyRelu>() {
        return Some(Map::Activation(Activation::LeakyRelu { slope: op.alpha }));
    }
    if op.downcast_ref::<GeluApproximate>().is_some_and(|op| !op.fast_impl) {
        return Some(Map::Activation(Activation::GeluTanh));
    }
    if let Some(op) = op.downcast_ref::<QuantizeDequantize>() {
        return Some(Map::Activation(Activation::Quantise(op.0)));
    }
    Some(Map::Activation(match op.name().as_str() {
        "Silu" => Activation::Silu,
        "Sigmoid" => Activation::Sigmoid,
        "HardSwish" => Activation::HardSwish,
        "Tanh" => Activation::Tanh,
        "Mish" => Activation::Mish,
        "Exp" => Activation::Exp,
        _ => return None,
    }))
}

fn binary(name: &str) -> Option<Binary> {
    Some(match name {
        "Add" => Binary::Add,
        "Sub" => Binary::Sub,
        "Mul" => Binary::Mul,
        "Div" => Binary::Div,
        "Max" => Binary::Max,
        "Min" => Binary::Min,
        _ => return None,
    })
}

fn clip(min: f32, max: f32) -> Map {
    Map::Activation(Activation::Clip { min, max })
}

/// A function of each element, in whatever order they lie.
fn map(reader: &mut Reader<'_>, x: View, map: Map) -> View {
    if x.is_all(reader.graph.len(x.base)) {
        let shape = reader.graph.values[x.base].shape.clone();
        let id = reader.graph.add(Op::Map(map), vec![x.base], &shape);
        return View { base: id, ..x };
    }
    if let Some(roles) = reader.roles(&x)
        && let Some(image) = reader.image(&x, Reader::by_role(&x, &roles))
    {
        let shape = reader.graph.values[image].shape.clone();
        let id = reader.graph.add(Op::Map(map), vec![image], &shape);
        return reader.with_roles(id, &roles);
    }
    let shape = x.shape();
    let id = reader.plain(x);
    let id = reader.graph.add(Op::Map(map), vec![id], &shape);
    View::whole(id, &shape)
}

/// An operator whose other operand is constant.
fn with_constant(
    reader: &mut Reader<'_>,
    node: &TypedNode,
    x: View,
    name: &str,
    shape: &[usize],
    data: Vec<f32>,
) -> Option<View> {
    let output = reader.shape(node.id.into())?;
    if x.shape() != output {
        return None;
    }
    if let [number] = *data.as_slice() {
        let scalar = match name {
            "Add" => Map::Add(number),
            "Sub" => Map::Add(-number),
            "Mul" => Map::Mul(number),
            "Div" => Map::Mul(1.0 / number),
            "Max" => clip(number, f32::INFINITY),
            "Min" => clip(f32::NEG_INFINITY, number),
            _ => return None,
        };
        return Some(map(reader, x, scalar));
    }
    let op = Op::Binary(binary(name)?, Activation::None);
    if let Some(roles) = reader.roles(&x)
        && let Some(at) = roles.iter().position(|role| *role == Some(1))
        && shape.len() == roles.len()
        && shape.iter().enumerate().all(|(axis, n)| *n == 1 || axis == at)
    {
        let image = reader.image(&x, Reader::by_role(&x, &roles))?;
        let channels = reader.graph.add(Op::Constant(Arc::new(data)), vec![], &[1, shape[at], 1, 1]);
        let extents = reader.graph.values[image].shape.clone();
        let id = reader.graph.add(op, vec![image, channels], &extents);
        return Some(reader.with_roles(id, &roles));
    }
    let spread = spread(shape, &data, &output)?;
    let x = reader.plain(x);
    let x = in_rows(reader, x, &output);
    let constant = reader.graph.add(Op::Constant(Arc::new(spread)), vec![], &output);
    let id = reader.graph.add(op, vec![x, constant], &output);
    Some(View::whole(id, &output))
}

/// A constant repeated along the axes where it has one cell.
fn spread(shape: &[usize], data: &[f32], output: &[usize]) -> Option<Vec<f32>> {
    if shape.len() != output.len() || output.iter().product::<usize>() > SPREAD {
        return None;
    }
    let mut spread = vec![];
    let whole = View::whole(0, shape);
    let mut places = vec![0];
    for ((axis, from), to) in whole.axes.iter().zip(shape).zip(output) {
        let steps = if from == to { offsets(axis) } else { vec![0; *to] };
        if *from != 1 && from != to {
            return None;
        }
        places = places.iter().flat_map(|at: &usize| steps.iter().map(move |step| at + step)).collect();
    }
    for at in places {
        spread.push(*data.get(at)?);
    }
    Some(spread)
}

fn two(reader: &mut Reader<'_>, x: &View, y: &View, op: Binary) -> Option<View> {
    let commutes = !matches!(op, Binary::Sub | Binary::Div);
    if x.len() < y.len() {
        return if commutes { two(reader, y, x, op) } else { None };
    }
    let roles = reader.roles(x).or_else(|| if x.shape() == y.shape() { reader.roles(y) } else { None });
    if let Some(roles) = roles {
        let image = reader.image(x, Reader::by_role(x, &roles))?;
        let other = reader.image(y, Reader::by_role(y, &roles))?;
        let shape = reader.graph.values[image].shape.clone();
        let factor = reader.graph.values[other].shape.clone();
        if factor != shape && (factor[..2] != shape[..2] || factor[2..] != [1, 1]) {
            return None;
        }
        if y.axes.iter().zip(&roles).any(|(axis, role)| role.is_none() && !axis.is_empty()) {
            return None;
        }
        let (image, other) = (blocked(reader, image), blocked(reader, other));
        let id = reader.graph.add(Op::Binary(op, Activation::None), vec![image, other], &shape);
        return Some(reader.with_roles(id, &roles));
    }
    let shape = x.shape();
    if shape != y.shape() {
        return None;
    }
    let (a, b) = (reader.plain(x.clone()), reader.plain(y.clone()));
    let (a, b) = (in_rows(reader, a, &shape), in_rows(reader, b, &shape));
    let id = reader.graph.add(Op::Binary(op, Activation::None), vec![a, b], &shape);
    Some(View::whole(id, &shape))
}

/// A value as an image.
fn blocked(reader: &mut Reader<'_>, id: Id) -> Id {
    if reader.graph.values[id].image {
        return id;
    }
    let shape = reader.graph.values[id].shape.clone();
    let channels = (0..shape[1]).map(|channel| (id, channel)).collect();
    reader.pick(channels, &shape)
}

/// A value in rows: an image is taken out of its blocks.
fn in_rows(reader: &mut Reader<'_>, id: Id, shape: &[usize]) -> Id {
    if reader.graph.values[id].image {
        reader.graph.add(Op::Gather(View::whole(id, shape)), vec![id], shape)
    } else {
        id
    }
}
