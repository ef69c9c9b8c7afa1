//! Events and counts as messages.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::track::Track;
use crate::detection::{Detections, FrameRef, ModelRef};
use crate::event::{COUNT_SCHEMA, Count, Counted, Event, EventType, LineEvent, SCHEMA, ZoneEvent};

/// Who a message is from.
#[derive(Debug, Clone)]
pub(super) struct Header {
    site: String,
    node: String,
    camera: String,
    model: ModelRef,
    config: String,
}

impl Default for Header {
    fn default() -> Self {
        let (site, node, camera, config) = Default::default();
        let model = ModelRef { name: String::new(), version: String::new(), digest: String::new() };
        Self { site, node, camera, model, config }
    }
}

/// A track at a point of its life.
pub(super) struct Life<'a> {
    pub(super) track: &'a Track,
    pub(super) id: &'a str,
    pub(super) zones: Vec<String>,
    /// When, and in which frame.
    pub(super) at: Duration,
    pub(super) frame: &'a FrameRef,
}

impl Header {
    pub(super) fn of(detections: &Detections) -> Self {
        Self {
            site: detections.site.clone(),
            node: detections.node.clone(),
            camera: detections.camera.clone(),
            model: detections.model.clone(),
            config: detections.config.clone(),
        }
    }

    /// An event, its id still to be made.
    pub(super) fn event(
        &self,
        kind: EventType,
        life: &Life<'_>,
        zone: Option<ZoneEvent>,
        line: Option<LineEvent>,
    ) -> Option<Event> {
        let track = life.track;
        let best = track.votes.winner()?;
        Some(Event {
            schema: SCHEMA.to_owned(),
            id: String::new(),
            kind,
            site: self.site.clone(),
            node: self.node.clone(),
            camera: self.camera.clone(),
            frame: life.frame.clone(),
            model: self.model.clone(),
            config: self.config.clone(),
            track: track.number.to_string(),
            track_id: life.id.to_owned(),
            label: best.label.to_string(),
            score: best.score,
            rect: best.rect,
            started_at: track.first.1.captured_at,
            duration_s: life.at.saturating_sub(track.first.0).as_secs_f64(),
            frames: track.frames,
            zones: life.zones.clone(),
            zone,
            line,
        })
    }

    pub(super) fn count(&self, rule: &str, counted: Counted, since: DateTime<Utc>, at: DateTime<Utc>) -> Count {
        Count {
            schema: COUNT_SCHEMA.to_owned(),
            site: self.site.clone(),
            node: self.node.clone(),
            camera: self.camera.clone(),
            rule: rule.to_owned(),
            since,
            at,
            counted,
        }
    }
}
