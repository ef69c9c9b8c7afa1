//! What the tests of this room share.

use chrono::{DateTime, Utc};

use crate::detection::{Detections, FrameRef, Latency, ModelRef, Object, Rect, SCHEMA};

/// A time, some milliseconds into 2026.
pub(in crate::scene) fn wall(ms: u64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(1_767_225_600_000 + ms as i64).expect("a time")
}

pub(in crate::scene) fn object(label: &str, score: f32, rect: Rect) -> Object {
    Object { class: 0, label: label.into(), score, rect, track: None, zones: Vec::new() }
}

/// A frame of 640x360, captured some milliseconds into 2026.
pub(in crate::scene) fn frame(seq: u64, ms: u64, objects: Vec<Object>) -> Detections {
    Detections {
        schema: SCHEMA.to_owned(),
        id: format!("{seq:026}"),
        site: "plant-7".to_owned(),
        node: "edge-01".to_owned(),
        camera: "line-3".to_owned(),
        frame: FrameRef { seq, captured_at: wall(ms), width: 640, height: 360 },
        model: ModelRef { name: "m".to_owned(), version: "1".to_owned(), digest: "sha256:0".to_owned() },
        config: "sha256:1".to_owned(),
        camera_state: None,
        latency_ms: Latency::default(),
        objects,
        embedding: None,
    }
}
