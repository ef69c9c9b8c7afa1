//! How the node and its cameras are: the retained status messages and the statistics.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

use crate::detection::ModelRef;

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
    /// Which configuration is in force; absent where it is not known, as in the last will.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<ConfigStatus>,
}

impl NodeStatus {
    /// This daemon's, in a state since then.
    #[must_use]
    pub fn of(state: NodeState, since: DateTime<Utc>) -> Self {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Self { schema: NODE_SCHEMA.to_owned(), state, version, since, config: None }
    }
}

/// Which configuration is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigStatus {
    /// `sha256:…` of what is in force: the configuration, and what was commanded.
    pub digest: String,
    /// When the file was read that it comes from.
    #[serde(serialize_with = "milliseconds")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub since: DateTime<Utc>,
    /// Why the file as it is now is not in force; absent where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<RefusedReload>,
}

/// A reload that changed nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RefusedReload {
    /// Why, in sentences for people.
    pub reason: String,
    /// When it was asked for.
    #[serde(serialize_with = "milliseconds")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub at: DateTime<Utc>,
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

impl CameraState {
    /// All of them, the best first.
    pub const ALL: [Self; 5] = [Self::Ok, Self::Connecting, Self::Frozen, Self::Blind, Self::Off];

    /// The word that messages have for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Connecting => "connecting",
            Self::Frozen => "frozen",
            Self::Blind => "blind",
            Self::Off => "off",
        }
    }
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

/// What a camera's pictures are worth, by the last look at them. Thresholds are in `[cameras.NAME.trust]`.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Trust {
    /// Share of the picture that has not changed for 3 s, 0..=1.
    #[serde(serialize_with = "thousandths")]
    pub still: f32,
    /// Standard deviation of the brightness, in levels of 255.
    #[serde(serialize_with = "thousandths")]
    pub contrast: f32,
    /// Brightness that 95 % of the picture does not exceed, in levels of 255.
    #[serde(serialize_with = "thousandths")]
    pub highlights: f32,
    /// Share of the picture that is white, 0..=1.
    #[serde(serialize_with = "thousandths")]
    pub burnt: f32,
    /// Fine detail against its own average, which is 1; absent where the view has too little detail, or none is known yet.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "some_thousandths")]
    pub sharpness: Option<f32>,
    /// How far the view has moved against its reference, as a share of the longer side; 1 for another view. Absent where
    /// too little stands still in it.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "some_thousandths")]
    pub moved: Option<f32>,
}

// `serialize_with` hands over a reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn thousandths<S: Serializer>(v: &f32, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_f64((f64::from(*v) * 1e3).round() / 1e3)
}

#[allow(clippy::ref_option, clippy::trivially_copy_pass_by_ref)]
fn some_thousandths<S: Serializer>(v: &Option<f32>, s: S) -> Result<S::Ok, S::Error> {
    thousandths(&v.unwrap_or_default(), s)
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
    /// Events since the start.
    pub events: u64,
    /// Frames left out since the start because nothing had changed, where `motion` asks for that.
    pub unchanged: u64,
    /// Objects seen since the start, by label. A count of detections, not of things.
    pub objects: BTreeMap<String, u64>,
    /// From capture until the detections were known.
    pub latency_ms: Percentiles,
    /// What its pictures are worth; absent before the first one, and where nobody looks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust: Option<Trust>,
    /// What people say of its kept frames, by model; absent where nobody has said anything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub verdicts: Vec<ModelVerdicts>,
}

/// How many kept frames that a model has looked at have which verdict. It is the last one on a frame that counts; they are
/// counted as far back as the node has them, over restarts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ModelVerdicts {
    /// The model.
    pub model: ModelRef,
    /// What it saw is right.
    pub right: u64,
    /// It is not.
    pub wrong: u64,
    /// It is not, and somebody has said what there is.
    pub corrected: u64,
}

/// What waits until it is delivered, and what could not.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct OutboxStats {
    /// Events that wait. One that waits for the broker and for a hub counts twice.
    pub events: u64,
    /// Pieces of evidence that wait.
    pub evidence: u64,
    /// Bytes that all of it takes.
    pub bytes: u64,
    /// Items that are only in memory: a crash would lose them.
    pub in_memory: u64,
    /// When the oldest that waits was made.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "optional_milliseconds")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub oldest_at: Option<DateTime<Utc>>,
    /// Items given up because there was no room, or lost with a disk, since the start.
    pub dropped: u64,
    /// Why the disk takes nothing, while that is so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// What of the GPU's memory the daemon has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct GpuMemoryStats {
    /// Bytes that buffers and textures take.
    pub used: u64,
    /// Bytes that are kept from the driver for that, and for more.
    pub reserved: u64,
}

/// What became of traces of frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct TracesStats {
    /// Frames whose traces the collector has taken, since the start.
    pub sent: u64,
    /// Frames whose traces were dropped, since the start: the collector did not take them, or there was no room.
    pub dropped: u64,
}

/// How the connection to Azure IoT Hub is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct HubLink {
    /// The hub's host name, or the registration where provisioning tells it.
    pub hub: String,
    /// Whether there is a connection.
    pub connected: bool,
    /// Why there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Messages that were too many or too large for it, since the start.
    pub dropped: u64,
}

/// Frames that stay on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct WithheldStats {
    /// Frames that are kept.
    pub frames: u64,
    /// Their bytes on the disk.
    pub bytes: u64,
    /// Frames that were lost since the start: there was no room for them, or the disk did not take them.
    pub lost: u64,
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
    /// Frames worth keeping that the policy lets nothing of go, since the start.
    pub evidence_withheld: u64,
    /// What became of frames that were worth keeping, since the start, by reason.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub evidence_reasons: BTreeMap<String, ReasonStats>,
    /// Frames that the policy holds back and that are kept here, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withheld: Option<WithheldStats>,
    /// The outbox.
    pub outbox: OutboxStats,
    /// The connection to Azure IoT Hub, where there is to be one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iothub: Option<HubLink>,
    /// Which configuration is in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<ConfigStatus>,
    /// What of the GPU's memory the daemon has; absent where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu_memory: Option<GpuMemoryStats>,
    /// What became of traces of frames, where there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traces: Option<TracesStats>,
}

/// What became of frames that were worth keeping for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct ReasonStats {
    /// Frames that were picked.
    pub picked: u64,
    /// Frames that were not, because they show what was kept already.
    pub repeated: u64,
    /// Frames that were not, by the quota that was used up: `minute`, `hour` or `day` of their camera, and `node-minute`,
    /// `node-hour` or `node-day` of all together.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub refused: BTreeMap<String, u64>,
}

/// The `schema` field of [`Diagnosis`].
pub const DIAGNOSIS_SCHEMA: &str = "ocellus.diagnosis/1";

/// How the node is, as a whole: what came of the command `diagnose`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Diagnosis {
    /// Always [`DIAGNOSIS_SCHEMA`].
    pub schema: String,
    /// When it was made.
    #[serde(serialize_with = "milliseconds")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub at: DateTime<Utc>,
    /// The site, as configured.
    pub site: String,
    /// The node, as configured.
    pub node: String,
    /// Version of the daemon.
    pub version: String,
    /// The compute device that models run on, as people know it.
    pub device: String,
    /// `sha256:…` of what is in force: the configuration, and what was commanded.
    pub config: String,
    /// What is amiss, in sentences for people; empty where nothing is.
    pub troubles: Vec<String>,
    /// The models that run, by their names in the configuration.
    pub models: BTreeMap<String, ModelRef>,
    /// The cameras.
    pub cameras: BTreeMap<String, CameraDiagnosis>,
    /// The connection to the broker.
    pub mqtt: MqttDiagnosis,
    /// The statistics that were published last; absent in the first second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stats: Option<Stats>,
}

/// How a camera is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CameraDiagnosis {
    /// Its state; absent until it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<CameraStatus>,
    /// The settings that were commanded, with their values.
    pub commanded: BTreeMap<String, serde_json::Value>,
}

/// How the connection to the broker is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MqttDiagnosis {
    /// Whether there is one.
    pub connected: bool,
    /// The broker's host and port.
    pub broker: String,
    /// Why there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why no commands come over it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commands: Option<String>,
}

/// A time as messages say it.
pub(crate) fn milliseconds<S: Serializer>(t: &DateTime<Utc>, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_str(&t.to_rfc3339_opts(SecondsFormat::Millis, true))
}

// `serialize_with` hands over a reference.
#[allow(clippy::ref_option)]
pub(crate) fn optional_milliseconds<S: Serializer>(t: &Option<DateTime<Utc>>, s: S) -> Result<S::Ok, S::Error> {
    match t {
        Some(t) => milliseconds(t, s),
        None => s.serialize_none(),
    }
}
