//! What is picked, frame by frame, on a clock that stands still until it is moved.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use chrono::DateTime;

use super::*;
use crate::clock::ManualClock;
use crate::detection::{Detections, FrameRef, Latency, ModelRef, Rect, SCHEMA};
use crate::frame::{Frame, Image, PixelFormat};
use crate::status::CameraState;

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Frame `seq` of camera `line3`, captured a tenth of a second after the one before, with these objects in it.
pub(crate) fn scored(seq: u64, objects: &[(&str, f32, [f32; 4])]) -> Scored {
    of_camera("line3", seq, objects)
}

fn of_camera(camera: &str, seq: u64, objects: &[(&str, f32, [f32; 4])]) -> Scored {
    let since_start = Duration::from_millis(100) * u32::try_from(seq).expect("few frames");
    let captured_at = DateTime::UNIX_EPOCH + since_start;
    let object = |&(label, score, rect): &(&str, f32, [f32; 4])| Object {
        class: 0,
        label: label.into(),
        score,
        rect: Rect::from(rect),
        track: None,
        zones: Vec::new(),
    };
    let image = Image::new(2, 2, PixelFormat::Rgb8, vec![0; 12].into()).expect("a picture");
    let detections = Detections {
        schema: SCHEMA.to_owned(),
        id: format!("{seq:026}"),
        site: "plant-7".to_owned(),
        node: "edge-01".to_owned(),
        camera: camera.to_owned(),
        camera_state: None,
        frame: FrameRef { seq, captured_at, width: 2, height: 2 },
        model: ModelRef { name: "m".to_owned(), version: "1".to_owned(), digest: "sha256:0".to_owned() },
        config: "sha256:1".to_owned(),
        latency_ms: Latency::default(),
        objects: objects.iter().map(object).collect(),
        embedding: None,
    };
    let frame = Frame {
        camera: camera.into(),
        seq,
        captured_at,
        captured: *START + since_start,
        state: CameraState::Ok,
        image,
    };
    Scored { frame, detections: Arc::new(detections) }
}

const BOLT: [f32; 4] = [0.1, 0.1, 0.2, 0.2];
const ELSEWHERE: [f32; 4] = [0.6, 0.6, 0.2, 0.2];
/// A score outside the band.
const SURE: f32 = 0.9;

/// A selector, and the clock that it goes by.
fn selector(per_minute: u32, flicker: bool) -> (Selector, ManualClock) {
    selector_of(EvidenceConfig { flicker, per_minute, ..only_band() })
}

fn selector_of(config: EvidenceConfig) -> (Selector, ManualClock) {
    let clock = ManualClock::new(DateTime::UNIX_EPOCH);
    (Selector::new(&config, Arc::new(clock.clone())), clock)
}

/// Nothing but the band, as all pictures of these tests look alike.
fn only_band() -> EvidenceConfig {
    let config = EvidenceConfig::at(String::new());
    EvidenceConfig { flicker: false, novelty: false, margin: 0.0, rare: 0.0, ..config }
}

/// What is picked when a frame is shown in which nothing happens.
trait Show {
    fn show(&mut self, scored: &Scored) -> Option<Pick>;
}

impl Show for Selector {
    fn show(&mut self, scored: &Scored) -> Option<Pick> {
        let mut picks = self.select(scored, &[]);
        assert!(picks.len() <= 1, "{picks:?}");
        picks.pop()
    }
}

/// Shows frames a tenth of a second apart, and returns `(seq, reason)` of what was picked.
fn picks(frames: &[&[(&str, f32, [f32; 4])]]) -> Vec<(u64, Reason)> {
    let (mut selector, clock) = selector(6000, true);
    let mut found = Vec::new();
    for (seq, objects) in (0..).zip(frames) {
        found.extend(
            selector.select(&scored(seq, objects), &[]).into_iter().map(|pick| (pick.scored.frame.seq, pick.reason)),
        );
        clock.advance(Duration::from_millis(100));
    }
    found
}

fn flicker(change: Change) -> Reason {
    Reason::Flicker { label: "bolt".to_owned(), score: SURE, change }
}

#[test]
fn a_score_inside_the_band_is_picked_and_one_outside_is_not() {
    for (score, inside) in [(0.0, false), (0.29, false), (0.3, true), (0.45, true), (0.6, true), (0.61, false)] {
        let (mut selector, _) = selector(60, true);
        let pick = selector.show(&scored(0, &[("nut", SURE, ELSEWHERE), ("bolt", score, BOLT)]));
        let wanted = inside.then(|| Reason::Band { label: "bolt".to_owned(), score });
        assert_eq!(pick.map(|pick| pick.reason), wanted, "{score}");
    }
    assert!(picks(&[&[]]).is_empty(), "an empty frame has nothing to say");
}

#[test]
fn the_score_nearest_to_the_middle_of_the_band_counts_and_is_worth_most() {
    let (mut selector, _) = selector(60, true);
    let pick = selector.show(&scored(0, &[("a", 0.31, BOLT), ("b", 0.46, BOLT), ("c", 0.59, BOLT)])).expect("a pick");
    assert_eq!(pick.reason, Reason::Band { label: "b".to_owned(), score: 0.46 });
    let value = |score: f32| {
        let (mut selector, _) = self::selector(60, true);
        selector.show(&scored(0, &[("a", score, BOLT)])).expect("a pick").value
    };
    assert!((value(0.45) - 1.0).abs() < 1e-3 && (value(0.3) - 0.5).abs() < 1e-3, "{} {}", value(0.45), value(0.3));
    assert!(value(0.4) > value(0.35));
}

#[test]
fn what_vanishes_for_one_frame_is_a_flicker_of_that_frame() {
    let bolt: &[_] = &[("bolt", SURE, BOLT)];
    assert_eq!(picks(&[bolt, &[], bolt]), [(1, flicker(Change::Vanished))]);
    assert_eq!(picks(&[bolt, &[], &[], bolt]), [], "two frames are a reason to be gone");
    assert_eq!(picks(&[bolt, bolt, &[], &[]]), []);
    assert_eq!(picks(&[bolt, &[("bolt", SURE, ELSEWHERE)], bolt]), [], "it jumped, and was not missing");
    assert_eq!(picks(&[bolt, &[("nut", SURE, BOLT)], bolt]).len(), 1, "as something else it is missing");
}

#[test]
fn what_appears_for_one_frame_is_a_flicker_of_that_frame() {
    let bolt: &[_] = &[("bolt", SURE, BOLT)];
    assert_eq!(picks(&[&[], bolt, &[]]), [(1, flicker(Change::Appeared))]);
    assert_eq!(picks(&[&[], bolt, bolt, &[]]), [], "two frames are a reason to be there");
    assert_eq!(picks(&[bolt, bolt]), [], "the first frames have nothing before them");
    // A second one appears beside the first.
    let two: &[_] = &[("bolt", SURE, BOLT), ("bolt", SURE, ELSEWHERE)];
    assert_eq!(picks(&[bolt, two, bolt]), [(1, flicker(Change::Appeared))]);
}

/// Parts on a belt come in at one side and go out at the other: that is no flicker, however fast.
#[test]
fn what_moves_through_is_no_flicker() {
    for step in [0.02_f32, 0.1, 0.3] {
        let frames: Vec<Vec<_>> = (0..40)
            .map(|i: u16| {
                let x = (f32::from(i) * step) % 1.4 - 0.2;
                if (0.0..=0.8).contains(&x) { vec![("bolt", SURE, [x, 0.4, 0.2, 0.2])] } else { vec![] }
            })
            .collect();
        let views: Vec<&[_]> = frames.iter().map(Vec::as_slice).collect();
        let found = picks(&views);
        // At 0.3 a step a part is seen three times.
        assert!(found.is_empty(), "{step}: {found:?}");
    }
}

#[test]
fn flicker_can_be_switched_off_and_needs_frames_close_together() {
    let bolt: &[_] = &[("bolt", SURE, BOLT)];
    let (mut off, _) = selector(60, false);
    let (mut slow, _) = selector(60, true);
    for (seq, objects) in [bolt, &[], bolt].into_iter().enumerate() {
        let seq = seq as u64;
        assert!(off.show(&scored(seq, objects)).is_none());
        // A second between frames: things come and go in that time.
        assert!(slow.show(&scored(seq * 10, objects)).is_none());
    }
}

#[test]
fn no_frame_is_picked_twice() {
    let unsure: &[_] = &[("bolt", SURE, BOLT), ("nut", 0.45, ELSEWHERE)];
    // Frame 1 is unsure about a washer, and lacks the bolt.
    let found = picks(&[unsure, &[("washer", 0.4, ELSEWHERE)], unsure]);
    let mut seqs: Vec<_> = found.iter().map(|(seq, _)| *seq).collect();
    seqs.dedup();
    assert_eq!(seqs.len(), found.len(), "{found:?}");
}

#[test]
fn each_camera_has_its_own_limit_and_its_own_past() {
    let (mut selector, clock) = selector(8, true);
    let mut kept = std::collections::BTreeMap::<&str, u32>::new();
    for seq in 0..600 {
        for camera in ["a", "b"] {
            // A new label each time, so that near duplicates are not the reason.
            let label = format!("part-{seq}");
            let pick = selector.show(&of_camera(camera, seq, &[(&label, 0.45, BOLT)]));
            *kept.entry(camera).or_default() += u32::from(pick.is_some());
        }
        clock.advance(Duration::from_millis(100));
    }
    assert_eq!(kept, [("a", 8), ("b", 8)].into());
    // Camera `a` shows the bolt, `b` doesn't: no flicker of either.
    let (mut selector, _) = self::selector(60, true);
    for seq in 0..3 {
        assert!(selector.show(&of_camera("a", seq, &[("bolt", SURE, BOLT)])).is_none());
        assert!(selector.show(&of_camera("b", seq, &[])).is_none());
    }
}

#[test]
fn the_same_reason_is_not_kept_again_at_once() {
    let (mut selector, clock) = selector(600, true);
    let mut show = |seq, label| selector.show(&scored(seq, &[(label, 0.45, BOLT)])).is_some();
    assert!(show(0, "bolt"));
    assert!(!show(1, "bolt"), "a tenth of a second later it is the same picture");
    assert!(show(2, "nut"));
    clock.advance(NEAR_DUPLICATE);
    assert!(show(3, "bolt"));
}

#[test]
fn a_camera_that_is_opened_again_starts_anew() {
    let (mut selector, _) = selector(60, true);
    let bolt: &[_] = &[("bolt", SURE, BOLT)];
    assert!(selector.show(&scored(100, bolt)).is_none());
    assert!(selector.show(&scored(101, &[])).is_none());
    // Its frames count from 0 again: what was before says nothing.
    assert!(selector.show(&scored(0, bolt)).is_none());
    assert!(selector.show(&scored(1, &[])).is_none());
    assert_eq!(selector.show(&scored(2, bolt)).map(|pick| pick.scored.frame.seq), Some(1));
}

mod reasons;
mod restart;
