//! The engine on the device: what it selects, what is on its way, and what happens when the device goes.

use std::path::Path;

use super::tiny::{DETECTOR_TOML, detector};
use super::*;
use crate::config::{DeviceChoice, PrecisionChoice};
use crate::frame::PixelFormat;
use crate::model::engine::{Engine, EngineError, EngineOptions, Outcome, WarmUp};
use crate::model::package::Package;
use crate::model::preprocess::tests::Random;

/// Writes a detector's package.
pub(crate) fn write_package(dir: &Path, side: u64, lift: f32) {
    std::fs::write(dir.join("model.onnx"), detector(side, lift)).unwrap();
    std::fs::write(dir.join("model.toml"), DETECTOR_TOML).unwrap();
}

fn tiny(lift: f32, device: DeviceChoice, options: &EngineOptions) -> Engine {
    sized(64, lift, device, options)
}

fn sized(side: u64, lift: f32, device: DeviceChoice, options: &EngineOptions) -> Engine {
    let dir = tempfile::tempdir().unwrap();
    write_package(dir.path(), side, lift);
    Engine::open(Package::open(dir.path(), None, None).unwrap(), device, options).unwrap()
}

/// Opens a detector on the device, telling how far it is.
pub(super) fn watched(watch: &mut dyn FnMut(WarmUp)) {
    let dir = tempfile::tempdir().unwrap();
    write_package(dir.path(), 64, 0.0);
    let package = Package::open(dir.path(), None, None).unwrap();
    let options = EngineOptions { batch: 2, ..EngineOptions::default() };
    Engine::open_watched(package, DeviceChoice::GpuSoftware, &options, watch).unwrap();
}

fn pictures(count: u32) -> Vec<Image> {
    let mut random = Random(33);
    (0..count).map(|i| random.image(40 + i, 30, PixelFormat::Rgb8)).collect()
}

fn objects(outcomes: &[Outcome]) -> Vec<Vec<(usize, f32, [f32; 4])>> {
    let of = |outcome: &Outcome| {
        outcome.objects.iter().map(|o| (o.class, o.score, [o.rect.x, o.rect.y, o.rect.w, o.rect.h])).collect()
    };
    outcomes.iter().map(of).collect()
}

#[test]
fn selecting_changes_nothing_but_the_bytes() {
    if device().is_none() {
        return;
    }
    let images = pictures(5);
    let batch: Vec<&Image> = images.iter().collect();
    for score in [None, Some(0.05), Some(0.0)] {
        let options = EngineOptions { batch: 2, score, ..EngineOptions::default() };
        let mut engine = tiny(0.0, DeviceChoice::GpuSoftware, &options);
        let selected = engine.score(&batch).unwrap();
        let whole = engine.score_whole(&batch).unwrap();
        assert_eq!(objects(&selected), objects(&whole));
        assert!(selected.iter().any(|outcome| !outcome.objects.is_empty()), "nothing to compare");
        // All of 80 anchors of 7 values.
        assert!(whole.iter().all(|outcome| outcome.read_back_bytes == 80 * 7 * 4));
    }
}

#[test]
fn more_candidates_than_are_selected_are_found_all_the_same() {
    if device().is_none() {
        return;
    }
    // 2,000 anchors, all of them above the threshold, of which 1,024 are gathered.
    let options = EngineOptions { batch: 2, score: Some(0.0), ..EngineOptions::default() };
    let mut engine = sized(320, 0.0, DeviceChoice::GpuSoftware, &options);
    let images = pictures(2);
    let batch: Vec<&Image> = images.iter().collect();
    let (selected, whole) = (engine.score(&batch).unwrap(), engine.score_whole(&batch).unwrap());
    assert!(whole.iter().all(|outcome| !outcome.objects.is_empty()));
    assert_eq!(objects(&selected), objects(&whole));
    assert!(selected[0].read_back_bytes > whole[0].read_back_bytes);
}

#[test]
fn lots_come_back_in_the_order_in_which_they_were_handed_in() {
    if device().is_none() {
        return;
    }
    let options = EngineOptions { batch: 4, ..EngineOptions::default() };
    let mut engine = tiny(0.5, DeviceChoice::GpuSoftware, &options);
    let images = pictures(12);
    let lots: Vec<Vec<&Image>> = [0..1, 1..8, 8..8, 8..10, 10..12].map(|lot| images[lot].iter().collect()).into();
    let alone: Vec<_> = lots.iter().map(|lot| objects(&engine.score(lot).unwrap())).collect();
    for lot in &lots {
        engine.submit(lot).unwrap();
    }
    for wanted in &alone {
        assert_eq!(objects(&engine.collect().unwrap().unwrap()), *wanted);
    }
    assert!(engine.collect().unwrap().is_none());
    assert_eq!(engine.depth(), 2);
    assert_ne!(alone[3], alone[4], "nothing to tell lots apart by");
}

#[test]
fn the_cpu_sees_the_same() {
    if device().is_none() {
        return;
    }
    let options = EngineOptions { batch: 2, ..EngineOptions::default() };
    let images = pictures(3);
    let batch: Vec<&Image> = images.iter().collect();
    let [gpu, cpu] = [DeviceChoice::GpuSoftware, DeviceChoice::Cpu]
        .map(|device| objects(&tiny(0.5, device, &options).score(&batch).unwrap()));
    for (gpu, cpu) in gpu.iter().zip(&cpu) {
        assert_eq!(gpu.len(), cpu.len());
        for (a, b) in gpu.iter().zip(cpu) {
            assert!(a.0 == b.0 && (a.1 - b.1).abs() < 1e-4, "{a:?} {b:?}");
        }
    }
}

/// A detector's package with a golden set: what the CPU sees in two pictures.
fn with_golden(dir: &Path, tolerance: Option<f32>) -> Package {
    write_package(dir, 64, 0.5);
    std::fs::create_dir(dir.join("golden")).unwrap();
    let mut engine =
        Engine::open(Package::open(dir, None, None).unwrap(), DeviceChoice::Cpu, &EngineOptions::default()).unwrap();
    for (i, image) in pictures(2).iter().enumerate() {
        let path = dir.join(format!("golden/{i}.png"));
        image::save_buffer(&path, image.pixels(), image.width(), image.height(), image::ColorType::Rgb8).unwrap();
        let objects = engine.score(&[image]).unwrap().remove(0).objects;
        assert!(!objects.is_empty());
        let list = objects.iter().map(|o| {
            serde_json::json!({"label": *o.label, "score": o.score, "box": [o.rect.x, o.rect.y, o.rect.w, o.rect.h]})
        });
        let text = serde_json::json!({"objects": list.collect::<Vec<_>>()}).to_string();
        std::fs::write(path.with_extension("json"), text).unwrap();
    }
    if let Some(tolerance) = tolerance {
        let text = format!("{DETECTOR_TOML}[golden]\ntolerance = {tolerance}\n");
        std::fs::write(dir.join("model.toml"), text).unwrap();
    }
    Package::open(dir, None, None).unwrap()
}

fn opened(package: Package, precision: Option<PrecisionChoice>) -> Result<&'static str, EngineError> {
    let options = EngineOptions { precision, ..EngineOptions::default() };
    Engine::open(package, DeviceChoice::GpuSoftware, &options).map(|engine| engine.precision())
}

#[test]
fn half_precision_is_taken_where_it_loses_little_enough() {
    let Some(gpu) = device() else { return };
    let has_half = gpu.burn().supports_dtype(burn::tensor::DType::F16);
    let half = if has_half { "f16" } else { "f32" };
    // A package is read when it is opened, its golden set when it is measured.
    let dirs: Vec<_> = (0..5).map(|_| tempfile::tempdir().unwrap()).collect();
    let mut unused = dirs.iter();
    let mut package = |tolerance| with_golden(unused.next().unwrap().path(), tolerance);
    assert_eq!(opened(package(Some(0.2)), None).unwrap(), half);
    assert_eq!(opened(package(Some(0.0)), None).unwrap(), "f32");
    assert_eq!(opened(package(Some(0.2)), Some(PrecisionChoice::F32)).unwrap(), "f32");
    let bare = tempfile::tempdir().unwrap();
    write_package(bare.path(), 64, 0.5);
    assert_eq!(opened(Package::open(bare.path(), None, None).unwrap(), None).unwrap(), "f32", "nothing to measure on");

    let refused = opened(package(Some(0.0)), Some(PrecisionChoice::F16)).unwrap_err();
    if has_half {
        assert!(matches!(refused, EngineError::Precision { loss, .. } if loss > 0.0), "{refused}");
        assert!(refused.to_string().contains("`tiny` loses 0.0"), "{refused}");
        assert_eq!(opened(package(None), Some(PrecisionChoice::F16)).unwrap(), "f16");
    } else {
        assert!(refused.to_string().contains("16-bit"), "{refused}");
    }
}

/// Run by the test below in a process of its own, whose device it may take away.
#[test]
#[ignore = "a part of another test"]
fn loses_its_device() {
    let options = EngineOptions { batch: 2, ..EngineOptions::default() };
    let open = || tiny(0.5, DeviceChoice::GpuSoftware, &options);
    let images = pictures(3);
    let batch: Vec<&Image> = images.iter().collect();
    let mut engine = open();
    let before = objects(&engine.score(&batch).unwrap());

    // Two lots on their way, then none can be collected, nor another handed in.
    engine.submit(&batch[..2]).unwrap();
    engine.submit(&batch[2..]).unwrap();
    Gpu::open(true).unwrap().destroy();
    let lost = |error: &EngineError| matches!(error, EngineError::Gpu(GpuError::Lost { .. }));
    // What the device had finished may still come.
    let collected: Vec<_> = std::iter::from_fn(|| engine.collect().transpose()).collect();
    assert!(collected.iter().all(|lot| lot.as_ref().map_or_else(lost, |lot| lot.len() <= 2)), "{collected:?}");
    for _ in 0..2 {
        let error = engine.score(&batch).unwrap_err();
        assert!(lost(&error) && error.to_string().contains("was lost"), "{error}");
        assert!(engine.collect().unwrap().is_none(), "nothing is left of what was given up");
    }
    // Opened again the model runs on a device of its own, and sees what it saw.
    let mut again = open();
    assert_eq!(objects(&again.score(&batch).unwrap()), before);
    assert!(engine.score(&batch).is_err(), "the old one stays lost");
}

#[test]
fn an_engine_says_that_its_device_is_lost_and_can_be_opened_again() {
    if device().is_some() {
        alone("gpu::tests::engine::loses_its_device");
    }
}
