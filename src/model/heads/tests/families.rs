//! YOLO, DETR, SSD, heat maps and vectors: cases computed by hand, and by another implementation.

use serde::Deserialize;

use super::*;
use crate::model::package::manifest;

/// The head of a `[head]` table.
pub(super) fn described(head: &str) -> HeadSpec {
    let task = if head.contains("embedding") { "embed" } else { "detect" };
    let text =
        format!("name = \"n\"\nversion = \"1\"\ntask = \"{task}\"\n[input]\nletterbox = \"stretch\"\n[head]\n{head}");
    manifest::parse(&text).unwrap_or_else(|mistakes| panic!("{head}: {mistakes:?}")).head
}

fn opened(head: &str, outputs: &[TensorInfo]) -> Head {
    Head::new(&described(head), SIZE, outputs).unwrap_or_else(|e| panic!("{head}: {e}"))
}

fn refused(head: &str, outputs: &[TensorInfo]) -> String {
    Head::new(&described(head), SIZE, outputs).expect_err(head).to_string()
}

const V8: &str = "kind = \"yolo\"\nlayout = \"v8\"";

#[test]
fn yolo_v5_multiplies_objectness_and_class() {
    let head = opened("kind = \"yolo\"\nlayout = \"v5\"", &[tensor("o", &[1, 3, 7])]);
    assert_eq!((head.classes(), head.rows()), (Some(2), 3));
    let mut output = [0.0; 21];
    output[7..14].copy_from_slice(&[20.0, 10.0, 8.0, 4.0, 0.8, 0.1, 0.5]);
    let found = decode(&head, &[&output], 0.3);
    assert_eq!((found.candidates.len(), found.invalid), (1, 0));
    assert_box(&found.candidates[0], 1, 0.4, [16.0, 8.0, 24.0, 12.0]);
}

#[test]
fn yolo_v8_lies_value_by_value() {
    let head = opened(V8, &[tensor("o", &[1, 6, 3])]);
    // Proposals are columns: the second one is at (20, 10), 8 wide and 4 high.
    let output = [0.0, 20.0, 0.0, 0.0, 10.0, 0.0, 0.0, 8.0, 0.0, 0.0, 4.0, 0.0, 0.1, 0.9, 0.1, 0.2, 0.6, 0.2];
    let found = decode(&head, &[&output], 0.3);
    assert_eq!((found.candidates.len(), found.invalid, head.classes()), (2, 0, Some(2)));
    assert_box(&found.candidates[0], 0, 0.9, [16.0, 8.0, 24.0, 12.0]);
    assert_box(&found.candidates[1], 1, 0.6, [16.0, 8.0, 24.0, 12.0]);
    let negative = [20.0, 10.0, -8.0, 4.0, 0.9];
    let found = decode(&opened(V8, &[tensor("o", &[1, 5, 1])]), &[&negative], 0.3);
    assert_eq!((found.candidates.len(), found.invalid), (0, 1));
    // Fractions of 64x32, logits of 0.9 and 0.6.
    let head = opened(&format!("{V8}\nnormalised = true\nlogits = true"), &[tensor("o", &[1, 5, 1])]);
    let found = decode(&head, &[&[0.5, 0.5, 0.25, 0.5, 3.0_f32.ln()]], 0.3);
    assert_box(&found.candidates[0], 0, 0.75, [24.0, 8.0, 40.0, 24.0]);
}

#[test]
fn what_follows_yolo_s_classes_is_not_read() {
    // One class, two mask coefficients, which the second output tells; or said to be two extra numbers.
    let output = [20.0, 10.0, 8.0, 4.0, 0.9, 77.0, -5.0];
    let masks = [tensor("o", &[1, 7, 1]), tensor("protos", &[1, 2, 8, 16])];
    for head in [opened(V8, &masks), opened(&format!("{V8}\nextra = 2"), &[tensor("o", &[1, 7, 1])])] {
        let found = decode(&head, &[&output, &[0.0; 256]], 0.3);
        assert_eq!((head.classes(), found.candidates.len(), found.invalid), (Some(1), 1, 0));
    }
    // Taken for classes, they are seen to be none.
    let head = opened(V8, &[tensor("o", &[1, 7, 1])]);
    assert!(decode(&head, &[&output], 0.3).invalid > head.rows());
    assert!(refused(&format!("{V8}\nextra = 51"), &[tensor("o", &[1, 56 - 1, 21])]).contains("4 + classes + 51"));
}

#[test]
fn yolo_end_to_end_gives_classes_by_number() {
    let head = opened("kind = \"yolo\"\nlayout = \"end-to-end\"", &[tensor("o", &[1, 3, 6])]);
    assert_eq!(head.classes(), None);
    let output = [1.0, 2.0, 11.0, 22.0, 0.9, 7.0, 1.0, 2.0, 3.0, 4.0, 0.8, 2.5, 0.0, 0.0, 1.0, 1.0, 0.1, 3.0];
    let found = decode(&head, &[&output], 0.3);
    assert_eq!((found.candidates.len(), found.invalid), (1, 1), "a class of 2.5 is none");
    assert_box(&found.candidates[0], 7, 0.9, [1.0, 2.0, 11.0, 22.0]);
    assert!(
        refused("kind = \"yolo\"\nlayout = \"end-to-end\"", &[tensor("o", &[1, 3, 85])]).contains("detections, 6]")
    );
}

#[test]
fn raw_grids_are_decoded_with_their_anchors() {
    let text = "kind = \"yolo\"\nlayout = \"raw\"\nstrides = [16]\nanchors = [[[10, 20], [30, 6]]]";
    // 4x2 cells, 2 anchors, 1 class. Cell (2, 1), second anchor; sigmoid(0) = 0.5: centre (2.5, 1.5) cells, anchor's size.
    let mut apart = vec![-20.0; 2 * 6 * 8];
    let mut rows = apart.clone();
    for (column, logit) in [0.0, 0.0, 0.0, 0.0, 20.0, 3.0_f32.ln()].into_iter().enumerate() {
        apart[(6 + column) * 8 + 6] = logit;
        rows[(8 + 6) * 6 + column] = logit;
    }
    for (shape, output) in [(&[1, 12, 2, 4][..], apart), (&[1, 2, 2, 4, 6], rows)] {
        let head = opened(text, &[tensor("o", shape)]);
        let found = decode(&head, &[&output], 0.3);
        assert_eq!((head.rows(), head.classes(), found.candidates.len()), (16, Some(1), 1));
        assert_box(&found.candidates[0], 0, 0.75, [25.0, 21.0, 55.0, 27.0]);
    }
    assert!(refused(text, &[tensor("o", &[1, 12, 3, 4])]).contains("for stride 16"));
}

#[test]
fn detr_reads_a_query_s_logits_and_box() {
    let outputs = [tensor("pred_boxes", &[1, 2, 4]), tensor("logits", &[1, 2, 3])];
    let boxes = [0.5, 0.5, 0.25, 0.5, 0.1, 0.1, 0.1, 0.1];
    let logits = [-9.0, 3.0_f32.ln(), -9.0, -9.0, -9.0, -9.0];
    let head = opened("kind = \"detr\"", &outputs);
    let found = decode(&head, &[&boxes, &logits], 0.3);
    assert_eq!((head.classes(), head.rows(), found.candidates.len()), (Some(3), 2, 1));
    assert_box(&found.candidates[0], 1, 0.75, [24.0, 8.0, 40.0, 24.0]);
    // A softmax, the last being no object: 5/10 for class 1.
    let logits = [2.0_f32.ln(), 5.0_f32.ln(), 3.0_f32.ln(), 0.0, 0.0, 50.0];
    let head = opened("kind = \"detr\"\nactivation = \"softmax\"", &outputs);
    let found = decode(&head, &[&boxes, &logits], 0.3);
    assert_eq!((head.classes(), found.candidates.len()), (Some(2), 1));
    assert_box(&found.candidates[0], 1, 0.5, [24.0, 8.0, 40.0, 24.0]);
}

#[test]
fn scores_that_are_probabilities_already_are_no_logits() {
    let outputs = [tensor("pred_boxes", &[1, 2, 4]), tensor("logits", &[1, 2, 3])];
    let found = decode(&opened("kind = \"detr\"", &outputs), &[&[0.5; 8], &[0.1, 0.2, 0.3, 0.0, 0.9, 0.1]], 0.0);
    assert_eq!(found.invalid, 2);
    let found = decode(&head("classify"), &[&[0.1, 0.2, 0.6, 0.1]], 0.0);
    assert_eq!(found.invalid, 4);
}

#[test]
fn outputs_of_one_shape_are_told_apart_by_name_or_not_at_all() {
    let of = |a: &str, b: &str| [tensor(a, &[1, 9, 4]), tensor(b, &[1, 9, 4])];
    assert_eq!(opened("kind = \"detr\"", &of("dets", "labels")).classes(), Some(4));
    let message = refused("kind = \"detr\"", &of("a", "b"));
    assert!(message.starts_with("2 outputs look like") && message.contains("`boxes = \"NAME\"`"), "{message}");
    assert_eq!(opened("kind = \"detr\"\nboxes = \"b\"", &of("a", "b")).classes(), Some(4));
    assert!(refused("kind = \"detr\"\nboxes = \"c\"", &of("a", "b")).contains("an output called `c`"));
}

#[test]
fn listed_detections_may_count_the_background() {
    let outputs = [tensor("bboxes", &[1, 2, 4]), tensor("labels", &[1, 2]), tensor("scores", &[1, 2])];
    let boxes = [0.25, 0.5, 0.5, 1.0, 0.0, 0.0, 1.0, 1.0];
    let head = opened("kind = \"listed\"\nbackground = true\nnormalised = true", &outputs);
    let found = decode(&head, &[&boxes, &[3.0, 0.0], &[0.75, 0.9]], 0.3);
    assert_eq!((found.candidates.len(), found.invalid), (1, 0));
    assert_box(&found.candidates[0], 2, 0.75, [16.0, 16.0, 32.0, 32.0]);
    // Pixels, classes from 0, no batch axis.
    let outputs = [tensor("boxes", &[2, 4]), tensor("scores", &[2]), tensor("labels", &[2])];
    let found = decode(&opened("kind = \"listed\"", &outputs), &[&[8.0; 8], &[0.75, 0.1], &[3.0, 0.0]], 0.3);
    assert_box(&found.candidates[0], 3, 0.75, [8.0; 4]);
}

#[test]
fn ssd_moves_and_stretches_its_priors() {
    let text = "kind = \"ssd\"\nstrides = [32]\nanchors = [[[16, 8], [20, 20]]]\nvariances = [0.1, 0.2]";
    let outputs = [tensor("scores", &[1, 4, 3]), tensor("boxes", &[1, 4, 4])];
    let head = opened(text, &outputs);
    assert_eq!((head.classes(), head.rows()), (Some(2), 4));
    let mut scores = [20.0, 0.0, 0.0].repeat(4);
    scores[6..9].copy_from_slice(&[0.0, 0.0, 6.0_f32.ln()]);
    let mut offsets = [0.0; 16];
    // Prior 2, the first of cell (1, 0): centre (48, 16), 16x8. It moves by 0.1 * 5 * 16 = 8 and doubles its height.
    offsets[8..12].copy_from_slice(&[5.0, 0.0, 0.0, 5.0 * 2.0_f32.ln()]);
    let found = decode(&head, &[&scores, &offsets], 0.3);
    assert_eq!(found.candidates.len(), 1);
    assert_box(&found.candidates[0], 1, 0.75, [48.0, 8.0, 64.0, 24.0]);
    assert!(
        refused(text, &[tensor("s", &[1, 5, 3]), tensor("b", &[1, 5, 4])]).contains("[batch, 4, 4] for the priors")
    );
}

#[test]
fn heat_maps_count_their_peaks() {
    let maps = |c| [tensor("hm", &[1, c, 2, 4]), tensor("wh", &[1, 2, 2, 4]), tensor("reg", &[1, 2, 2, 4])];
    let head = opened("kind = \"heatmap\"", &maps(1));
    let mut heat = [0.0; 8];
    (heat[1], heat[2], heat[7]) = (0.9, 0.8, 0.7);
    let (sizes, offsets) = ([[2.0; 8], [1.0; 8]].concat(), [[0.5; 8], [0.25; 8]].concat());
    let found = decode(&head, &[&heat, &sizes, &offsets], 0.3);
    // Cell 2 is beside a warmer one, cell 7 is not. Cells of 16 pixels: centre (1.5, 0.25) cells, 2x1 cells.
    assert_eq!(found.candidates.len(), 1 + usize::from(heat[7] >= heat[2]));
    assert_box(&found.candidates[0], 0, 0.9, [8.0, -4.0, 40.0, 12.0]);
    // CenterFace: log height 0 and log width ln 2, offsets of y and x.
    let head = opened("kind = \"heatmap\"\nsizes = \"log\"", &maps(1));
    let sizes = [[0.0; 8], [2.0_f32.ln(); 8]].concat();
    let found = decode(&head, &[&heat, &sizes, &offsets], 0.85);
    assert_box(&found.candidates[0], 0, 0.9, [12.0, 8.0, 44.0, 24.0]);
    assert!(refused("kind = \"heatmap\"", &maps(1)[..2]).contains("reads 3 outputs, but the network has 2"));
}

#[test]
fn a_vector_comes_out_with_length_1() {
    let head = opened("kind = \"embedding\"", &[tensor("y", &[1, 2])]);
    assert_eq!(decode(&head, &[&[3.0, 4.0]], 0.0).embedding, Some(vec![0.6, 0.8]));
    let tokens = [tensor("y", &[1, 2, 2])];
    let first = opened("kind = \"embedding\"", &tokens);
    assert_eq!(decode(&first, &[&[3.0, 4.0, 9.0, 9.0]], 0.0).embedding, Some(vec![0.6, 0.8]));
    let mean = opened("kind = \"embedding\"\npool = \"mean\"", &tokens);
    assert_eq!(decode(&mean, &[&[6.0, 0.0, 0.0, 8.0]], 0.0).embedding, Some(vec![0.6, 0.8]));
    for nothing in [[f32::NAN, 1.0], [f32::INFINITY, 1.0], [0.0, 0.0]] {
        let found = decode(&head, &[&nothing], 0.0);
        assert_eq!((found.embedding, found.invalid), (None, 2));
    }
}

#[derive(Deserialize)]
struct Peer {
    head: String,
    outputs: Vec<PeerOutput>,
    score: f32,
    /// Class, score, edges.
    expected: Vec<[f32; 6]>,
}

#[derive(Deserialize)]
struct PeerOutput {
    name: String,
    shape: Vec<usize>,
    values: Vec<f32>,
}

/// `tests/peers/head_decoders.py` wrote the numbers, with numpy and from the families' formulas.
#[test]
fn another_implementation_finds_the_same() {
    let peers: Vec<Peer> = serde_json::from_str(include_str!("decoders.json")).unwrap();
    assert!(peers.len() >= 9);
    for peer in peers {
        let infos: Vec<TensorInfo> = peer.outputs.iter().map(|o| tensor(&o.name, &o.shape)).collect();
        let values: Vec<&[f32]> = peer.outputs.iter().map(|o| o.values.as_slice()).collect();
        let found = decode(&opened(&peer.head, &infos), &values, peer.score);
        assert_eq!((found.candidates.len(), found.invalid), (peer.expected.len(), 0), "{}", peer.head);
        assert!(peer.expected.len() > 2, "{}", peer.head);
        for (candidate, [class, score, rect @ ..]) in found.candidates.iter().zip(&peer.expected) {
            assert_box(candidate, *class as usize, *score, *rect);
        }
    }
}
