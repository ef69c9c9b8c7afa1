//! Small ONNX files made in memory, and numbers that other programs can make again.

pub(crate) mod cases;
pub(crate) mod devices;

use prost::Message;
use tract_onnx::pb::{
    self, AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto,
    TypeProto, ValueInfoProto, attribute_proto::AttributeType, tensor_proto::DataType, tensor_shape_proto, type_proto,
};

/// An axis of an input: fixed or open.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Axis {
    Of(i64),
    Open(&'static str),
}

/// A model under construction; the fields may be spoilt at will before [`bytes`](Self::bytes).
#[derive(Debug, Clone)]
pub(crate) struct Model {
    pub(crate) proto: ModelProto,
}

impl Model {
    /// An empty graph of operator set 13.
    pub(crate) fn new() -> Self {
        Self {
            proto: ModelProto {
                ir_version: 8,
                producer_name: "tests".into(),
                opset_import: vec![OperatorSetIdProto { domain: String::new(), version: 13 }],
                graph: Some(GraphProto { name: "g".into(), ..GraphProto::default() }),
                ..ModelProto::default()
            },
        }
    }

    pub(crate) fn opset(mut self, version: i64) -> Self {
        self.proto.opset_import[0].version = version;
        self
    }

    pub(crate) fn graph(&mut self) -> &mut GraphProto {
        self.proto.graph.as_mut().expect("made with a graph")
    }

    /// An `f32` input of fixed shape.
    pub(crate) fn input(self, name: &str, shape: &[i64]) -> Self {
        let axes: Vec<Axis> = shape.iter().map(|&n| Axis::Of(n)).collect();
        self.input_of(name, DataType::Float, &axes)
    }

    /// An input of any type, with open axes.
    pub(crate) fn input_of(mut self, name: &str, data_type: DataType, axes: &[Axis]) -> Self {
        self.graph().input.push(value_info(name, data_type, axes));
        self
    }

    pub(crate) fn output(mut self, name: &str) -> Self {
        let info = ValueInfoProto { name: name.into(), ..ValueInfoProto::default() };
        self.graph().output.push(info);
        self
    }

    pub(crate) fn node(self, operator: &str, inputs: &[&str], outputs: &[&str]) -> Self {
        self.node_with(operator, inputs, outputs, vec![])
    }

    /// A node with attributes, named as its first output.
    pub(crate) fn node_with(
        mut self,
        operator: &str,
        inputs: &[&str],
        outputs: &[&str],
        attribute: Vec<AttributeProto>,
    ) -> Self {
        self.graph().node.push(node(operator, inputs, outputs, attribute));
        self
    }

    pub(crate) fn floats(self, name: &str, dims: &[i64], data: &[f32]) -> Self {
        self.initialiser(float_tensor(name, dims, data))
    }

    pub(crate) fn integers(self, name: &str, dims: &[i64], data: &[i64]) -> Self {
        self.initialiser(integer_tensor(name, dims, data))
    }

    /// `y`: `x` quantised to bytes and dequantised.
    pub(crate) fn quantised(self, x: &str, y: &str, scale: f32, zero: u8) -> Self {
        let [s, z, q] = ["scale", "zero", "bytes"].map(|part| format!("{y}.{part}"));
        let zero = TensorProto {
            name: z.clone(),
            data_type: DataType::Uint8 as i32,
            raw_data: vec![zero],
            ..TensorProto::default()
        };
        self.floats(&s, &[], &[scale]).initialiser(zero).node("QuantizeLinear", &[x, &s, &z], &[&q]).node(
            "DequantizeLinear",
            &[&q, &s, &z],
            &[y],
        )
    }

    pub(crate) fn initialiser(mut self, tensor: TensorProto) -> Self {
        self.graph().initializer.push(tensor);
        self
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.proto.encode_to_vec()
    }
}

pub(crate) fn node(operator: &str, inputs: &[&str], outputs: &[&str], attribute: Vec<AttributeProto>) -> NodeProto {
    NodeProto {
        input: inputs.iter().map(ToString::to_string).collect(),
        output: outputs.iter().map(ToString::to_string).collect(),
        name: outputs.first().map(ToString::to_string).unwrap_or_default(),
        op_type: operator.into(),
        attribute,
        ..NodeProto::default()
    }
}

pub(crate) fn value_info(name: &str, data_type: DataType, axes: &[Axis]) -> ValueInfoProto {
    let dim = axes
        .iter()
        .map(|axis| tensor_shape_proto::Dimension {
            value: Some(match axis {
                Axis::Of(n) => tensor_shape_proto::dimension::Value::DimValue(*n),
                Axis::Open(name) => tensor_shape_proto::dimension::Value::DimParam((*name).into()),
            }),
            ..tensor_shape_proto::Dimension::default()
        })
        .collect();
    let tensor = type_proto::Tensor { elem_type: data_type as i32, shape: Some(TensorShapeProto { dim }) };
    let r#type = Some(TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..TypeProto::default() });
    ValueInfoProto { name: name.into(), r#type, ..ValueInfoProto::default() }
}

pub(crate) fn float_tensor(name: &str, dims: &[i64], data: &[f32]) -> TensorProto {
    TensorProto {
        name: name.into(),
        dims: dims.to_vec(),
        data_type: DataType::Float as i32,
        raw_data: data.iter().flat_map(|v| v.to_le_bytes()).collect(),
        ..TensorProto::default()
    }
}

pub(crate) fn integer_tensor(name: &str, dims: &[i64], data: &[i64]) -> TensorProto {
    TensorProto {
        name: name.into(),
        dims: dims.to_vec(),
        data_type: DataType::Int64 as i32,
        int64_data: data.to_vec(),
        ..TensorProto::default()
    }
}

pub(crate) fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: AttributeType::Int as i32, i, ..AttributeProto::default() }
}

pub(crate) fn ints(name: &str, ints: &[i64]) -> AttributeProto {
    let ints = ints.to_vec();
    AttributeProto { name: name.into(), r#type: AttributeType::Ints as i32, ints, ..AttributeProto::default() }
}

pub(crate) fn float(name: &str, f: f32) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: AttributeType::Float as i32, f, ..AttributeProto::default() }
}

pub(crate) fn text(name: &str, s: &str) -> AttributeProto {
    let s = s.as_bytes().to_vec();
    AttributeProto { name: name.into(), r#type: AttributeType::String as i32, s, ..AttributeProto::default() }
}

pub(crate) fn subgraph(name: &str, g: GraphProto) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: AttributeType::Graph as i32, g: Some(g), ..AttributeProto::default() }
}

pub(crate) fn tensor(name: &str, t: pb::TensorProto) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: AttributeType::Tensor as i32, t: Some(t), ..AttributeProto::default() }
}

/// A small convolutional network with an open batch: `image` Nx3x8x8 → `scores` Nx4.
pub(crate) fn small_network() -> Model {
    let mut random = Random::new(7);
    Model::new()
        .input_of("image", DataType::Float, &[Axis::Open("N"), Axis::Of(3), Axis::Of(8), Axis::Of(8)])
        .floats("w", &[4, 3, 3, 3], &random.values(108, -0.5, 0.5))
        .floats("b", &[4], &random.values(4, -0.5, 0.5))
        .floats("fc", &[4, 4], &random.values(16, -0.5, 0.5))
        .integers("flat", &[2], &[0, -1])
        .node_with("Conv", &["image", "w", "b"], &["conv"], vec![ints("pads", &[1, 1, 1, 1]), ints("strides", &[2, 2])])
        .node("Relu", &["conv"], &["relu"])
        .node("GlobalAveragePool", &["relu"], &["pool"])
        .node("Reshape", &["pool", "flat"], &["vector"])
        .node("MatMul", &["vector", "fc"], &["logits"])
        .node_with("Softmax", &["logits"], &["scores"], vec![int("axis", 1)])
        .output("scores")
}

/// Knuth's MMIX linear congruential generator: the same numbers in any language.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// 24 random bits.
    pub(crate) fn bits(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as u32
    }

    /// An index below `n`, at least 1 and at most 2^24.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        ((u64::from(self.bits()) * n as u64) >> 24) as usize
    }

    /// Uniform values in `low..high`; 24 bits are exact in an `f32`.
    #[allow(clippy::cast_precision_loss)]
    pub(crate) fn values(&mut self, count: usize, low: f32, high: f32) -> Vec<f32> {
        (0..count).map(|_| low + (high - low) * (self.bits() as f32 / 16_777_216.0)).collect()
    }
}
