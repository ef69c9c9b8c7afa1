//! The GPU stage against the CPU stage, which is tested against the definition and OpenCV; and the device's life.
//!
//! Any Vulkan device will do, software ones too. Without one the tests are skipped, except where `CI=true`.

mod device;
pub(crate) mod engine;
mod models;
mod reader;
mod stage;
mod tiny;

use burn::tensor::Tensor;

use super::*;
use crate::frame::Image;
use crate::model::preprocess::{InputSpec, preprocess};

/// The machine's Vulkan device, if it has one.
pub(crate) fn device() -> Option<Gpu> {
    match Gpu::open(true) {
        Ok(gpu) => Some(gpu),
        Err(GpuError::NoAdapter) if std::env::var("CI").as_deref() != Ok("true") => {
            eprintln!("skipped: there is no Vulkan adapter (install mesa-vulkan-drivers)");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// Runs another test in a process of its own, which must end well.
pub(crate) fn alone(test: &str) {
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stdout));
}

/// What the stage makes of `images`, read back: items one after the other.
fn on_gpu(stage: &mut GpuStage, images: &[&Image], spec: &InputSpec) -> Vec<f32> {
    let tensor = Tensor::<4>::from_dispatch(stage.prepare(images, spec).unwrap());
    let shape = [images.len(), 3, spec.height as usize, spec.width as usize];
    assert_eq!(tensor.dims(), shape);
    tensor.into_data().try_to_vec().unwrap()
}

/// What the CPU makes of `images`.
fn on_cpu(images: &[&Image], spec: &InputSpec) -> Vec<f32> {
    let mut values = vec![f32::NAN; images.len() * spec.len()];
    for (image, item) in images.iter().zip(values.chunks_exact_mut(spec.len())) {
        preprocess(image, spec, item);
    }
    values
}

/// The largest difference, in grey levels.
fn apart(gpu: &[f32], cpu: &[f32], spec: &InputSpec) -> f32 {
    assert_eq!(gpu.len(), cpu.len());
    let gains = spec.normalise.affine().map(|(gain, _)| gain.abs());
    let plane = spec.len() / 3;
    let level = |(i, (a, b)): (usize, (&f32, &f32))| (a - b).abs() / gains[i / plane % 3];
    let worst = gpu.iter().zip(cpu).enumerate().map(level).fold(0.0, f32::max);
    assert!(gpu.iter().all(|v| v.is_finite()), "unwritten values");
    worst
}

/// Both devices round `f32` in the same order of operations; only fused multiplications differ.
const LEVELS: f32 = 0.01;

fn assert_agree(stage: &mut GpuStage, images: &[&Image], spec: &InputSpec) {
    let worst = apart(&on_gpu(stage, images, spec), &on_cpu(images, spec), spec);
    let of: Vec<_> = images.iter().map(|i| (i.format(), i.width(), i.height())).take(8).collect();
    assert!(worst <= LEVELS, "{worst} levels: {of:?} to {spec:?}");
}
