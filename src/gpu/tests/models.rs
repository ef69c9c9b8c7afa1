//! The stage with a model behind it, on the device without a round trip.

use ocellus_onnx::{BurnPlan, CpuPlan, Graph, Limits, Tensor};

use super::tiny::small_model;
use super::*;
use crate::config::DeviceChoice;
use crate::detection::Object;
use crate::frame::PixelFormat;
use crate::model::engine::{Engine, EngineOptions};
use crate::model::input::Letterbox;
use crate::model::package::Package;
use crate::model::preprocess::tests::Random;
use crate::samples;

#[test]
fn a_model_runs_on_what_the_stage_made() {
    let Some(gpu) = device() else { return };
    let graph = Graph::parse(&small_model(40, 24), &Limits::default()).unwrap();
    let on_gpu = BurnPlan::new(&graph, gpu.burn()).unwrap();
    let on_cpu = CpuPlan::new(&graph).unwrap();
    let mut stage = GpuStage::new(gpu);
    let mut random = Random(5);
    // Several in a row, so that memory is lent again.
    for round in 0..6 {
        let format = [PixelFormat::Rgb8, PixelFormat::Yuyv, PixelFormat::Nv12, PixelFormat::I420][round % 4];
        let image = random.image(61, 33, format);
        let spec = InputSpec { width: 40, height: 24, ..random.spec(Letterbox::Center) };
        let input = stage.run(&[&image], &spec).unwrap();
        let got = on_gpu.read(on_gpu.run(vec![input]).unwrap()).unwrap();
        let data = super::on_cpu(&[&image], &spec);
        let wanted = on_cpu.run(&[Tensor { shape: vec![1, 3, 24, 40], data }]).unwrap();
        assert_eq!(got[0].shape, wanted[0].shape);
        let span = wanted[0].data.iter().fold(0.0, |a: f32, v| a.max(v.abs()));
        assert!(span > 0.0, "the model answers nothing but zero");
        let worst = got[0].data.iter().zip(&wanted[0].data).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst <= 1e-4 * span, "round {round}: {worst} of {span}");
    }
}

/// Opens a sample model on both devices and compares what they see in a picture.
fn sees_the_same(model: &str, profile: &str, picture: &str) {
    let (Some(model), Some(picture), Some(_)) = (samples::path(model), samples::path(picture), device()) else {
        return;
    };
    let decoded = image::open(&picture).unwrap().to_rgb8();
    let (width, height) = decoded.dimensions();
    let image = Image::new(width, height, PixelFormat::Rgb8, decoded.into_raw().into()).unwrap();
    let seen = |device| {
        let package = Package::open(&model, Some(profile), None).unwrap();
        let mut engine = Engine::open(package, device, &EngineOptions::default()).unwrap();
        engine.score(&[&image]).unwrap().remove(0).objects
    };
    let (gpu, cpu) = (seen(DeviceChoice::GpuSoftware), seen(DeviceChoice::Cpu));
    assert!(!cpu.is_empty(), "nothing to compare");
    assert_eq!(gpu.len(), cpu.len());
    for (a, b) in gpu.iter().zip(&cpu) {
        assert_eq!(a.label, b.label);
        assert!((a.score - b.score).abs() <= 2e-3, "{a:?} {b:?}");
        let sides = |o: &Object| [o.rect.x, o.rect.y, o.rect.w, o.rect.h];
        assert!(sides(a).iter().zip(sides(b)).all(|(a, b)| (a - b).abs() <= 2e-3), "{a:?} {b:?}");
    }
}

#[test]
#[ignore = "minutes on a software adapter"]
fn gpu_yolox() {
    sees_the_same("models/yolox_nano_416.onnx", "yolox", "images/dog_bike_man.jpg");
}

#[test]
#[ignore = "minutes on a software adapter"]
fn gpu_light_person() {
    sees_the_same("models/light_person_detector_192.onnx", "yolox", "images/dog_bike_man.jpg");
}

#[test]
#[ignore = "minutes on a software adapter"]
fn gpu_nanodet() {
    sees_the_same("models/nanodet_m_320.onnx", "nanodet", "images/dog_bike_man.jpg");
}

#[test]
#[ignore = "minutes on a software adapter"]
fn gpu_picodet() {
    sees_the_same("models/picodet_s_320_coco.onnx", "picodet", "images/dog_bike_man.jpg");
}

#[test]
#[ignore = "minutes on a software adapter"]
fn gpu_ultraface() {
    sees_the_same("models/ultraface_rfb320.onnx", "ultraface", "images/dog_bike_man.jpg");
}

#[test]
#[ignore = "minutes on a software adapter"]
fn gpu_imagenet() {
    sees_the_same("models/efficientnet_lite0.onnx", "imagenet", "images/cls_flamingo.jpg");
}
