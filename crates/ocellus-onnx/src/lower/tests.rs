use std::collections::HashSet;

use super::infer::infer;
use super::step::{Binary, ConvParams, Kind, Op, PoolParams, SliceRange, Step, Unary, ValueInfo};
use super::*;
use crate::graph::Graph;
use crate::testing::cases;
use crate::testing::{Model, float, int, ints, small_network, text};

/// A device of 64-bit integers, and nothing on the host.
const STRICT: Target = Target { wide_integers: true, half: true, precision: Precision::F32, strict: true };

const LENIENT: Target = Target { strict: false, ..STRICT };

fn lenient(case: &cases::Case) -> Plan {
    let graph = case.graph();
    lower(graph.typed(), graph.limits(), LENIENT).unwrap_or_else(|e| panic!("{}: {e}", case.name))
}

fn plan(model: &Model) -> Result<Plan, Error> {
    let graph = Graph::parse(&model.bytes(), &Limits::default()).expect("tract takes it");
    lower(graph.typed(), graph.limits(), STRICT)
}

fn ops(model: &Model) -> Vec<Op> {
    plan(model).expect("it lowers").steps.into_iter().map(|step| step.op).collect()
}

fn refusal(model: &Model) -> String {
    plan(model).expect_err("it is refused").to_string()
}

#[test]
fn every_case_lowers_and_its_steps_follow_from_each_other() {
    for case in cases::all() {
        let plan = lenient(&case);
        let mut there: HashSet<ValueId> = plan.inputs.iter().copied().collect();
        there.extend(plan.constants.iter().map(|(id, _)| id));
        for step in &plan.steps {
            assert!(step.inputs.iter().all(|id| there.contains(id)), "{}: {step:?} reads ahead", case.name);
            let operands: Vec<&ValueInfo> = step.inputs.iter().map(|id| &plan.values[*id]).collect();
            let given = infer(&step.op, &operands).unwrap_or_else(|e| panic!("{}: {step:?}: {e}", case.name));
            let declared: Vec<ValueInfo> = step.outputs.iter().map(|id| plan.values[*id].clone()).collect();
            assert_eq!(given, declared, "{}: {step:?}", case.name);
            there.extend(&step.outputs);
        }
        assert!(plan.outputs.iter().all(|id| there.contains(id)), "{}: an output is missing", case.name);
    }
}

#[test]
fn every_value_is_freed_once_after_its_last_use() {
    for case in cases::all() {
        let plan = lenient(&case);
        let kept: HashSet<ValueId> = plan.constants.iter().map(|(id, _)| *id).chain(plan.outputs.clone()).collect();
        let mut freed = HashSet::new();
        for step in &plan.steps {
            for id in &step.inputs {
                assert!(!freed.contains(id), "{}: {step:?} reads what is freed", case.name);
            }
            for id in &step.release {
                assert!(!kept.contains(id), "{}: {step:?} frees what must stay", case.name);
                assert!(freed.insert(*id), "{}: {step:?} frees it again", case.name);
            }
        }
        let read: HashSet<ValueId> = plan.steps.iter().flat_map(|step| step.inputs.clone()).collect();
        let left: Vec<&ValueId> = read.iter().filter(|id| !kept.contains(id) && !freed.contains(id)).collect();
        assert!(left.is_empty(), "{}: {left:?} are never freed", case.name);
    }
}

#[test]
fn bias_scale_and_bounds_join_the_convolution() {
    let model = cases::normalised();
    let ops = ops(&model);
    let [Op::Conv(_), Op::Unary(Unary::Clamp { min, max })] = ops.as_slice() else {
        panic!("batch normalisation and clip are left: {ops:?}")
    };
    assert_eq!((*min, *max), (0.0, 1.0));
}

#[test]
fn a_result_that_is_read_twice_is_not_joined() {
    let model = Model::new()
        .input("x", &[1, 2, 3, 3])
        .floats("w", &[2, 2, 1, 1], &[1.0, 2.0, 3.0, 4.0])
        .floats("b", &[1, 2, 1, 1], &[0.5, 0.25])
        .node("Conv", &["x", "w"], &["c"])
        .node("Add", &["c", "b"], &["d"])
        .output("c")
        .output("d");
    let plan = plan(&model).expect("it lowers");
    assert!(plan.steps.iter().any(|step| matches!(step.op, Op::Binary(Binary::Add))), "{:?}", plan.steps);
    assert_eq!(plan.outputs.len(), 2);
}

#[test]
fn a_matrix_times_channels_is_a_convolution() {
    let ops = ops(&small_network());
    assert!(matches!(ops.first(), Some(Op::Conv(_))), "{ops:?}");
    assert!(ops.iter().any(|op| matches!(op, Op::MatMul)), "{ops:?}");
    assert!(matches!(ops.last(), Some(Op::Softmax { axis: 1, log: false })), "{ops:?}");
}

#[test]
fn unused_constants_are_dropped() {
    let plan = plan(&cases::normalised()).expect("it lowers");
    let read: HashSet<ValueId> = plan.steps.iter().flat_map(|step| step.inputs.clone()).collect();
    assert!(plan.constants.iter().all(|(id, _)| read.contains(id)));
    assert_eq!(plan.constants.len(), 2, "kernel and bias");
}

#[test]
fn an_operator_without_translation_is_named_with_its_node() {
    let model = Model::new().input("x", &[2, 3]).node("Acos", &["x"], &["angle"]).output("angle");
    let error = plan(&model).expect_err("there is no translation");
    let Error::Lowering { node, operator, .. } = &error else { panic!("{error}") };
    assert!(node.starts_with("angle"), "{error}");
    assert!(!operator.is_empty() && error.to_string().contains("use the cpu device"), "{error}");
}

#[test]
fn uses_without_translation_are_refused() {
    let pool = Model::new()
        .input("x", &[1, 1, 4, 4])
        .node_with("MaxPool", &["x"], &["y", "at"], vec![ints("kernel_shape", &[2, 2])])
        .output("y")
        .output("at");
    assert!(refusal(&pool).contains("indices"), "{}", refusal(&pool));
    let conv = Model::new()
        .input("x", &[1, 1, 3, 3, 3])
        .floats("w", &[1, 1, 1, 1, 1], &[2.0])
        .floats("v", &[1, 1, 2, 2, 2], &[1.0; 8])
        .node("Conv", &["x", "v"], &["y"])
        .output("y");
    assert!(refusal(&conv).contains("3 spatial axes"), "{}", refusal(&conv));
    let antialiased = Model::new()
        .opset(18)
        .input("x", &[1, 1, 4, 4])
        .integers("to", &[4], &[1, 1, 3, 3])
        .node_with("Resize", &["x", "", "", "to"], &["y"], vec![text("mode", "linear"), int("antialias", 1)])
        .output("y");
    assert!(refusal(&antialiased).contains("mode of resizing"), "{}", refusal(&antialiased));
    let cubic = Model::new()
        .opset(16)
        .input("x", &[1, 1, 4, 4])
        .input("grid", &[1, 2, 2, 2])
        .node_with("GridSample", &["x", "grid"], &["y"], vec![text("mode", "bicubic")])
        .output("y");
    assert!(refusal(&cubic).contains("sampling mode"), "{}", refusal(&cubic));
}

#[test]
fn a_step_larger_than_the_limits_is_refused() {
    // The pool's output is small; the padded image that it would be computed from is not.
    let model = Model::new()
        .input("x", &[1, 1, 4, 4])
        .node_with(
            "AveragePool",
            &["x"],
            &["y"],
            vec![
                ints("kernel_shape", &[60_000, 60_000]),
                ints("strides", &[60_000, 60_000]),
                ints("pads", &[0, 0, 59_996, 59_996]),
                int("count_include_pad", 1),
            ],
        )
        .output("y");
    let graph = Graph::parse(&model.bytes(), &Limits::default());
    let refused = graph.and_then(|graph| lower(graph.typed(), graph.limits(), STRICT)).expect_err("it is too large");
    assert!(refused.to_string().contains("limit"), "{refused}");
}

#[test]
fn a_resize_with_too_many_weights_is_refused() {
    let model = Model::new()
        .input("x", &[1, 1, 9000, 1])
        .integers("to", &[4], &[1, 1, 8000, 1])
        .node_with(
            "Resize",
            &["x", "", "", "to"],
            &["y"],
            vec![
                text("mode", "cubic"),
                float("cubic_coeff_a", -0.75),
                text("coordinate_transformation_mode", "half_pixel"),
            ],
        )
        .output("y");
    assert!(refusal(&model).contains("too many weights"), "{}", refusal(&model));
}

fn floats(shape: &[usize]) -> ValueInfo {
    ValueInfo::new(Kind::Float, shape)
}

fn refused(op: &Op, inputs: &[ValueInfo]) -> bool {
    infer(op, &inputs.iter().collect::<Vec<_>>()).is_err()
}

#[test]
fn operands_that_a_primitive_would_misread_are_refused() {
    let conv = ConvParams { stride: [1, 1], pads: [(0, 0); 2], dilation: [1, 1], groups: 1 };
    let (image, kernel) = (floats(&[1, 3, 8, 8]), floats(&[4, 3, 3, 3]));
    let conv = |groups| Op::Conv(ConvParams { groups, ..conv.clone() });
    assert!(!refused(&conv(1), &[image.clone(), kernel.clone()]));
    assert!(refused(&conv(2), &[image.clone(), kernel.clone()]), "groups");
    assert!(refused(&conv(1), &[floats(&[1, 4, 8, 8]), kernel.clone()]), "channels");
    assert!(refused(&conv(1), &[image.clone(), kernel.clone(), floats(&[3])]), "bias");
    assert!(refused(&conv(1), &[floats(&[1, 3, 2, 2]), kernel]), "a window wider than the image");
    assert!(refused(&conv(1), std::slice::from_ref(&image)), "no kernel");
    let pool = Op::MaxPool(PoolParams { kernel: [2, 2], stride: [0, 1], pads: [0; 2], dilation: [1; 2] });
    assert!(refused(&pool, &[image]), "no stride");
    assert!(refused(&Op::MatMul, &[floats(&[2, 3]), floats(&[4, 2])]), "product");
    assert!(refused(&Op::MatMul, &[floats(&[2, 2, 3]), floats(&[1, 3, 2])]), "batch");
    assert!(refused(&Op::Binary(Binary::Add), &[floats(&[2, 3]), floats(&[2])]), "rank");
    assert!(refused(&Op::Binary(Binary::Add), &[floats(&[2]), ValueInfo::new(Kind::Int, [2])]), "kinds");
    assert!(refused(&Op::Reshape(vec![5]), &[floats(&[2, 3])]), "reshape");
    assert!(refused(&Op::Permute(vec![0, 0]), &[floats(&[2, 3])]), "permutation");
    assert!(refused(&Op::Slice(vec![SliceRange { start: 0, end: 4, step: 1 }]), &[floats(&[3])]), "slice");
    assert!(refused(&Op::Slice(vec![SliceRange { start: 0, end: 3, step: 0 }]), &[floats(&[3])]), "slice step");
    assert!(refused(&Op::Concat { axis: 0 }, &[floats(&[1, 2]), floats(&[1, 3])]), "concat");
    assert!(refused(&Op::Concat { axis: 0 }, &[]), "concat of nothing");
    assert!(refused(&Op::Expand(vec![2, 4]), &[floats(&[2, 3])]), "expand");
    assert!(refused(&Op::Gather { axis: 1 }, &[floats(&[3]), ValueInfo::new(Kind::Int, [2])]), "axis");
    assert!(refused(&Op::Gather { axis: 0 }, &[floats(&[3]), floats(&[2])]), "indices");
    assert!(refused(&Op::TopK { axis: 0, k: 4, largest: true }, &[floats(&[3])]), "top k");
    assert!(refused(&Op::Select, &[floats(&[3]), floats(&[3]), floats(&[3])]), "condition");
}

#[test]
fn powers_that_no_device_takes_are_refused() {
    let power = |exponent: f32| {
        Model::new().input("x", &[2]).floats("e", &[], &[exponent]).node("Pow", &["x", "e"], &["y"]).output("y")
    };
    assert!(plan(&power(3.0)).is_ok() && plan(&power(-17.0)).is_ok() && plan(&power(0.3)).is_ok());
    for exponent in [1e20, -1e20, f32::INFINITY, f32::NAN] {
        assert!(refusal(&power(exponent)).contains("a power of"), "{exponent}");
    }
}

#[test]
fn releases_are_worked_out_anew() {
    let step = |inputs: &[ValueId], output| Step {
        node: "n".into(),
        op: Op::Unary(Unary::Abs),
        inputs: inputs.to_vec(),
        outputs: vec![output],
        release: vec![99],
    };
    let mut plan = Plan {
        values: vec![floats(&[1]); 4],
        inputs: vec![0],
        steps: vec![step(&[0], 1), step(&[0, 1], 2), step(&[2], 3)],
        outputs: vec![2],
        ..Plan::default()
    };
    release(&mut plan);
    assert!(plan.steps[0].release.is_empty());
    assert_eq!(plan.steps[1].release, [0, 1]);
    assert_eq!(plan.steps[2].release, [3], "a result that nothing reads is freed at once");
}

/// The kinds of a plan's outputs, on a device with integers of 64 bits or of 32.
fn output_kinds(model: &Model, wide_integers: bool) -> Vec<Kind> {
    let graph = Graph::parse(&model.bytes(), &Limits::default()).expect("tract takes it");
    let plan = lower(graph.typed(), graph.limits(), Target { wide_integers, ..LENIENT }).expect("it lowers");
    plan.outputs.iter().map(|id| plan.values[*id].kind).collect()
}

#[test]
fn integers_are_on_the_device_where_they_cannot_overflow() {
    // Indices of the best of 12 values, as an architecture of transformers takes them apart.
    let indices = Model::new()
        .input("x", &[1, 12])
        .integers("k", &[1], &[5])
        .integers("width", &[], &[4])
        .node("TopK", &["x", "k"], &["values", "at"])
        .node("Div", &["at", "width"], &["row"])
        .node("Mod", &["at", "width"], &["column"])
        .output("row")
        .output("column");
    assert_eq!(output_kinds(&indices, false), [Kind::Int, Kind::Int]);
    let unbounded = Model::new()
        .input("x", &[3])
        .node_with("Cast", &["x"], &["i"], vec![int("to", 7)])
        .node("Mul", &["i", "i"], &["y"])
        .output("i")
        .output("y");
    assert_eq!(output_kinds(&unbounded, false), [Kind::Host, Kind::Host]);
    assert_eq!(output_kinds(&unbounded, true), [Kind::Int, Kind::Host]);
}

#[test]
fn nothing_is_left_of_a_node_that_goes_to_the_host() {
    let case = cases::all().into_iter().find(|case| case.name == "on the host between convolutions").expect("a case");
    let plan = lenient(&case);
    let host = plan.steps.iter().filter(|step| matches!(step.op, Op::Host(_))).count();
    let transfers = plan.steps.iter().filter(|step| matches!(step.op, Op::Download(_) | Op::Upload(_))).count();
    assert_eq!((host, transfers), (2, 2), "two nodes, one way there and one back: {:?}", plan.steps);
}
