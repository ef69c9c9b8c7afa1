//! The configuration: one TOML file, and these structs are its reference.
//!
//! Unknown keys are errors. Every mistake is reported with its line and what would be right; see [`load`].

mod check;
mod load;
mod name;
mod scene;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::camera::capture::{CaptureFormat, Controls};
use crate::camera::source::Redacted;
use crate::secret::SecretPlace;

pub use self::load::{ConfigError, Loaded, Mistake, load, parse};
pub(crate) use self::load::{digest, nearest};
pub use self::name::Name;
pub use self::scene::{Anchor, EventChoice, FilterConfig, LineConfig, TrackConfig, ZoneConfig};

/// The whole file.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The site, as it appears in topics, messages and store paths.
    #[serde(default = "default_site")]
    pub site: Name,
    /// This node; the host's name by default.
    #[serde(default = "default_node")]
    pub node: Name,
    /// Where models run: `auto` (the best GPU, else the CPU), `gpu`, `cpu` or `burn-cpu`.
    #[serde(default)]
    pub device: DeviceChoice,
    /// Where tuning results for GPUs are kept; by default `$CACHE_DIRECTORY` (systemd's `CacheDirectory=`), else
    /// `ocellus` in `$XDG_CACHE_HOME` or `~/.cache`.
    pub cache: Option<PathBuf>,
    /// Where detections go.
    #[serde(default)]
    pub mqtt: MqttConfig,
    /// The web page; leave the table out to have none.
    pub web: Option<WebConfig>,
    /// Models by name.
    #[serde(default)]
    pub models: BTreeMap<Name, ModelConfig>,
    /// Cameras by name.
    #[serde(default)]
    pub cameras: BTreeMap<Name, CameraConfig>,
    /// Which frames are kept, and where; leave the table out to keep none.
    pub evidence: Option<EvidenceConfig>,
    /// Where events and evidence wait until they are delivered.
    #[serde(default)]
    pub outbox: OutboxConfig,
}

/// Where models run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceChoice {
    /// The best hardware adapter through Vulkan, else the CPU.
    #[default]
    Auto,
    /// A GPU through Vulkan; an error where there is none.
    Gpu,
    /// A Vulkan device of any kind, software ones (lavapipe) included: for tests.
    GpuSoftware,
    /// tract on the CPU.
    Cpu,
    /// The GPU's lowering on the CPU (burn's flex): slow, for comparison.
    BurnCpu,
}

/// Which floats a model runs with on a GPU. Other devices always take 32-bit ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum PrecisionChoice {
    /// 16-bit ones where the GPU has them and they lose no more than the package allows on its golden set; else
    /// 32-bit ones.
    #[default]
    Auto,
    /// 32-bit ones.
    F32,
    /// 16-bit ones; an error where they lose more than the package allows.
    F16,
}

/// An MQTT broker.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MqttConfig {
    /// `mqtt://host:port` (1883) or `mqtts://host:port` (8883).
    pub url: String,
    /// 3 for MQTT 3.1.1, or 5.
    pub version: u8,
    /// With version 5: seconds after which the broker drops an event or a frame's detections that a subscriber has not
    /// fetched. None drops nothing.
    pub expiry_s: Option<u32>,
    /// First part of every topic. May have several levels, with `/` between them.
    pub prefix: String,
    /// The client id; `ocellus-{site}-{node}` by default. Two clients must never share one.
    pub client_id: Option<String>,
    /// User name, where the broker wants one.
    pub username: Option<String>,
    /// File that holds the password, which is never written into the TOML itself.
    pub password_file: Option<PathBuf>,
    /// Environment variable that holds the password, instead of a file.
    pub password_env: Option<String>,
    /// systemd credential (`LoadCredential=` in the unit) that holds the password, instead of a file.
    pub password_credential: Option<Name>,
    /// PEM file of the certificate authority to trust, instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// PEM file of our certificate chain, for mutual TLS.
    pub cert_file: Option<PathBuf>,
    /// PEM file of our private key, for mutual TLS.
    pub key_file: Option<PathBuf>,
    /// Whether Home Assistant is told what there is, by its MQTT discovery.
    pub home_assistant: bool,
    /// QoS of detections: 0 or 1.
    pub detections_qos: u8,
    /// Detections that may wait while the broker is slow or away, 1 to 65 536; the oldest are dropped first.
    pub queue: usize,
}

impl Default for MqttConfig {
    fn default() -> Self {
        Self {
            url: "mqtt://127.0.0.1:1883".to_owned(),
            version: 3,
            expiry_s: None,
            prefix: "ocellus".to_owned(),
            client_id: None,
            username: None,
            password_file: None,
            password_env: None,
            password_credential: None,
            ca_file: None,
            cert_file: None,
            key_file: None,
            home_assistant: false,
            detections_qos: 0,
            queue: 256,
        }
    }
}

impl MqttConfig {
    /// Where the broker's password is.
    #[must_use]
    pub fn password(&self) -> SecretPlace {
        place(&self.password_file, &self.password_env, &self.password_credential)
    }
}

/// The web page.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WebConfig {
    /// Address and port to listen on.
    pub listen: SocketAddr,
}

impl Default for WebConfig {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 8642)) }
    }
}

/// A model.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// A model package (directory) or a bare `.onnx` file.
    pub path: PathBuf,
    /// What a bare `.onnx` file needs to know: `ocellus model profiles` lists them.
    pub profile: Option<String>,
    /// Labels of a bare `.onnx` file, one a line.
    pub labels: Option<PathBuf>,
    /// Lowest score of a detection, 0..=1, instead of the package's.
    pub score: Option<f32>,
    /// IoU above which NMS drops the weaker of two boxes, 0..=1, instead of the package's.
    pub iou: Option<f32>,
    /// Floats on a GPU, instead of the package's: `auto`, `f32` or `f16`.
    pub precision: Option<PrecisionChoice>,
    /// Frames of different cameras that may run together, 1 to 64.
    #[serde(default = "default_batch")]
    pub batch: usize,
    /// MiB that one run of the model may take; half of the machine's memory by default.
    pub memory_mib: Option<u64>,
}

/// What decodes a network camera's video.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HwAccel {
    /// Whatever hardware `ffmpeg` finds, else the CPU.
    #[default]
    Auto,
    /// VA-API (Intel, AMD); an error where there is none.
    Vaapi,
    /// NVIDIA's decoder; an error where there is none.
    Cuda,
    /// The CPU.
    None,
}

/// What carries RTSP's pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// The RTSP connection itself: nothing is lost.
    #[default]
    Tcp,
    /// UDP beside it, which loses packets, and with them pictures, where the network is busy.
    Udp,
}

/// Which frames wait for a model that is busy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum QueueChoice {
    /// The newest one; older ones are dropped and counted.
    #[default]
    Newest,
    /// Every one, up to a limit; beyond it frames are lost, and the camera's state says so.
    Every,
}

/// When a camera's pictures are not to be trusted. A threshold of 0 switches its signal off.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrustConfig {
    /// Whether pictures are watched at all.
    pub enabled: bool,
    /// Frozen: this share of the picture has not changed for 3 s, 0 to 1.
    pub still: f32,
    /// Black or covered: the brightness varies by less (standard deviation), in levels of 255.
    pub contrast: f32,
    /// Under-exposed: 95 % of the picture is darker, in levels of 255.
    pub highlights: f32,
    /// Over-exposed: this share of the picture is white, 0 to 1.
    pub burnt: f32,
    /// Out of focus: fine detail is less than this share of what it usually is, 0 to 1.
    pub sharpness: f32,
    /// Moved: the view is off by this share of the longer side, 0 to 1.
    pub moved: f32,
    /// A picture of the view that the camera should have; the one at the start by default.
    pub reference: Option<PathBuf>,
    /// Seconds after which a view that has moved becomes the reference; 0 for never.
    pub relearn_s: f32,
}

impl Default for TrustConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            still: 0.9,
            contrast: 5.0,
            highlights: 40.0,
            burnt: 0.5,
            sharpness: 0.6,
            moved: 0.03,
            reference: None,
            relearn_s: 600.0,
        }
    }
}

/// A camera.
#[derive(Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CameraConfig {
    /// `rtsp://host/path`, `rtsps://…`, `http://…` (MJPEG or another stream), `file:/path.mp4` (`?loop=true`,
    /// `?realtime=true`), `dir:/path`, `sim:conveyor?seed=1&fps=10`. A URL may hold credentials, which `Debug` leaves
    /// out.
    pub source: String,
    /// Which of `[models]` looks at it; may be left out where there is only one.
    pub model: Option<Name>,
    /// Most frames a second that are scored, at most 1000; by default all that the device manages.
    pub fps: Option<f32>,
    /// User name, where a network camera wants one.
    pub username: Option<String>,
    /// File that holds the password, which is never written into the TOML itself. Read each time the camera is opened.
    pub password_file: Option<PathBuf>,
    /// Environment variable that holds the password, instead of a file.
    pub password_env: Option<String>,
    /// systemd credential (`LoadCredential=` in the unit) that holds the password, instead of a file.
    pub password_credential: Option<Name>,
    /// What carries RTSP's pictures: `tcp` or `udp`.
    #[serde(default)]
    pub transport: Transport,
    /// What decodes a network camera's video: `auto`, `vaapi`, `cuda` or `none`.
    #[serde(default)]
    pub hwaccel: HwAccel,
    /// Longest side of a network camera's pictures, 16 to 16 384 pixels; larger ones are made smaller by the decoder.
    pub max_side: Option<u32>,
    /// Seconds without a picture after which a network camera is opened again, 0.5 to 3600; 10 by default.
    pub timeout_s: Option<f32>,
    /// Format that a `v4l:` camera gives: `nv12`, `yuyv`, `bayer`, `mjpg` or `grey`; chosen by default.
    pub format: Option<CaptureFormat>,
    /// Pixels across and down that a `v4l:` camera gives; by default the most up to 1920 x 1080 that come fluently.
    pub size: Option<[u32; 2]>,
    /// Controls of a `v4l:` camera: `exposure` (microseconds), `gain`, `focus`, each a number or `"auto"`, and others by
    /// the names that `ocellus cameras` shows. What is not named stays as it is.
    #[serde(default)]
    pub controls: Controls,
    /// How objects become tracks; without this table, zones and lines there are none.
    pub track: Option<TrackConfig>,
    /// Parts of its picture.
    #[serde(default)]
    pub zones: Vec<ZoneConfig>,
    /// Lines that things cross.
    #[serde(default)]
    pub lines: Vec<LineConfig>,
    /// For an `http` source that gives one picture a request: ask for one every so many seconds, 0.05 to 86 400.
    pub poll_s: Option<f32>,
    /// Which frames wait for a model that is busy: `newest` or `every`.
    #[serde(default)]
    pub queue: QueueChoice,
    /// With `queue = "every"`: how many frames may wait, 1 to 1024; 32 by default.
    pub queue_frames: Option<usize>,
    /// Frames need not be scored while no part of the picture has changed by so many levels of 255, 0.5 to 255. By default
    /// every frame is.
    pub motion: Option<f32>,
    /// When its pictures are not to be trusted.
    #[serde(default)]
    pub trust: TrustConfig,
}

impl CameraConfig {
    /// Where the camera's password is.
    #[must_use]
    pub fn password(&self) -> SecretPlace {
        place(&self.password_file, &self.password_env, &self.password_credential)
    }
}

fn place(file: &Option<PathBuf>, env: &Option<String>, credential: &Option<Name>) -> SecretPlace {
    SecretPlace { file: file.clone(), env: env.clone(), credential: credential.clone() }
}

impl fmt::Debug for CameraConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CameraConfig")
            .field("source", &Redacted::clipped(&self.source))
            .field("model", &self.model)
            .field("fps", &self.fps)
            .field("username", &self.username)
            .field("password", &self.password())
            .field("transport", &self.transport)
            .field("hwaccel", &self.hwaccel)
            .field("max_side", &self.max_side)
            .field("timeout_s", &self.timeout_s)
            .field("format", &self.format)
            .field("size", &self.size)
            .field("controls", &self.controls)
            .field("track", &self.track)
            .field("zones", &self.zones)
            .field("lines", &self.lines)
            .field("poll_s", &self.poll_s)
            .field("queue", &self.queue)
            .field("queue_frames", &self.queue_frames)
            .field("motion", &self.motion)
            .field("trust", &self.trust)
            .finish()
    }
}

/// Which frames are worth learning from, and where they are kept.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvidenceConfig {
    /// A directory, or a URL: `file:///path`, `az://container/path`, `s3://bucket/path`.
    /// Credentials come from the environment (`AZURE_STORAGE_…`, `AWS_…`), never from this file.
    pub store: String,
    /// A detection whose score lies in this band, `[low, high]`, both 0..=1, makes its frame worth keeping.
    #[serde(default = "default_band")]
    pub band: [f32; 2],
    /// Keep frames in which an object appears or vanishes for a single frame.
    #[serde(default = "yes")]
    pub flicker: bool,
    /// Most frames kept a minute and camera, 1 to 6000.
    #[serde(default = "default_per_minute")]
    pub per_minute: u32,
}

/// Where events and evidence wait until they are delivered.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OutboxConfig {
    /// Whether they wait on the disk, where they survive a crash and a power cut; else in memory.
    pub enabled: bool,
    /// A folder of its own. By default `outbox` in `$STATE_DIRECTORY` (systemd's `StateDirectory=`), else in `ocellus` in
    /// `$XDG_STATE_HOME` or `~/.local/state`.
    pub path: Option<PathBuf>,
    /// MiB that all may take, at least 1.
    pub max_mib: u64,
    /// Items that may wait, at least 1.
    pub max_items: u64,
    /// MiB that evidence may take of that.
    pub evidence_mib: u64,
    /// Pieces of evidence that may wait.
    pub evidence_items: u64,
    /// MiB of the disk that stay free for others.
    pub reserve_mib: u64,
    /// Messages of a backlog that are published a second at most, 1 to 10 000, behind what happens now.
    pub backlog_rate: u32,
}

impl Default for OutboxConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            path: None,
            max_mib: 1024,
            max_items: 1_000_000,
            evidence_mib: 512,
            evidence_items: 10_000,
            reserve_mib: 256,
            backlog_rate: 200,
        }
    }
}

fn default_site() -> Name {
    Name::near("site")
}

fn default_node() -> Name {
    Name::of_this_host()
}

fn default_batch() -> usize {
    8
}

fn default_band() -> [f32; 2] {
    [0.3, 0.6]
}

fn default_per_minute() -> u32 {
    6
}

fn yes() -> bool {
    true
}
