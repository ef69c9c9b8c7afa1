//! From a store on a disk to files that others read.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;

use super::*;
use crate::detection::{Detections, Rect};
use crate::evidence::{
    Encoded, Evidence, Judgement, Marked, Pick, Reason, Record, VERDICT_SCHEMA, Verdict, Via, scored,
};
use crate::frame::{Frame, Image, PixelFormat};
use crate::ship::Sink;

/// A camera's frame of a day, with its objects. `crop` keeps a part of it.
fn evidence(n: u64, camera: &str, day: u64, objects: &[(&str, f32, [f32; 4])], crop: Option<Rect>) -> Evidence {
    let mut scored = scored(n, objects);
    let mut detections = Detections::clone(&scored.detections);
    detections.camera = camera.to_owned();
    detections.frame.captured_at += std::time::Duration::from_secs(day * 86_400);
    scored.detections = Arc::new(detections);
    let grey = vec![128; PixelFormat::Rgb8.bytes(80, 40)];
    let image = Image::new(80, 40, PixelFormat::Rgb8, grey.into()).expect("a picture");
    scored.frame = Frame { image, ..scored.frame };
    let encoded = Encoded { crop, ..Encoded::of(&scored.frame.image).expect("encoded") };
    let pick = Pick { scored, reason: Reason::Band { label: "bolt".to_owned(), score: 0.45 }, value: 0.5 };
    Evidence::assemble(&format!("01JD{n:022}"), &pick, Some(encoded), None).expect("assembled")
}

const BOLT: (&str, f32, [f32; 4]) = ("bolt", 0.45, [0.1, 0.2, 0.3, 0.4]);
const NUT: (&str, f32, [f32; 4]) = ("nut \"M8\" & <co>", 0.8, [0.5, 0.5, 0.25, 0.5]);

/// Ten cameras over four days, two frames each, one of them empty, and one cropped.
fn store(folder: &Path) -> Store {
    let store = Store::open(&folder.display().to_string()).expect("a folder");
    block_on(async {
        let mut n = 0;
        for camera in 0..10 {
            for day in 0..4 {
                for objects in [&[BOLT, NUT][..], if n % 7 == 0 { &[] } else { &[BOLT] }] {
                    let crop = (n == 11).then_some(Rect { x: 0.2, y: 0.0, w: 0.5, h: 0.5 });
                    store.keep(&evidence(n, &format!("line{camera}"), day, objects, crop)).await.expect("kept");
                    n += 1;
                }
            }
        }
    });
    store
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

fn wanted(format: Format) -> Wanted {
    let url = matches!(format, Format::AzureMl | Format::LabelStudio).then(|| "azureml://data/".to_owned());
    Wanted {
        format,
        splits: Splits::default(),
        min_score: 0.0,
        url,
        licence: Some("CC-BY-4.0".to_owned()),
        judged: false,
    }
}

/// A class and its box.
type Found = (String, [f64; 4]);

/// What another reader finds: split and boxes by the evidence's id.
fn read_back(format: &str, folder: &Path) -> Option<BTreeMap<String, (String, Vec<Found>)>> {
    let Some(python) = std::env::var_os("OCELLUS_PYTHON") else {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "OCELLUS_PYTHON is not set, and CI must have it");
        eprintln!("skipped: OCELLUS_PYTHON is not set; scripts/test sets it");
        return None;
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/datasets.py");
    let output = Command::new(python).arg(script).arg(format).arg(folder).output().expect("Python runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found: BTreeMap<String, serde_json::Value> = serde_json::from_slice(&output.stdout).expect("JSON");
    let one = |value: serde_json::Value| {
        let boxes: Vec<(String, f64, f64, f64, f64)> = serde_json::from_value(value["boxes"].clone()).expect("boxes");
        let boxes = boxes.into_iter().map(|(name, x, y, w, h)| (name, [x, y, w, h])).collect();
        (value["split"].as_str().expect("a split").to_owned(), boxes)
    };
    Some(found.into_iter().map(|(id, value)| (id, one(value))).collect())
}

#[test]
fn others_read_what_was_kept() {
    let base = tempfile::tempdir().expect("a folder");
    let store = store(&base.path().join("store"));
    let (samples, left_out) = block_on(read(&store, |_, _| ())).expect("read");
    assert_eq!((samples.len(), left_out), (80, 0));
    for (format, name) in [
        (Format::Coco, "coco"),
        (Format::AzureMl, "azureml"),
        (Format::LabelStudio, "labelstudio"),
        (Format::Yolo, "yolo"),
    ] {
        let folder = base.path().join(name);
        let manifest = block_on(export(&store, &wanted(format), &folder, |_, _| ())).expect("exported");
        assert_eq!(manifest.total.pictures, 80);
        let Some(found) = read_back(name, &folder) else { return };
        assert_eq!(found.len(), 80, "{name}");
        for sample in &samples {
            let (split, boxes) = &found[&sample.id];
            assert_eq!(split, wanted(format).splits.of(sample).name(), "{name}");
            assert_eq!(boxes.len(), sample.labels.len(), "{name} {}", sample.id);
            for (label, (as_named, rect)) in sample.labels.iter().zip(boxes) {
                let Rect { x, y, w, h } = label.rect;
                assert_eq!(&label.name, as_named, "{name}");
                for (ours, theirs) in [x, y, w, h].map(f64::from).iter().zip(rect) {
                    assert!((ours - theirs).abs() < 5e-4, "{name}: {label:?} {rect:?}");
                }
            }
        }
    }
}

#[test]
fn the_manifest_counts_what_is_there() {
    let base = tempfile::tempdir().expect("a folder");
    let store = store(&base.path().join("store"));
    let folder = base.path().join("set");
    let manifest = block_on(export(&store, &wanted(Format::Yolo), &folder, |_, _| ())).expect("exported");
    let said: Manifest =
        serde_json::from_slice(&std::fs::read(folder.join(MANIFEST)).expect("there")).expect("a manifest");
    assert_eq!(said, manifest);
    assert_eq!(said.total.labels[NUT.0], 40);
    assert_eq!(
        (said.total.reasons["band"], said.total.models["sha256:0"], said.total.configs["sha256:1"]),
        (80, 80, 80)
    );
    assert_eq!(said.splits.values().map(|count| count.pictures).sum::<u64>(), 80);
    assert_eq!(said.licence.as_deref(), Some("CC-BY-4.0"));
    for (name, digest) in said.pictures.iter().chain(&said.files) {
        let content = std::fs::read(folder.join(name)).expect(name);
        let there: String =
            <sha2::Sha256 as sha2::Digest>::digest(&content).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(&there, digest, "{name}");
    }
}

#[test]
fn a_camera_and_day_is_in_one_split_and_stays_there() {
    let base = tempfile::tempdir().expect("a folder");
    let (samples, _) = block_on(read(&store(base.path()), |_, _| ())).expect("read");
    let splits = Splits::default();
    let mut groups = BTreeMap::new();
    for sample in &samples {
        let before = groups.insert((sample.camera.clone(), sample.day), splits.of(sample));
        assert!(before.is_none_or(|before| before == splits.of(sample)));
    }
    let share = |split| groups.values().filter(|of| **of == split).count();
    assert_eq!(groups.len(), 40);
    assert!(share(Split::Train) > 25 && share(Split::Val) > 0 && share(Split::Test) > 0, "{groups:?}");
    // Written down once: another order of bytes would move pictures from one split to another.
    assert_eq!("0,0,1".parse::<Splits>().map(|splits| splits.of(&samples[0])), Ok(Split::Test));
    for text in ["", "80", "80,10", "80,10,10,0", "-1,1,1", "0,0,0", "a,b,c", "20000,1,1"] {
        assert_eq!(text.parse::<Splits>(), Err(SplitError), "{text}");
    }
}

#[test]
fn boxes_of_a_part_are_moved_into_it_and_cut() {
    let crop = Rect { x: 0.2, y: 0.0, w: 0.5, h: 0.5 };
    let item = evidence(1, "line1", 0, &[BOLT, ("gone", 0.9, [0.8, 0.8, 0.1, 0.1])], Some(crop));
    let record = serde_json::from_slice(&item.json).expect("a record");
    let sample = Sample::of("evidence/x.json", record, None).expect("a picture");
    assert_eq!(sample.labels.len(), 1);
    let Rect { x, y, w, h } = sample.labels[0].rect;
    for (value, wanted) in [x, y, w, h].into_iter().zip([0.0, 0.4, 0.4, 0.6]) {
        assert!((value - wanted).abs() < 1e-4, "{:?}", sample.labels);
    }
}

#[test]
fn labels_below_the_score_are_left_out() {
    let base = tempfile::tempdir().expect("a folder");
    let store = store(&base.path().join("store"));
    let wanted = Wanted { min_score: 0.5, ..wanted(Format::Coco) };
    let manifest = block_on(export(&store, &wanted, &base.path().join("set"), |_, _| ())).expect("exported");
    assert_eq!(manifest.classes, [NUT.0]);
    assert_eq!(manifest.total.pictures, 80, "pictures without labels are pictures of nothing");
}

#[test]
fn what_can_not_be_exported_is_told() {
    let base = tempfile::tempdir().expect("a folder");
    let empty = Store::open(&base.path().join("empty").display().to_string()).expect("a folder");
    let to = |store: &Store, folder: &str| {
        let folder = base.path().join(folder);
        block_on(export(store, &wanted(Format::Coco), &folder, |_, _| ())).map_err(|error| error.to_string())
    };
    assert!(to(&empty, "a").expect_err("nothing is there").contains("holds no evidence"));
    let store = store(&base.path().join("store"));
    assert!(to(&store, "store").expect_err("it is in use").contains("not empty"));
    // A picture that was changed, or is gone.
    let (samples, _) = block_on(read(&store, |_, _| ())).expect("read");
    let picture = base.path().join("store").join(&samples[5].picture);
    std::fs::write(&picture, b"another").expect("written");
    assert!(to(&store, "b").expect_err("it was changed").contains("its SHA-256 is another"));
    std::fs::remove_file(&picture).expect("removed");
    assert!(to(&store, "c").expect_err("it is gone").contains(&samples[5].picture));
    // What is no record is no sample.
    std::fs::write(picture.with_extension("json"), b"{}").expect("written");
    assert_eq!(block_on(read(&store, |_, _| ())).expect("read").1, 1);
}

/// A verdict as the store has it, the `revision`th on frame `n`.
fn said(
    n: u64,
    camera: &str,
    day: u64,
    revision: u32,
    verdict: Judgement,
    objects: Option<&[(&str, [f32; 4])]>,
) -> Verdict {
    let record: Record = serde_json::from_slice(&evidence(n, camera, day, &[], None).json).expect("a record");
    let marked = |(label, rect): &(&str, [f32; 4])| Marked { label: (*label).to_owned(), rect: Rect::from(*rect) };
    Verdict {
        schema: VERDICT_SCHEMA.to_owned(),
        id: format!("v{n}-{revision}"),
        frame: record.id,
        site: record.detections.site,
        node: record.detections.node,
        camera: record.detections.camera,
        captured_at: record.detections.frame.captured_at,
        model: record.detections.model,
        verdict,
        objects: objects.map(|objects| objects.iter().map(marked).collect()),
        by: None,
        at: record.detections.frame.captured_at,
        via: Via::Http,
        revision,
        replaces: None,
    }
}

/// Frames 0 to 7 and what was said of them.
fn judged(folder: &Path) -> Store {
    let store = Store::open(&folder.display().to_string()).expect("a folder");
    let crop = Rect { x: 0.5, y: 0.0, w: 0.5, h: 1.0 };
    let washer = [("washer", [0.5, 0.5, 0.25, 0.25])];
    block_on(async {
        for n in 0..8 {
            store.keep(&evidence(n, "line1", n, &[BOLT, NUT], (n == 7).then_some(crop))).await.expect("kept");
        }
        for verdict in [
            said(1, "line1", 1, 1, Judgement::Right, None),
            said(2, "line1", 2, 1, Judgement::Wrong, None),
            said(3, "line1", 3, 1, Judgement::Corrected, Some(&washer)),
            // Nothing is there.
            said(4, "line1", 4, 1, Judgement::Corrected, Some(&[])),
            // The last word counts, whichever file is read first.
            said(5, "line1", 5, 10, Judgement::Corrected, Some(&washer)),
            said(5, "line1", 5, 9, Judgement::Right, None),
            said(6, "line1", 6, 2, Judgement::Right, None),
            said(6, "line1", 6, 1, Judgement::Wrong, None),
            said(7, "line1", 7, 1, Judgement::Corrected, Some(&[washer[0], ("gone", [0.0, 0.0, 0.4, 0.4])])),
            // Of a frame that never came.
            said(99, "line1", 9, 1, Judgement::Right, None),
        ] {
            store.keep_verdict(&verdict).await.expect("kept");
        }
    });
    store
}

#[test]
fn others_read_what_people_said() {
    let base = tempfile::tempdir().expect("a folder");
    let store = judged(&base.path().join("store"));
    let seen = [("bolt", [0.1, 0.2, 0.3, 0.4]), (NUT.0, [0.5, 0.5, 0.25, 0.5])];
    let washer = [("washer", [0.5, 0.5, 0.25, 0.25])];
    let of_part = [("washer", [0.0, 0.5, 0.5, 0.25])];
    for (format, name) in [
        (Format::Coco, "coco"),
        (Format::AzureMl, "azureml"),
        (Format::LabelStudio, "labelstudio"),
        (Format::Yolo, "yolo"),
    ] {
        let folder = base.path().join(name);
        // Whoever said that all is right has seen what was below the score.
        let wanted = Wanted { min_score: 0.5, ..wanted(format) };
        let manifest = block_on(export(&store, &wanted, &folder, |_, _| ())).expect("exported");
        let tasks = u64::from(format == Format::LabelStudio);
        assert_eq!((manifest.total.pictures, manifest.left_out), (7 + tasks, 1 - tasks), "{name}");
        let counts = &manifest.total.verdicts;
        let count = |verdict: &str| counts.get(verdict).copied().unwrap_or_default();
        assert_eq!((count("right"), count("corrected"), count("none"), count("wrong")), (2, 4, 1, tasks), "{name}");
        assert_eq!(manifest.classes, ["bolt", NUT.0, "washer"], "{name}");
        let Some(found) = read_back(name, &folder) else { return };
        let mut expected: BTreeMap<u64, &[(&str, [f64; 4])]> = [
            (0, &seen[1..]),
            (1, &seen[..]),
            (3, &washer[..]),
            (4, &[][..]),
            (5, &washer[..]),
            (6, &seen[..]),
            (7, &of_part[..]),
        ]
        .into();
        if format == Format::LabelStudio {
            expected.insert(2, &[]);
        }
        assert_eq!(found.len(), expected.len(), "{name}");
        for (n, boxes) in expected {
            let (_, there) = &found[&format!("01JD{n:022}")];
            assert_eq!(there.len(), boxes.len(), "{name} {n}: {there:?}");
            for ((label, rect), (as_named, as_found)) in boxes.iter().zip(there) {
                assert_eq!(label, as_named, "{name} {n}");
                assert!(rect.iter().zip(as_found).all(|(a, b)| (a - b).abs() < 5e-4), "{name} {n}: {as_found:?}");
            }
        }
    }
    // A task keeps what the model saw beside what people said; of what is wrong it says nothing.
    let tasks: Vec<serde_json::Value> = Split::ALL
        .iter()
        .flat_map(|split| {
            let text = std::fs::read(base.path().join("labelstudio").join(format!("{}.json", split.name())));
            serde_json::from_slice::<Vec<serde_json::Value>>(&text.expect("there")).expect("tasks")
        })
        .collect();
    let task = |n: u64| tasks.iter().find(|task| task["data"]["evidence"] == format!("01JD{n:022}")).expect("there");
    assert_eq!(task(3)["predictions"][0]["result"][0]["value"]["rectanglelabels"][0], NUT.0);
    assert_eq!((&task(2)["predictions"], task(2).get("annotations")), (&serde_json::json!([]), None));
    assert_eq!(task(2)["data"]["verdict"], "wrong");
}

#[test]
fn only_what_was_judged_may_be_asked_for() {
    let base = tempfile::tempdir().expect("a folder");
    let store = judged(&base.path().join("store"));
    let wanted = Wanted { judged: true, ..wanted(Format::Yolo) };
    let manifest = block_on(export(&store, &wanted, &base.path().join("set"), |_, _| ())).expect("exported");
    assert_eq!((manifest.total.pictures, manifest.left_out), (6, 2));
    let (samples, left_out) = block_on(read(&store, |_, _| ())).expect("read");
    assert_eq!((Count::of(&samples).verdicts["wrong"], left_out), (1, 0));
    let unjudged = self::store(&base.path().join("unjudged"));
    let error = block_on(export(&unjudged, &wanted, &base.path().join("none"), |_, _| ())).expect_err("nothing");
    assert!(error.to_string().contains("no pictures with verdicts"), "{error}");
    // What is no verdict is told apart, and does not count.
    let folder = "evidence/dt=1970-01-01/site=plant-7/camera=line0";
    let odd = base.path().join("unjudged").join(folder).join("01X.verdict-v.json");
    std::fs::write(odd, b"{}").expect("written");
    let (samples, left_out) = block_on(read(&unjudged, |_, _| ())).expect("read");
    assert_eq!((samples.len(), left_out), (80, 1));
}
