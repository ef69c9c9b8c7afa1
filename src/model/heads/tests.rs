//! Hand-computed cases, shapes that are refused, and numbers that no network should give.

mod families;
mod hostile;

use super::*;
use crate::model::preprocess::tests::Random;

fn tensor(name: &str, shape: &[usize]) -> TensorInfo {
    TensorInfo { name: name.to_owned(), dtype: ocellus_onnx::ElementType::F32, shape: shape.to_vec() }
}

fn spec(kind: &str) -> HeadSpec {
    match kind {
        "yolox" => HeadSpec::Yolox { strides: vec![8, 16, 32] },
        "gfl" => HeadSpec::Gfl { strides: vec![8, 16], bins: 2 },
        "boxes" => HeadSpec::Boxes {
            scores: "scores".to_owned(),
            boxes: "boxes".to_owned(),
            background: true,
            normalised: true,
        },
        _ => HeadSpec::Classify { activation: Activation::Softmax, top_k: 2 },
    }
}

/// Outputs that fit [`spec`] for an input of 64x32 pixels.
fn outputs(kind: &str) -> Vec<TensorInfo> {
    match kind {
        "yolox" => vec![tensor("output", &[1, 42, 7])],
        "gfl" => vec![
            tensor("cls8", &[1, 32, 3]),
            tensor("cls16", &[1, 8, 3]),
            tensor("dis8", &[1, 32, 8]),
            tensor("dis16", &[1, 8, 8]),
        ],
        "boxes" => vec![tensor("boxes", &[1, 5, 4]), tensor("scores", &[1, 5, 3])],
        _ => vec![tensor("logits", &[1, 4])],
    }
}

const KINDS: [&str; 4] = ["yolox", "gfl", "boxes", "classify"];
const SIZE: (u32, u32) = (64, 32);

fn head(kind: &str) -> Head {
    Head::new(&spec(kind), SIZE, &outputs(kind)).unwrap()
}

fn decode(head: &Head, outputs: &[&[f32]], score: f32) -> Decoded {
    head.decode(outputs, score).unwrap()
}

fn assert_box(candidate: &Candidate, class: usize, score: f32, rect: [f32; 4]) {
    let Candidate { x1, y1, x2, y2, .. } = *candidate;
    let off = [x1, y1, x2, y2].iter().zip(rect).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(off < 1e-3 && (candidate.score - score).abs() < 1e-5 && candidate.class == class, "{candidate:?}");
}

#[test]
fn classes_and_proposals_are_counted() {
    assert_eq!(KINDS.map(|kind| head(kind).classes()), [2, 3, 2, 4].map(Some));
    assert_eq!(KINDS.map(|kind| head(kind).rows()), [42, 40, 5, 4]);
    assert_eq!(KINDS.map(|kind| spec(kind).kind()), KINDS);
}

#[test]
fn yolox_reads_a_cell_of_each_grid() {
    // 8x4 cells of 8 pixels, then 4x2 of 16, then 2x1 of 32.
    let mut output = vec![0.0; 42 * 7];
    let mut set = |anchor: usize, row: [f32; 7]| output[anchor * 7..][..7].copy_from_slice(&row);
    set(8 + 3, [0.5, 0.25, 0.0, 2.0_f32.ln(), 0.9, 0.5, 0.0]);
    set(32 + 5, [0.0, 0.0, 0.0, 0.0, 0.8, 0.0, 1.0]);
    set(41, [-0.5, 0.5, 0.0, 0.0, 0.5, 0.1, 0.9]);
    let found = decode(&head("yolox"), &[&output], 0.3);
    assert_eq!((found.candidates.len(), found.invalid), (3, 0));
    // Cell (1, 1) of the second grid, (3, 1) of the first, (1, 0) of the third.
    assert_box(&found.candidates[0], 1, 0.8, [8.0, 8.0, 24.0, 24.0]);
    assert_box(&found.candidates[1], 0, 0.45, [24.0, 2.0, 32.0, 18.0]);
    assert_box(&found.candidates[2], 1, 0.45, [0.0, 0.0, 32.0, 32.0]);
    // Above the threshold, not at it.
    assert_eq!(decode(&head("yolox"), &[&output], 0.45).candidates.len(), 1);
    // Both classes of an anchor are candidates where both score.
    assert_eq!(decode(&head("yolox"), &[&output], 0.04).candidates.len(), 4);
}

/// The outputs of [`outputs`]`("gfl")` with one cell of the second stride set.
fn gfl_outputs(cell: usize, scores: [f32; 3], sides: [f32; 8]) -> [Vec<f32>; 4] {
    let mut all = [vec![0.0; 96], vec![0.0; 24], vec![0.0; 256], vec![0.0; 64]];
    all[1][cell * 3..][..3].copy_from_slice(&scores);
    all[3][cell * 8..][..8].copy_from_slice(&sides);
    all
}

#[test]
fn gfl_takes_the_mean_of_each_side_s_distribution() {
    // Bins 0 and 1: a probability p of bin 1 is a distance of p strides. Logits 0 and ln 3 make p = 3/4.
    let three = 3.0_f32.ln();
    let sides = [0.0, three, 0.0, 0.0, three, 0.0, 0.0, three];
    let outputs = gfl_outputs(6, [0.1, 0.7, 0.6], sides);
    let found = decode(&head("gfl"), &outputs.each_ref().map(Vec::as_slice), 0.5);
    assert_eq!((found.candidates.len(), found.invalid), (2, 0));
    // Cell (2, 1) of stride 16: its centre is (40, 24); left 12, top 8, right 4, bottom 12 from there.
    let rect = [28.0, 16.0, 44.0, 36.0];
    assert_box(&found.candidates[0], 1, 0.7, rect);
    assert_box(&found.candidates[1], 2, 0.6, rect);
}

#[test]
fn gfl_takes_pairs_in_any_order() {
    let sides = [0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0];
    let values = gfl_outputs(0, [0.9, 0.0, 0.0], sides);
    let all = outputs("gfl");
    let straight = decode(&head("gfl"), &values.each_ref().map(Vec::as_slice), 0.5);
    for order in [[1, 0, 3, 2], [2, 3, 0, 1], [2, 0, 3, 1]] {
        let infos: Vec<TensorInfo> = order.iter().map(|i| all[*i].clone()).collect();
        let head = Head::new(&spec("gfl"), SIZE, &infos).unwrap();
        let values: Vec<&[f32]> = order.iter().map(|i| values[*i].as_slice()).collect();
        assert_eq!(decode(&head, &values, 0.5), straight);
    }
}

#[test]
fn boxes_are_scaled_and_the_background_is_no_class() {
    let mut boxes = [0.0; 20];
    boxes[8..12].copy_from_slice(&[0.25, 0.5, 0.5, 1.0]);
    let mut scores = [0.0; 15];
    scores[6..9].copy_from_slice(&[0.95, 0.1, 0.8]);
    let found = decode(&head("boxes"), &[&boxes, &scores], 0.3);
    assert_eq!(found.candidates.len(), 1);
    assert_box(&found.candidates[0], 1, 0.8, [16.0, 16.0, 32.0, 32.0]);
    let plain = HeadSpec::Boxes {
        scores: "scores".to_owned(),
        boxes: "boxes".to_owned(),
        background: false,
        normalised: false,
    };
    let head = Head::new(&plain, SIZE, &outputs("boxes")).unwrap();
    let found = decode(&head, &[&boxes, &scores], 0.3);
    assert_eq!(head.classes(), Some(3));
    assert_box(&found.candidates[0], 0, 0.95, [0.25, 0.5, 0.5, 1.0]);
    assert_box(&found.candidates[1], 2, 0.8, [0.25, 0.5, 0.5, 1.0]);
}

#[test]
fn classify_makes_probabilities_and_keeps_the_best() {
    // Logits ln 1, ln 2, ln 5, ln 2: probabilities 1/10, 2/10, 5/10, 2/10.
    let logits = [1.0_f32, 2.0, 5.0, 2.0].map(f32::ln);
    let found = decode(&head("classify"), &[&logits], 0.0);
    let whole = [0.0, 0.0, 64.0, 32.0];
    assert_eq!(found.candidates.len(), 2);
    assert_box(&found.candidates[0], 2, 0.5, whole);
    assert_box(&found.candidates[1], 1, 0.2, whole);
    // Huge logits do not overflow.
    let found = decode(&head("classify"), &[&[1e30, 0.0, -1e30, 0.0]], 0.5);
    assert_box(&found.candidates[0], 0, 1.0, whole);
    let plain = HeadSpec::Classify { activation: Activation::None, top_k: 4 };
    let head = Head::new(&plain, SIZE, &[tensor("p", &[1, 4, 1, 1])]).unwrap();
    assert_box(&decode(&head, &[&[0.1, 0.2, 0.6, 0.1]], 0.5).candidates[0], 2, 0.6, whole);
}

#[test]
fn other_shapes_are_refused_when_the_model_is_opened() {
    let refused = |kind: &str, infos: &[TensorInfo]| Head::new(&spec(kind), SIZE, infos).unwrap_err().to_string();
    for kind in KINDS {
        assert!(!refused(kind, &[]).is_empty(), "{kind}");
        let good = outputs(kind);
        for (i, output) in good.iter().enumerate() {
            for shape in [&[] as &[usize], &[1], &[1, 0], &[1, 3, 0], &[1, 41, 7], &[1, 1, 1, 42, 7], &[1, 32, 3, 3]] {
                let mut infos = good.clone();
                infos[i] = tensor(&output.name, shape);
                // `[1]` is a classifier of one class.
                let fine = kind == "classify" && shape == [1];
                assert_eq!(Head::new(&spec(kind), SIZE, &infos).is_ok(), fine, "{kind} {shape:?}");
            }
        }
        let mut more = good.clone();
        more.push(tensor("more", &[1, 7]));
        if kind != "boxes" {
            assert!(refused(kind, &more).contains("but the network has"), "{kind}");
        }
    }
    let five = [tensor("output", &[1, 42, 5])];
    assert!(refused("yolox", &five).contains("[batch, 42, 5 + classes] for strides [8, 16, 32] of a 64x32 input"));
    let named = [tensor("conf", &[1, 5, 3]), tensor("boxes", &[1, 5, 4])];
    assert!(refused("boxes", &named).contains("an output called `scores`, but the network has only `conf`, `boxes`"));
}

#[test]
fn too_few_or_too_many_numbers_are_an_error() {
    for kind in KINDS {
        let head = head(kind);
        let lengths: Vec<usize> = outputs(kind).iter().map(|o| o.shape.iter().product()).collect();
        for change in [-1, 1] {
            let values: Vec<Vec<f32>> = lengths.iter().map(|n| vec![0.1; n.saturating_add_signed(change)]).collect();
            let values: Vec<&[f32]> = values.iter().map(Vec::as_slice).collect();
            assert!(matches!(head.decode(&values, 0.5), Err(HeadError::Length { .. })), "{kind}");
        }
        assert!(matches!(head.decode(&[], 0.5), Err(HeadError::Length { .. })), "{kind}");
    }
}

#[test]
fn numbers_that_mean_nothing_are_dropped_and_counted() {
    let mut output = vec![0.0; 42 * 7];
    let mut set = |anchor: usize, row: [f32; 7]| output[anchor * 7..][..7].copy_from_slice(&row);
    set(0, [0.0, 0.0, 0.0, 0.0, f32::NAN, 1.0, 1.0]);
    set(1, [f32::NAN, 0.0, 0.0, 0.0, 0.9, 1.0, 0.0]);
    set(2, [0.0, 0.0, 1e9, 0.0, 0.9, 1.0, 0.0]);
    set(3, [0.0, 0.0, 0.0, 0.0, 7.0, 1.0, 0.0]);
    set(4, [0.0, 0.0, 0.0, 0.0, 1.0005, 1.0, 0.0]);
    let found = decode(&head("yolox"), &[&output], 0.3);
    assert_eq!((found.candidates.len(), found.invalid), (1, 4));
    assert_eq!(found.candidates[0].score, 1.0, "rounding may lift a probability a little");
    let nan = [f32::NAN; 15];
    let found = decode(&head("boxes"), &[&[0.1; 20], &nan], 0.3);
    assert_eq!((found.candidates.len(), found.invalid), (0, 10));
    let found = decode(&head("classify"), &[&[f32::NAN, 1.0, f32::INFINITY, 1.0]], 0.1);
    assert_eq!((found.candidates.len(), found.invalid), (2, 2));
}

#[test]
fn boxes_that_were_decoded_already_mean_nothing() {
    // What a YOLOX exported with `decode_in_inference` gives: centres and sizes in pixels.
    let grid = |stride: u16| {
        let cells = move |side: u16| (0..side / stride).map(move |i| f32::from(i * stride + stride / 2));
        cells(SIZE.1 as u16).flat_map(move |y| cells(SIZE.0 as u16).map(move |x| (x, y)))
    };
    let output: Vec<f32> =
        [8, 16, 32].into_iter().flat_map(grid).flat_map(|(x, y)| [x, y, 20.0, 30.0, 0.9, 0.9, 0.0]).collect();
    let head = head("yolox");
    let found = decode(&head, &[&output], 0.0);
    assert!(found.invalid > head.rows() / 2, "{} of {}", found.invalid, head.rows());
}

#[test]
fn any_numbers_at_all_give_sound_candidates() {
    let mut random = Random(5);
    let odd = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, 0.0, -0.0, 1.0, 1e-40, 88.8];
    for round in 0..400 {
        for kind in KINDS {
            let values: Vec<Vec<f32>> = outputs(kind)
                .iter()
                .map(|o| {
                    let count = o.shape.iter().product();
                    (0..count)
                        .map(|_| match random.below(4) {
                            0 if round % 2 == 0 => odd[random.below(odd.len() as u32) as usize],
                            1 => f32::from_bits(random.next() as u32),
                            _ => random.below(1001) as f32 / 1000.0,
                        })
                        .collect()
                })
                .collect();
            let values: Vec<&[f32]> = values.iter().map(Vec::as_slice).collect();
            let found = decode(&head(kind), &values, 0.4);
            let sound = |c: &Candidate| {
                c.score > 0.4
                    && c.score <= 1.0
                    && head(kind).classes().is_none_or(|classes| c.class < classes)
                    && [c.x1, c.y1, c.x2, c.y2].iter().all(|v| v.is_finite())
            };
            assert!(found.candidates.iter().all(sound), "{kind}: {found:?}");
            assert!(found.candidates.is_sorted_by(|a, b| a.score >= b.score), "{kind}");
            let kept = crate::model::nms::per_class(found.candidates.clone(), 0.5, 10);
            assert!(kept.len() <= 10 && kept.iter().all(|c| found.candidates.contains(c)), "{kind}");
        }
    }
}

#[test]
fn there_are_never_more_candidates_than_fit() {
    // 80x80 cells of 10 classes, all above the threshold.
    let head = Head::new(&HeadSpec::Yolox { strides: vec![8] }, (640, 640), &[tensor("o", &[1, 6400, 15])]).unwrap();
    let mut random = Random(9);
    let output: Vec<f32> =
        (0..6400 * 15).map(|i| if i % 15 < 4 { 0.0 } else { (500 + random.below(500)) as f32 / 1000.0 }).collect();
    let found = decode(&head, &[&output], 0.1);
    assert_eq!(found.candidates.len(), MAX_CANDIDATES);
    let mut all: Vec<f32> = output
        .chunks_exact(15)
        .flat_map(|row| row[5..].iter().map(|class| row[4] * class).collect::<Vec<_>>())
        .collect();
    all.sort_by(|a, b| b.total_cmp(a));
    let best: Vec<f32> = found.candidates.iter().map(|c| c.score).collect();
    assert_eq!(best, all[..MAX_CANDIDATES]);
}
