//! Real pictures of people, redacted, stored, and searched by detectors that the redaction doesn't use.
//!
//! Pictures and models are those of `OCELLUS_SAMPLES`, by default `../shared/data` beside the repository; where they are
//! not, there is nothing to test with.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use serde::Deserialize;

use super::*;
use crate::privacy::finder::Finder;
use crate::ship::{Sink, Store};

/// Pictures with people in them besides those of COCO.
const PICTURES: [&str; 2] = ["images/dog_bike_man.jpg", "images/frame_worker-zone-detection_f0.jpg"];
/// Clips with people in them, and the frames that are taken.
const CLIPS: [(&str, &[u32]); 2] =
    [("video/one-by-one-person-detection.mp4", &[174, 522, 1044]), ("video/worker-zone-detection.gif", &[24, 48])];
/// How pictures are redacted: all of them in the weakest way; in the others one of so many, beginning with that one.
const METHODS: [(&str, usize, usize); 3] = [("blur", 1, 0), ("fill", 5, 0), ("pixelate", 5, 3)];
/// Pictures that may stay, whatever is done to them.
const STAYING: usize = 1;
/// Finds where nobody is: what was made unrecognisable may look like somebody with the legs of an elephant.
const PHANTOMS: usize = 1;

/// A box of a detector: left and upper edge, width, height, score.
type Find = [f32; 5];

/// What the independent detectors find in one picture.
#[derive(Debug, Deserialize)]
struct Seen {
    persons: Vec<Find>,
    faces: Vec<Find>,
}

/// Pictures, and who is annotated in them.
struct Sample {
    path: PathBuf,
    people: Option<Vec<Somebody>>,
}

/// One person, or several that are annotated as a crowd.
struct Somebody {
    rect: Rect,
    crowd: bool,
}

fn samples() -> Option<PathBuf> {
    let usual = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let folder = std::env::var_os("OCELLUS_SAMPLES").map_or_else(usual, PathBuf::from);
    let there = folder.join("models").is_dir();
    if !there {
        eprintln!(
            "skipped: no sample pictures and models in {}; OCELLUS_SAMPLES says where they are",
            folder.display()
        );
    }
    there.then_some(folder)
}

/// COCO's pictures with persons in them.
fn of_coco(samples: &Path) -> Vec<Sample> {
    #[derive(Deserialize)]
    struct Truth {
        images: Vec<Picture>,
        annotations: Vec<Annotation>,
        categories: Vec<Category>,
    }
    #[derive(Deserialize)]
    struct Picture {
        id: u64,
        file_name: String,
        width: f32,
        height: f32,
    }
    #[derive(Deserialize)]
    struct Annotation {
        image_id: u64,
        category_id: u64,
        bbox: [f32; 4],
        #[serde(default)]
        iscrowd: u8,
    }
    #[derive(Deserialize)]
    struct Category {
        id: u64,
        name: String,
    }
    let text = std::fs::read(samples.join("coco/instances.json")).expect("the annotations");
    let truth: Truth = serde_json::from_slice(&text).expect("JSON");
    let person = truth.categories.iter().find(|category| category.name == "person").expect("there is one").id;
    let sample = |picture: &Picture| {
        let of = truth.annotations.iter().filter(|a| a.image_id == picture.id && a.category_id == person);
        let somebody = |a: &Annotation| {
            let ([x, y, w, h], Picture { width, height, .. }) = (a.bbox, picture);
            Somebody { rect: Rect::from([x / width, y / height, w / width, h / height]), crowd: a.iscrowd != 0 }
        };
        let people: Vec<Somebody> = of.map(somebody).collect();
        let path = samples.join("coco/images").join(&picture.file_name);
        (!people.is_empty()).then_some(Sample { path, people: Some(people) })
    };
    truth.images.iter().filter_map(sample).collect()
}

/// All sample pictures with people in them: near and far, in light and shade. Frames of clips are written to a folder.
fn with_people(samples: &Path, folder: &Path) -> Vec<Sample> {
    for (n, (clip, frames)) in CLIPS.iter().enumerate() {
        let wanted: Vec<String> = frames.iter().map(|frame| format!("eq(n\\,{frame})")).collect();
        let status = Command::new("ffmpeg")
            .args(["-v", "error", "-i"])
            .arg(samples.join(clip))
            .args(["-vf", &format!("select={}", wanted.join("+")), "-fps_mode", "vfr"])
            .arg(folder.join(format!("clip{n}-%d.png")))
            .status();
        assert!(status.expect("ffmpeg is installed").success(), "{clip}");
    }
    let mut others: Vec<PathBuf> =
        std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    assert_eq!(others.len(), CLIPS.iter().map(|(_, frames)| frames.len()).sum::<usize>(), "{others:?}");
    others.sort();
    others.extend(PICTURES.iter().map(|name| samples.join(name)));
    let others = others.into_iter().map(|path| Sample { path, people: None });
    of_coco(samples).into_iter().chain(others).collect()
}

/// What others see in these pictures.
fn look<'a>(samples: &Path, pictures: impl IntoIterator<Item = &'a PathBuf>) -> Option<BTreeMap<PathBuf, Seen>> {
    let Some(python) = std::env::var_os("OCELLUS_PYTHON") else {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "OCELLUS_PYTHON is not set, and CI must have it");
        eprintln!("skipped: OCELLUS_PYTHON is not set; scripts/test sets it");
        return None;
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/people.py");
    let model = samples.join("models/picodet_s_320_coco.onnx");
    let output = Command::new(python).arg(script).arg(model).args(pictures).output().expect("Python runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(serde_json::from_slice(&output.stdout).expect("JSON"))
}

fn finder(samples: &Path, model: &str, profile: &str) -> FinderConfig {
    let path = samples.join("models").join(model);
    toml::from_str(&format!("path = {path:?}\nprofile = {profile:?}")).expect("a finder")
}

fn read(path: &Path) -> Image {
    let rgb = image::open(path).expect("a picture").to_rgb8();
    let (width, height) = rgb.dimensions();
    Image::new(width, height, PixelFormat::Rgb8, rgb.into_raw().into()).expect("a picture")
}

/// Brings pictures through a policy into a folder, as evidence. Gives the files and what was redacted in them, none for
/// those that stay.
fn through(samples: &Path, pictures: &[&PathBuf], rule: &str, store: &Path) -> Vec<Option<(PathBuf, Found)>> {
    let config = PrivacyConfig {
        persons: Some(finder(samples, "yolox_nano_416.onnx", "yolox")),
        faces: Some(finder(samples, "ultraface_rfb320.onnx", "ultraface")),
        ..policy(&[rule])
    };
    let (guard, log) = guard(&config);
    let target = Store::open(&store.display().to_string()).expect("a folder");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut hashes = Vec::new();
    let mut one = |n: usize, picture: &Path| {
        let id = format!("01JD00000000000000000000{n:02}");
        let evidence = guard.pass(&id, &pick(Some(read(picture)))).expect("no failure")?;
        runtime.block_on(target.keep(&evidence)).expect("kept");
        let record: Record = serde_json::from_slice(&evidence.json).expect("a record");
        let handled = record.privacy.expect("handled");
        hashes.push(handled.audit);
        let folder = format!("evidence/dt={}/site={}/camera={}", evidence.day, evidence.site, evidence.camera);
        Some((store.join(folder).join(format!("{id}.jpg")), handled.handling.found))
    };
    let files = pictures.iter().enumerate().map(|(n, picture)| one(n, picture)).collect();
    verify(log.path(), &hashes).expect("each record's entry is in the log");
    files
}

/// Whether a find is where somebody is: a tenth of the smaller of both is enough.
fn is_at(find: &Find, rect: &Rect) -> bool {
    let [x, y, w, h, _] = *find;
    let across = (x + w).min(rect.x + rect.w) - x.max(rect.x);
    let down = (y + h).min(rect.y + rect.h) - y.max(rect.y);
    across.max(0.0) * down.max(0.0) > 0.1 * (w * h).min(rect.w * rect.h)
}

#[test]
fn others_find_nobody_in_what_left() {
    let Some(samples) = samples() else { return };
    let frames = tempfile::tempdir().expect("a folder");
    let all = with_people(&samples, frames.path());
    let Some(before) = look(&samples, all.iter().map(|sample| &sample.path)) else { return };
    let (persons, faces) = before.values().fold((0, 0), |(p, f), seen| (p + seen.persons.len(), f + seen.faces.len()));
    assert!(persons >= 70 && faces >= 20, "there is something to find: {persons} persons, {faces} faces");
    let mut phantoms = Vec::new();
    for (method, every, first) in METHODS {
        let store = tempfile::tempdir().expect("a folder");
        let rule = format!("allow = \"frame\"\nredact = [\"persons\", \"faces\"]\nmethod = \"{method}\"");
        let taken: Vec<&Sample> = all.iter().skip(first).step_by(every).collect();
        let paths: Vec<&PathBuf> = taken.iter().map(|sample| &sample.path).collect();
        let went = through(&samples, &paths, &rule, store.path());
        let left: Vec<(&Sample, &PathBuf)> =
            taken.iter().copied().zip(&went).filter_map(|(sample, went)| Some((sample, &went.as_ref()?.0))).collect();
        assert!(left.len() + STAYING >= taken.len(), "{method}: {} of {} left", left.len(), taken.len());
        let after = look(&samples, left.iter().map(|(_, file)| *file)).expect("as before");
        for (sample, file) in &left {
            let seen = &after[*file];
            let name = sample.path.display();
            assert!(seen.faces.is_empty(), "{method}: a face in {name}: {:?}", seen.faces);
            let is_there = |find: &Find| {
                sample.people.as_ref().is_none_or(|people| people.iter().any(|somebody| is_at(find, &somebody.rect)))
            };
            // Black in the shape of somebody is somebody to a detector, and has no pixel of anybody.
            if method == "fill" {
                continue;
            }
            assert!(!seen.persons.iter().any(is_there), "{method}: somebody in {name}: {:?}", seen.persons);
            phantoms.extend(seen.persons.iter().map(|find| (method, name.to_string(), *find)));
        }
    }
    assert!(phantoms.len() <= PHANTOMS, "{phantoms:#?}");
}

/// What `docs/reference/config.md` says of the models: how many of the annotated persons are covered, by half at least.
#[test]
fn most_of_the_persons_that_are_annotated_are_found() {
    let Some(samples) = samples() else { return };
    let mut persons = Finder::persons(&finder(&samples, "yolox_nano_416.onnx", "yolox"), DeviceChoice::Cpu);
    let (mut people, mut covered) = (0, 0);
    for sample in of_coco(&samples) {
        let margin = persons.margin();
        let found = persons.find(&read(&sample.path)).expect("it runs");
        let within = |find: &Rect, x: f32, y: f32| {
            let inside =
                |at: f32, start: f32, size: f32| (start - margin * size..start + (1.0 + margin) * size).contains(&at);
            inside(x, find.x, find.w) && inside(y, find.y, find.h)
        };
        for Somebody { rect, .. } in sample.people.iter().flatten().filter(|somebody| !somebody.crowd) {
            let at = |i: u8| (f32::from(i) + 0.5) / 20.0;
            let points = (0..20).flat_map(|row| (0..20).map(move |column| (at(column), at(row))));
            let hidden =
                points.filter(|(x, y)| found.iter().any(|find| within(find, rect.x + x * rect.w, rect.y + y * rect.h)));
            people += 1;
            covered += usize::from(hidden.count() >= 200);
        }
    }
    eprintln!("{covered} of {people} annotated persons are covered");
    assert!(people > 100 && covered * 100 >= people * 95, "{covered} of {people}");
}

#[test]
fn faces_alone_leave_the_people() {
    let Some(samples) = samples() else { return };
    let store = tempfile::tempdir().expect("a folder");
    let pictures =
        [PICTURES[0], "coco/images/000000229358.jpg", "coco/images/000000547336.jpg"].map(|name| samples.join(name));
    let went = through(&samples, &pictures.each_ref(), "allow = \"frame\"\nredact = [\"faces\"]", store.path());
    let left: Vec<(PathBuf, Found)> = went.into_iter().map(|went| went.expect("it may leave")).collect();
    let Some(after) = look(&samples, left.iter().map(|(file, _)| file)) else { return };
    assert!(after.values().all(|seen| seen.faces.is_empty()), "{after:#?}");
    assert!(after.values().map(|seen| seen.persons.len()).sum::<usize>() > 0, "{after:#?}");
    assert!(left.iter().all(|(_, found)| found.faces > 0), "{left:?}");
}
