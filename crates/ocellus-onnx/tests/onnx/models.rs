//! Known models on each device, against what ONNX Runtime makes of them.
//!
//! `reference/*.json` are summaries of ONNX Runtime's outputs for reproducible noise, written by
//! `tests/peers/reference_tensors.py` at the top of the repository; the sample data has whole tensors of two models
//! for a real picture.

use burn::tensor::wgpu::WgpuBackend;
use burn::tensor::{Device, DeviceKind};
use ocellus_onnx::{BurnPlan, CpuPlan, Error, Graph, Limits, Tensor};

use super::samples;
use super::support::{self, Reference, npy};

/// Greatest difference allowed, relative to the range of ONNX Runtime's values.
const TOLERANCE: f64 = 1e-3;

const MODELS: [&str; 6] = [
    "yolox_nano_416",
    "light_person_detector_192",
    "nanodet_m_320",
    "picodet_s_320_coco",
    "ultraface_rfb320",
    "efficientnet_lite0",
];

/// Makes a model ready for a device.
type Runner = Box<dyn Fn(&[Tensor]) -> Result<Vec<Tensor>, Error>>;

fn cpu(graph: &Graph) -> Result<Runner, Error> {
    let plan = CpuPlan::new(graph)?;
    Ok(Box::new(move |inputs| plan.run(inputs)))
}

fn burn(graph: &Graph, device: &Device) -> Result<Runner, Error> {
    let plan = BurnPlan::new(graph, device)?;
    Ok(Box::new(move |inputs| plan.run_tensors(inputs)))
}

fn flex(graph: &Graph) -> Result<Runner, Error> {
    burn(graph, &Device::flex())
}

fn graph(name: &str) -> Option<Graph> {
    let path = samples::path(&format!("models/{name}.onnx"))?;
    Some(Graph::load(&path, &Limits::default()).unwrap_or_else(|e| panic!("{name}: {e}")))
}

/// The model on reproducible noise agrees with the summary of ONNX Runtime's outputs.
fn agrees_on_noise(name: &str, open: &dyn Fn(&Graph) -> Result<Runner, Error>) {
    let Some(graph) = graph(name) else { return };
    let reference = Reference::load(name);
    assert_eq!(graph.inputs()[0].name, reference.input_name);
    let run = open(&graph).unwrap_or_else(|e| panic!("{name}: {e}"));
    let outputs = run(&[reference.input()]).unwrap_or_else(|e| panic!("{name}: {e}"));
    let names: Vec<&str> = graph.outputs().iter().map(|info| info.name.as_str()).collect();
    let worst = reference.worst_difference(&names, &outputs);
    println!("{name}: {worst:.1e} of the range");
    assert!(worst <= TOLERANCE, "{name}: {worst:.1e} of the range");
}

/// The model on a real picture agrees with ONNX Runtime in every element.
fn agrees_on_a_picture(model: &str, reference: &str, open: &dyn Fn(&Graph) -> Result<Runner, Error>) {
    let Some(graph) = graph(model) else { return };
    let tensor = |part: String| samples::path(&format!("reference/{reference}_{part}.npy")).map(|path| npy(&path));
    let Some(input) = tensor("input".into()) else { return };
    let run = open(&graph).unwrap_or_else(|e| panic!("{model}: {e}"));
    let outputs = run(&[input]).unwrap_or_else(|e| panic!("{model}: {e}"));
    for (info, found) in graph.outputs().iter().zip(&outputs) {
        let Some(expected) = tensor(format!("out_{}", info.name.replace('/', "_"))) else { return };
        assert_eq!(found.shape, expected.shape, "{model}: {}", info.name);
        let worst = support::worst_difference(&expected.data, &found.data);
        println!("{model}, {}: {worst:.1e} of the range", info.name);
        assert!(worst <= TOLERANCE, "{model}, {}: {worst:.1e} of the range", info.name);
    }
}

fn pictures(open: &dyn Fn(&Graph) -> Result<Runner, Error>) {
    agrees_on_a_picture("yolox_nano_416", "yolox_nano_416", open);
    agrees_on_a_picture("picodet_s_320_coco", "picodet_s_320", open);
}

#[test]
fn cpu_agrees_with_onnx_runtime_on_noise() {
    MODELS.iter().for_each(|name| agrees_on_noise(name, &cpu));
}

#[test]
fn cpu_agrees_with_onnx_runtime_on_a_picture() {
    pictures(&cpu);
}

#[test]
fn flex_agrees_with_onnx_runtime_on_noise() {
    MODELS.iter().for_each(|name| agrees_on_noise(name, &flex));
}

#[test]
fn flex_agrees_with_onnx_runtime_on_a_picture() {
    pictures(&flex);
}

/// Whatever Vulkan device there is, software ones included: minutes a model on those.
#[test]
#[ignore = "needs a GPU, or patience: run with `make test-gpu`"]
fn gpu_agrees_with_onnx_runtime() {
    let opened = Device::wgpu_options().device_kind(DeviceKind::DefaultDevice).graphics_api(WgpuBackend::Vulkan).init();
    let device = opened.unwrap_or_else(|e| panic!("there is no Vulkan device: {e}"));
    let open = |graph: &Graph| burn(graph, &device);
    MODELS.iter().for_each(|name| agrees_on_noise(name, &open));
    pictures(&open);
}
