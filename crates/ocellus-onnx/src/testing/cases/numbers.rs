//! Arithmetic, activations, comparisons, sums, products of matrices.

use tract_onnx::pb::AttributeProto;

use super::super::{Model, Random, float, int, ints, text};
use super::Case;

pub(super) fn all() -> Vec<Case> {
    let families =
        [unary(), powers(), activations(), binary(), comparisons(), mixed(), products(), reductions(), hosted()];
    families.into_iter().flatten().collect()
}

fn through(operator: &str, opset: i64, attributes: Vec<AttributeProto>) -> Model {
    Model::new().opset(opset).input("x", &[2, 3, 4]).node_with(operator, &["x"], &["y"], attributes).output("y")
}

fn unary() -> Vec<Case> {
    let plain = |name, operator: &str| Case::new(name, through(operator, 13, vec![]));
    vec![
        plain("abs", "Abs"),
        plain("ceil", "Ceil"),
        plain("cos", "Cos"),
        plain("erf", "Erf"),
        plain("exp", "Exp"),
        plain("floor", "Floor"),
        plain("log", "Log").between(0.1, 3.0),
        plain("neg", "Neg"),
        plain("reciprocal", "Reciprocal").between(0.1, 3.0),
        plain("relu", "Relu"),
        plain("round", "Round"),
        plain("sigmoid", "Sigmoid"),
        plain("sign", "Sign"),
        plain("sin", "Sin"),
        plain("sqrt", "Sqrt").between(0.0, 3.0),
        plain("tanh", "Tanh"),
    ]
}

fn powers() -> Vec<Case> {
    let power = |name, exponent| {
        let model = Model::new().input("x", &[2, 3, 4]).floats("n", &[], &[exponent]);
        Case::new(name, model.node("Pow", &["x", "n"], &["y"]).output("y"))
    };
    vec![
        power("square", 2.0),
        power("cube", 3.0),
        power("power of -2", -2.0).between(0.2, 2.0),
        power("power of 0.5", 0.5).between(0.0, 2.0),
        power("power of 1.7", 1.7).between(0.0, 2.0),
    ]
}

fn activations() -> Vec<Case> {
    let swish = Model::new().input("x", &[2, 3, 4]).node("Sigmoid", &["x"], &["s"]).node("Mul", &["x", "s"], &["y"]);
    let prelu = Model::new().input("x", &[1, 3, 2, 2]).floats("slope", &[3, 1, 1], &[0.1, 0.2, 0.3]);
    let grid = Model::new().input("x", &[2, 3, 4]).quantised("x", "y", 0.1, 118).output("y");
    let clip = Model::new().input("x", &[6]).floats("min", &[], &[-0.5]).node("Clip", &["x", "min"], &["y"]);
    vec![
        Case::new("leaky relu", through("LeakyRelu", 13, vec![float("alpha", 0.1)])),
        Case::new("elu", through("Elu", 13, vec![])),
        Case::new("hard sigmoid", through("HardSigmoid", 13, vec![])),
        Case::new("hard swish", through("HardSwish", 14, vec![])).between(-4.0, 4.0),
        Case::new("softplus", through("Softplus", 13, vec![])),
        Case::new("mish", through("Mish", 18, vec![])),
        Case::new("gelu", through("Gelu", 20, vec![])),
        Case::new("gelu, tanh", through("Gelu", 20, vec![text("approximate", "tanh")])),
        Case::new("swish", swish.output("y")),
        Case::new("prelu", prelu.node("PRelu", &["x", "slope"], &["y"]).output("y")),
        Case::new("quantised and dequantised", grid),
        Case::new("clip, one bound", clip.output("y")),
    ]
}

fn binary() -> Vec<Case> {
    let two = |operator: &str, a: &[i64], b: &[i64]| {
        Model::new().input("a", a).input("b", b).node(operator, &["a", "b"], &["y"]).output("y")
    };
    let constant = |operator: &str, first: bool| {
        let operands = if first { ["c", "x"] } else { ["x", "c"] };
        Model::new().input("x", &[2, 3]).floats("c", &[], &[1.5]).node(operator, &operands, &["y"]).output("y")
    };
    vec![
        Case::new("add", two("Add", &[2, 3], &[2, 3])),
        Case::new("add, stretched", two("Add", &[2, 1, 4], &[3, 1])),
        Case::new("sub, stretched", two("Sub", &[3], &[2, 3])),
        Case::new("mul, stretched", two("Mul", &[2, 3, 1], &[1, 3, 4])),
        Case::new("div", two("Div", &[2, 3], &[2, 3])).between(0.5, 2.0),
        Case::new("max, stretched", two("Max", &[2, 3], &[3])),
        Case::new("min, stretched", two("Min", &[2, 1], &[2, 3])),
        Case::new("pow", two("Pow", &[2, 3], &[2, 3])).between(0.2, 2.0),
        Case::new("constant minus x", constant("Sub", true)),
        Case::new("x minus constant", constant("Sub", false)),
        Case::new("constant over x", constant("Div", true)).between(0.5, 2.0),
        Case::new("x over constant", constant("Div", false)),
        Case::new("larger of constant and x", constant("Max", true)),
        Case::new("smaller of x and constant", constant("Min", false)),
    ]
}

fn comparisons() -> Vec<Case> {
    // Rounded, so that some are equal.
    let compared = |operator: &str| {
        Model::new()
            .opset(16)
            .input("a", &[4, 5])
            .input("b", &[5])
            .node("Round", &["a"], &["i"])
            .node("Round", &["b"], &["j"])
            .node(operator, &["i", "j"], &["y"])
            .output("y")
    };
    let logic = |operator: &str| {
        Model::new()
            .input("a", &[2, 4])
            .input("b", &[2, 4])
            .floats("zero", &[], &[0.0])
            .node("Less", &["a", "zero"], &["p"])
            .node("Greater", &["b", "zero"], &["q"])
            .node(operator, &["p", "q"], &["y"])
            .output("y")
    };
    vec![
        Case::new("equal", compared("Equal")),
        Case::new("less", compared("Less")),
        Case::new("less or equal", compared("LessOrEqual")),
        Case::new("greater", compared("Greater")),
        Case::new("greater or equal", compared("GreaterOrEqual")),
        Case::new("and", logic("And")),
        Case::new("or", logic("Or")),
        Case::new("xor", logic("Xor")),
    ]
}

/// Truth values, integers and floats in one graph.
fn mixed() -> Vec<Case> {
    let chosen = Model::new()
        .input("a", &[2, 4])
        .input("b", &[4])
        .node("Less", &["a", "b"], &["p"])
        .node("Not", &["p"], &["q"])
        .node("Where", &["q", "a", "b"], &["y"])
        .output("y");
    let cast = Model::new()
        .input("x", &[2, 4])
        .floats("half", &[], &[0.5])
        .node("Greater", &["x", "half"], &["p"])
        .node_with("Cast", &["p"], &["i"], vec![int("to", 7)])
        .node_with("Cast", &["x"], &["t"], vec![int("to", 7)])
        .node("Add", &["i", "t"], &["s"])
        .node_with("Cast", &["s"], &["f"], vec![int("to", 1)])
        .node("Mul", &["f", "x"], &["y"])
        .output("y");
    vec![Case::new("not, where", chosen), Case::new("casts", cast)]
}

fn products() -> Vec<Case> {
    let mut random = Random::new(3);
    let product =
        |a: &[i64], b: &[i64]| Model::new().input("a", a).input("b", b).node("MatMul", &["a", "b"], &["y"]).output("y");
    let gemm = Model::new()
        .input("x", &[3, 4])
        .floats("w", &[5, 4], &random.values(20, -1.0, 1.0))
        .floats("b", &[5], &random.values(5, -1.0, 1.0))
        .node_with("Gemm", &["x", "w", "b"], &["y"], vec![int("transB", 1), float("alpha", 0.5)])
        .output("y");
    let einsum = Model::new()
        .input("q", &[2, 3, 2, 4])
        .input("k", &[2, 5, 2, 4])
        .node_with("Einsum", &["q", "k"], &["y"], vec![text("equation", "bqhd,bkhd->bhqk")])
        .output("y");
    vec![
        Case::new("matrix product", product(&[3, 4], &[4, 5])),
        Case::new("matrix product, batched", product(&[2, 3, 4], &[2, 4, 5])),
        Case::new("matrix product, one matrix for all", product(&[2, 3, 4], &[4, 5])),
        Case::new("matrix and vector", product(&[2, 3, 4], &[4])),
        Case::new("gemm", gemm),
        Case::new("einsum", einsum),
    ]
}

fn reductions() -> Vec<Case> {
    let reduced = |operator: &str, axes: &[i64]| through(operator, 12, vec![ints("axes", axes)]);
    let index = |operator: &str| through(operator, 13, vec![int("axis", 1)]);
    let sum = Model::new()
        .input("x", &[2, 3, 4])
        .integers("axes", &[2], &[0, 2])
        .node_with("ReduceSum", &["x", "axes"], &["y"], vec![int("keepdims", 0)])
        .output("y");
    let normalised = Model::new()
        .opset(17)
        .input("x", &[2, 3, 4])
        .floats("scale", &[4], &[0.5, 1.0, 1.5, 2.0])
        .floats("bias", &[4], &[0.1, 0.2, 0.3, 0.4])
        .node("LayerNormalization", &["x", "scale", "bias"], &["y"])
        .output("y");
    vec![
        Case::new("sum", sum),
        Case::new("mean", reduced("ReduceMean", &[1, 2])),
        Case::new("largest", reduced("ReduceMax", &[2])),
        Case::new("smallest", reduced("ReduceMin", &[1])),
        Case::new("product of an axis", reduced("ReduceProd", &[2])),
        Case::new("length", reduced("ReduceL2", &[1])),
        Case::new("where the largest is", index("ArgMax")),
        Case::new("where the smallest is", index("ArgMin")),
        Case::new("softmax", through("Softmax", 13, vec![int("axis", -1)])),
        Case::new("softmax, inner axis", through("Softmax", 13, vec![int("axis", 1)])),
        Case::new("softmax, several axes", through("Softmax", 11, vec![int("axis", 1)])),
        Case::new("log softmax", through("LogSoftmax", 13, vec![int("axis", 2)])),
        Case::new("layer normalisation", normalised),
    ]
}

/// Operators that run on the host, and integers that do not.
fn hosted() -> Vec<Case> {
    let mut random = Random::new(5);
    let between = Model::new()
        .input("x", &[1, 2, 4, 4])
        .floats("w", &[3, 2, 1, 1], &random.values(6, -0.2, 0.2))
        .floats("v", &[2, 3, 3, 3], &random.values(54, -1.0, 1.0))
        .node("Conv", &["x", "w"], &["c"])
        .node("Acos", &["c"], &["a"])
        .node("Atan", &["a"], &["b"])
        .node("Conv", &["b", "v"], &["y"])
        .output("y");
    let indices = Model::new()
        .input("x", &[1, 12])
        .input("rows", &[3, 4])
        .integers("k", &[1], &[5])
        .integers("width", &[], &[4])
        .node("TopK", &["x", "k"], &["values", "at"])
        .node("Div", &["at", "width"], &["row"])
        .node("Mod", &["at", "width"], &["column"])
        .node("Gather", &["rows", "row"], &["picked"])
        .node_with("Cast", &["column"], &["f"], vec![int("to", 1)])
        .output("picked")
        .output("f");
    let running = |reverse| {
        let model = Model::new().input("x", &[2, 5, 3]).integers("axis", &[], &[1]);
        model.node_with("CumSum", &["x", "axis"], &["y"], vec![int("reverse", reverse)]).output("y")
    };
    let backwards = Model::new()
        .input("x", &[2, 7])
        .integers("starts", &[1], &[5])
        .integers("ends", &[1], &[0])
        .integers("axes", &[1], &[1])
        .integers("steps", &[1], &[-2])
        .node("Slice", &["x", "starts", "ends", "axes", "steps"], &["y"])
        .output("y");
    vec![
        Case::new("on the host between convolutions", between),
        Case::new("arithmetic of indices", indices),
        Case::new("running sums", running(0)),
        Case::new("running sums from the end", running(1)),
        Case::new("slice backwards", backwards),
    ]
}
