//! What leaves, and what stays.

mod people;
mod stay;

use bytes::Bytes;

use super::audit::verify;
use super::*;
use crate::clock::ManualClock;
use crate::config::{Allow, DeviceChoice, FinderConfig, MaskConfig, Method, Name, PrivacyConfig, RuleConfig};
use crate::detection::{Detections, Rect};
use crate::evidence::{Encoded, Found, Gate, Pick, Reason, Record, scored};
use crate::frame::{Frame, Image, PixelFormat};

/// A rule that lets something go, as written.
fn rule(text: &str) -> RuleConfig {
    toml::from_str(&format!("name = \"r\"\n{text}")).expect(text)
}

fn guard(config: &PrivacyConfig) -> (Guard, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    (guard_in(config, folder.path(), &clock()), folder)
}

fn clock() -> ManualClock {
    ManualClock::new(chrono::DateTime::UNIX_EPOCH)
}

/// With its log in a folder, and what stays in `withheld` in it.
fn guard_in(config: &PrivacyConfig, folder: &Path, clock: &ManualClock) -> Guard {
    let log = Log::open(folder, config.audit_mib, Arc::new(clock.clone())).expect("opened");
    Guard::for_store(config, "az://c", log, &folder.join("withheld"), DeviceChoice::Cpu).expect("opened")
}

fn policy(rules: &[&str]) -> PrivacyConfig {
    PrivacyConfig { store: rules.iter().map(|text| rule(text)).collect(), ..PrivacyConfig::default() }
}

/// A frame of grey noise with a bolt in it.
fn pick(image: Option<Image>) -> Pick {
    let mut scored = scored(7, &[("bolt", 0.45, [0.25, 0.5, 0.25, 0.25]), ("nut", 0.9, [0.75, 0.0, 0.25, 0.25])]);
    let image = image.unwrap_or_else(|| {
        let pixels: Vec<u8> = (0..80_u32 * 40 * 3).map(|i| u8::try_from(40 + i * 31 % 200).expect("a byte")).collect();
        Image::new(80, 40, PixelFormat::Rgb8, pixels.into()).expect("a picture")
    });
    scored.detections = Arc::new(Detections { embedding: Some(vec![1.0]), ..Detections::clone(&scored.detections) });
    scored.frame = Frame { image, ..scored.frame };
    Pick { reason: Reason::Band { label: "bolt".to_owned(), score: 0.45 }, value: 1.0, scored }
}

const ID: &str = "01JD0000000000000000000000";

fn pass(guard: &Guard, pick: &Pick) -> Option<(Option<Bytes>, Record)> {
    let evidence = guard.pass(ID, pick).expect("no failure")?;
    Some((evidence.jpeg, serde_json::from_slice(&evidence.json).expect("a record")))
}

/// The last entry of the log.
fn last(folder: &tempfile::TempDir) -> serde_json::Value {
    let text = std::fs::read_to_string(folder.path().join("audit-000000000001.jsonl")).expect("a log");
    serde_json::from_str(text.lines().last().expect("a line")).expect("JSON")
}

fn decoded(jpeg: &[u8]) -> image::RgbImage {
    image::load_from_memory(jpeg).expect("a JPEG").to_rgb8()
}

#[test]
fn without_a_rule_that_fits_everything_stays() {
    for rules in [
        &[][..],
        &["cameras = [\"other\"]\nallow = \"frame\""],
        &["zones = [\"door\"]\nallow = \"frame\""],
        &["allow = \"nothing\"", "allow = \"frame\""],
    ] {
        let (guard, folder) = guard(&policy(rules));
        assert!(pass(&guard, &pick(None)).is_none(), "{rules:?}");
        let entry = last(&folder);
        assert_eq!((&entry["what"], &entry["id"], &entry["camera"]), (&"withheld".into(), &ID.into(), &"line3".into()));
    }
}

#[test]
fn the_first_rule_that_fits_decides() {
    let rules = [
        "cameras = [\"other\"]\nallow = \"nothing\"",
        "cameras = [\"line3\"]\nallow = \"metadata\"",
        "allow = \"frame\"",
    ];
    let (guard, _folder) = guard(&policy(&rules));
    let (jpeg, record) = pass(&guard, &pick(None)).expect("it may leave");
    assert!(jpeg.is_none() && record.image.is_none());
    assert_eq!(record.privacy.expect("handled").handling.allow, Allow::Metadata);
}

#[test]
fn rules_hold_for_zones_and_hours() {
    let mut in_zone = pick(None);
    let mut detections = Detections::clone(&in_zone.scored.detections);
    detections.objects[1].zones = vec!["door".to_owned()];
    in_zone.scored.detections = Arc::new(detections);
    let (guarded, _folder) = guard(&policy(&["zones = [\"door\"]\nallow = \"frame\""]));
    assert!(pass(&guarded, &in_zone).is_some() && pass(&guarded, &pick(None)).is_none());

    // Whatever the time zone is, the frame's local time is inside one half of the day.
    let halves = ["hours = [\"00:00-12:00\"]\nallow = \"frame\"", "hours = [\"12:00-24:00\"]\nallow = \"frame\""];
    let left = halves.map(|half| pass(&guard(&policy(&[half])).0, &pick(None)).is_some());
    assert_ne!(left[0], left[1]);
}

#[test]
fn a_whole_frame_keeps_its_pixels_and_loses_what_the_camera_wrote() {
    let (guard, folder) = guard(&policy(&["allow = \"frame\""]));
    let plain = Encoded::of(&pick(None).scored.frame.image).expect("encoded").jpeg;
    let exif = [&plain[..2], b"\xff\xe1\x00\x0eExif\0\0SECRET", &plain[2..]].concat();
    let image = pick(None).scored.frame.image.with_jpeg(exif.into());
    let (jpeg, record) = pass(&guard, &pick(Some(image))).expect("it may leave");
    assert_eq!(jpeg.as_deref().map(decoded), Some(decoded(&plain)));
    assert!(!jpeg.expect("a picture").windows(6).any(|part| part == b"SECRET"));
    assert!(record.detections.embedding.is_some());

    // What can't be followed is written anew, from the pixels.
    let image = pick(None).scored.frame.image.with_jpeg(Bytes::from_static(b"SECRET"));
    let (jpeg, record) = pass(&guard, &pick(Some(image))).expect("it may leave");
    assert_eq!(jpeg.as_deref().map(decoded), Some(decoded(&plain)));
    let entry = last(&folder);
    let digest = record.image.expect("a picture").sha256;
    assert_eq!((&entry["what"], &entry["picture"]), (&"released".into(), &digest.into()));
    verify(folder.path(), &[record.privacy.expect("handled").audit]).expect("the record names its entry");
}

#[test]
fn metadata_is_all_that_leaves() {
    let (guard, folder) = guard(&policy(&["allow = \"metadata\""]));
    let (jpeg, record) = pass(&guard, &pick(None)).expect("it may leave");
    assert!(jpeg.is_none() && record.image.is_none() && record.detections.embedding.is_none());
    assert_eq!(record.detections.objects.len(), 2);
    assert!(last(&folder).get("picture").is_none());
}

#[test]
fn a_crop_has_the_objects_of_its_reason() {
    let (guarded, _folder) = guard(&policy(&["allow = \"crop\""]));
    let (jpeg, record) = pass(&guarded, &pick(None)).expect("it may leave");
    let picture = record.image.expect("a picture");
    let crop = picture.crop.expect("a part");
    // The bolt is 20 x 10 pixels at (20, 20), with a tenth around it.
    assert_eq!(crop, Rect::from([18.0 / 80.0, 19.0 / 40.0, 24.0 / 80.0, 12.0 / 40.0]));
    let cropped = decoded(&jpeg.expect("a picture"));
    assert_eq!(cropped.dimensions(), (24, 12));
    assert_eq!((picture.width, picture.height), (24, 12));
    assert!(record.detections.embedding.is_none());

    // Where there is nothing to cut out, the picture stays.
    let mut none = pick(None);
    let detections = Detections { objects: Vec::new(), ..Detections::clone(&none.scored.detections) };
    none.scored.detections = Arc::new(detections);
    let (jpeg, record) = pass(&guarded, &none).expect("it may leave");
    assert!(jpeg.is_none() && record.image.is_none());
}

#[test]
fn masks_are_on_the_pixels_of_their_camera() {
    let mask = MaskConfig { camera: Name::near("line3"), points: vec![[0.0, 0.0], [0.5, 0.0], [0.5, 1.0], [0.0, 1.0]] };
    let other = MaskConfig { camera: Name::near("other"), points: vec![[0.5, 0.0], [1.0, 0.0], [1.0, 1.0]] };
    let config = PrivacyConfig { masks: vec![mask, other], ..policy(&["allow = \"frame\"\nredact = [\"masks\"]"]) };
    let (guard, _folder) = guard(&config);
    let (jpeg, record) = pass(&guard, &pick(None)).expect("it may leave");
    let picture = decoded(&jpeg.expect("a picture"));
    let bright =
        |from: u32, to: u32| (from..to).all(|x| (0..40).all(|y| picture.get_pixel(x, y).0.iter().any(|v| *v > 30)));
    // JPEG blurs the edge by a block.
    assert!((0..32).all(|x| (0..40).all(|y| picture.get_pixel(x, y).0.iter().all(|v| *v < 12))));
    assert!(bright(48, 80));
    let handling = record.privacy.expect("handled").handling;
    assert_eq!((handling.found.masks, handling.method), (1, Some(Method::Fill)));
}

#[test]
fn a_model_that_can_not_run_lets_nothing_go() {
    let folder = tempfile::tempdir().expect("a folder");
    let broken = folder.path().join("broken.onnx");
    std::fs::write(&broken, b"no model").expect("written");
    let text = format!("path = {broken:?}");
    let finder: FinderConfig = toml::from_str(&text).expect("a finder");
    for (what, config) in [
        (
            "persons",
            PrivacyConfig { persons: Some(finder.clone()), ..policy(&["allow = \"frame\"\nredact = [\"persons\"]"]) },
        ),
        ("faces", PrivacyConfig { faces: Some(finder.clone()), ..policy(&["allow = \"crop\"\nredact = [\"faces\"]"]) }),
        // The check of the configuration refuses it; here it must not open a way.
        ("no model", policy(&["allow = \"frame\"\nredact = [\"faces\"]"])),
    ] {
        let (guard, log) = guard(&config);
        guard.warm();
        for _ in 0..2 {
            assert!(pass(&guard, &pick(None)).is_none(), "{what}");
            let entry = last(&log);
            assert_eq!(entry["what"], "withheld");
            assert!(entry["reason"].as_str().is_some_and(|reason| reason.contains(what)), "{entry}");
        }
    }
}

/// A model of something else would find nobody anywhere.
#[test]
fn a_model_without_the_label_lets_nothing_go() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/conveyor");
    let finder: FinderConfig = toml::from_str(&format!("path = {package:?}")).expect("a finder");
    let config = PrivacyConfig { persons: Some(finder), ..policy(&["allow = \"frame\"\nredact = [\"persons\"]"]) };
    let (guard, log) = guard(&config);
    assert!(pass(&guard, &pick(None)).is_none());
    assert!(last(&log)["reason"].as_str().is_some_and(|reason| reason.contains("no label `person`")), "{}", last(&log));
}

#[test]
fn without_the_audit_log_nothing_leaves() {
    let (guard, folder) = guard(&policy(&["allow = \"frame\""]));
    assert!(pass(&guard, &pick(None)).is_some());
    guard.fill_the_disk();
    assert!(pass(&guard, &pick(None)).is_none());
    assert_eq!(verify(folder.path(), &[]).expect("whole").released, 1);
}

#[test]
fn a_log_that_can_not_be_begun_is_told() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let error = Log::open(file.path(), 1, Arc::new(clock())).expect_err("a file");
    assert!(error.to_string().contains(&file.path().display().to_string()), "{error}");
    let folder = tempfile::tempdir().expect("a folder");
    let log = Log::open(folder.path(), 1, Arc::new(clock())).expect("opened");
    let error =
        Guard::for_store(&policy(&[]), "az://c", log, file.path(), DeviceChoice::Cpu).expect_err("a file").to_string();
    assert!(error.contains(&file.path().display().to_string()) && error.contains("withheld"), "{error}");
}
