//! What leaves by MQTT, and what the audit log says of it.

use chrono::DateTime;

use super::*;
use crate::clock::ManualClock;
use crate::event::{Counted, EventType, Tally as Counts, ZoneChange, ZoneEvent};
use crate::evidence::scored;
use crate::privacy::audit::verify;

fn rule(text: &str) -> MessageRuleConfig {
    toml::from_str(&format!("name = \"r\"\n{text}")).expect(text)
}

struct Fixture {
    guard: MessageGuard,
    clock: ManualClock,
    log: Log,
    folder: tempfile::TempDir,
}

fn guard(rules: &[&str]) -> Fixture {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = ManualClock::new(DateTime::UNIX_EPOCH);
    let log = Log::open(folder.path(), 1, Arc::new(clock.clone())).expect("opened");
    let rules: Vec<_> = rules.iter().map(|text| rule(text)).collect();
    Fixture { guard: MessageGuard::by(&rules, "mqtts://elsewhere", log.clone()), clock, log, folder }
}

impl Fixture {
    /// The tallies in the audit log: kind, rule, what was allowed, how many.
    fn tallies(&self) -> Vec<(String, Option<String>, String, u64)> {
        verify(self.folder.path(), &[]).expect("whole");
        let text = std::fs::read_to_string(self.folder.path().join("audit-000000000001.jsonl")).expect("a log");
        let entries = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
        let of = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        entries
            .filter(|entry| entry["what"] == "messages" && entry["destination"] == "mqtts://elsewhere")
            .map(|e| {
                (
                    of(&e["kind"]),
                    e["rule"].as_str().map(str::to_owned),
                    of(&e["allow"]),
                    e["count"].as_u64().unwrap_or(0),
                )
            })
            .collect()
    }
}

fn detections() -> Arc<Detections> {
    let scored = scored(7, &[("bolt", 0.45, [0.25, 0.5, 0.25, 0.25]), ("nut", 0.9, [0.75, 0.0, 0.25, 0.25])]);
    Arc::new(Detections { embedding: Some(vec![1.0]), ..Detections::clone(&scored.detections) })
}

fn event(zone: &str) -> Event {
    let detections = detections();
    Event {
        schema: crate::event::SCHEMA.to_owned(),
        id: "01JD0000000000000000000000".to_owned(),
        kind: EventType::Update,
        site: detections.site.clone(),
        node: detections.node.clone(),
        camera: detections.camera.clone(),
        frame: detections.frame.clone(),
        model: detections.model.clone(),
        config: detections.config.clone(),
        track: "1".to_owned(),
        track_id: "01JD0000000000000000000001".to_owned(),
        label: "bolt".to_owned(),
        score: 0.9,
        rect: Rect::from([0.1, 0.2, 0.3, 0.4]),
        started_at: DateTime::UNIX_EPOCH,
        duration_s: 1.0,
        frames: 3,
        zones: Vec::new(),
        zone: Some(ZoneEvent { name: zone.to_owned(), change: ZoneChange::Left, dwell_s: 1.0, present: 0, count: 1 }),
        line: None,
    }
}

fn count(rule: &str) -> Count {
    Count {
        schema: crate::event::COUNT_SCHEMA.to_owned(),
        site: "plant-7".to_owned(),
        node: "edge-01".to_owned(),
        camera: "line3".to_owned(),
        rule: rule.to_owned(),
        since: DateTime::UNIX_EPOCH,
        at: DateTime::UNIX_EPOCH,
        counted: Counted::Zone { present: 1, entered: Counts::default() },
    }
}

#[test]
fn without_a_policy_all_leaves_as_it_is() {
    let (guard, message) = (MessageGuard::open(), detections());
    assert_eq!(guard.detections(&message), Some(message));
    assert!(guard.event(&event("belt")).is_some() && guard.count(&count("belt")));
}

#[test]
fn with_a_policy_nothing_leaves_that_no_rule_lets_go() {
    for rules in [&[][..], &["cameras = [\"other\"]\nallow = \"all\""], &["allow = \"nothing\"", "allow = \"all\""]] {
        let Fixture { guard, .. } = guard(rules);
        assert_eq!(guard.detections(&detections()), None, "{rules:?}");
        assert!(guard.event(&event("belt")).is_none() && !guard.count(&count("belt")), "{rules:?}");
    }
}

#[test]
fn labels_leave_without_places() {
    let Fixture { guard, .. } = guard(&["allow = \"labels\""]);
    let (before, after) = (detections(), guard.detections(&detections()).expect("it leaves"));
    let text = serde_json::to_value(&*after).expect("JSON");
    assert!(after.objects.iter().all(|object| object.rect == Rect::FULL) && text.get("embedding").is_none(), "{text}");
    let seen = |d: &Detections| d.objects.iter().map(|o| (o.label.to_string(), o.score)).collect::<Vec<_>>();
    assert_eq!((seen(&after), &after.id), (seen(&before), &before.id));
    let event = event("belt");
    let left = guard.event(&event).expect("it leaves");
    assert_eq!(*left, Event { rect: Rect::FULL, ..event.clone() });
    assert!(guard.count(&count("belt")));
}

#[test]
fn rules_hold_for_kinds_zones_and_hours() {
    let Fixture { guard: by_kind, .. } = guard(&["messages = [\"events\"]\nallow = \"all\""]);
    assert!(by_kind.detections(&detections()).is_none() && !by_kind.count(&count("belt")));
    assert!(by_kind.event(&event("belt")).is_some());

    let Fixture { guard: by_zone, .. } = guard(&["zones = [\"belt\"]\nallow = \"all\""]);
    assert!(by_zone.event(&event("belt")).is_some() && by_zone.event(&event("door")).is_none());
    assert!(by_zone.count(&count("belt")) && !by_zone.count(&count("door")));
    let mut inside = Detections::clone(&detections());
    inside.objects[1].zones = vec!["belt".to_owned()];
    assert!(by_zone.detections(&Arc::new(inside)).is_some() && by_zone.detections(&detections()).is_none());

    // Whatever the time zone is, the frame's local time is inside one half of the day.
    let halves = ["hours = [\"00:00-12:00\"]\nallow = \"all\"", "hours = [\"12:00-24:00\"]\nallow = \"all\""];
    let left = halves.map(|half| guard(&[half]).guard.detections(&detections()).is_some());
    assert_ne!(left[0], left[1]);
}

#[test]
fn the_log_has_tallies_by_rule() {
    let fixture = guard(&["messages = [\"detections\"]\nallow = \"labels\""]);
    let (of, rule) = (|text: &str| text.to_owned(), Some("r".to_owned()));
    for _ in 0..3 {
        let _ = fixture.guard.detections(&detections());
    }
    let _ = fixture.guard.event(&event("belt"));
    fixture.guard.write_tallies(false);
    let first = [(of("detections"), rule.clone(), of("labels"), 3), (of("events"), None, of("nothing"), 1)];
    assert_eq!(fixture.tallies(), first);
    // Not again within the hour, unless this is the end.
    let _ = fixture.guard.detections(&detections());
    fixture.guard.write_tallies(false);
    assert_eq!(fixture.tallies(), first);
    fixture.clock.advance(EVERY);
    fixture.guard.write_tallies(false);
    let _ = fixture.guard.detections(&detections());
    fixture.guard.write_tallies(true);
    let more = (of("detections"), rule, of("labels"), 1);
    assert_eq!(fixture.tallies()[2..], [more.clone(), more]);
}

#[test]
fn nothing_leaves_while_the_log_can_not_be_written() {
    let fixture = guard(&["allow = \"all\""]);
    assert!(fixture.guard.count(&count("belt")));
    fixture.log.lock().fill_the_disk();
    fixture.guard.write_tallies(false);
    assert!(!fixture.guard.count(&count("belt")) && fixture.guard.detections(&detections()).is_none());
    // The disk has room again.
    let again = Log::open(fixture.folder.path(), 1, Arc::new(fixture.clock.clone())).expect("opened");
    std::mem::swap(&mut *fixture.log.lock(), &mut *again.lock());
    fixture.guard.write_tallies(false);
    assert!(fixture.guard.count(&count("belt")));
    assert_eq!(fixture.tallies().iter().map(|tally| tally.3).sum::<u64>(), 3, "what stayed is counted too");
}
