//! What is told of a thing that moves over a belt.

use std::time::Duration;

use super::super::testing::{frame, object};
use super::super::{Ids, Scene};
use crate::config::{Anchor, EventChoice, FilterConfig, LineConfig, Name, TrackConfig, ZoneConfig};
use crate::detection::{Detections, Object, Rect};
use crate::event::{Count, Counted, Direction, Event, EventType, ZoneChange};

/// A zone in the middle third.
pub(super) fn zone(name: &str) -> ZoneConfig {
    ZoneConfig {
        name: Name::near(name),
        points: vec![[0.33, 0.0], [0.67, 0.0], [0.67, 1.0], [0.33, 1.0]],
        labels: None,
        anchor: Anchor::Center,
        inertia: [1, 1],
        dwell_s: None,
        groups: Default::default(),
    }
}

/// A line across the belt, with good and bad parts.
pub(super) fn line(name: &str) -> LineConfig {
    let groups = [("ok", vec!["bolt".to_owned(), "nut".to_owned()]), ("ng", vec!["scratched".to_owned()])];
    LineConfig {
        name: Name::near(name),
        points: vec![[0.5, 0.0], [0.5, 1.0]],
        direction: None,
        labels: None,
        anchor: Anchor::Center,
        groups: groups.map(|(name, labels)| (Name::near(name), labels)).into(),
    }
}

/// A thing of a tenth of the frame with its centre at (`x`, 0.5).
fn at(label: &str, score: f32, x: f32) -> Object {
    object(label, score, Rect { x: x - 0.05, y: 0.45, w: 0.1, h: 0.1 })
}

#[derive(Default)]
pub(super) struct Told {
    pub(super) messages: Vec<Detections>,
    pub(super) events: Vec<Event>,
    pub(super) counts: Vec<Count>,
}

/// Runs frames of 100 ms through a scene, and then ends it.
pub(super) fn run(scene: &mut Scene, frames: impl IntoIterator<Item = Vec<Object>>) -> Told {
    let mut told = Told::default();
    for (seq, objects) in (0..).zip(frames) {
        let step = scene.step(frame(seq, seq * 100, objects), Duration::from_millis(seq * 100));
        told.messages.push(step.detections);
        told.events.extend(step.events);
        told.counts.extend(step.counts);
    }
    let (events, counts) = scene.finish();
    told.events.extend(events);
    told.counts.extend(counts);
    told
}

/// A thing that moves from left to right over the whole picture in four seconds, and is gone.
pub(super) fn pass(label: &'static str) -> impl Iterator<Item = Vec<Object>> {
    let there = (0..40_u8).map(move |i| vec![at(label, 0.6 + f32::from(i) / 200.0, 0.025 * f32::from(i))]);
    there.chain(std::iter::repeat_n(Vec::new(), 25))
}

pub(super) fn new(track: &TrackConfig) -> Scene {
    Scene::new(Some(track), &[zone("belt")], &[line("exit")], Ids::seeded(1)).expect("there are tracks")
}

#[test]
fn a_camera_without_tracks_zones_and_lines_has_no_scene() {
    assert!(Scene::new(None, &[], &[], Ids::fresh()).is_none());
    assert!(Scene::new(None, &[zone("belt")], &[], Ids::fresh()).is_some());
}

#[test]
fn a_thing_is_told_from_its_begin_to_its_end() {
    let told = run(&mut new(&TrackConfig::default()), pass("bolt"));
    let story: Vec<_> = told
        .events
        .iter()
        .map(|e| (e.kind, e.frame.seq, e.zone.as_ref().map(|z| z.change), e.line.as_ref().map(|l| l.direction)))
        .collect();
    use EventType::{End, New, Update};
    let wanted = [
        (New, 2, None, None),
        (Update, 14, Some(ZoneChange::Entered), None),
        (Update, 21, None, Some(Direction::Right)),
        (Update, 27, Some(ZoneChange::Left), None),
        (End, 39, None, None),
    ];
    assert_eq!(story, wanted);
    let [.., left, end] = &told.events[..] else { panic!() };
    let dwell = left.zone.as_ref().map_or(0.0, |zone| zone.dwell_s);
    assert!((dwell - 1.3).abs() < 1e-9, "{dwell}");
    assert_eq!((&*end.track, end.frames, &*end.label, &end.zones[..]), ("1", 40, "bolt", &["belt".to_owned()][..]));
    assert!((end.duration_s - 3.9).abs() < 1e-9 && (end.score - 0.795).abs() < 1e-6, "{end:?}");
    assert!((end.rect.x - 0.925).abs() < 1e-5, "the box of the best score: {end:?}");
    assert_eq!(end.started_at, told.messages[0].frame.captured_at);
    assert!(told.events.iter().all(|event| event.track_id == end.track_id && event.id != end.track_id));
    let (in_zone, outside) = (&told.messages[20].objects[0], &told.messages[30].objects[0]);
    assert_eq!((in_zone.track.as_deref(), &in_zone.zones[..]), (Some("1"), &["belt".to_owned()][..]));
    assert_eq!((outside.track.as_deref(), outside.zones.len()), (Some("1"), 0));
    assert_eq!(told.messages[1].objects[0].track, None, "not yet believed");
}

#[test]
fn counts_are_told_at_the_start_and_when_they_change() {
    let told = run(&mut new(&TrackConfig::default()), pass("scratched").chain(pass("nut")));
    let rules: Vec<_> = told.counts.iter().map(|count| &*count.rule).collect();
    assert_eq!(rules, ["belt", "exit", "belt", "exit", "belt", "belt", "exit", "belt"]);
    let lines: Vec<_> = told.counts.iter().filter(|count| count.rule == "exit").collect();
    let Counted::Line { crossed } = &lines[0].counted else { panic!() };
    assert_eq!(crossed.keys().copied().collect::<Vec<_>>(), [Direction::Left, Direction::Right]);
    assert_eq!((crossed[&Direction::Right].total, &crossed[&Direction::Right].groups["ng"]), (0, &0));
    let Counted::Line { crossed } = &lines[2].counted else { panic!() };
    let right = &crossed[&Direction::Right];
    assert_eq!((right.total, right.groups["ok"], right.groups["ng"], right.labels["nut"]), (2, 1, 1, 1));
    assert_eq!(
        (lines[2].since, lines[2].at),
        (told.messages[0].frame.captured_at, told.messages[86].frame.captured_at)
    );
}

#[test]
fn a_gap_shorter_than_patience_is_bridged_and_the_crossing_in_it_counted() {
    let gap = 16..24_usize;
    let frames = pass("bolt").enumerate().map(|(i, objects)| if gap.contains(&i) { Vec::new() } else { objects });
    let told = run(&mut new(&TrackConfig::default()), frames);
    let kinds = |kind| told.events.iter().filter(|event| event.kind == kind).count();
    assert_eq!((kinds(EventType::New), kinds(EventType::End)), (1, 1));
    let line = told.events.iter().find_map(|event| event.line.as_ref()).expect("it crossed");
    assert_eq!((line.direction, line.group.as_deref(), line.count), (Direction::Right, Some("ok"), 1));
}

#[test]
fn labels_are_by_vote_and_a_changed_mind_is_an_update() {
    let frames = (0..30_u8).map(|i| {
        let (label, score) = if i < 4 { ("nut", 0.5) } else { ("scratched", 0.9) };
        vec![at(label, score, 0.02 * f32::from(i))]
    });
    let told = run(&mut new(&TrackConfig::default()), frames);
    let labels: Vec<_> =
        told.events.iter().filter(|e| e.zone.is_none() && e.line.is_none()).map(|e| (e.kind, &*e.label)).collect();
    assert_eq!(labels, [(EventType::New, "nut"), (EventType::Update, "scratched"), (EventType::End, "scratched")]);
    let line = told.events.iter().find_map(|event| event.line.as_ref()).expect("it crossed");
    assert_eq!(line.group.as_deref(), Some("ng"));
}

#[test]
fn two_labels_on_one_thing_are_one_thing() {
    let frames = (0..20_u8).map(|i| {
        let x = 0.1 + 0.02 * f32::from(i);
        vec![at("nut", 0.7, x), at("scratched", 0.6, x + 0.004), at("bolt", 0.9, x + 0.3)]
    });
    let told = run(&mut new(&TrackConfig::default()), frames);
    assert_eq!(told.events.iter().filter(|event| event.kind == EventType::New).count(), 2);
    let last = told.messages.last().expect("frames");
    assert_eq!(last.objects[0].track, last.objects[1].track);
    assert_ne!(last.objects[0].track, last.objects[2].track);
}

#[test]
fn filters_hold_for_all_labels_and_for_single_ones() {
    let track = TrackConfig {
        labels: Some(vec!["bolt".to_owned(), "nut".to_owned()]),
        min_score: Some(0.5),
        threshold: 0.6,
        min_area: 0.001,
        max_area: 0.1,
        filters: [("nut".to_owned(), FilterConfig { threshold: Some(0.9), ..FilterConfig::default() })].into(),
        ..TrackConfig::default()
    };
    let news = |label: &str, score: f32, side: f32| {
        let frames = (0..9_u8)
            .map(|i| vec![object(label, score, Rect { x: 0.1 + 0.01 * f32::from(i), y: 0.1, w: side, h: side })]);
        run(&mut new(&track), frames).events.iter().filter(|event| event.kind == EventType::New).count()
    };
    assert_eq!(news("bolt", 0.7, 0.1), 1);
    assert_eq!(news("scratched", 0.7, 0.1), 0, "not a label that is tracked");
    assert_eq!((news("bolt", 0.45, 0.1), news("bolt", 0.55, 0.1)), (0, 0), "below min_score, below the threshold");
    assert_eq!((news("nut", 0.85, 0.1), news("nut", 0.95, 0.1)), (0, 1), "a threshold of its own");
    assert_eq!((news("bolt", 0.7, 0.02), news("bolt", 0.7, 0.5)), (0, 0), "too small, too large");
}

#[test]
fn a_weak_detection_goes_on_with_a_track_but_begins_none() {
    let track = TrackConfig { min_score: Some(0.5), ..TrackConfig::default() };
    let frames = (0..20_u8).map(|i| vec![at("bolt", if i < 5 { 0.9 } else { 0.2 }, 0.01 * f32::from(i))]);
    let told = run(&mut new(&track), frames);
    assert_eq!(told.events.last().map(|end| (end.kind, end.frames)), Some((EventType::End, 20)));
}

#[test]
fn events_are_as_many_as_wanted_and_counts_go_on() {
    let told = |events| run(&mut new(&TrackConfig { events, ..TrackConfig::default() }), pass("bolt"));
    let (rules, none) = (told(EventChoice::Rules), told(EventChoice::None));
    assert_eq!(rules.events.len(), 3);
    assert!(rules.events.iter().all(|event| event.zone.is_some() || event.line.is_some()));
    assert_eq!((none.events.len(), none.counts.len()), (0, 5));
}

#[test]
fn rules_for_some_labels_leave_others_out() {
    let only = Some(vec!["nut".to_owned()]);
    let (zone, line) =
        (ZoneConfig { labels: only.clone(), ..zone("belt") }, LineConfig { labels: only, ..line("exit") });
    let (zones, lines) = ([zone], [line]);
    let scene = || Scene::new(None, &zones, &lines, Ids::seeded(1)).expect("there are rules");
    let about = |told: Told| told.events.iter().filter(|e| e.zone.is_some() || e.line.is_some()).count();
    assert_eq!((about(run(&mut scene(), pass("bolt"))), about(run(&mut scene(), pass("nut")))), (0, 3));
}

#[test]
fn the_same_frames_give_the_same_events() {
    let told = || {
        let told = run(&mut new(&TrackConfig::default()), pass("bolt").chain(pass("scratched")));
        serde_json::to_string(&(told.events, told.counts)).expect("JSON")
    };
    assert_eq!(told(), told());
}
