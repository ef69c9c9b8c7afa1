//! What can be told from the file alone, before tract sees it.
//!
//! tract trusts a file in places: an output nobody produces is a panic there, a tensor's extents decide an
//! allocation. Everything here is linear in the size of the file.

mod structure;
mod tensors;

use std::collections::HashMap;

use tract_onnx::pb::{self, tensor_proto::DataType};

use crate::error::Error;
use crate::limits::Limits;

pub(crate) use tensors::parameters;

/// Longest name of an open axis; tract parses it as an expression, recursively.
const DIM_PARAM_CHARS: usize = 256;
/// Inputs and outputs of one node together.
const ARITY: usize = 4096;
/// Largest size in an attribute, such as a stride or a padding.
const ATTRIBUTE_SIZE: u64 = 1 << 24;

/// Operators that may stand in a branch of an `If`: none makes more elements than it takes.
const BRANCH_OPERATORS: [&str; 21] = [
    "Identity",
    "Constant",
    "Squeeze",
    "Unsqueeze",
    "Reshape",
    "Flatten",
    "Transpose",
    "Cast",
    "Slice",
    "Split",
    "Shape",
    "Size",
    "Relu",
    "Sigmoid",
    "Tanh",
    "Neg",
    "Abs",
    "Exp",
    "Sqrt",
    "Softmax",
    "Not",
];

/// Refuses what is malformed, too large or unsupported in a model as decoded.
pub(crate) fn model(proto: &pb::ModelProto, limits: &Limits, known: &dyn Fn(&str) -> bool) -> Result<(), Error> {
    let Some(graph) = &proto.graph else {
        return Err(Error::NotOnnx { reason: "it holds no graph".into() });
    };
    if graph.node.is_empty() && graph.output.is_empty() && graph.input.is_empty() {
        return Err(Error::NotOnnx { reason: "its graph is empty".into() });
    }
    if graph.output.is_empty() {
        return Err(Error::NoOutputs);
    }
    if !proto.opset_import.iter().any(|i| is_onnx_domain(&i.domain) && i.version > 0) {
        return Err(Error::malformed("the model", "it does not say which operator set it is written for"));
    }
    let functions = proto.functions.iter().filter_map(|f| f.name.as_deref()).collect();
    let mut checker = Checker { limits, known, functions, nodes: 0, elements: 0 };
    checker.graph(graph, &[])
}

/// Whether operators of this domain are ONNX's own.
pub(crate) fn is_onnx_domain(domain: &str) -> bool {
    domain.is_empty() || domain == "ai.onnx"
}

/// How a node is called in messages: its name, else its first output's.
pub(crate) fn node_label(node: &pb::NodeProto) -> String {
    let first_output = node.output.iter().find(|o| !o.is_empty());
    Some(&node.name).filter(|n| !n.is_empty()).or(first_output).unwrap_or(&node.op_type).clone()
}

/// The number of elements of a shape, within the limits; `what` names them in the message.
pub(crate) fn elements(what: &str, shape: &[usize], limits: &Limits) -> Result<usize, Error> {
    if shape.len() > limits.rank {
        return Err(Error::too_large(format!("{what}: the rank"), shape.len(), limits.rank as u64));
    }
    // Work is done along the other axes of an empty tensor too.
    let product = shape.iter().filter(|n| **n != 0).try_fold(1_usize, |n, &extent| n.checked_mul(extent));
    match product {
        Some(n) if n <= limits.tensor_elements => Ok(if shape.contains(&0) { 0 } else { n }),
        Some(n) => Err(Error::too_large(what, n, limits.tensor_elements as u64)),
        None => Err(Error::too_large(what, "beyond 64 bits", limits.tensor_elements as u64)),
    }
}

/// The short name of an ONNX element type.
pub(crate) fn dtype_name(data_type: i32) -> String {
    let name = match DataType::try_from(data_type) {
        Ok(DataType::Float) => "f32",
        Ok(DataType::Double) => "f64",
        Ok(DataType::Float16) => "f16",
        Ok(DataType::Bfloat16) => "bf16",
        Ok(DataType::Uint8) => "u8",
        Ok(DataType::Uint16) => "u16",
        Ok(DataType::Uint32) => "u32",
        Ok(DataType::Uint64) => "u64",
        Ok(DataType::Int8) => "i8",
        Ok(DataType::Int16) => "i16",
        Ok(DataType::Int32) => "i32",
        Ok(DataType::Int64) => "i64",
        Ok(DataType::Bool) => "bool",
        Ok(DataType::String) => "string",
        Ok(other) => return other.as_str_name().to_lowercase(),
        Err(_) => return format!("unknown type {data_type}"),
    };
    name.to_owned()
}

struct Checker<'a> {
    limits: &'a Limits,
    known: &'a dyn Fn(&str) -> bool,
    functions: Vec<&'a str>,
    /// Nodes seen so far, in all graphs.
    nodes: usize,
    /// Elements of constants seen so far.
    elements: usize,
}

impl Checker<'_> {
    /// `outer`: the values that the graphs around this one define.
    fn graph(&mut self, graph: &pb::GraphProto, outer: &[&HashMap<&str, Option<usize>>]) -> Result<(), Error> {
        self.nodes = self.nodes.saturating_add(graph.node.len());
        let most = self.limits.nodes;
        if self.nodes > most {
            return Err(Error::too_large("the number of nodes", self.nodes, most as u64));
        }
        let initialisers = graph.initializer.len() + graph.sparse_initializer.len();
        for (what, count) in [
            ("the number of initialisers", initialisers),
            ("the number of inputs", graph.input.len()),
            ("the number of outputs", graph.output.len()),
        ] {
            if count > most {
                return Err(Error::too_large(what, count, most as u64));
            }
        }
        if let Some(sparse) = graph.sparse_initializer.first() {
            let name = sparse.values.as_ref().map_or("", |v| v.name.as_str());
            return Err(Error::malformed(format!("initialiser {name:?}"), "sparse tensors are not supported"));
        }
        for tensor in &graph.initializer {
            self.tensor(tensor, &format!("initialiser {:?}", tensor.name))?;
        }
        for info in graph.input.iter().chain(&graph.output).chain(&graph.value_info) {
            self.value_info(info)?;
        }
        for node in &graph.node {
            self.node(node, !outer.is_empty())?;
        }
        let defined = structure::definitions(graph)?;
        structure::outputs_defined(graph, &defined)?;
        structure::acyclic(graph, &defined, outer)?;
        let scopes: Vec<_> = outer.iter().copied().chain([&defined]).collect();
        for node in &graph.node {
            for subgraph in structure::subgraphs(node) {
                self.graph(subgraph, &scopes)?;
            }
        }
        Ok(())
    }

    fn node(&mut self, node: &pb::NodeProto, in_branch: bool) -> Result<(), Error> {
        let operator = node.op_type.as_str();
        let refuse = |why: &str| {
            let domain = if is_onnx_domain(&node.domain) { String::new() } else { format!("{}.", node.domain) };
            let (node, operator) = (node_label(node), format!("{domain}{operator}"));
            Err(Error::Unsupported { node, operator, why: why.to_owned() })
        };
        if !is_onnx_domain(&node.domain) && !matches!(node.domain.as_str(), "ai.onnx.ml" | "com.microsoft") {
            return refuse("it belongs to a domain of custom operators");
        }
        if self.functions.contains(&operator) {
            return refuse("it is a function defined in the model");
        }
        if !(self.known)(operator) {
            return refuse("there is no implementation of it");
        }
        if matches!(operator, "Scan" | "ConstantLike") {
            return refuse("its cost cannot be told before it runs");
        }
        if in_branch && !BRANCH_OPERATORS.contains(&operator) {
            return refuse("not inside a branch of an If");
        }
        let arity = node.input.len() + node.output.len();
        if arity > ARITY {
            let what = format!("node {:?} ({operator}): inputs and outputs", node_label(node));
            return Err(Error::too_large(what, arity, ARITY as u64));
        }
        if node.output.iter().all(String::is_empty) {
            return Err(Error::malformed(format!("node {:?} ({operator})", node_label(node)), "it gives no output"));
        }
        node.attribute.iter().try_for_each(|a| self.attribute(node, a))
    }

    fn attribute(&mut self, node: &pb::NodeProto, attribute: &pb::AttributeProto) -> Result<(), Error> {
        let place = format!("node {:?} ({}), attribute {:?}", node_label(node), node.op_type, attribute.name);
        if !attribute.ref_attr_name.is_empty() {
            return Err(Error::malformed(place, "it refers to a function's attribute outside of a function"));
        }
        if attribute.sparse_tensor.is_some() || !attribute.sparse_tensors.is_empty() {
            return Err(Error::malformed(place, "sparse tensors are not supported"));
        }
        let sizes = matches!(
            attribute.name.as_str(),
            "pads"
                | "kernel_shape"
                | "strides"
                | "dilations"
                | "output_padding"
                | "output_shape"
                | "shape"
                | "split"
                | "blocksize"
                | "group"
                | "num_outputs"
                | "sample_size"
                | "hidden_size"
                | "size"
                | "depth"
        );
        if sizes {
            let largest = attribute.ints.iter().chain([&attribute.i]).map(|n| n.unsigned_abs()).max().unwrap_or(0);
            if largest > ATTRIBUTE_SIZE {
                return Err(Error::too_large(place, largest, ATTRIBUTE_SIZE));
            }
        }
        if node.op_type == "Transpose" && attribute.name == "perm" {
            // tract looks for the swaps that make the order, and does not end where there are none.
            let mut sorted = attribute.ints.clone();
            sorted.sort_unstable();
            if !sorted.iter().copied().eq((0_i64..).take(sorted.len())) {
                return Err(Error::malformed(place, format!("{:?} is no order of axes", attribute.ints)));
            }
        }
        let steps = matches!(attribute.name.as_str(), "strides" | "dilations" | "kernel_shape");
        if let Some(step) = attribute.ints.iter().find(|n| steps && **n < 1) {
            return Err(Error::malformed(place, format!("{step} is no step or extent, the least is 1")));
        }
        if matches!(attribute.name.as_str(), "shape" | "kernel_shape" | "output_shape") {
            let shape: Vec<usize> = attribute.ints.iter().filter_map(|&n| usize::try_from(n).ok()).collect();
            elements(&place, &shape, self.limits)?;
        }
        attribute.t.iter().chain(&attribute.tensors).try_for_each(|t| self.tensor(t, &place))
    }

    fn value_info(&self, info: &pb::ValueInfoProto) -> Result<(), Error> {
        use pb::{tensor_shape_proto::dimension, type_proto};
        let Some(type_proto::Value::TensorType(tensor)) = info.r#type.as_ref().and_then(|t| t.value.as_ref()) else {
            return Ok(());
        };
        for dim in tensor.shape.iter().flat_map(|s| &s.dim) {
            if let Some(dimension::Value::DimParam(name)) = &dim.value
                && name.len() > DIM_PARAM_CHARS
            {
                let what = format!("value {:?}: the length of an axis' name", info.name);
                return Err(Error::too_large(what, name.len(), DIM_PARAM_CHARS as u64));
            }
        }
        Ok(())
    }
}
