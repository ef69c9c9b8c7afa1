//! The ONNX standard's own backend tests, on each device.
//!
//! `tests/peers/onnx_cases.py` at the top of the repository writes them from the PyPI package `onnx`, into the folder
//! that `$OCELLUS_ONNX_CASES` names. Wrong answers and panics are never allowed: what is not right must be refused
//! when the model is loaded.

#[path = "conformance_cases.rs"]
mod cases;
#[path = "conformance_journal.rs"]
mod journal;
#[path = "conformance_table.rs"]
mod table;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use burn::tensor::wgpu::WgpuBackend;
use burn::tensor::{Device, DeviceKind};
use ocellus_onnx::{BurnPlan, CpuPlan, Error, Graph, Limits, Value};

use self::cases::{Case, Kind};
use self::journal::Journal;

/// Node cases that were right when this was last measured: no fewer may be.
const CPU_RIGHT: usize = 1337;
const BURN_RIGHT: usize = 1337;

/// What became of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Right,
    Wrong,
    /// An error when the model was loaded.
    Refused,
    /// An error when it was run.
    Failed,
    Panicked,
}

/// Outcomes by case, in the order of the cases.
type Outcomes = Vec<(Outcome, String)>;

/// Makes a model ready for a device.
type Open<'d> = &'d (dyn Fn(&Graph) -> Result<Runner, Error> + Sync);
type Runner = Box<dyn Fn(&[Value]) -> Result<Vec<Value>, Error>>;

fn cpu(graph: &Graph) -> Result<Runner, Error> {
    let plan = CpuPlan::new(graph)?;
    Ok(Box::new(move |inputs| plan.run_values(inputs)))
}

fn burn(graph: &Graph, device: &Device) -> Result<Runner, Error> {
    let plan = BurnPlan::new(graph, device)?;
    Ok(Box::new(move |inputs| plan.run_values(inputs)))
}

fn judge(case: &Case, open: Open) -> (Outcome, String) {
    let shapes: Vec<Vec<usize>> = case.inputs.iter().map(|v| v.shape.clone()).collect();
    let loaded = Graph::parse_with(&case.model, &Limits::default(), &shapes).and_then(|graph| open(&graph));
    let run = match loaded {
        Ok(run) => run,
        Err(e) => return error(Outcome::Refused, &e),
    };
    match run(&case.inputs) {
        Ok(outputs) => match case.difference(&outputs) {
            None => (Outcome::Right, String::new()),
            Some(difference) => (Outcome::Wrong, difference),
        },
        Err(e) => error(Outcome::Failed, &e),
    }
}

/// The library catches panics, and says so.
fn error(outcome: Outcome, error: &Error) -> (Outcome, String) {
    let text = error.to_string();
    let outcome = if text.contains("internal error") { Outcome::Panicked } else { outcome };
    (outcome, text)
}

/// Whether a GPU needs no help of the host.
fn wholly_on_a_gpu(case: &Case) -> bool {
    let shapes: Vec<Vec<usize>> = case.inputs.iter().map(|v| v.shape.clone()).collect();
    let Ok(graph) = Graph::parse_with(&case.model, &Limits::default(), &shapes) else { return false };
    graph.report().devices.iter().any(|d| d.device == "burn" && d.refused.is_none() && d.host.is_empty())
}

/// Judges all cases, on two threads.
fn measure(cases: &[Case], open: Open) -> Outcomes {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut judged = Vec::new();
        while let Some((ix, case)) =
            Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|ix| Some((ix, cases.get(ix)?)))
        {
            judged.push((ix, judge(case, open)));
        }
        judged
    };
    let mut judged = std::thread::scope(|scope| {
        let other = scope.spawn(work);
        let mut all = work();
        all.extend(other.join().expect("a judge does not panic"));
        all
    });
    judged.sort_by_key(|(ix, _)| *ix);
    judged.into_iter().map(|(_, outcome)| outcome).collect()
}

fn count(outcomes: &Outcomes, of: Outcome) -> usize {
    outcomes.iter().filter(|(outcome, _)| *outcome == of).count()
}

/// Prints counts by operator, and every case that is not right.
fn report(device: &str, cases: &[Case], outcomes: &Outcomes) {
    let mut operators: BTreeMap<&str, BTreeMap<Outcome, usize>> = BTreeMap::new();
    for (case, (outcome, why)) in cases.iter().zip(outcomes) {
        *operators.entry(&case.operator).or_default().entry(*outcome).or_default() += 1;
        if *outcome != Outcome::Right {
            println!("{device}: {} {outcome:?}: {why}", case.name);
        }
    }
    for (operator, counts) in operators {
        println!("{device}: {operator}: {counts:?}");
    }
    let all = [Outcome::Right, Outcome::Wrong, Outcome::Refused, Outcome::Failed, Outcome::Panicked];
    println!("{device}: {:?} of {}", all.map(|o| (o, count(outcomes, o))), cases.len());
}

fn assert_sound(device: &str, cases: &[Case], outcomes: &Outcomes, least: usize) {
    let bad: Vec<&str> = cases
        .iter()
        .zip(outcomes)
        .filter(|(_, (o, _))| matches!(o, Outcome::Wrong | Outcome::Panicked))
        .map(|(case, _)| case.name.as_str())
        .collect();
    assert!(bad.is_empty(), "{device}: {} cases are wrong or panic: {bad:?}", bad.len());
    let right = count(outcomes, Outcome::Right);
    assert!(right >= least, "{device}: {right} cases are right, and {least} were");
}

#[test]
fn backend_cases_are_right_or_refused() {
    let Some(cases) = cases::all(Kind::Operators) else { return };
    let on_cpu = measure(&cases, &cpu);
    report("cpu", &cases, &on_cpu);
    let on_flex = measure(&cases, &|graph: &Graph| burn(graph, &Device::flex()));
    report("flex", &cases, &on_flex);
    let on_gpu: Vec<bool> = cases.iter().map(wholly_on_a_gpu).collect();
    table::check(&cases, &on_cpu, &on_flex, &on_gpu);
    assert_sound("cpu", &cases, &on_cpu, CPU_RIGHT);
    assert_sound("flex", &cases, &on_flex, BURN_RIGHT);
}

/// Nine whole networks; seconds each.
#[test]
fn light_networks_are_right() {
    let Some(cases) = cases::all(Kind::Networks) else { return };
    let outcomes = measure(&cases, &cpu);
    report("cpu", &cases, &outcomes);
    assert_sound("cpu", &cases, &outcomes, cases.len());
}

/// Whatever Vulkan device there is, software ones included. A quarter of an hour or more on one of those:
/// `OCELLUS_OUTCOMES=FILE` keeps what was found, so that a run can be ended and started again.
#[test]
#[ignore = "needs a GPU, or patience: run with `make test-gpu`"]
fn gpu_backend_cases_are_right_or_refused() {
    let Some(cases) = cases::all(Kind::Operators) else { return };
    let opened = Device::wgpu_options().device_kind(DeviceKind::DefaultDevice).graphics_api(WgpuBackend::Vulkan).init();
    let device = opened.unwrap_or_else(|e| panic!("there is no Vulkan device: {e}"));
    let mut journal = Journal::open();
    let mut judged = |case: &Case| journal.judged(&case.name, || judge(case, &|graph: &Graph| burn(graph, &device)));
    let outcomes: Outcomes = cases.iter().map(&mut judged).collect();
    report("wgpu", &cases, &outcomes);
    table::write_vulkan(&cases, &outcomes);
    assert_sound("wgpu", &cases, &outcomes, BURN_RIGHT);
}
