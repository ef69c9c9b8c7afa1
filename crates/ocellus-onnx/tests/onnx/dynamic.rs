//! Open batch, height and width, and batches of models exported for one picture, against ONNX Runtime.

use burn::tensor::Device;
use ocellus_onnx::{BurnOptions, CpuPlan, Error, Extent, Graph, Limits, OpenModel, Plans, Tensor};

use super::architectures::peer::Filled;
use super::architectures::{Open, cpu, flex};
use super::samples;
use super::support::worst_difference;

const TOLERANCE: f64 = 1e-3;

/// Exports whose batch, height and width are open.
const OPEN: [&str; 4] = ["lraspp_open", "nanodet_open", "segformer_open", "yolov8_open"];
/// Exports whose batch is open.
const BATCH: [&str; 4] = ["clip", "convnext_dynamo", "resnet", "yolo11_batch"];
/// Exports for one picture.
const SINGLE: [&str; 23] = [
    "centernet",
    "convnext",
    "d_fine",
    "deeplab_v3",
    "dinov2",
    "dinov3",
    "efficientnet",
    "mobilenet_v3",
    "nanodet",
    "picodet",
    "resnet_dynamo",
    "rt_detr",
    "rt_detr_v2",
    "segformer",
    "ssdlite",
    "swin",
    "vit",
    "vit_dynamo",
    "yolo11",
    "yolov5",
    "yolov8",
    "yolox",
    "yolox_decoded",
];
const SIZES: [&str; 2] = ["--sizes", "1x64x64,2x96x64,1x64x128,3x32x96"];
const THREE: [&str; 2] = ["--sizes", "1x64x64,1x64x64,1x64x64"];

fn model(filled: &Filled, name: &str) -> OpenModel {
    OpenModel::load(&filled.model(name), &Limits::default()).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// Runs a model on every size and compares.
fn agrees(filled: &Filled, name: &str, run: impl Fn(&[Tensor]) -> Result<Vec<Tensor>, Error>) {
    for k in 0..4 {
        let input = filled.input(name, k);
        let shape = input.shape.clone();
        let outputs = run(&[input]).unwrap_or_else(|e| panic!("{name} {shape:?}: {e}"));
        let worst = filled.difference(name, k, &outputs).unwrap_or_else(|e| panic!("{name} {shape:?}: {e}"));
        assert!(worst <= TOLERANCE, "{name} {shape:?}: {worst:.1e} of the range");
    }
}

#[test]
fn any_admitted_shape_runs_on_the_cpu() {
    let names = [OPEN, BATCH].concat();
    let Some(filled) = Filled::new(&names, &SIZES) else { return };
    for name in names {
        let plans = Plans::cpu(model(&filled, name), 1, 2);
        agrees(&filled, name, |inputs| plans.run(inputs));
        assert_eq!(plans.len(), 2, "{name}: two plans are kept of four");
    }
}

#[test]
fn any_admitted_shape_runs_on_flex() {
    let names = [OPEN, BATCH].concat();
    let Some(filled) = Filled::new(&names, &SIZES) else { return };
    for name in names {
        let plans = Plans::burn(model(&filled, name), Device::flex(), BurnOptions::default(), 2);
        agrees(&filled, name, |inputs| plans.run(inputs));
    }
}

#[test]
fn open_axes_are_told_and_others_are_kept() {
    let Some(filled) = Filled::new(&["yolov8_open", "resnet"], &[]) else { return };
    let open = model(&filled, "yolov8_open");
    let named = |name: &str| Extent::Open(name.to_owned());
    assert_eq!(open.inputs()[0].extents, [named("batch"), Extent::Fixed(3), named("height"), named("width")]);
    for wrong in [vec![1, 4, 64, 64], vec![1, 3, 64]] {
        assert!(matches!(open.graph(&[wrong]), Err(Error::WrongInput { .. })));
    }
    assert!(open.graph(&[vec![1, 3, 50, 64]]).is_err(), "maps of 50 rows do not meet again");
    let resnet = model(&filled, "resnet");
    let error = resnet.graph(&[vec![2, 3, 32, 32]]).expect_err("height and width are fixed");
    assert!(error.to_string().contains("batchx3x64x64"), "{error}");
}

/// Three pictures together give what ONNX Runtime gives for each.
fn three_agree(filled: &Filled, name: &str, open: Open) -> Result<(), String> {
    let graph = Graph::load(&filled.model(name), &Limits::default()).map_err(|e| e.to_string())?;
    let single: Vec<Tensor> = (0..3).map(|k| filled.input(name, k)).collect();
    let run = graph.with_batch(3).and_then(|graph| open(&graph)).map_err(|e| e.to_string())?;
    let outputs = run(&[joined(&single)]).map_err(|e| e.to_string())?;
    for (ix, found) in outputs.iter().enumerate() {
        let expected = joined(&(0..3).map(|k| filled.output(name, k, ix)).collect::<Vec<_>>());
        let worst = worst_difference(&expected.data, &found.data);
        let right = found.shape == expected.shape && worst <= TOLERANCE;
        if !right {
            return Err(format!("output {ix} of {:?}, {worst:.1e} of the range", found.shape));
        }
    }
    Ok(())
}

fn joined(parts: &[Tensor]) -> Tensor {
    let mut shape = parts[0].shape.clone();
    shape[0] *= parts.len();
    Tensor { shape, data: parts.iter().flat_map(|part| part.data.iter().copied()).collect() }
}

fn exports_for_one_take_three(open: Open) {
    let Some(filled) = Filled::new(&SINGLE, &THREE) else { return };
    let wrong: Vec<String> =
        SINGLE.iter().filter_map(|name| Some(format!("{name}: {}", three_agree(&filled, name, open).err()?))).collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), SINGLE.len(), wrong.join("\n"));
}

#[test]
fn exports_for_one_picture_take_three_on_the_cpu() {
    exports_for_one_take_three(cpu);
}

#[test]
fn exports_for_one_picture_take_three_on_flex() {
    exports_for_one_take_three(flex);
}

#[test]
fn an_export_that_cannot_take_three_says_so() {
    let Some(filled) = Filled::new(&["siglip"], &[]) else { return };
    let graph = Graph::load(&filled.model("siglip"), &Limits::default()).expect("it is sound");
    let error = graph.with_batch(3).expect_err("its pooling asks one question for one picture");
    assert!(matches!(error, Error::Batch { batch: 3, .. }), "{error}");
}

#[test]
fn sample_models_take_batches() {
    for name in ["yolox_nano_416", "nanodet_m_320", "picodet_s_320_coco", "light_person_detector_192"] {
        let Some(path) = samples::path(&format!("models/{name}.onnx")) else { return };
        let graph = Graph::load(&path, &Limits::default()).unwrap_or_else(|e| panic!("{name}: {e}"));
        let two = graph.with_batch(2).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(two.outputs()[0].shape[0], 2, "{name}");
        CpuPlan::new(&two).unwrap_or_else(|e| panic!("{name}: {e}"));
    }
}
