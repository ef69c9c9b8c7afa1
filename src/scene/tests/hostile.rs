//! Messages that no model should give.

use std::collections::BTreeSet;
use std::time::Duration;

use super::super::testing::{frame, object};
use super::super::tracker::{MAX_OBJECTS, MAX_TRACKS};
use super::super::{Ids, Scene};
use super::life::{line, zone};
use crate::config::TrackConfig;
use crate::detection::{Object, Rect};
use crate::random::Random;

fn scene() -> Scene {
    let track = TrackConfig { confirm: 1, ..TrackConfig::default() };
    Scene::new(Some(&track), &[zone("belt")], &[line("exit")], Ids::seeded(1)).expect("there are tracks")
}

const ODD: [f32; 12] =
    [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, -1.0, 0.0, -0.0, 1e-38, 1e30, 0.5, 1.0];

#[test]
fn numbers_that_mean_nothing_pass_through() {
    let (mut scene, mut random) = (scene(), Random(1));
    for seq in 0..500 {
        let mut odd = || ODD[random.below(ODD.len())];
        let objects: Vec<Object> =
            (0..8).map(|_| object("bolt", odd(), Rect { x: odd(), y: odd(), w: odd(), h: odd() })).collect();
        let shown = format!("{objects:?}");
        let step = scene.step(frame(seq, seq * 100, objects), Duration::from_millis(seq * 100));
        assert_eq!(step.detections.objects.len(), 8, "{shown}");
        for object in step.detections.objects.iter().filter(|object| object.track.is_some()) {
            let Rect { x, y, w, h } = object.rect;
            assert!([x, y, w, h, object.score].iter().all(|v| v.is_finite()) && w > 0.0 && h > 0.0, "{object:?}");
        }
        for event in step.events {
            assert!(event.score.is_finite() && event.duration_s.is_finite(), "{event:?}");
        }
    }
}

#[test]
fn sizes_and_times_that_make_no_sense_do_no_harm() {
    let (mut scene, mut random) = (scene(), Random(2));
    for seq in 0..500 {
        let rect = Rect { x: random.unit() as f32, y: random.unit() as f32, w: 0.1, h: 0.1 };
        let mut message = frame(seq, 0, vec![object("bolt", 0.9, rect)]);
        (message.frame.width, message.frame.height) =
            ([0, 1, u32::MAX][random.below(3)], [0, 1, u32::MAX][random.below(3)]);
        let at = [0, 1, u64::MAX, random.bits()][random.below(4)];
        assert_eq!(scene.step(message, Duration::from_nanos(at)).detections.objects.len(), 1);
    }
    scene.step(frame(0, 0, Vec::new()), Duration::MAX);
    scene.finish();
}

#[test]
fn any_number_of_objects_takes_bounded_room() {
    let (mut scene, mut random) = (scene(), Random(3));
    for seq in 0..12 {
        let mut place = || random.unit() as f32;
        let objects: Vec<Object> = (0..3000)
            .map(|i| object(&format!("label {}", i % 7), 0.5, Rect { x: place(), y: place(), w: 0.01, h: 0.01 }))
            .collect();
        let step = scene.step(frame(seq, seq * 100, objects), Duration::from_millis(seq * 100));
        let tracks: BTreeSet<_> = step.detections.objects.iter().filter_map(|object| object.track.clone()).collect();
        assert!(tracks.len() <= MAX_OBJECTS && (seq > 0 || tracks.len() == MAX_OBJECTS), "{}", tracks.len());
        assert!(scene.tracker.tracks().len() <= MAX_TRACKS && scene.watched.len() <= MAX_TRACKS);
    }
    scene.step(frame(99, 99_000, Vec::new()), Duration::from_secs(99));
    assert!(scene.tracker.tracks().is_empty() && scene.watched.is_empty(), "what is gone is forgotten");
}

/// Whatever the frames hold: each track begins, then goes on, then ends once; counts are those of the events.
#[test]
fn events_tell_a_consistent_story() {
    use std::collections::BTreeMap;

    use crate::event::{Counted, EventType, ZoneChange};
    for seed in 0..20 {
        let (mut scene, mut random) = (scene(), Random(100 + seed));
        let (mut events, mut counts) = (Vec::new(), BTreeMap::new());
        let mut at = 0;
        for seq in 0..300 {
            at += random.below(1200) as u64;
            let objects = (0..random.below(6))
                .map(|_| {
                    let rect = Rect { x: random.unit() as f32, y: random.unit() as f32 / 3.0, w: 0.2, h: 0.3 };
                    object(["bolt", "nut"][random.below(2)], random.unit() as f32, rect)
                })
                .collect();
            let step = scene.step(frame(seq, at, objects), Duration::from_millis(at));
            events.extend(step.events);
            counts.extend(step.counts.into_iter().map(|count| (count.rule, count.counted)));
        }
        let (last, changed) = scene.finish();
        events.extend(last);
        counts.extend(changed.into_iter().map(|count| (count.rule, count.counted)));
        assert!(events.len() > 100, "{}", events.len());
        assert!(events.is_sorted_by(|a, b| a.id < b.id), "ids ascend");
        let mut lives: BTreeMap<String, Vec<EventType>> = BTreeMap::new();
        for event in &events {
            lives.entry(event.track_id.clone()).or_default().push(event.kind);
        }
        for life in lives.values() {
            let middle = &life[1..life.len() - 1];
            assert_eq!((life.first(), life.last()), (Some(&EventType::New), Some(&EventType::End)), "{life:?}");
            assert!(middle.iter().all(|kind| *kind == EventType::Update), "{life:?}");
        }
        let zone =
            |change| events.iter().filter(|e| e.zone.as_ref().is_some_and(|z| z.change == change)).count() as u64;
        let (entered, left) = (zone(ZoneChange::Entered), zone(ZoneChange::Left));
        assert_eq!(entered, left, "who came in went out");
        let Counted::Zone { present, entered: tally } = &counts["belt"] else { panic!("{counts:?}") };
        assert_eq!((*present, tally.total, tally.labels.values().sum()), (0, entered, entered));
        let Counted::Line { crossed } = &counts["exit"] else { panic!("{counts:?}") };
        let crossings = events.iter().filter(|e| e.line.is_some()).count() as u64;
        assert_eq!(crossed.values().map(|tally| tally.total).sum::<u64>(), crossings);
    }
}
