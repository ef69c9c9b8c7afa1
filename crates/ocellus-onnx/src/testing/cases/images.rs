//! Convolutions, windows, resampling.

use tract_onnx::pb::AttributeProto;

use super::super::{Model, Random, float, int, ints, text};
use super::Case;

pub(super) fn all() -> Vec<Case> {
    [convolutions(), transposed(), pools(), resizes(), grids()].into_iter().flatten().collect()
}

/// `x` through `operator` with a random kernel and bias.
fn convolution(operator: &str, x: &[i64], kernel: &[i64], outputs: i64, attributes: Vec<AttributeProto>) -> Model {
    let mut random = Random::new(5);
    let count = kernel.iter().product::<i64>() as usize;
    Model::new()
        .input("x", x)
        .floats("w", kernel, &random.values(count, -0.5, 0.5))
        .floats("b", &[outputs], &random.values(outputs as usize, -0.5, 0.5))
        .node_with(operator, &["x", "w", "b"], &["y"], attributes)
        .output("y")
}

fn convolutions() -> Vec<Case> {
    let conv = |x: &[i64], kernel: &[i64], attributes| convolution("Conv", x, kernel, kernel[0], attributes);
    let uneven = vec![ints("pads", &[0, 1, 2, 0]), ints("strides", &[2, 1])];
    let same = vec![text("auto_pad", "SAME_UPPER"), ints("strides", &[2, 2])];
    let depthwise = vec![int("group", 4), ints("pads", &[2, 2, 2, 2])];
    vec![
        Case::new("conv", conv(&[1, 3, 9, 8], &[4, 3, 3, 3], vec![ints("pads", &[1, 1, 1, 1])])),
        Case::new("conv, batch of 2", conv(&[2, 3, 6, 7], &[4, 3, 3, 3], vec![ints("pads", &[1, 1, 1, 1])])),
        Case::new("conv, stride", conv(&[1, 3, 9, 8], &[4, 3, 3, 3], vec![ints("strides", &[2, 2])])),
        Case::new("conv, uneven pads", conv(&[1, 3, 9, 8], &[4, 3, 3, 2], uneven)),
        Case::new("conv, same upper", conv(&[1, 3, 8, 9], &[4, 3, 3, 3], same)),
        Case::new("conv, dilation", conv(&[1, 2, 9, 9], &[3, 2, 3, 3], vec![ints("dilations", &[2, 3])])),
        Case::new("conv, groups", conv(&[1, 4, 6, 6], &[6, 2, 3, 3], vec![int("group", 2)])),
        Case::new("conv, depthwise", conv(&[1, 4, 7, 6], &[4, 1, 5, 5], depthwise)),
        Case::new("conv, pointwise", conv(&[1, 5, 4, 3], &[7, 5, 1, 1], vec![])),
        Case::new("conv, one axis", conv(&[1, 3, 9], &[4, 3, 3], vec![ints("pads", &[1, 1])])),
        Case::new("conv, batch normalisation, clip", normalised()),
    ]
}

pub(crate) fn normalised() -> Model {
    Model::new()
        .input("x", &[1, 2, 5, 5])
        .floats("w", &[3, 2, 3, 3], &Random::new(9).values(54, -0.5, 0.5))
        .floats("scale", &[3], &[0.5, 1.0, 2.0])
        .floats("bias", &[3], &[0.1, -0.2, 0.3])
        .floats("mean", &[3], &[0.3, 0.2, 0.1])
        .floats("var", &[3], &[0.5, 1.5, 1.0])
        .floats("min", &[], &[0.0])
        .floats("max", &[], &[1.0])
        .node("Conv", &["x", "w"], &["c"])
        .node("BatchNormalization", &["c", "scale", "bias", "mean", "var"], &["n"])
        .node("Clip", &["n", "min", "max"], &["y"])
        .output("y")
}

fn transposed() -> Vec<Case> {
    let deconv = |kernel: &[i64], outputs, mut attributes: Vec<AttributeProto>| {
        attributes.push(ints("strides", &[2, 2]));
        convolution("ConvTranspose", &[1, 4, 5, 4], kernel, outputs, attributes)
    };
    let extra = vec![ints("pads", &[1, 1, 1, 1]), ints("output_padding", &[1, 1])];
    vec![
        Case::new("deconv", deconv(&[4, 3, 2, 2], 3, vec![])),
        Case::new("deconv, pads and extra", deconv(&[4, 3, 3, 3], 3, extra)),
        Case::new("deconv, uneven pads", deconv(&[4, 3, 3, 3], 3, vec![ints("pads", &[0, 1, 1, 0])])),
        Case::new("deconv, groups", deconv(&[4, 3, 3, 3], 6, vec![int("group", 2)])),
    ]
}

fn pools() -> Vec<Case> {
    let pool = |operator: &str, kernel: i64, stride: i64, more: Vec<AttributeProto>| {
        let mut attributes = vec![ints("kernel_shape", &[kernel, kernel]), ints("strides", &[stride, stride])];
        attributes.extend(more);
        Model::new().input("x", &[1, 3, 7, 8]).node_with(operator, &["x"], &["y"], attributes).output("y")
    };
    let global = |operator: &str| Model::new().input("x", &[1, 3, 7, 8]).node(operator, &["x"], &["y"]).output("y");
    let even = || ints("pads", &[1, 1, 1, 1]);
    let counted = vec![even(), int("count_include_pad", 1)];
    vec![
        Case::new("max pool", pool("MaxPool", 3, 2, vec![even()])),
        Case::new("max pool, uneven pads", pool("MaxPool", 3, 2, vec![ints("pads", &[0, 1, 1, 0])])),
        Case::new("max pool, ceil", pool("MaxPool", 2, 2, vec![int("ceil_mode", 1)])),
        Case::new("max pool, dilation", pool("MaxPool", 2, 1, vec![ints("dilations", &[2, 2])])),
        Case::new("average pool", pool("AveragePool", 3, 2, vec![])),
        Case::new("average pool, pads left out", pool("AveragePool", 3, 2, vec![even()])),
        Case::new("average pool, pads counted", pool("AveragePool", 3, 2, counted)),
        Case::new("average pool, ceil", pool("AveragePool", 2, 2, vec![int("ceil_mode", 1)])),
        Case::new("global average pool", global("GlobalAveragePool")),
        Case::new("global max pool", global("GlobalMaxPool")),
    ]
}

fn resizes() -> Vec<Case> {
    let resize = |to: &[i64], mode: &str, coordinates: &str, more: Vec<AttributeProto>| {
        let mut attributes = vec![text("mode", mode), text("coordinate_transformation_mode", coordinates)];
        attributes.extend(more);
        Model::new()
            .input("x", &[1, 2, 5, 6])
            .integers("to", &[4], &[1, 2, to[0], to[1]])
            .node_with("Resize", &["x", "", "", "to"], &["y"], attributes)
            .output("y")
    };
    let floor = || vec![text("nearest_mode", "floor")];
    let up = || vec![text("nearest_mode", "round_prefer_ceil")];
    vec![
        Case::new("resize, nearest, twice", resize(&[10, 12], "nearest", "asymmetric", floor())),
        Case::new("resize, nearest, thrice", resize(&[15, 18], "nearest", "asymmetric", floor())),
        Case::new("resize, nearest, by any factor", resize(&[7, 9], "nearest", "half_pixel", vec![])),
        Case::new("resize, nearest, twice, by rounding", resize(&[10, 12], "nearest", "half_pixel", vec![])),
        Case::new("resize, nearest, halves up", resize(&[7, 9], "nearest", "half_pixel", up())),
        Case::new("resize, nearest, smaller by rounding", resize(&[2, 3], "nearest", "half_pixel", vec![])),
        Case::new("resize, nearest, smaller", resize(&[3, 4], "nearest", "asymmetric", floor())),
        Case::new("resize, linear", resize(&[10, 12], "linear", "half_pixel", vec![])),
        Case::new("resize, linear, by any factor", resize(&[7, 11], "linear", "half_pixel", vec![])),
        Case::new("resize, linear, smaller", resize(&[3, 4], "linear", "half_pixel", vec![])),
        Case::new("resize, linear, aligned", resize(&[9, 11], "linear", "align_corners", vec![])),
        Case::new("resize, linear, asymmetric", resize(&[10, 12], "linear", "asymmetric", vec![])),
        Case::new("resize, cubic", resize(&[8, 9], "cubic", "half_pixel", vec![float("cubic_coeff_a", -0.75)])),
    ]
}

fn grids() -> Vec<Case> {
    let sample = |padding: &str, aligned| {
        let attributes = vec![text("padding_mode", padding), int("align_corners", aligned)];
        Model::new()
            .opset(16)
            .input("x", &[1, 2, 5, 4])
            .input("grid", &[1, 3, 4, 2])
            .node_with("GridSample", &["x", "grid"], &["y"], attributes)
            .output("y")
    };
    vec![
        Case::new("grid sample", sample("zeros", 0)).between(-1.2, 1.2),
        Case::new("grid sample, border", sample("border", 0)).between(-1.2, 1.2),
        Case::new("grid sample, aligned", sample("zeros", 1)).between(-1.2, 1.2),
        Case::new("grid sample, reflection", sample("reflection", 0)).between(-1.2, 1.2),
    ]
}
