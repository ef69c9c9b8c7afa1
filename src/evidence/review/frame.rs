//! A frame as reviewers see it.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;

use crate::config::Allow;
use crate::detection::{ModelRef, Object, Rect, microseconds};
use crate::evidence::{Judgement, Reason, Record, Verdict};

/// A frame that is held for review.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    pub(super) record: Record,
    pub(super) picture: Option<Bytes>,
    /// What of it the policy lets go.
    pub(super) leaves: Allow,
    /// The verdict that counts.
    pub(super) verdict: Option<Judgement>,
}

/// A frame that is held for review, in a list.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct FrameView {
    /// The evidence's id.
    pub id: String,
    /// The camera.
    pub camera: String,
    /// When it was captured.
    #[serde(serialize_with = "microseconds")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub captured_at: DateTime<Utc>,
    /// Pixels across the frame.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// Why it was kept.
    pub reason: Reason,
    /// What it is worth, 0..=1.
    pub value: f32,
    /// The model that looked.
    pub model: ModelRef,
    /// What it saw; boxes are fractions of the frame.
    pub objects: Vec<Object>,
    /// The picture; null where only the record may leave, and reviewers see what leaves.
    pub picture: Option<PictureView>,
    /// What of it the policy lets go. A verdict on a frame of which nothing leaves stays on the node as well.
    pub leaves: Allow,
    /// The verdict that counts; null while it awaits one.
    pub verdict: Option<Judgement>,
}

/// Where a picture is, and how large.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct PictureView {
    /// Its path on this server.
    pub path: String,
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// Which part of the frame it is, where it is not all of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crop: Option<Rect>,
}

/// A frame with all that was said of it.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct FrameDetail {
    /// The frame.
    #[serde(flatten)]
    pub frame: FrameView,
    /// What a correction may call objects.
    pub labels: Vec<String>,
    /// Every verdict on it, the oldest first: the last counts.
    pub verdicts: Vec<Verdict>,
}

/// Frames that are held for review.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct FrameList {
    /// How many await a verdict, of all cameras.
    pub awaiting: u64,
    /// How many are held in all.
    pub held: u64,
    /// The newest first.
    pub frames: Vec<FrameView>,
    /// What `before` is to be to get more; null where there are no more.
    pub next: Option<String>,
}

impl Frame {
    pub(super) fn view(self, has_picture: bool) -> FrameView {
        let Record { id, reason, value, detections, image, .. } = self.record;
        let picture = image.filter(|_| has_picture).map(|image| PictureView {
            path: format!("/api/review/frames/{id}/picture"),
            width: image.width,
            height: image.height,
            crop: image.crop,
        });
        FrameView {
            id,
            camera: detections.camera,
            captured_at: detections.frame.captured_at,
            width: detections.frame.width,
            height: detections.frame.height,
            reason,
            value,
            model: detections.model,
            objects: detections.objects,
            picture,
            leaves: self.leaves,
            verdict: self.verdict,
        }
    }
}
