//! The sample models on real pictures, against what ONNX Runtime and the reference decoders make of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::*;
use crate::camera::images;
use crate::detection::Rect;
use crate::samples;

const ONE_THREAD: EngineOptions = EngineOptions {
    score: None,
    iou: None,
    precision: None,
    evaluation: false,
    batch: 1,
    threads: 1,
    memory_mib: None,
};

fn engine(model: &Path, labels: Option<&str>, options: &EngineOptions) -> Engine {
    let dir = tempfile::tempdir().unwrap();
    let file = labels.map(|text| {
        let path = dir.path().join("names");
        std::fs::write(&path, text).unwrap();
        path
    });
    // No profile: all sample models are recognised.
    let package = Package::open(model, None, file.as_deref()).unwrap();
    Engine::open(package, DeviceChoice::Cpu, options).unwrap()
}

#[derive(Deserialize)]
struct Reference {
    score_thr: f32,
    nms_iou: f32,
    images: BTreeMap<PathBuf, Vec<Expected>>,
}

#[derive(Deserialize)]
struct Expected {
    cls: String,
    score: f32,
    xyxy: [f32; 4],
}

/// How far a score may be off: the reference rounds the resized picture to 8 bits.
const SCORE_OFF: f32 = 0.03;

fn agrees(image: &Image, expected: &Expected, object: &Object) -> bool {
    let (w, h) = (image.width() as f32, image.height() as f32);
    let [x1, y1, x2, y2] = expected.xyxy;
    let rect = Rect { x: x1 / w, y: y1 / h, w: (x2 - x1) / w, h: (y2 - y1) / h };
    *object.label == expected.cls && (object.score - expected.score).abs() < SCORE_OFF && object.rect.iou(&rect) > 0.93
}

fn check(engine: &mut Engine, reference: &Reference, model: &str) {
    for (path, expected) in &reference.images {
        let Some(file) = samples::path(&path.display().to_string()) else { continue };
        let image = images::read(&file).unwrap();
        let objects = engine.score(&[&image]).unwrap().remove(0).objects;
        let shown = path.display();
        for wanted in expected {
            let found = objects.iter().any(|o| agrees(&image, wanted, o));
            assert!(found, "{model} on {shown}: {} {} not among {objects:?}", wanted.cls, wanted.score);
        }
        // Whatever is found besides must be a matter of the threshold.
        for object in &objects {
            let known = expected.iter().any(|wanted| agrees(&image, wanted, object));
            assert!(known || object.score < reference.score_thr + SCORE_OFF, "{model} on {shown}: {object:?}");
        }
        assert!(objects.is_sorted_by(|a, b| a.score >= b.score));
    }
}

#[test]
fn detects_what_the_reference_detects() {
    let Some(file) = samples::path("reference/detections.json") else { return };
    let all: BTreeMap<String, Reference> = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let files = BTreeMap::from([
        ("yolox_nano_416", ("yolox_nano_416", None)),
        ("picodet_s_320", ("picodet_s_320_coco", None)),
        ("nanodet_m_320", ("nanodet_m_320", None)),
        ("light_person_192", ("light_person_detector_192", Some("person"))),
        ("ultraface_rfb320", ("ultraface_rfb320", None)),
    ]);
    assert_eq!(all.len(), files.len());
    for (model, reference) in &all {
        let (file, labels) = files[model.as_str()];
        let Some(path) = samples::path(&format!("models/{file}.onnx")) else { continue };
        // Whatever the reference has just above its threshold may be just below it here.
        let score = Some(reference.score_thr - SCORE_OFF);
        let options = EngineOptions { score, iou: Some(reference.nms_iou), ..ONE_THREAD };
        check(&mut engine(&path, labels, &options), reference, model);
    }
}

#[test]
fn classifies_as_the_reference_does() {
    let Some(path) = samples::path("models/efficientnet_lite0.onnx") else { return };
    let mut engine = engine(&path, None, &ONE_THREAD);
    assert_eq!(engine.labels().len(), 1000);
    // The reference shrinks with antialiasing, so that probabilities differ; of the cat it is far from sure.
    let cases: [(&str, &[usize], f32); 5] = [
        ("cls_cat", &[287, 281, 282], 0.2),
        ("cls_flamingo", &[130], 0.9),
        ("cls_bridge", &[821], 0.35),
        ("cls_torch", &[862], 0.5),
        ("cls_coyote", &[272], 0.6),
    ];
    for (name, classes, least) in cases {
        let Some(file) = samples::path(&format!("images/{name}.jpg")) else { continue };
        let objects = engine.score(&[&images::read(&file).unwrap()]).unwrap().remove(0).objects;
        assert!(classes.contains(&objects[0].class) && objects[0].score > least, "{name}: {objects:?}");
        assert_eq!((objects.len(), objects[0].rect), (5, Rect::FULL));
    }
}

#[test]
fn a_batch_is_scored_as_its_pictures_one_by_one() {
    let Some(path) = samples::path("models/light_person_detector_192.onnx") else { return };
    let names =
        ["dog_bike_man", "frame_worker-zone-detection_f0", "frame_bottle-detection_f360", "cls_cat", "cls_torch"];
    let files = names.map(|name| samples::path(&format!("images/{name}.jpg")));
    let pictures: Vec<Image> = files.iter().flatten().map(|file| images::read(file).unwrap()).collect();
    let options = EngineOptions { batch: 8, threads: 3, ..ONE_THREAD };
    let mut engine = engine(&path, Some("person"), &options);
    let together = engine.score(&pictures.iter().collect::<Vec<_>>()).unwrap();
    assert_eq!(together.len(), pictures.len());
    for (picture, outcome) in pictures.iter().zip(&together) {
        assert_eq!(engine.score(&[picture]).unwrap()[0].objects, outcome.objects);
        assert!(outcome.model_ms > 0.0 && outcome.preprocess_ms > 0.0);
    }
    assert!(together.iter().any(|outcome| !outcome.objects.is_empty()));
    assert!(engine.score(&[]).unwrap().is_empty());
}

#[test]
fn what_is_no_model_is_refused_in_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let open = |name: &str, content: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        let package = Package::open(&path, Some("yolox"), None).unwrap();
        let error = Engine::open(package, DeviceChoice::Cpu, &ONE_THREAD).err().expect("no model").to_string();
        assert!(!error.contains('\n') && error.contains(&*path.to_string_lossy()), "{error}");
        error
    };
    let text = open("notes.onnx", b"this is a text, not a network\n");
    assert!(text.contains("not an ONNX model"), "{text}");
    assert!(open("empty.onnx", b"").contains("the file is empty"));
    let Some(path) = samples::path("models/light_person_detector_192.onnx") else { return };
    let bytes = std::fs::read(path).unwrap();
    assert!(open("short.onnx", &bytes[..bytes.len() / 2]).contains("cut short"));
}

#[test]
fn a_profile_that_does_not_fit_is_refused() {
    let Some(path) = samples::path("models/light_person_detector_192.onnx") else { return };
    for (profile, reason) in [
        ("nanodet", "the head `gfl` reads 6 outputs, but the network has 1"),
        ("ultraface", "an output called `scores`, but the network has only `output`"),
        ("imagenet", "expects [batch, classes]"),
    ] {
        let package = Package::open(&path, Some(profile), None).unwrap();
        let error = Engine::open(package, DeviceChoice::Cpu, &ONE_THREAD).err().expect("no fit").to_string();
        assert!(error.contains("light_person_detector_192") && error.contains(reason), "{profile}: {error}");
    }
}

#[test]
fn outputs_that_mean_something_else_are_refused() {
    let Some(weights) = samples::path("models/efficientnet_lite0.onnx") else { return };
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy(weights, dir.path().join("model.onnx")).unwrap();
    let open = |activation: &str| {
        let text = format!(
            "name = \"things\"\nversion = \"1\"\ntask = \"classify\"\n[input]\nletterbox = \"crop\"\n\
             mean = [127, 127, 127]\nstd = [128, 128, 128]\n[head]\nkind = \"classify\"\nactivation = \"{activation}\"\n"
        );
        std::fs::write(dir.path().join("model.toml"), text).unwrap();
        Engine::open(Package::open(dir.path(), None, None).unwrap(), DeviceChoice::Cpu, &ONE_THREAD)
    };
    assert!(open("softmax").is_ok());
    // Logits are no probabilities.
    let error = open("none").err().expect("nonsense").to_string();
    assert!(error.contains("model `things`") && error.contains("head `classify`"), "{error}");
}
