//! Models of every family, small enough to be written here, through the command line: what is found, and what is said
//! where a model does not fit.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::onnx::Graph;
use crate::peers::{run, text};

/// Side of the models' input.
const SIDE: u64 = 64;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        image::RgbImage::from_pixel(128, 64, image::Rgb([90, 120, 60])).save(folder.path().join("grey.png")).unwrap();
        Self(folder)
    }

    fn write(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    fn command(&self, model: &Path, more: &[&str]) -> std::process::Output {
        let picture = self.0.path().join("grey.png");
        let fixed = ["detect", "--json", "--device", "cpu", "--model", model.to_str().unwrap()];
        run(&[&fixed[..], more, &[picture.to_str().unwrap()]].concat())
    }

    /// What a model sees in a picture twice as wide as high.
    fn detect(&self, model: &Path, more: &[&str]) -> Value {
        let output = self.command(model, more);
        assert!(output.status.success(), "{}: {}", model.display(), text(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The one line of an error.
    fn refused(&self, model: &Path, more: &[&str]) -> String {
        let output = self.command(model, more);
        let said = text(&output.stderr);
        assert_eq!((output.status.code(), said.trim().lines().count()), (Some(1), 1), "{said}");
        said
    }
}

fn assert_object(object: &Value, label: &str, score: f64, rect: [f64; 4]) {
    let close = |a: &Value, b: f64| (a.as_f64().unwrap() - b).abs() < 2e-4;
    let good = object["label"] == label
        && close(&object["score"], score)
        && rect.iter().enumerate().all(|(i, v)| close(&object["box"][i], *v));
    assert!(good, "{object} instead of {label} {score} {rect:?}");
}

fn picture_model() -> Graph {
    Graph::new().picture("images", SIDE)
}

/// 189 proposals of 80 classes, as columns; one of them in the middle, a dog (16), a quarter of the picture wide and high.
fn yolov8(nothing: f32, dog: f32) -> Vec<u8> {
    let mut columns = vec![[nothing; 189]; 84];
    for (row, value) in [48.0, 48.0, 24.0, 12.0].into_iter().enumerate() {
        columns[row] = [value; 189];
    }
    columns[4 + 16][40] = dog;
    Graph::new().picture("images", 96).constant("output0", &[1, 84, 189], columns.as_flattened()).bytes()
}

#[test]
fn a_yolov8_is_recognised_and_its_classes_have_names() {
    let folder = Folder::new();
    let model = folder.write("m.onnx", &yolov8(0.0, 0.9));
    let found = folder.detect(&model, &[]);
    assert_eq!(found["objects"].as_array().unwrap().len(), 1);
    // The picture of 128x64 lies in the middle of the input, as 96x48: 24x12 there are a quarter of it.
    assert_object(&found["objects"][0], "dog", 0.9, [0.375, 0.375, 0.25, 0.25]);
    let drawn = folder.0.path().join("drawn");
    folder.detect(&model, &["--draw", drawn.to_str().unwrap()]);
    assert_eq!(crate::peers::files(&drawn).len(), 1);
}

#[test]
fn logits_where_scores_are_read_are_refused() {
    let folder = Folder::new();
    let model = folder.write("m.onnx", &yolov8(-8.0, 3.0));
    let said = folder.refused(&model, &[]);
    assert!(said.contains("head `yolo`") && said.contains("mean nothing"), "{said}");
    let toml = "name = \"m\"\nversion = \"1\"\ntask = \"detect\"\nlabels = \"builtin:coco80\"\n[input]\n\
                letterbox = \"center\"\n[head]\nkind = \"yolo\"\nlogits = true\n";
    folder.write("p/model.onnx", &yolov8(-8.0, 3.0));
    let manifest = folder.write("p/model.toml", toml.as_bytes());
    let found = folder.detect(manifest.parent().unwrap(), &[]);
    assert_object(&found["objects"][0], "dog", 0.9526, [0.375, 0.375, 0.25, 0.25]);
}

#[test]
fn yolov5_and_end_to_end_are_recognised() {
    let folder = Folder::new();
    let mut rows = vec![[0.0; 85]; 252];
    rows[100][..5].copy_from_slice(&[32.0, 32.0, 16.0, 8.0, 0.8]);
    rows[100][5 + 2] = 0.9;
    let model =
        folder.write("v5.onnx", &picture_model().constant("output0", &[1, 252, 85], rows.as_flattened()).bytes());
    assert_object(&folder.detect(&model, &[])["objects"][0], "car", 0.72, [0.375, 0.375, 0.25, 0.25]);
    let mut rows = vec![[0.0; 6]; 300];
    // Two of a class on the same place: the network meant both.
    rows[0] = [24.0, 28.0, 40.0, 36.0, 0.9, 2.0];
    rows[1] = [24.0, 28.0, 40.0, 36.0, 0.8, 2.0];
    let model =
        folder.write("e2e.onnx", &picture_model().constant("output0", &[1, 300, 6], rows.as_flattened()).bytes());
    let found = folder.detect(&model, &[]);
    assert_eq!(found["objects"].as_array().unwrap().len(), 2);
    assert_object(&found["objects"][1], "car", 0.8, [0.375, 0.375, 0.25, 0.25]);
}

#[test]
fn what_looks_like_two_families_is_left_to_the_user() {
    let folder = Folder::new();
    // As many columns as rows: YOLOX or YOLOv8.
    let model = folder.write("m.onnx", &picture_model().constant("y", &[1, 84, 84], &[0.0; 84 * 84]).bytes());
    let said = folder.refused(&model, &[]);
    assert!(said.contains("looks like yolox and yolov8") && said.contains("--profile (yolox, yolov5"), "{said}");
    assert_eq!(folder.detect(&model, &["--profile", "yolov8"])["objects"], serde_json::json!([]));
}

#[test]
fn transformers_are_read_by_logits_and_boxes() {
    let folder = Folder::new();
    let (mut logits, boxes) = (vec![[-9.0; 80]; 300], vec![[0.5, 0.5, 0.25, 0.5]; 300]);
    logits[7][16] = 3.0_f32.ln();
    let graph = picture_model().constant("logits", &[1, 300, 80], logits.as_flattened()).constant(
        "pred_boxes",
        &[1, 300, 4],
        boxes.as_flattened(),
    );
    let model = folder.write("rtdetr.onnx", &graph.bytes());
    for more in [&[][..], &["--profile", "dfine"]] {
        let found = folder.detect(&model, more);
        assert_object(&found["objects"][0], "dog", 0.75, [0.375, 0.25, 0.25, 0.5]);
    }
    let mut logits = vec![[-9.0; 91]; 300];
    logits[7][18] = 3.0_f32.ln();
    let graph = picture_model().constant("dets", &[1, 300, 4], boxes.as_flattened()).constant(
        "labels",
        &[1, 300, 91],
        logits.as_flattened(),
    );
    let model = folder.write("rfdetr.onnx", &graph.bytes());
    assert_object(&folder.detect(&model, &[])["objects"][0], "dog", 0.75, [0.375, 0.25, 0.25, 0.5]);
}

#[test]
fn a_second_input_gets_the_picture_s_size() {
    let folder = Folder::new();
    let mut scores = [0.0; 300];
    scores[3] = 0.8;
    let boxes = [[0.25, 0.5, 0.5, 1.0]; 300];
    let graph = picture_model()
        .integer_input("orig_target_sizes", &[1, 2])
        .constant("scores", &[1, 300], &scores)
        .constant("labels", &[1, 300], &[16.0; 300])
        .scaled_boxes("boxes", "orig_target_sizes", &[1, 300, 4], boxes.as_flattened());
    let model = folder.write("m.onnx", &graph.bytes());
    let found = folder.detect(&model, &[]);
    assert_object(&found["objects"][0], "dog", 0.8, [0.25, 0.5, 0.25, 0.5]);
}

#[test]
fn heat_maps_and_lists_are_recognised() {
    let folder = Folder::new();
    let mut heat = vec![[-9.0; 256]; 80];
    heat[16][8 * 16 + 8] = 3.0_f32.ln();
    let graph = picture_model()
        .constant("hm", &[1, 80, 16, 16], heat.as_flattened())
        .constant("wh", &[1, 2, 16, 16], &[4.0; 512])
        .constant("reg", &[1, 2, 16, 16], &[0.0; 512]);
    let model = folder.write("centernet.onnx", &graph.bytes());
    assert_object(&folder.detect(&model, &[])["objects"][0], "dog", 0.75, [0.375, 0.25, 0.25, 0.5]);
    let mut heat = [0.0; 256];
    heat[8 * 16 + 8] = 0.75;
    let graph = picture_model()
        .constant("537", &[1, 1, 16, 16], &heat)
        .constant("538", &[1, 2, 16, 16], &[4.0_f32.ln(); 512])
        .constant("539", &[1, 2, 16, 16], &[-0.5; 512])
        .constant("540", &[1, 10, 16, 16], &[0.0; 2560]);
    let model = folder.write("centerface.onnx", &graph.bytes());
    assert_object(&folder.detect(&model, &[])["objects"][0], "face", 0.75, [0.375, 0.375, 0.25, 0.25]);
    let mut scores = [0.0; 50];
    scores[0] = 0.75;
    let graph = picture_model()
        .constant("bboxes", &[1, 50, 4], [[0.25, 0.25, 0.5, 0.5]; 50].as_flattened())
        .constant("labels", &[1, 50], &[17.0; 50])
        .constant("scores", &[1, 50], &scores);
    let model = folder.write("ssd.onnx", &graph.bytes());
    assert_object(&folder.detect(&model, &[])["objects"][0], "dog", 0.75, [0.25, 0.25, 0.25, 0.25]);
}

#[test]
fn a_vector_is_in_the_message_with_length_1() {
    let folder = Folder::new();
    let model = folder.write("m.onnx", &picture_model().constant("features", &[1, 2], &[3.0, 4.0]).bytes());
    let found = folder.detect(&model, &["--profile", "dinov2"]);
    let vector: Vec<f64> = found["embedding"].as_array().unwrap().iter().filter_map(Value::as_f64).collect();
    assert!((vector[0] - 0.6).abs() < 1e-5 && (vector[1] - 0.8).abs() < 1e-5 && vector.len() == 2, "{vector:?}");
    assert_eq!(found["objects"].as_array().unwrap().len(), 0);
    let said = folder.refused(&model, &[]);
    assert!(said.contains("suit the head classify or embedding") && said.contains("--profile"), "{said}");
}

#[test]
fn a_head_that_does_not_fit_says_what_would() {
    let folder = Folder::new();
    let model = folder.write("m.onnx", &yolov8(0.0, 0.9));
    let said = folder.refused(&model, &["--profile", "rtdetr"]);
    for part in ["head `detr`", "output0 [1, 84, 189]", "heads that suit their shapes:", "yolo with layout = \"v8\""] {
        assert!(said.contains(part), "{said}");
    }
    let labels = folder.write("two.txt", b"bolt\nnut\n");
    let said = folder.refused(&model, &["--labels", labels.to_str().unwrap()]);
    assert!(said.contains("80 classes") && said.contains("name 2"), "{said}");
}
