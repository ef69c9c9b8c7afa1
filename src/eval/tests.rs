//! Hand-computed cases, and pycocotools on the same numbers.

use serde::Deserialize;
use serde_json::json;

use super::*;
use crate::model::preprocess::tests::Random;

fn labels(names: &str) -> Labels {
    Labels::parse(names).unwrap()
}

/// One picture of 100x100, id 7, with boxes of the category `part`: `[x, y, w, h, crowd]`.
fn one_picture(boxes: &[[u32; 5]]) -> Truth {
    let annotations: Vec<_> = boxes
        .iter()
        .map(|[x, y, w, h, crowd]| {
            json!({"image_id": 7, "category_id": 3, "bbox": [x, y, w, h], "area": w * h, "iscrowd": crowd})
        })
        .collect();
    let document = json!({
        "images": [{"id": 7, "file_name": "a.jpg", "width": 100, "height": 100}],
        "categories": [{"id": 3, "name": "part"}, {"id": 9, "name": "other"}],
        "annotations": annotations,
    });
    Truth::parse(document.to_string().as_bytes()).unwrap()
}

fn found(score: f64, bbox: [f64; 4]) -> Detection {
    Detection { class: 0, score, bbox }
}

fn report(truth: &Truth, detections: &[Detection]) -> Report {
    let mut evaluation = Evaluation::new(truth, &labels("part")).unwrap();
    evaluation.add(7, detections.iter().copied());
    evaluation.report()
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-9
}

#[test]
fn a_perfect_detector_scores_one() {
    let truth = one_picture(&[[10, 10, 20, 20, 0], [50, 50, 20, 20, 0]]);
    let all = report(&truth, &[found(0.9, [10.0, 10.0, 20.0, 20.0]), found(0.8, [50.0, 50.0, 20.0, 20.0])]);
    assert_eq!(all, Report { map: 1.0, ap50: 1.0, ap75: 1.0, ar100: 1.0 });
    assert_eq!(report(&truth, &[]), Report { map: 0.0, ap50: 0.0, ap75: 0.0, ar100: 0.0 });
}

#[test]
fn precision_is_averaged_over_101_recalls() {
    // Best a miss, then a hit: precision is 1/2 at every recall up to 1/2, which are 51 of the 101.
    let truth = one_picture(&[[10, 10, 20, 20, 0], [50, 50, 20, 20, 0]]);
    let one = report(&truth, &[found(0.9, [80.0, 0.0, 10.0, 10.0]), found(0.8, [10.0, 10.0, 20.0, 20.0])]);
    assert!(close(one.ap50, 0.5 * 51.0 / 101.0), "{one:?}");
    assert!(close(one.ar100, 0.5), "{one:?}");
}

#[test]
fn a_looser_box_counts_at_lower_thresholds_only() {
    // 20x20 against 20x15: an overlap of 0.75, which passes 6 of the 10 thresholds, 0.75 itself among them.
    let truth = one_picture(&[[10, 10, 20, 20, 0]]);
    let loose = report(&truth, &[found(0.9, [10.0, 10.0, 20.0, 15.0])]);
    assert!(close(loose.map, 0.6) && close(loose.ap75, 1.0) && close(loose.ar100, 0.6), "{loose:?}");
}

#[test]
fn the_second_detection_of_a_box_is_a_miss() {
    let truth = one_picture(&[[10, 10, 20, 20, 0], [50, 50, 20, 20, 0]]);
    let twice = [found(0.9, [10.0, 10.0, 20.0, 20.0]), found(0.8, [10.0, 10.0, 20.0, 20.0])];
    let third = found(0.7, [50.0, 50.0, 20.0, 20.0]);
    // Precision 1 up to recall 1/2 (51 of 101), 2/3 beyond.
    let report = report(&truth, &[twice[0], twice[1], third]);
    assert!(close(report.ap50, (51.0 + 50.0 * 2.0 / 3.0) / 101.0), "{report:?}");
}

#[test]
fn detections_in_a_crowd_neither_count_nor_hurt() {
    let truth = one_picture(&[[0, 0, 60, 60, 1], [70, 70, 20, 20, 0]]);
    let inside = [found(0.95, [5.0, 5.0, 10.0, 10.0]), found(0.94, [20.0, 20.0, 10.0, 10.0])];
    let all = report(&truth, &[inside[0], inside[1], found(0.9, [70.0, 70.0, 20.0, 20.0])]);
    assert_eq!(all, Report { map: 1.0, ap50: 1.0, ap75: 1.0, ar100: 1.0 });
}

#[test]
fn only_the_best_hundred_of_a_picture_count() {
    let truth = one_picture(&[[10, 10, 20, 20, 0]]);
    let mut detections: Vec<Detection> = (0..100).map(|_| found(0.9, [60.0, 60.0, 5.0, 5.0])).collect();
    detections.push(found(0.8, [10.0, 10.0, 20.0, 20.0]));
    assert!(close(report(&truth, &detections).ar100, 0.0));
    detections.swap_remove(0);
    assert!(close(report(&truth, &detections).ar100, 1.0));
}

#[test]
fn categories_are_paired_by_name_and_the_rest_is_left_out() {
    let truth = one_picture(&[[10, 10, 20, 20, 0]]);
    let mut evaluation = Evaluation::new(&truth, &labels("unheard of\n PART")).unwrap();
    evaluation.add(7, [Detection { class: 1, ..found(0.5, [10.0, 10.0, 20.0, 20.0]) }]);
    evaluation.add(7, [found(0.9, [10.0, 10.0, 20.0, 20.0])]);
    assert_eq!(evaluation.categories(), 1);
    assert!(evaluation.left_out().is_empty(), "nothing of `other` is to be found");
    assert!(close(evaluation.report().map, 1.0));
    let error = Evaluation::new(&truth, &Labels::numbered(2)).unwrap_err().to_string();
    assert!(error.contains("class 0, class 1") && error.contains("part, other"), "{error}");
    assert_eq!(Evaluation::new(&truth, &labels("other")).unwrap_err(), EvalError::NothingToFind);
}

#[test]
fn what_is_no_annotation_is_refused_with_the_reason() {
    let image = json!({"id": 1, "file_name": "a.jpg", "width": 4, "height": 4});
    let category = json!({"id": 1, "name": "a"});
    let with = |file: &str| json!({"id": 2, "file_name": file, "width": 4, "height": 4});
    let boxed = |bbox: serde_json::Value| json!({"id": 5, "image_id": 1, "category_id": 1, "bbox": bbox});
    let document = |images: &[&_], categories: &[&_], annotations: &[&_]| {
        json!({"images": images, "categories": categories, "annotations": annotations}).to_string()
    };
    let good = boxed(json!([1, 1, 2, 2]));
    let cases = [
        ("hello".to_owned(), "line 1"),
        ("{}".to_owned(), "missing field `images`"),
        (document(&[], &[&category], &[&good]), "no images"),
        (document(&[&image, &image], &[&category], &[]), "same id"),
        (document(&[&image], &[&category, &category], &[]), "two categories have the id 1"),
        (document(&[&image], &[&category], &[&boxed(json!([1, 1, -2, 2]))]), "annotation 5 has the bbox"),
        (document(&[&image], &[&category], &[&boxed(json!([1, 1]))]), "length"),
        (document(&[&image, &with("../b.jpg")], &[&category], &[]), "../b.jpg"),
        (document(&[&with("/etc/passwd")], &[&category], &[]), "/etc/passwd"),
        (document(&[&with("")], &[&category], &[]), "relative path"),
    ];
    for (text, reason) in cases {
        let error = Truth::parse(text.as_bytes()).unwrap_err();
        assert!(error.contains(reason), "{error}");
    }
    // Annotations of pictures and categories that are not listed are left aside, as pycocotools does.
    let stray = json!({"image_id": 8, "category_id": 1, "bbox": [1, 1, 2, 2]});
    let truth = Truth::parse(document(&[&image], &[&category], &[&good, &stray]).as_bytes()).unwrap();
    assert_eq!((truth.boxes(1, 0).len(), truth.boxes(8, 0).len()), (1, 0));
}

/// Damages good annotations byte by byte. Always ends in annotations that can be measured against, or in a reason.
#[test]
fn no_annotations_are_too_broken() {
    let good = json!({
        "images": [{"id": 1, "file_name": "a.jpg", "width": 9, "height": 9}],
        "categories": [{"id": 1, "name": "part"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3.5, 4], "iscrowd": 0}],
    });
    let good = good.to_string().into_bytes();
    let mut random = Random(17);
    for _ in 0..5000 {
        let mut bytes = good.clone();
        for _ in 0..1 + random.below(3) {
            let at = random.below(bytes.len() as u32) as usize;
            match random.below(3) {
                0 => bytes[at] = b"-9e\",:[]{}0\xff"[random.below(12) as usize],
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, bytes[at]),
            }
        }
        match Truth::parse(&bytes) {
            Err(reason) => assert!(!reason.is_empty()),
            Ok(truth) => {
                if let Ok(mut evaluation) = Evaluation::new(&truth, &labels("part")) {
                    evaluation.add(1, [found(0.5, [1.0, 2.0, 3.0, 4.0])]);
                    let Report { map, ap50, ap75, ar100 } = evaluation.report();
                    assert!([map, ap50, ap75, ar100].iter().all(|v| (0.0..=1.0).contains(v)));
                }
            }
        }
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = Truth::load(std::path::Path::new("no/such.json")).unwrap_err().to_string();
    assert!(error.contains("no/such.json") && error.contains("No such file"), "{error}");
}

#[derive(Deserialize)]
struct Fixture {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    images: Vec<i64>,
    categories: usize,
    truth: Vec<(i64, usize, f64, f64, f64, f64, u8)>,
    found: Vec<(i64, usize, f64, f64, f64, f64, f64)>,
    expected: Expected,
}

#[derive(Deserialize)]
struct Expected {
    map: f64,
    ap50: f64,
    ap75: f64,
    ar100: f64,
}

impl Case {
    fn truth(&self) -> Truth {
        let image = |id: &i64| json!({"id": id, "file_name": "a.jpg", "width": 200, "height": 200});
        let document = json!({
            "images": self.images.iter().map(image).collect::<Vec<_>>(),
            "categories": (1..=self.categories).map(|c| json!({"id": c, "name": format!("c{c}")})).collect::<Vec<_>>(),
            "annotations": self.truth.iter().map(|(i, c, x, y, w, h, crowd)| json!({
                "image_id": i, "category_id": c, "bbox": [x, y, w, h], "area": w * h, "iscrowd": crowd
            })).collect::<Vec<_>>(),
        });
        Truth::parse(document.to_string().as_bytes()).unwrap()
    }
}

#[test]
fn measures_what_pycocotools_measures() {
    let fixture: Fixture = serde_json::from_str(include_str!("pycocotools.json")).unwrap();
    assert!(fixture.cases.len() >= 7);
    for (n, case) in fixture.cases.iter().enumerate() {
        let truth = case.truth();
        let names: Vec<String> = (1..=case.categories).map(|c| format!("c{c}")).collect();
        let mut evaluation = Evaluation::new(&truth, &labels(&names.join("\n"))).unwrap();
        for &(image, category, score, x, y, w, h) in &case.found {
            evaluation.add(image, [Detection { class: category - 1, score, bbox: [x, y, w, h] }]);
        }
        let Report { map, ap50, ap75, ar100 } = evaluation.report();
        let Expected { map: m, ap50: a, ap75: b, ar100: r } = case.expected;
        for (got, wanted) in [(map, m), (ap50, a), (ap75, b), (ar100, r)] {
            assert!(close(got, wanted), "case {n}: {got} instead of {wanted}");
        }
    }
}
