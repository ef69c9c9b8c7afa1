//! How the node and its cameras are: the retained status messages and the statistics.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

/// The `schema` field of [`NodeStatus`].
pub const NODE_SCHEMA: &str = "ocellus.status/1";
/// The `schema` field of [`CameraStatus`].
pub const CAMERA_SCHEMA: &str = "ocellus.camera/1";
/// The `schema` field of [`Stats`].
pub const STATS_SCHEMA: &str = "ocellus.stats/1";

/// Whether the daemon is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NodeState {
    /// Running and connected.
    Online,
    /// Ended in good order.
    Stopped,
    /// Gone without a word: said by the broker, as the last will.
    Offline,
}

/// The retained message on `{prefix}/{site}/{node}/status`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NodeStatus {
    /// Always [`NODE_SCHEMA`].
    pub schema: String,
    /// Whether the daemon is there.
    pub state: NodeState,
    /// Version of the daemon.
    pub version: String,
    /// When it reached this state. The last will carries the time at which the daemon connected.
    #[serde(serialize_with = "milliseconds")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub since: DateTime<Utc>,
}

/// What a camera is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CameraState {
    /// Being opened, or waiting before the next try.
    Connecting,
    /// Delivering pictures.
    Ok,
    /// Delivering the same picture again and again.
    Frozen,
    /// Delivering pictures that can't be scored, or no device to score them on.
    Blind,
    /// Ended or switched off: no more pictures will come.
    Off,
}

/// The retained message on `{prefix}/{site}/{node}/{camera}/status`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CameraStatus {
    /// Always [`CAMERA_SCHEMA`].
    pub schema: String,
    /// What the camera is doing.
    pub state: CameraState,
    /// Why, in a sentence for people; empty while all is well.
    pub reason: String,
    /// When it reached this state.
    #[serde(serialize_with = "milliseconds")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub since: DateTime<Utc>,
}

/// Percentiles of a latency in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Percentiles {
    /// Median.
    pub p50: f64,
    /// 95th percentile.
    pub p95: f64,
    /// 99th percentile.
    pub p99: f64,
}

/// One camera's rates since the last [`Stats`].
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct CameraStats {
    /// Frames captured a second.
    pub captured_fps: f64,
    /// Frames scored a second.
    pub scored_fps: f64,
    /// Frames dropped since the start because a newer one was there.
    pub dropped: u64,
    /// Frames scored since the start.
    pub scored: u64,
    /// Objects seen since the start, by label. A count of detections, not of things.
    pub objects: BTreeMap<String, u64>,
    /// From capture until the detections were known.
    pub latency_ms: Percentiles,
}

/// The message on `{prefix}/{site}/{node}/stats`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Stats {
    /// Always [`STATS_SCHEMA`].
    pub schema: String,
    /// When it was made.
    #[serde(serialize_with = "milliseconds")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub at: DateTime<Utc>,
    /// Seconds since the daemon started.
    pub uptime_s: u64,
    /// The compute device that models run on, as people know it.
    pub device: String,
    /// By camera name.
    pub cameras: BTreeMap<String, CameraStats>,
    /// Messages that MQTT had no room for, since the start.
    pub mqtt_dropped: u64,
    /// Evidence items kept since the start.
    pub evidence_kept: u64,
    /// Evidence items lost since the start, because the store failed or was too slow.
    pub evidence_dropped: u64,
}

fn milliseconds<S: Serializer>(t: &DateTime<Utc>, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_str(&t.to_rfc3339_opts(SecondsFormat::Millis, true))
}
