//! The model that ships, on conveyors that it never saw.

use std::path::Path;

use ocellus::camera::sim::{Conveyor, ConveyorOptions, LABELS};
use serde_json::{Value, json};

use crate::peers::{run, text};

/// Seeds that training did not use.
const SEEDS: std::ops::Range<u64> = 9001..9005;
const FRAMES: u64 = 20;
/// Frames between two that are taken, so that parts differ.
const STRIDE: u64 = 31;

/// Writes frames and their truth as a COCO data set.
fn write_frames(folder: &Path) {
    let (mut images, mut annotations) = (Vec::new(), Vec::new());
    for seed in SEEDS {
        let options = ConveyorOptions { seed, leaning: 0.14, ..ConveyorOptions::default() };
        let mut conveyor = Conveyor::new(options).unwrap();
        for i in 0..FRAMES {
            let frame = conveyor.frame(i * STRIDE).unwrap();
            let (width, height) = (frame.image.width(), frame.image.height());
            let name = format!("{seed}-{i}.png");
            image::save_buffer(folder.join(&name), frame.image.pixels(), width, height, image::ColorType::Rgb8)
                .unwrap();
            let id = images.len() + 1;
            images.push(json!({"id": id, "file_name": name, "width": width, "height": height}));
            for truth in &frame.truth {
                let (w, h) = (f64::from(width), f64::from(height));
                let r = truth.rect;
                let bbox = [f64::from(r.x) * w, f64::from(r.y) * h, f64::from(r.w) * w, f64::from(r.h) * h];
                annotations.push(json!({
                    "id": annotations.len() + 1, "image_id": id, "category_id": truth.class + 1, "bbox": bbox,
                    "area": bbox[2] * bbox[3], "iscrowd": u8::from(truth.ignored()),
                }));
            }
        }
    }
    let categories: Vec<Value> = LABELS.iter().enumerate().map(|(i, l)| json!({"id": i + 1, "name": l})).collect();
    let all = json!({"images": images, "annotations": annotations, "categories": categories});
    std::fs::write(folder.join("instances.json"), all.to_string()).unwrap();
}

#[test]
fn the_conveyor_model_finds_parts_and_defects() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/conveyor");
    assert!(std::fs::metadata(package.join("model.onnx")).unwrap().len() <= 4 * 1024 * 1024);
    let folder = tempfile::tempdir().unwrap();
    write_frames(folder.path());
    let annotations = folder.path().join("instances.json");
    let output = run(&[
        "eval",
        "--json",
        "--device",
        "cpu",
        "--model",
        package.to_str().unwrap(),
        "--annotations",
        annotations.to_str().unwrap(),
        "--images",
        folder.path().to_str().unwrap(),
    ]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let scores: Value = serde_json::from_slice(&output.stdout).unwrap();
    println!("{scores}");
    assert!(scores["ap50"].as_f64().unwrap() >= 0.97, "{scores}");
    assert!(scores["map"].as_f64().unwrap() >= 0.88, "{scores}");
}

/// Corners of a box `[x, y, w, h]`.
fn corners(object: &Value) -> [f64; 4] {
    let numbers: Vec<f64> = object["box"].as_array().unwrap().iter().filter_map(Value::as_f64).collect();
    let [x, y, w, h] = numbers[..] else { panic!("{object}") };
    [x, y, x + w, y + h]
}

fn iou(a: [f64; 4], b: [f64; 4]) -> f64 {
    let (w, h) = (a[2].min(b[2]) - a[0].max(b[0]), a[3].min(b[3]) - a[1].max(b[1]));
    let inter = w.max(0.0) * h.max(0.0);
    let area = |r: [f64; 4]| (r[2] - r[0]) * (r[3] - r[1]);
    inter / (area(a) + area(b) - inter)
}

/// The package's golden pictures, whose detections another program (ONNX Runtime and NumPy) worked out.
#[test]
fn the_conveyor_model_gives_its_golden_detections() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/conveyor");
    let mut pictures = 0;
    for expected in crate::peers::files(&package.join("golden")) {
        if expected.extension().is_none_or(|e| e != "json") {
            continue;
        }
        pictures += 1;
        let picture = expected.with_extension("jpg");
        for device in ["cpu", "burn-cpu"] {
            let output = run(&[
                "detect",
                "--json",
                "--device",
                device,
                "--model",
                package.to_str().unwrap(),
                picture.to_str().unwrap(),
            ]);
            assert!(output.status.success(), "{}", text(&output.stderr));
            let found: Value = serde_json::from_slice(&output.stdout).unwrap();
            let wanted: Value = serde_json::from_slice(&std::fs::read(&expected).unwrap()).unwrap();
            let (found, wanted) = (found["objects"].as_array().unwrap(), wanted["objects"].as_array().unwrap());
            assert_eq!(found.len(), wanted.len(), "{device} {}", expected.display());
            for object in wanted {
                // Decoders of JPEG differ by a grey level here and there.
                let twin = found.iter().find(|f| {
                    let near = |key: &str| (f[key].as_f64().unwrap() - object[key].as_f64().unwrap()).abs() < 0.03;
                    f["label"] == object["label"] && near("score") && iou(corners(f), corners(object)) > 0.95
                });
                assert!(twin.is_some(), "{device} {}: no {object} in {found:?}", expected.display());
            }
        }
    }
    assert_eq!(pictures, 3);
}
