//! The frames that were kept lately: a few of each camera, in memory, so that people see what is worth learning from.

use std::collections::VecDeque;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use serde::Serialize;

use super::api::{ApiError, App};
use crate::detection::{Detections, Object, Rect};
use crate::draw;
use crate::evidence::{Change, Evidence, Picture, Reason, Record};

/// Frames remembered of each camera.
const FRAMES: usize = 8;
/// Bytes of JPEG remembered of each camera; the oldest go first.
const BYTES: usize = 8 << 20;

/// One kept frame.
#[derive(Debug, Clone)]
struct Kept {
    view: KeptView,
    jpeg: Bytes,
}

/// A kept frame in the state of its camera.
#[derive(Debug, Clone, Serialize)]
pub struct KeptView {
    /// Its ULID; the picture is at `/api/cameras/{name}/kept/{id}`.
    pub id: String,
    /// When it was captured.
    pub at: DateTime<Utc>,
    /// Why it was kept.
    pub reason: Reason,
    /// The object that it was kept for; nothing where that is what is missing.
    #[serde(rename = "box")]
    pub rect: Option<Rect>,
    /// The colour of the reason's label, `#rrggbb`.
    pub colour: String,
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
}

/// The newest kept frames of one camera, oldest first.
#[derive(Debug, Default)]
pub(super) struct Album {
    frames: VecDeque<Kept>,
}

impl Album {
    /// Adds a frame that the store has. The same one again changes nothing.
    pub(super) fn add(&mut self, item: &Evidence) {
        if self.frames.iter().any(|kept| kept.view.id == item.id) {
            return;
        }
        let record = match serde_json::from_slice::<Record>(&item.json) {
            Ok(record) => record,
            Err(error) => {
                tracing::warn!(%error, id = item.id, "The record of a kept frame can't be read: the page does not show it.");
                return;
            }
        };
        // What left without its picture has none to show.
        let (Some(picture), Some(jpeg)) = (record.image.clone(), item.jpeg.clone()) else { return };
        self.frames.push_back(Kept { view: view(record, &picture), jpeg });
        while self.frames.len() > FRAMES || self.bytes() > BYTES {
            self.frames.pop_front();
        }
    }

    fn bytes(&self) -> usize {
        self.frames.iter().map(|kept| kept.jpeg.len()).sum()
    }

    /// The frames, newest first.
    pub(super) fn views(&self) -> Vec<KeptView> {
        self.frames.iter().rev().map(|kept| kept.view.clone()).collect()
    }

    fn jpeg(&self, id: &str) -> Option<Bytes> {
        self.frames.iter().find(|kept| kept.view.id == id).map(|kept| kept.jpeg.clone())
    }
}

/// A frame of which a part is shown has no box: it would have to be moved.
fn view(record: Record, picture: &Picture) -> KeptView {
    let label = record.reason.label().unwrap_or_default();
    KeptView {
        at: record.detections.frame.captured_at,
        rect: cause(&record.reason, &record.detections).filter(|_| picture.crop.is_none()),
        colour: draw::hex(draw::colour(label)),
        id: record.id,
        reason: record.reason,
        width: picture.width,
        height: picture.height,
    }
}

/// Where the object is that a frame was kept for: the one of that label whose score is nearest to the reason's.
/// A flicker does not say which of a label's objects it was, so that it is known only where there is one.
fn cause(reason: &Reason, detections: &Detections) -> Option<Rect> {
    let label = reason.label()?;
    let mut named = detections.objects.iter().filter(|object| *object.label == *label);
    match reason {
        Reason::Band { score, .. }
        | Reason::Margin { score, .. }
        | Reason::Rare { score, .. }
        | Reason::Flicker { score, change: Change::Relabelled, .. } => {
            let far = |object: &Object| (object.score - score).abs();
            named.min_by(|a, b| far(a).total_cmp(&far(b))).map(|object| object.rect)
        }
        Reason::Rule { track, .. } => {
            named.find(|object| object.track.as_ref() == Some(track)).map(|object| object.rect)
        }
        Reason::Flicker { change: Change::Vanished, .. } | Reason::Novel { .. } | Reason::Random | Reason::Operator => {
            None
        }
        Reason::Flicker { change: Change::Appeared, .. } => {
            let first = named.next();
            if named.next().is_some() { None } else { first.map(|object| object.rect) }
        }
    }
}

/// `/api/cameras/{name}/kept/{id}`
pub(super) async fn picture(
    State(app): State<App>,
    Path((name, id)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let jpeg = app.camera(&name)?.album(|album| album.jpeg(&id)).ok_or_else(|| {
        let message = format!("there is no kept frame {id:?} here any more; the store has all of them");
        ApiError::new(StatusCode::NOT_FOUND, message)
    })?;
    Ok(([(header::CONTENT_TYPE, "image/jpeg")], jpeg).into_response())
}
