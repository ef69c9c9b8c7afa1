//! Which heads could read a network's outputs: for messages that list the choices.

use ocellus_onnx::TensorInfo;

use super::{Activation, Head, HeadSpec, HeatmapSpec, Pool, Sizes, YoloLayout, YoloSpec};

/// The heads whose outputs have these shapes for an input of `size`, as a description would say it.
/// Heads that need more than shapes (priors, names) are not among them.
#[must_use]
pub fn fitting(size: (u32, u32), outputs: &[TensorInfo]) -> Vec<&'static str> {
    let known = |(_, spec): &(&str, HeadSpec)| Head::new(spec, size, outputs).is_ok();
    choices().into_iter().filter(known).map(|(how, _)| how).collect()
}

fn choices() -> [(&'static str, HeadSpec); 11] {
    let yolo = |layout| {
        HeadSpec::Yolo(YoloSpec {
            layout,
            logits: false,
            normalised: false,
            extra: 0,
            strides: Vec::new(),
            anchors: Vec::new(),
        })
    };
    let gfl = |strides: &[u32]| HeadSpec::Gfl { strides: strides.to_vec(), bins: 8 };
    let heatmap = HeatmapSpec { sizes: Sizes::Cells, logits: true, scores: None, boxes: None, offsets: None };
    [
        ("yolox", HeadSpec::Yolox { strides: vec![8, 16, 32] }),
        ("yolo with layout = \"v5\"", yolo(YoloLayout::V5)),
        ("yolo with layout = \"v8\"", yolo(YoloLayout::V8)),
        ("yolo with layout = \"end-to-end\"", yolo(YoloLayout::EndToEnd)),
        ("gfl", gfl(&[8, 16, 32])),
        ("gfl with strides = [8, 16, 32, 64]", gfl(&[8, 16, 32, 64])),
        ("detr", HeadSpec::Detr { activation: Activation::Sigmoid, scores: None, boxes: None }),
        ("listed", HeadSpec::Listed { labels: None, boxes: None, scores: None, background: false, normalised: false }),
        ("heatmap", HeadSpec::Heatmap(heatmap)),
        ("classify", HeadSpec::Classify { activation: Activation::Softmax, top_k: 5 }),
        ("embedding", HeadSpec::Embedding { pool: Pool::First, output: None }),
    ]
}
