//! The stage with a model behind it, on the device without a round trip.

use ocellus_onnx::{BurnPlan, CpuPlan, Graph, Limits, Tensor};

use super::*;
use crate::config::DeviceChoice;
use crate::detection::Object;
use crate::frame::PixelFormat;
use crate::model::engine::{Engine, EngineOptions};
use crate::model::input::Letterbox;
use crate::model::package::Package;
use crate::model::preprocess::tests::Random;
use crate::samples;

/// Fields of Protocol Buffers, as far as a small ONNX file needs them.
mod proto {
    pub fn varint(mut value: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        while value >= 0x80 {
            bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        bytes.push(value as u8);
        bytes
    }

    pub fn number(field: u64, value: u64) -> Vec<u8> {
        [varint(field << 3), varint(value)].concat()
    }

    pub fn bytes(field: u64, value: &[u8]) -> Vec<u8> {
        [varint(field << 3 | 2), varint(value.len() as u64), value.to_vec()].concat()
    }
}

/// `y = Relu(Conv(x, w, b, strides = 2))`, `x` a picture of `width` x `height`, `w` of `[4, 3, 3, 3]`.
fn small_model(width: u64, height: u64) -> Vec<u8> {
    use proto::{bytes, number};
    let tensor = |name: &str, dims: &[u64], values: &[f32]| {
        let raw: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let dims: Vec<u8> = dims.iter().flat_map(|d| number(1, *d)).collect();
        // TensorProto: dims, data_type FLOAT, name, raw_data.
        [dims, number(2, 1), bytes(8, name.as_bytes()), bytes(9, &raw)].concat()
    };
    let value = |name: &str, dims: &[u64]| {
        let dims: Vec<u8> = dims.iter().flat_map(|d| bytes(1, &number(1, *d))).collect();
        // ValueInfoProto: name, type { tensor_type { elem_type FLOAT, shape } }.
        let tensor_type = [number(1, 1), bytes(2, &dims)].concat();
        [bytes(1, name.as_bytes()), bytes(2, &bytes(1, &tensor_type))].concat()
    };
    let node = |inputs: &[&str], output: &str, op: &str, attributes: &[u8]| {
        let inputs: Vec<u8> = inputs.iter().flat_map(|i| bytes(1, i.as_bytes())).collect();
        [inputs, bytes(2, output.as_bytes()), bytes(4, op.as_bytes()), attributes.to_vec()].concat()
    };
    // AttributeProto: name, ints, type INTS.
    let strides = [bytes(1, b"strides"), number(8, 2), number(8, 2), number(20, 7)].concat();
    // Every other filter is the negative of the one before, so that some answers are above zero.
    let weight = |i: i32| ((i * 7 % 27) as f32 - 13.0) / 40.0 * if i / 27 % 2 == 0 { 1.0 } else { -1.0 };
    let weights: Vec<f32> = (0..4 * 27).map(weight).collect();
    let (out_width, out_height) = ((width - 3) / 2 + 1, (height - 3) / 2 + 1);
    let graph = [
        bytes(1, &node(&["x", "w", "b"], "c", "Conv", &bytes(5, &strides))),
        bytes(1, &node(&["c"], "y", "Relu", &[])),
        bytes(2, b"small"),
        bytes(5, &tensor("w", &[4, 3, 3, 3], &weights)),
        bytes(5, &tensor("b", &[4], &[0.1, -0.2, 0.3, 0.0])),
        bytes(11, &value("x", &[1, 3, height, width])),
        bytes(12, &value("y", &[1, 4, out_height, out_width])),
    ]
    .concat();
    // ModelProto: ir_version, graph, opset_import { version }.
    [number(1, 8), bytes(7, &graph), bytes(8, &number(2, 13))].concat()
}

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
