//! The families of vision models, exported with random weights, on each device against ONNX Runtime.
//!
//! `tests/peers/architectures` at the top of the repository has the graphs; its `fill.py`, run by `$OCELLUS_PYTHON`, gives
//! them weights and says what ONNX Runtime makes of them.

#[path = "architectures_peer.rs"]
pub mod peer;

use burn::tensor::wgpu::WgpuBackend;
use burn::tensor::{Device, DeviceKind};
use ocellus_onnx::{BurnPlan, CpuPlan, Error, Graph, Limits, Tensor};

use self::peer::Filled;

/// Greatest difference allowed, relative to the range of ONNX Runtime's values.
const SINGLE: f64 = 1e-3;
const HALF: f64 = 2e-2;

const ALL: [&str; 38] = [
    "centernet",
    "clip",
    "convnext",
    "convnext_dynamo",
    "d_fine",
    "deeplab_v3",
    "dinov2",
    "dinov3",
    "efficientnet",
    "lraspp_open",
    "mobilenet_v3",
    "nanodet",
    "nanodet_open",
    "picodet",
    "resnet",
    "resnet_dynamo",
    "rf_detr",
    "rt_detr",
    "rt_detr_dynamo",
    "rt_detr_v2",
    "segformer",
    "segformer_open",
    "siglip",
    "ssdlite",
    "swin",
    "swin_v2",
    "vit",
    "vit_dynamo",
    "yolo11",
    "yolo11_batch",
    "yolo26",
    "yolos",
    "yolov5",
    "yolov8",
    "yolov8_dynamo",
    "yolov8_open",
    "yolox",
    "yolox_decoded",
];

/// Families whose 16-bit versions are compared.
const HALVED: [&str; 8] = ["clip", "convnext", "mobilenet_v3", "nanodet", "resnet", "segformer", "vit", "yolov8"];

/// Makes a model ready for a device.
pub type Open = fn(&Graph) -> Result<Runner, Error>;
pub type Runner = Box<dyn Fn(&[Tensor]) -> Result<Vec<Tensor>, Error>>;

pub fn cpu(graph: &Graph) -> Result<Runner, Error> {
    let plan = CpuPlan::new(graph)?;
    Ok(Box::new(move |inputs| plan.run(inputs)))
}

pub fn flex(graph: &Graph) -> Result<Runner, Error> {
    let plan = BurnPlan::new(graph, &Device::flex())?;
    Ok(Box::new(move |inputs| plan.run_tensors(inputs)))
}

fn gpu(graph: &Graph) -> Result<Runner, Error> {
    let opened = Device::wgpu_options().device_kind(DeviceKind::DefaultDevice).graphics_api(WgpuBackend::Vulkan).init();
    let plan = BurnPlan::new(graph, &opened.unwrap_or_else(|e| panic!("there is no Vulkan device: {e}")))?;
    Ok(Box::new(move |inputs| plan.run_tensors(inputs)))
}

/// What is wrong with a model on a device, if anything.
fn trouble(filled: &Filled, name: &str, tolerance: f64, open: Open) -> Option<String> {
    let path = filled.model(name);
    let size = filled.input(name, 0);
    let judged = Graph::load_with(&path, &Limits::default(), std::slice::from_ref(&size.shape))
        .and_then(|graph| open(&graph))
        .and_then(|run| run(&[size]));
    match judged.map_err(|e| e.to_string()).and_then(|outputs| filled.difference(name, 0, &outputs)) {
        Ok(worst) if worst <= tolerance => None,
        Ok(worst) => Some(format!("{worst:.1e} of the range")),
        Err(reason) => Some(reason),
    }
}

fn all_agree(filled: Option<Filled>, names: &[&str], tolerance: f64, open: Open) {
    let Some(filled) = filled else { return };
    let wrong: Vec<String> =
        names.iter().filter_map(|name| Some(format!("{name}: {}", trouble(&filled, name, tolerance, open)?))).collect();
    assert!(wrong.is_empty(), "{} of {} families:\n{}", wrong.len(), names.len(), wrong.join("\n"));
}

#[test]
fn cpu_agrees_with_onnx_runtime() {
    all_agree(Filled::new(&ALL, &[]), &ALL, SINGLE, cpu);
}

#[test]
fn flex_agrees_with_onnx_runtime() {
    all_agree(Filled::new(&ALL, &[]), &ALL, SINGLE, flex);
}

#[test]
fn cpu_agrees_in_half_precision() {
    all_agree(Filled::new(&HALVED, &["--half"]), &HALVED, HALF, cpu);
}

#[test]
fn flex_agrees_in_half_precision() {
    all_agree(Filled::new(&HALVED, &["--half"]), &HALVED, HALF, flex);
}

#[test]
#[ignore = "needs a GPU, or patience: run with `make test-gpu`"]
fn gpu_agrees_with_onnx_runtime() {
    all_agree(Filled::new(&ALL, &[]), &ALL, SINGLE, gpu);
}
