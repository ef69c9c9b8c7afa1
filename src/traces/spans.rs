//! What became of a frame, as spans.

use std::time::Duration;

use chrono::{DateTime, Utc};
use ulid::Ulid;

use super::message::{AnyValue, KeyValue, Request, Resource, ResourceSpans, Scope, ScopeSpans, Span};
use crate::config::Name;

/// A span within the process (`SPAN_KIND_INTERNAL`).
const INTERNAL: i32 = 1;

/// What became of a frame.
#[derive(Debug, Clone)]
pub struct FrameTrace {
    /// The id of its message.
    pub id: String,
    /// The camera.
    pub camera: String,
    /// The model that scored it.
    pub model: String,
    /// Its number.
    pub seq: u64,
    /// How many objects were found.
    pub objects: usize,
    /// When it was captured.
    pub captured_at: DateTime<Utc>,
    /// What was done with it, one after the other, and how long that took.
    pub stages: Vec<(&'static str, Duration)>,
}

/// Whom traces are of. Names of attributes are those of OpenTelemetry's semantic conventions, where it has one.
pub(super) fn resource(site: &Name, node: &Name) -> Resource {
    let attributes = [
        ("service.name", "ocellus"),
        ("service.version", env!("CARGO_PKG_VERSION")),
        ("service.namespace", site),
        ("service.instance.id", node),
    ];
    Resource { attributes: attributes.map(|(key, value)| text(key, value)).to_vec() }
}

pub(super) fn request(resource: Resource, frames: &[FrameTrace]) -> Request {
    let scope = Scope { name: "ocellus".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
    let spans = frames.iter().flat_map(spans).collect();
    let scope_spans = vec![ScopeSpans { scope: Some(scope), spans }];
    Request { resource_spans: vec![ResourceSpans { resource: Some(resource), scope_spans }] }
}

/// A span for the frame, and one below it for each stage.
fn spans(frame: &FrameTrace) -> Vec<Span> {
    let id = Ulid::from_string(&frame.id).unwrap_or_default().0;
    let trace_id = id.to_be_bytes().to_vec();
    // Unlike any other of this trace, and never 0.
    let span_id = |number: u64| {
        #[allow(clippy::cast_possible_truncation)]
        let random = id as u64;
        (random.wrapping_add(number) | 1 << 63).to_be_bytes().to_vec()
    };
    let start = u64::try_from(frame.captured_at.timestamp_nanos_opt().unwrap_or_default()).unwrap_or_default();
    let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    let span = |number, name: &str, from: u64, until: u64| Span {
        trace_id: trace_id.clone(),
        span_id: span_id(number),
        parent_span_id: if number == 0 { Vec::new() } else { span_id(0) },
        name: name.to_owned(),
        kind: INTERNAL,
        start_time_unix_nano: from,
        end_time_unix_nano: until,
        attributes: Vec::new(),
    };
    let mut all = vec![span(0, "frame", start, start)];
    let mut at = start;
    for (number, (name, took)) in (1..).zip(&frame.stages) {
        let end = at.saturating_add(nanos(*took));
        all.push(span(number, name, at, end));
        at = end;
    }
    if let Some(root) = all.first_mut() {
        root.end_time_unix_nano = at;
        root.attributes = vec![
            text("camera", &frame.camera),
            text("model", &frame.model),
            whole("frame.seq", frame.seq),
            whole("frame.objects", frame.objects as u64),
        ];
    }
    all
}

fn text(key: &str, value: &str) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { string_value: Some(value.to_owned()), int_value: None }) }
}

fn whole(key: &str, value: u64) -> KeyValue {
    let int_value = Some(i64::try_from(value).unwrap_or(i64::MAX));
    KeyValue { key: key.to_owned(), value: Some(AnyValue { string_value: None, int_value }) }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::traces) fn frame() -> FrameTrace {
        let stages = [("queue", 1), ("preprocess", 2), ("model", 3), ("postprocess", 4), ("track", 5), ("publish", 6)];
        FrameTrace {
            id: Ulid(7 << 64 | 9).to_string(),
            camera: "line".to_owned(),
            model: "parts".to_owned(),
            seq: 3,
            objects: 2,
            captured_at: DateTime::from_timestamp(100, 5).unwrap(),
            stages: stages.map(|(name, ms)| (name, Duration::from_millis(ms))).to_vec(),
        }
    }

    #[test]
    fn stages_follow_each_other_below_their_frame() {
        let spans = spans(&frame());
        let names: Vec<&str> = spans.iter().map(|span| &*span.name).collect();
        assert_eq!(names, ["frame", "queue", "preprocess", "model", "postprocess", "track", "publish"]);
        let (root, stages) = spans.split_first().unwrap();
        assert_eq!(root.start_time_unix_nano, 100_000_000_005);
        assert_eq!(root.end_time_unix_nano - root.start_time_unix_nano, 21_000_000);
        let mut at = root.start_time_unix_nano;
        let mut ids = vec![&root.span_id];
        for span in stages {
            assert_eq!((span.start_time_unix_nano, &span.parent_span_id), (at, &root.span_id));
            assert_eq!(span.trace_id, root.trace_id);
            assert!(!ids.contains(&&span.span_id));
            ids.push(&span.span_id);
            at = span.end_time_unix_nano;
        }
        assert_eq!((at, root.trace_id.len(), root.span_id.len()), (root.end_time_unix_nano, 16, 8));
    }
}
