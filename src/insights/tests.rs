mod hours;
mod policy;

use chrono::{DateTime, Utc};

use super::{Ledger, Origin, Policy};
use crate::config::Global;
use crate::detection::{FrameRef, ModelRef, Rect, seen};
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
