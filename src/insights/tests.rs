mod hours;
mod policy;

use chrono::{DateTime, Utc};

use super::{Ledger, Origin, Policy};
use crate::config::Global;
use crate::detection::{Detections, FrameRef, Latency, ModelRef, Object, Rect, SCHEMA};
use crate::event::{Direction, Event, EventType, LineEvent};

/// 2026-01-02 13:00 UTC and so many seconds.
fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_767_358_800 + seconds, 0).unwrap()
}

fn model() -> ModelRef {
    ModelRef { name: "parts".into(), version: "1".into(), digest: "sha256:0".into() }
}

fn frame(at: DateTime<Utc>) -> FrameRef {
    FrameRef { seq: 0, captured_at: at, width: 1, height: 1 }
}

/// A frame of a camera with these labels and scores.
fn seen(camera: &str, at: DateTime<Utc>, objects: &[(&str, f32)]) -> Detections {
    let object = |(label, score): &(&str, f32)| Object {
        class: 0,
        label: (*label).into(),
        score: *score,
        rect: Rect::FULL,
        track: None,
        zones: Vec::new(),
    };
    Detections {
        schema: SCHEMA.to_owned(),
        id: String::new(),
        site: String::new(),
        node: String::new(),
        camera: camera.to_owned(),
        camera_state: None,
        frame: frame(at),
        model: model(),
        config: String::new(),
        latency_ms: Latency::default(),
        objects: objects.iter().map(object).collect(),
        embedding: None,
    }
}

/// A bolt that crossed a line.
fn crossed(id: u32, at: DateTime<Utc>) -> Event {
    Event {
        schema: String::new(),
        id: format!("{id:026}"),
        kind: EventType::Update,
        site: String::new(),
        node: String::new(),
        camera: "line3".to_owned(),
        frame: frame(at),
        model: model(),
        config: String::new(),
        track: "1".to_owned(),
        track_id: "01T".to_owned(),
        label: "bolt".to_owned(),
        score: 0.9,
        rect: Rect::FULL,
        started_at: at,
        duration_s: 1.0,
        frames: 3,
        zones: Vec::new(),
        zone: None,
        line: Some(LineEvent { name: "exit".to_owned(), direction: Direction::Right, group: None, count: 1 }),
    }
}

fn origin(node: &str) -> Origin {
    Origin { site: "plant-7".to_owned(), node: node.to_owned() }
}

fn ledger(folder: &std::path::Path, now: DateTime<Utc>) -> Ledger {
    Ledger::open(Some(folder), origin("edge-01"), 1, now).unwrap()
}

fn everything() -> Policy {
    Policy::of(Global::ALL)
}
