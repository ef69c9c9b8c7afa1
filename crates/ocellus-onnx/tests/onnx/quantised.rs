//! Models quantised by ONNX Runtime's own tools, on each CPU device against ONNX Runtime.

use std::path::Path;

use ocellus_onnx::{Graph, Limits};

use super::architectures::peer::Filled;
use super::architectures::{Open, cpu, flex};

/// Forms with `QuantizeLinear` and `DequantizeLinear` around float operators.
const PAIRS: [&str; 9] = [
    "channel:mobilenet_v3",
    "channel:resnet",
    "channel:yolov8",
    "tensor:mobilenet_v3",
    "tensor:resnet",
    "tensor:yolov8",
    "unsigned:mobilenet_v3",
    "unsigned:resnet",
    "unsigned:yolov8",
];
/// Forms with operators on integers.
const INTEGERS: [&str; 5] = ["dynamic:clip", "dynamic:resnet", "dynamic:vit", "operators:resnet", "operators:yolov8"];

/// Where sums fall between two values, either may be taken.
const ONE: f64 = 1.01;
/// Operators on integers scale by fixed-point numbers on one side, by floats on the other, layer after layer.
const FEW: f64 = 4.0;

/// The greatest difference from ONNX Runtime in steps of quantisation; of outputs that have none, in 255ths of the range.
fn steps_off(filled: &Filled, name: &str, open: Open) -> Result<f64, String> {
    let said = |e: ocellus_onnx::Error| e.to_string();
    let graph = Graph::load(&filled.model(name), &Limits::default()).map_err(said)?;
    let outputs = open(&graph).and_then(|run| run(&[filled.input(name, 0)])).map_err(said)?;
    let step = f64::from(filled.tensor(name, Path::new("0.step.npy")).data[0]);
    let mut worst: f64 = 0.0;
    for (ix, found) in outputs.iter().enumerate() {
        let expected = filled.output(name, 0, ix);
        let range = expected.data.iter().fold((f32::MAX, f32::MIN), |(a, b), v| (a.min(*v), b.max(*v)));
        let step = if step > 0.0 { step } else { f64::from(range.1 - range.0) / 255.0 };
        let off = expected.data.iter().zip(&found.data).map(|(a, b)| f64::from((a - b).abs()) / step);
        worst = off.fold(worst, |a, b| if b.is_nan() { b } else { a.max(b) });
    }
    Ok(worst)
}

fn within(most: f64, names: &[&str], open: Open) {
    let Some(filled) = Filled::written_by("quantise.py", names, &[]) else { return };
    let judge = |name: &&str| match steps_off(&filled, name, open) {
        Ok(steps) => {
            println!("{name}: {steps:.2} steps");
            (steps > most || steps.is_nan()).then(|| format!("{name}: {steps:.2} steps"))
        }
        Err(reason) => Some(format!("{name}: {reason}")),
    };
    let wrong: Vec<String> = names.iter().filter_map(judge).collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), names.len(), wrong.join("\n"));
}

#[test]
fn pairs_agree_on_the_cpu() {
    within(ONE, &PAIRS, cpu);
}

#[test]
fn pairs_agree_on_flex() {
    within(ONE, &PAIRS, flex);
}

#[test]
fn operators_on_integers_agree_on_the_cpu() {
    within(FEW, &INTEGERS, cpu);
}

#[test]
fn operators_on_integers_agree_on_flex() {
    within(FEW, &INTEGERS, flex);
}

#[test]
fn operators_of_other_domains_are_refused_by_name() {
    let name = "contributed:resnet";
    let Some(filled) = Filled::written_by("quantise.py", &[name], &[]) else { return };
    let error = Graph::load(&filled.model(name), &Limits::default()).expect_err("no standard operators");
    assert!(error.to_string().contains("com.microsoft"), "{error}");
}
