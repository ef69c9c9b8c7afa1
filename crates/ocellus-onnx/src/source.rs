//! A model as the file states it: checked, parsed, its open shapes not yet fixed.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use prost::Message;
use tract_onnx::pb::{self, tensor_shape_proto::dimension, type_proto};
use tract_onnx::prelude::{Tensor, TractResult, TypedModel};
use tract_onnx::tract_core::ops::konst::Const;
use tract_onnx::tract_hir::internal::{InferenceFact, InferenceModel, format_err};

use crate::check;
use crate::error::{Error, one_line, shorten};
use crate::limits::Limits;
use crate::operators;
use crate::report::Parameters;
use crate::rewrite::Proofs;
use crate::shapes::{DeclaredInput, Extent};
use crate::tensor::{ElementType, TensorInfo};

/// What a file says about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Version of ONNX's own operator set.
    pub opset: i64,
    /// Version of the file format.
    pub ir_version: i64,
    /// The program that wrote the file, with its version.
    pub producer: String,
    /// Version of the model, 0 where not given.
    pub model_version: i64,
    /// The graph's name.
    pub graph: String,
    /// Free key-value pairs.
    pub properties: BTreeMap<String, String>,
}

/// A parsed model, to be analysed for the shapes in use.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) model: InferenceModel,
    pub(crate) limits: Limits,
    pub(crate) metadata: Metadata,
    /// Weights by element type.
    pub(crate) weights: BTreeMap<String, Parameters>,
    /// ONNX operator of each node, by the node's (unique) name.
    operators: HashMap<String, String>,
    inputs: Vec<DeclaredInput>,
    outputs: Vec<String>,
    /// Batches that were held against runs of single pictures, by what was compared.
    pub(crate) proofs: Proofs,
}

impl Source {
    pub(crate) fn parse(bytes: &[u8], limits: &Limits) -> Result<Self, Error> {
        if bytes.is_empty() {
            return Err(Error::Empty);
        }
        let size = bytes.len() as u64;
        if size > limits.file_bytes {
            return Err(Error::too_large("the file's size in bytes", format!("{size} or more"), limits.file_bytes));
        }
        let mut proto =
            pb::ModelProto::decode(bytes).map_err(|e| Error::NotOnnx { reason: shorten(&e.to_string()) })?;
        let framework = operators::framework();
        let known = |operator: &str| framework.op_register.0.contains_key(operator);
        check::model(&proto, limits, &known)?;
        let metadata = metadata(&proto);
        let Some(graph) = proto.graph.as_mut() else {
            return Err(Error::NotOnnx { reason: "it holds no graph".into() });
        };
        let inputs = declared_inputs(graph, limits)?;
        let operators = name_nodes(graph);
        let outputs = graph.output.iter().map(|o| o.name.clone()).collect();
        let weights = check::parameters(graph);
        let parsed = framework.parse(&proto, None).map_err(|e| locate(&operators, &one_line(&e)))?;
        Ok(Self {
            model: parsed.model,
            limits: *limits,
            metadata,
            weights,
            operators,
            inputs,
            outputs,
            proofs: Proofs::default(),
        })
    }

    /// The inputs as the file declares them.
    pub(crate) fn inputs(&self) -> &[DeclaredInput] {
        &self.inputs
    }

    /// The same model with input `ix` fixed to a value.
    pub(crate) fn with_constant(&self, ix: usize, value: Tensor) -> TractResult<Self> {
        let mut fixed = self.clone();
        let outlet =
            fixed.model.input_outlets()?.get(ix).copied().ok_or_else(|| format_err!("there is no input {ix}"))?;
        let value = Arc::new(value);
        fixed.model.set_outlet_fact(outlet, InferenceFact::try_from(&value)?)?;
        fixed.model.node_mut(outlet.node).op = Box::new(Const::new(value)?);
        fixed.model.inputs.retain(|input| *input != outlet);
        fixed.inputs.remove(ix);
        Ok(fixed)
    }

    /// The shapes of the file, an open first axis taken as 1.
    pub(crate) fn default_shapes(&self) -> Result<Vec<Vec<usize>>, Error> {
        self.inputs.iter().map(|input| input.shape(None)).collect()
    }

    /// The shapes of the file, open heights and widths of pictures taken from `(width, height)`.
    pub(crate) fn shapes_for(&self, size: (usize, usize)) -> Result<Vec<Vec<usize>>, Error> {
        self.inputs.iter().map(|input| input.shape(Some(size))).collect()
    }

    /// Refuses shapes that no tensor of this model's inputs can have.
    pub(crate) fn accept_shapes(&self, shapes: &[Vec<usize>]) -> Result<(), Error> {
        if shapes.len() != self.inputs.len() {
            return Err(Error::InputCount { expected: self.inputs.len(), got: shapes.len() });
        }
        for (input, shape) in self.inputs.iter().zip(shapes) {
            if shape.len() != input.extents.len() {
                return Err(Error::WrongInput {
                    name: input.name.clone(),
                    expected: format!("{} axes ({})", input.extents.len(), input.declared()),
                    got: format!("{} axes ({shape:?})", shape.len()),
                });
            }
            if shape.iter().zip(&input.extents).any(|(n, declared)| *n == 0 && *declared != Extent::Fixed(0)) {
                return Err(Error::WrongInput {
                    name: input.name.clone(),
                    expected: "extents of at least 1".into(),
                    got: format!("{shape:?}"),
                });
            }
            check::elements(&format!("input {:?} of shape {shape:?}, its elements", input.name), shape, &self.limits)?;
        }
        Ok(())
    }

    pub(crate) fn describe_inputs(&self, shapes: Vec<Vec<usize>>) -> Vec<TensorInfo> {
        self.inputs
            .iter()
            .zip(shapes)
            .map(|(input, shape)| TensorInfo { name: input.name.clone(), dtype: input.dtype, shape })
            .collect()
    }

    /// What tract is told of the inputs.
    pub(crate) fn input_facts<'a>(&'a self, shapes: &'a [Vec<usize>]) -> impl Iterator<Item = InferenceFact> + 'a {
        let fact = |(input, shape): (&DeclaredInput, &Vec<usize>)| {
            InferenceFact::dt_shape(input.dtype.to_tract(), shape.iter())
        };
        self.inputs.iter().zip(shapes).map(fact)
    }

    pub(crate) fn describe_outputs(&self, typed: &TypedModel) -> Result<Vec<TensorInfo>, Error> {
        self.outputs
            .iter()
            .enumerate()
            .map(|(ix, name)| {
                let place = format!("output {name:?}");
                let fact = typed.output_fact(ix).map_err(|e| Error::malformed(&place, one_line(&e)))?;
                let Some(shape) = fact.shape.as_concrete().map(<[usize]>::to_vec) else {
                    return Err(unresolved_node(&place, "", &format!("{:?}", fact.shape)));
                };
                let Some(dtype) = ElementType::from_tract(fact.datum_type) else {
                    return Err(Error::malformed(place, format!("its type {:?} is not supported", fact.datum_type)));
                };
                Ok(TensorInfo { name: name.clone(), dtype, shape })
            })
            .collect()
    }

    /// How often each operator occurs in the file's graph.
    pub(crate) fn operator_counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for operator in self.operators.values() {
            *counts.entry(operator.clone()).or_default() += 1;
        }
        counts
    }

    /// The ONNX operator of a node of tract's graph.
    pub(crate) fn operator(&self, node: &str) -> &str {
        self.origin(node).and_then(|name| self.operators.get(name)).map_or("-", String::as_str)
    }

    /// The node of the file that a node of tract's graph goes back to: names of parts begin with their node's name.
    pub(crate) fn origin<'n>(&self, node: &'n str) -> Option<&'n str> {
        let mut name = node;
        while !self.operators.contains_key(name) {
            name = name.rsplit_once('.')?.0;
        }
        Some(name)
    }

    /// The error for a message of tract's that may quote a node's name.
    pub(crate) fn locate(&self, message: &str) -> Error {
        locate(&self.operators, message)
    }
}

fn metadata(proto: &pb::ModelProto) -> Metadata {
    let opset = proto.opset_import.iter().find(|i| check::is_onnx_domain(&i.domain)).map_or(0, |i| i.version);
    Metadata {
        opset,
        ir_version: proto.ir_version,
        producer: format!("{} {}", proto.producer_name, proto.producer_version).trim().to_owned(),
        model_version: proto.model_version,
        graph: proto.graph.as_ref().map(|g| g.name.clone()).unwrap_or_default(),
        properties: proto.metadata_props.iter().map(|p| (p.key.clone(), p.value.clone())).collect(),
    }
}

/// The inputs that are not initialisers in disguise (older files list every weight as an input).
fn declared_inputs(graph: &pb::GraphProto, limits: &Limits) -> Result<Vec<DeclaredInput>, Error> {
    let initialisers: HashSet<&str> = graph.initializer.iter().map(|t| t.name.as_str()).collect();
    let inputs: Vec<DeclaredInput> = graph
        .input
        .iter()
        .filter(|i| !initialisers.contains(i.name.as_str()))
        .map(|i| declared_input(i, limits))
        .collect::<Result<_, _>>()?;
    if inputs.is_empty() { Err(Error::NoInputs) } else { Ok(inputs) }
}

fn declared_input(info: &pb::ValueInfoProto, limits: &Limits) -> Result<DeclaredInput, Error> {
    let place = format!("input {:?}", info.name);
    let Some(type_proto::Value::TensorType(tensor)) = info.r#type.as_ref().and_then(|t| t.value.as_ref()) else {
        return Err(Error::InputType { name: info.name.clone(), dtype: "no tensor".into() });
    };
    let Some(dtype) = ElementType::from_onnx(tensor.elem_type) else {
        return Err(Error::InputType { name: info.name.clone(), dtype: check::dtype_name(tensor.elem_type) });
    };
    let Some(shape) = &tensor.shape else {
        return Err(Error::Unresolved {
            place,
            what: "the file gives it no shape".into(),
            advice: "export the model with the input's shape".into(),
        });
    };
    if shape.dim.len() > limits.rank {
        return Err(Error::too_large(format!("{place}, its rank"), shape.dim.len(), limits.rank as u64));
    }
    let extents: Vec<Extent> = shape
        .dim
        .iter()
        .map(|d| match &d.value {
            Some(dimension::Value::DimValue(n)) => {
                usize::try_from(*n).map_or_else(|_| Extent::Open("?".into()), Extent::Fixed)
            }
            Some(dimension::Value::DimParam(name)) if !name.is_empty() => Extent::Open(name.clone()),
            _ => Extent::Open("?".into()),
        })
        .collect();
    let fixed: Vec<usize> =
        extents.iter().filter_map(|e| if let Extent::Fixed(n) = e { Some(*n) } else { None }).collect();
    check::elements(&format!("{place}, its elements"), &fixed, limits)?;
    Ok(DeclaredInput { name: info.name.clone(), dtype, extents })
}

/// Gives every node a name of its own, as ONNX allows twins and tract does not; returns name → operator.
fn name_nodes(graph: &mut pb::GraphProto) -> HashMap<String, String> {
    let mut taken: HashSet<String> =
        graph.initializer.iter().map(|t| t.name.clone()).chain(graph.input.iter().map(|i| i.name.clone())).collect();
    let mut operators = HashMap::with_capacity(graph.node.len());
    for (ix, node) in graph.node.iter_mut().enumerate() {
        if node.name.is_empty() {
            node.name = check::node_label(node);
        }
        if !taken.insert(node.name.clone()) {
            // An index occurs once, so this ends at the latest when all given names are passed.
            while !taken.insert(node.name.clone()) {
                node.name = format!("{}#{ix}", node.name);
            }
        }
        operators.insert(node.name.clone(), node.op_type.clone());
    }
    operators
}

/// tract names the node it failed at in quotes; the innermost one is said last.
fn locate(operators: &HashMap<String, String>, message: &str) -> Error {
    let found = message.split('"').rev().find_map(|part| operators.get_key_value(part));
    let (node, operator) = found.map_or(("-", "whole graph"), |(n, o)| (n.as_str(), o.as_str()));
    Error::Analysis { node: node.to_owned(), operator: operator.to_owned(), reason: message.to_owned() }
}

/// A shape that a node works out from the values that it is given.
pub(crate) fn unresolved_node(place: &str, operator: &str, what: &str) -> Error {
    let advice = match operator {
        "NonMaxSuppression" => {
            "boxes are suppressed inside the graph; export the model without that, its raw boxes and scores as outputs \
             (Ultralytics: nms=False; YOLOv7: without --end2end; torchvision and TensorFlow: up to the heads), and \
             suppress them behind it, as Ocellus does"
        }
        "NonZero" | "Compress" | "Unique" => {
            "it gives as many elements as the data says; export the model with a fixed number of them (as TopK gives), \
             or end it before this node"
        }
        _ => {
            "the model computes this shape from its data; export it without that part (such as non-maximum \
             suppression inside the graph)"
        }
    };
    Error::Unresolved { place: place.to_owned(), what: what.to_owned(), advice: advice.into() }
}
