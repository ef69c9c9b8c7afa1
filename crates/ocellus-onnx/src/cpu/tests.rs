use super::*;
use crate::limits::Limits;
use crate::testing::{Model, Random, small_network};

fn plan(model: &Model) -> CpuPlan {
    let graph = Graph::parse(&model.bytes(), &Limits::default()).expect("it is sound");
    CpuPlan::new(&graph).expect("tract plans it")
}

fn tensor(shape: &[usize], data: &[f32]) -> Tensor {
    Tensor { shape: shape.to_vec(), data: data.to_vec() }
}

#[test]
fn numbers_come_out_as_worked_out_by_hand() {
    let model = Model::new()
        .input("x", &[1, 1, 3, 3])
        .floats("w", &[1, 1, 2, 2], &[1.0, 0.0, 0.0, -1.0])
        .floats("b", &[1], &[0.5])
        .node("Conv", &["x", "w", "b"], &["y"])
        .output("y");
    let x = tensor(&[1, 1, 3, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0]);
    let outputs = plan(&model).run(&[x]).expect("it runs");
    // Each element minus its lower right neighbour, plus the bias.
    assert_eq!(outputs, [tensor(&[1, 1, 2, 2], &[-3.5, -3.5, -3.5, -4.5])]);
}

#[test]
fn outputs_of_any_type_come_as_floats() {
    let model = Model::new()
        .input("x", &[3])
        .floats("limit", &[], &[1.0])
        .node("Greater", &["x", "limit"], &["above"])
        .node("Shape", &["x"], &["shape"])
        .output("above")
        .output("shape");
    let outputs = plan(&model).run(&[tensor(&[3], &[0.0, 2.0, 1.0])]).expect("it runs");
    assert_eq!(outputs, [tensor(&[3], &[0.0, 1.0, 0.0]), tensor(&[1], &[3.0])]);
}

#[test]
fn tensors_that_do_not_fit_are_refused() {
    let plan = plan(&small_network());
    assert!(matches!(plan.run(&[]), Err(Error::InputCount { expected: 1, got: 0 })));
    let wrong = plan.run(&[tensor(&[1, 3, 8], &[0.0; 24])]).expect_err("the rank differs");
    assert!(matches!(wrong, Error::WrongInput { .. }) && wrong.to_string().contains("[1, 3, 8, 8]"), "{wrong}");
    let short = plan.run(&[tensor(&[1, 3, 8, 8], &[0.0; 24])]).expect_err("values are missing");
    assert!(short.to_string().contains("24 values"), "{short}");
}

#[test]
fn threads_share_a_plan() {
    let plan = plan(&small_network());
    let x = tensor(&[1, 3, 8, 8], &Random::new(3).values(192, -1.0, 1.0));
    let alone = plan.run(std::slice::from_ref(&x)).expect("it runs");
    std::thread::scope(|scope| {
        let runs: Vec<_> = (0..4).map(|_| scope.spawn(|| plan.run(std::slice::from_ref(&x)))).collect();
        for run in runs {
            assert_eq!(run.join().expect("no panic").expect("it runs"), alone);
        }
    });
}
