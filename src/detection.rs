//! What a model saw in a frame, and the message that says so (`ocellus.detections/1`).

use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

use crate::status::CameraState;

/// The `schema` field of [`Detections`].
pub const SCHEMA: &str = "ocellus.detections/1";

/// A rectangle as fractions of the frame: left, top, width, height, each 0..=1.
/// In JSON `[x, y, w, h]`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "[f32; 4]", into = "[f32; 4]")]
pub struct Rect {
    /// Left edge.
    pub x: f32,
    /// Top edge.
    pub y: f32,
    /// Width.
    pub w: f32,
    /// Height.
    pub h: f32,
}

impl Rect {
    /// The whole frame.
    pub const FULL: Self = Self { x: 0.0, y: 0.0, w: 1.0, h: 1.0 };

    /// Intersection over union, 0..=1; 0 where both are empty.
    #[must_use]
    pub fn iou(&self, other: &Self) -> f32 {
        let w = (self.x + self.w).min(other.x + other.w) - self.x.max(other.x);
        let h = (self.y + self.h).min(other.y + other.h) - self.y.max(other.y);
        let inter = w.max(0.0) * h.max(0.0);
        let union = self.w * self.h + other.w * other.h - inter;
        if union > 0.0 { inter / union } else { 0.0 }
    }
}

impl From<[f32; 4]> for Rect {
    fn from([x, y, w, h]: [f32; 4]) -> Self {
        Self { x, y, w, h }
    }
}

impl From<Rect> for [f32; 4] {
    fn from(r: Rect) -> Self {
        // Five digits are a tenth of a pixel at 8K; more only fattens the message.
        [r.x, r.y, r.w, r.h].map(|v| (v * 1e5).round() / 1e5)
    }
}

/// One object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Object {
    /// Index of the class in the model's labels.
    #[serde(skip)]
    pub class: usize,
    /// The class's name.
    #[schemars(with = "String")]
    pub label: Arc<str>,
    /// Confidence, 0..=1.
    #[serde(serialize_with = "four_digits")]
    pub score: f32,
    /// Where, as fractions of the frame. For a classifier the whole frame.
    #[serde(rename = "box")]
    pub rect: Rect,
    /// The track it belongs to, where tracking is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub track: Option<String>,
    /// Names of the zones it is in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub zones: Vec<String>,
}

pub(crate) fn four_digits<S: Serializer>(v: &f32, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_f32((v * 1e4).round() / 1e4)
}

/// The frame that a message is about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FrameRef {
    /// Number of the frame since its camera was opened.
    pub seq: u64,
    /// Wall time of capture, UTC, microseconds.
    #[serde(serialize_with = "microseconds")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub captured_at: DateTime<Utc>,
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
}

pub(crate) fn microseconds<S: Serializer>(t: &DateTime<Utc>, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_str(&t.to_rfc3339_opts(SecondsFormat::Micros, true))
}

/// The model that looked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ModelRef {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// `sha256:…` over its content: its identity.
    pub digest: String,
}

/// Where the time went, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Latency {
    /// From capture until the engine took the frame.
    #[serde(serialize_with = "hundredths")]
    pub queue: f64,
    /// Pixels to the model's input.
    #[serde(serialize_with = "hundredths")]
    pub preprocess: f64,
    /// The model itself, reading its outputs included.
    #[serde(serialize_with = "hundredths")]
    pub model: f64,
    /// From capture until the detections were known.
    #[serde(serialize_with = "hundredths")]
    pub total: f64,
}

// `serialize_with` hands over a reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn hundredths<S: Serializer>(v: &f64, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_f64((v * 100.0).round() / 100.0)
}

/// One scored frame, as published.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Detections {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// A ULID, made once when the frame was scored.
    pub id: String,
    /// The site, as configured.
    pub site: String,
    /// The node, as configured.
    pub node: String,
    /// The camera, as configured.
    pub camera: String,
    /// What is wrong with the camera, where its pictures are not to be trusted: `frozen` or `blind`; absent where all is
    /// well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub camera_state: Option<CameraState>,
    /// Which frame.
    pub frame: FrameRef,
    /// Which model.
    pub model: ModelRef,
    /// `sha256:…` of the configuration that was active.
    pub config: String,
    /// Where the time went.
    pub latency_ms: Latency,
    /// What was seen, best score first.
    pub objects: Vec<Object>,
    /// What describes the picture as a whole, where the model gives a vector: its length is 1, so that the dot product of
    /// two is how much their pictures look alike.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "vector")]
    pub embedding: Option<Vec<f32>>,
}

/// Six digits: more is below the noise of the network.
// `serialize_with` hands over a reference.
#[allow(clippy::ref_option)]
fn vector<S: Serializer>(v: &Option<Vec<f32>>, s: S) -> Result<S::Ok, S::Error> {
    s.collect_seq(v.iter().flatten().map(|v| (v * 1e6).round() / 1e6))
}

/// A frame with what was seen in it: what flows out of the engine.
#[derive(Debug, Clone)]
pub struct Scored {
    /// The picture and its origin.
    pub frame: crate::frame::Frame,
    /// What was seen.
    pub detections: Arc<Detections>,
}

/// A frame of a camera with these labels and scores, by the model `parts`.
#[cfg(test)]
pub(crate) fn seen(camera: &str, at: DateTime<Utc>, objects: &[(&str, f32)]) -> Detections {
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
        frame: FrameRef { seq: 0, captured_at: at, width: 1, height: 1 },
        model: ModelRef { name: "parts".to_owned(), version: "1".to_owned(), digest: "sha256:0".to_owned() },
        config: String::new(),
        latency_ms: Latency::default(),
        objects: objects.iter().map(object).collect(),
        embedding: None,
    }
}
