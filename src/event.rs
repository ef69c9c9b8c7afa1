//! What happened to the things that a camera saw: events (`ocellus.event/1`) and running counts (`ocellus.count/1`).

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

use crate::detection::{FrameRef, ModelRef, Rect, four_digits, microseconds};

/// The `schema` field of [`Event`].
pub const SCHEMA: &str = "ocellus.event/1";
/// The `schema` field of [`Count`].
pub const COUNT_SCHEMA: &str = "ocellus.count/1";

/// Where in the life of a track an event lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EventType {
    /// It was seen often enough to be believed.
    New,
    /// It entered or left a zone, stayed in one, crossed a line, or turned out to be something else.
    Update,
    /// It is gone.
    End,
}

/// What a track did with a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ZoneChange {
    /// It came in.
    Entered,
    /// It has been inside for as long as the zone's `dwell_s`.
    Dwelt,
    /// It went out, or is gone.
    Left,
}

/// A track and a zone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ZoneEvent {
    /// The zone's name, as configured.
    pub name: String,
    /// What happened.
    pub change: ZoneChange,
    /// Seconds since it came in.
    #[serde(serialize_with = "milli")]
    pub dwell_s: f64,
    /// Things that are inside now.
    pub present: u64,
    /// Things that came in since counting began, this one included.
    pub count: u64,
}

/// The way in which a line is crossed, as seen in the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// To the left, over a line that runs rather up and down.
    Left,
    /// To the right, over such a line.
    Right,
    /// Upwards, over a line that runs rather across.
    Up,
    /// Downwards, over such a line.
    Down,
}

/// A track that crossed a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LineEvent {
    /// The line's name, as configured.
    pub name: String,
    /// Which way.
    pub direction: Direction,
    /// Which of the line's `groups` its label is in: `ok` or `ng`, say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Things that crossed it in this direction since counting began, this one included.
    pub count: u64,
}

/// Something that happened to a track.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// A ULID, made once when it happened; those of a camera ascend.
    pub id: String,
    /// Where in the life of the track.
    #[serde(rename = "type")]
    pub kind: EventType,
    /// The site, as configured.
    pub site: String,
    /// The node, as configured.
    pub node: String,
    /// The camera, as configured.
    pub camera: String,
    /// The frame in which it happened; for `end` the last one in which the thing was seen.
    pub frame: FrameRef,
    /// Which model.
    pub model: ModelRef,
    /// `sha256:…` of the configuration that was active.
    pub config: String,
    /// The track, as in the detections. Counts from 1 for each camera and start of the daemon.
    pub track: String,
    /// A ULID that is the same in all events of this track and in no other's, across restarts.
    pub track_id: String,
    /// What it is: the label with the most votes, a vote being a detection's score.
    pub label: String,
    /// The best score of a detection with this label, 0..=1.
    #[serde(serialize_with = "four_digits")]
    pub score: f32,
    /// The box of that detection.
    #[serde(rename = "box")]
    pub rect: Rect,
    /// When the track was first seen.
    #[serde(serialize_with = "microseconds")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub started_at: DateTime<Utc>,
    /// Seconds from then to this event.
    #[serde(serialize_with = "milli")]
    pub duration_s: f64,
    /// Frames in which it was seen.
    pub frames: u64,
    /// The zones it is in; for `end` all that it has been in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub zones: Vec<String>,
    /// The zone that this is about, if it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<ZoneEvent>,
    /// The line that this is about, if it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<LineEvent>,
}

/// How many, in all and of each kind.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Tally {
    /// All.
    pub total: u64,
    /// By label.
    pub labels: BTreeMap<String, u64>,
    /// By the rule's `groups`: `ok` and `ng`, say. Each group is there from the start.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub groups: BTreeMap<String, u64>,
}

/// The running count of a zone or line: the retained message on `{prefix}/{site}/{node}/{camera}/counts/{rule}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Count {
    /// Always [`COUNT_SCHEMA`].
    pub schema: String,
    /// The site, as configured.
    pub site: String,
    /// The node, as configured.
    pub node: String,
    /// The camera, as configured.
    pub camera: String,
    /// The zone's or line's name, as configured.
    pub rule: String,
    /// When counting began.
    #[serde(serialize_with = "microseconds")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub since: DateTime<Utc>,
    /// Capture time of the frame that changed it last.
    #[serde(serialize_with = "microseconds")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub at: DateTime<Utc>,
    /// What was counted.
    #[serde(flatten)]
    pub counted: Counted,
}

/// What a rule counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Counted {
    /// Of a line.
    Line {
        /// What crossed it, by direction. Each direction that counts is there from the start.
        crossed: BTreeMap<Direction, Tally>,
    },
    /// Of a zone.
    Zone {
        /// Things that are inside now.
        present: u64,
        /// Things that came in.
        entered: Tally,
    },
}

// `serialize_with` hands over a reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn milli<S: Serializer>(v: &f64, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_f64((v * 1e3).round() / 1e3)
}
