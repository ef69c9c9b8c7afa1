use burn::tensor::{Device, Int, Tensor as BurnTensor};

use super::*;
use crate::cpu::CpuPlan;
use crate::limits::Limits;
use crate::testing::cases::{self, Case};
use crate::testing::{Model, Random, devices, small_network};

/// Greatest difference allowed, relative to the range of the expected values.
const TOLERANCE: f32 = 1e-4;

/// What is wrong with a case on a device; nothing when it agrees with the CPU.
fn disagreement(case: &Case, device: &Device) -> Option<String> {
    let graph = case.graph();
    let inputs = case.inputs(&graph);
    let expected = CpuPlan::new(&graph).and_then(|plan| plan.run(&inputs)).expect("the CPU runs it");
    let found = match BurnPlan::new(&graph, device).and_then(|plan| plan.run_tensors(&inputs)) {
        Ok(found) => found,
        Err(error) => return Some(error.to_string()),
    };
    if found.len() != expected.len() {
        return Some(format!("{} outputs, not {}", found.len(), expected.len()));
    }
    expected.iter().zip(&found).find_map(|(expected, found)| difference(expected, found))
}

fn difference(expected: &Tensor, found: &Tensor) -> Option<String> {
    difference_within(expected, found, TOLERANCE)
}

fn difference_within(expected: &Tensor, found: &Tensor, tolerance: f32) -> Option<String> {
    if expected.shape != found.shape {
        return Some(format!("shape {:?}, not {:?}", found.shape, expected.shape));
    }
    let low = expected.data.iter().copied().fold(0.0, f32::min);
    let high = expected.data.iter().copied().fold(1.0, f32::max);
    let close = |(a, b): (&f32, &f32)| (a - b).abs() <= tolerance * (high - low);
    let at = expected.data.iter().zip(&found.data).position(|pair| !close(pair))?;
    Some(format!("element {at} is {}, not {}", found.data[at], expected.data[at]))
}

fn agree(device: &Device, cases: &[Case]) {
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|case| disagreement(case, device).map(|what| format!("{}: {what}", case.name)))
        .collect();
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn flex_agrees_with_the_cpu_on_every_operator() {
    let cases = cases::all();
    assert!(cases.len() > 100, "{} cases", cases.len());
    agree(&Device::flex(), &cases);
}

#[test]
fn wgpu_agrees_with_the_cpu_on_every_operator() {
    if let Some(device) = devices::software_gpu() {
        agree(&device, &cases::all());
    }
}

fn network() -> (Graph, Tensor) {
    let graph = Graph::parse(&small_network().bytes(), &Limits::default()).expect("a small network");
    let data = Random::new(1).values(192, -1.0, 1.0);
    (graph, Tensor { shape: vec![1, 3, 8, 8], data })
}

#[test]
fn a_plan_runs_again_and_again() {
    let (graph, x) = network();
    let plan = BurnPlan::new(&graph, &Device::flex()).expect("it lowers");
    let first = plan.run_tensors(std::slice::from_ref(&x)).expect("it runs");
    let sum: f32 = first[0].data.iter().sum();
    assert!((sum - 1.0).abs() < 1e-5, "a softmax sums to 1, not {sum}");
    for _ in 0..3 {
        assert_eq!(plan.run_tensors(std::slice::from_ref(&x)).expect("it runs"), first, "nothing is left changed");
    }
}

#[test]
fn a_batch_gives_what_single_pictures_give() {
    let (graph, x) = network();
    let y = Tensor { shape: x.shape.clone(), data: x.data.iter().map(|v| 0.5 - v).collect() };
    let one = BurnPlan::new(&graph, &Device::flex()).expect("it lowers");
    let two = BurnPlan::new(&graph.with_batch(2).expect("an open batch"), &Device::flex()).expect("it lowers");
    let both = Tensor { shape: vec![2, 3, 8, 8], data: [x.data.clone(), y.data.clone()].concat() };
    let batched = two.run_tensors(&[both]).expect("it runs");
    let singles = [x, y].map(|t| one.run_tensors(&[t]).expect("it runs")[0].data.clone()).concat();
    let singles = Tensor { shape: vec![2, 4], data: singles };
    assert_eq!(difference(&singles, &batched[0]), None);
}

#[test]
fn plans_for_batches_share_their_weights() {
    let (graph, x) = network();
    let one = BurnPlan::new(&graph, &Device::flex()).expect("it lowers");
    let two = one.for_batch(&graph, 2).expect("an open batch");
    let (shared, all) = two.weights.shared_with(&one.weights);
    assert_eq!(shared, all);
    assert!(all >= 3, "two layers with a bias: {all}");
    let both = Tensor { shape: vec![2, 3, 8, 8], data: x.data.repeat(2) };
    let found = two.run_tensors(&[both]).expect("it runs");
    let alone = one.run_tensors(&[x]).expect("it runs");
    let twice = Tensor { shape: vec![2, 4], data: alone[0].data.repeat(2) };
    assert_eq!(difference(&twice, &found[0]), None);
    assert!(matches!(one.for_batch(&graph, 0), Err(Error::Batch { .. })));
}

#[test]
fn a_tensor_on_the_device_goes_in_as_it_is() {
    let (graph, x) = network();
    let device = Device::flex();
    let plan = BurnPlan::new(&graph, &device).expect("it lowers");
    let on_device = BurnTensor::<1>::from_floats(x.data.as_slice(), &device).reshape([1, 3, 8, 8]);
    let outputs = plan.run(vec![on_device.into()]).and_then(|outputs| plan.read(outputs)).expect("it runs");
    assert_eq!(outputs, plan.run_tensors(&[x]).expect("it runs"));
}

#[test]
fn inputs_that_do_not_fit_are_refused() {
    let (graph, x) = network();
    let device = Device::flex();
    let plan = BurnPlan::new(&graph, &device).expect("it lowers");
    assert!(matches!(plan.run_tensors(&[]), Err(Error::InputCount { expected: 1, got: 0 })));
    assert!(matches!(plan.run(vec![]), Err(Error::InputCount { expected: 1, got: 0 })));
    let flat = Tensor { shape: vec![192], data: x.data.clone() };
    assert!(matches!(plan.run_tensors(&[flat]), Err(Error::WrongInput { .. })));
    let short = Tensor { shape: x.shape.clone(), data: vec![0.0; 3] };
    let said = plan.run_tensors(&[short]).expect_err("too few values").to_string();
    assert!(said.contains("\"image\"") && said.contains("3 values"), "{said}");
    let flat = BurnTensor::<1>::zeros([192], &device);
    assert!(matches!(plan.run(vec![flat.into()]), Err(Error::WrongInput { .. })));
    let integers = BurnTensor::<4, Int>::zeros([1, 3, 8, 8], &device).into_dispatch();
    let said = plan.run(vec![integers.into()]).expect_err("integers").to_string();
    assert!(said.contains("elements of type"), "{said}");
}

#[test]
fn outputs_are_read_together() {
    let (graph, _) = network();
    let plan = BurnPlan::new(&graph, &Device::flex()).expect("it lowers");
    let error = plan.read(vec![]).expect_err("an output is missing");
    assert!(matches!(error, Error::Run { .. }) && !error.is_device(), "{error}");
}

#[test]
fn a_tensor_of_another_device_is_refused() {
    let Some(gpu) = devices::software_gpu() else { return };
    let (graph, _) = network();
    let plan = BurnPlan::new(&graph, &gpu).expect("it lowers");
    let elsewhere = BurnTensor::<4>::zeros([1, 3, 8, 8], &Device::flex());
    let said = plan.run(vec![elsewhere.into()]).expect_err("another device").to_string();
    assert!(said.contains("another device"), "{said}");
}

#[test]
fn a_lost_device_is_an_error() {
    let Some((gpu, setup)) = devices::doomed_gpu() else { return };
    let (graph, x) = network();
    let plan = BurnPlan::new(&graph, &gpu).expect("it lowers");
    plan.run_tensors(std::slice::from_ref(&x)).expect("the device works");
    setup.device.destroy();
    let error = plan.run_tensors(&[x]).expect_err("the device is gone");
    assert!(error.is_device(), "{error}");
}

#[test]
fn a_number_on_its_own_goes_through() {
    let model = Model::new().input("x", &[]).input("y", &[]).node("Add", &["x", "y"], &["z"]).output("z");
    let graph = Graph::parse(&model.bytes(), &Limits::default()).expect("two numbers");
    let number = |v| Tensor { shape: vec![], data: vec![v] };
    let plan = BurnPlan::new(&graph, &Device::flex()).expect("it lowers");
    assert_eq!(plan.run_tensors(&[number(1.5), number(2.0)]).expect("it runs"), [number(3.5)]);
}

#[test]
fn a_plan_moves_between_threads() {
    fn is_send<T: Send>(_: &T) {}
    let (graph, x) = network();
    let plan = BurnPlan::new(&graph, &Device::flex()).expect("it lowers");
    is_send(&plan);
    let here = plan.run_tensors(std::slice::from_ref(&x)).expect("it runs");
    let there = std::thread::spawn(move || plan.run_tensors(&[x])).join().expect("no panic").expect("it runs");
    assert_eq!(here, there);
}

/// What is wrong with a case in half precision; nothing when it comes close to the CPU's 32 bits.
fn half_disagreement(case: &Case, device: &Device) -> Option<String> {
    let graph = case.graph();
    let inputs = case.inputs(&graph);
    let expected = CpuPlan::new(&graph).and_then(|plan| plan.run(&inputs)).expect("the CPU runs it");
    let options = BurnOptions { precision: Precision::F16 };
    let found = match BurnPlan::with_options(&graph, device, &options).and_then(|plan| plan.run_tensors(&inputs)) {
        Ok(found) => found,
        Err(error) => return Some(error.to_string()),
    };
    expected.iter().zip(&found).find_map(|(expected, found)| difference_within(expected, found, 2e-2))
}

#[test]
fn half_precision_comes_close_on_every_operator() {
    let cases = cases::all();
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|case| half_disagreement(case, &Device::flex()).map(|what| format!("{}: {what}", case.name)))
        .collect();
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

/// Two convolutions with a normalisation of large numbers between them, then a softmax.
fn deep_network() -> (Graph, Tensor) {
    let mut random = Random::new(11);
    let model = Model::new()
        .input("x", &[1, 4, 6, 6])
        .floats("w", &[8, 4, 3, 3], &random.values(288, -20.0, 20.0))
        .floats("v", &[5, 8, 1, 1], &random.values(40, -1.0, 1.0))
        .floats("scale", &[8], &random.values(8, 0.5, 1.5))
        .floats("shift", &[8], &random.values(8, -0.5, 0.5))
        .node_with("Conv", &["x", "w"], &["c"], vec![crate::testing::ints("pads", &[1, 1, 1, 1])])
        .node("InstanceNormalization", &["c", "scale", "shift"], &["n"])
        .node("Conv", &["n", "v"], &["d"])
        .node_with("Softmax", &["d"], &["y"], vec![crate::testing::int("axis", 1)])
        .output("y");
    let graph = Graph::parse(&model.bytes(), &Limits::default()).expect("a small network");
    let x = Tensor { shape: vec![1, 4, 6, 6], data: random.values(144, -8.0, 8.0) };
    (graph, x)
}

fn half_network_agrees(device: &Device) {
    let (graph, x) = deep_network();
    let expected = CpuPlan::new(&graph).and_then(|plan| plan.run(std::slice::from_ref(&x))).expect("the CPU runs it");
    let options = BurnOptions { precision: Precision::F16 };
    let plan = BurnPlan::with_options(&graph, device, &options).expect("it lowers");
    let found = plan.run_tensors(&[x]).expect("it runs");
    // Squares of the activations are larger than 16 bits hold: their sums must be in 32.
    assert_eq!(difference_within(&expected[0], &found[0], 2e-2), None);
    assert!(difference_within(&expected[0], &found[0], 1e-7).is_some(), "it was in 16 bits");
}

#[test]
fn half_precision_keeps_sums_in_32_bits() {
    half_network_agrees(&Device::flex());
    if let Some(gpu) = devices::software_gpu() {
        half_network_agrees(&gpu);
    }
}

#[test]
fn what_runs_on_the_host_is_told_and_can_be_refused() {
    let case = cases::all().into_iter().find(|case| case.name == "on the host between convolutions").expect("a case");
    let graph = case.graph();
    let plan = BurnPlan::new(&graph, &Device::flex()).expect("it lowers");
    let operators: Vec<String> = plan.host_steps().into_iter().map(|step| step.operator).collect();
    assert_eq!(operators, ["Acos", "Atan"]);
    let refused = BurnPlan::new_strict(&graph, &Device::flex(), &BurnOptions::default()).expect_err("it is strict");
    let Error::Lowering { node, operator, .. } = &refused else { panic!("{refused}") };
    assert_eq!((node.as_str(), operator.as_str()), ("a", "Acos"));
}
