//! The configuration: one TOML file, and these structs are its reference.
//!
//! Unknown keys are errors. Every mistake is reported with its line and what would be right; see [`load`].

mod advice;
mod camera;
mod change;
mod check;
mod evidence;
mod hours;
mod insights;
mod iothub;
mod load;
mod mqtt;
mod name;
mod privacy;
mod review;
mod scene;
mod schema;
mod serve;
mod ship;
#[cfg(test)]
mod tests;
mod traces;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::secret::SecretPlace;

pub use self::camera::{CameraConfig, HwAccel, QueueChoice, Transport, TrustConfig};
pub use self::change::{Change, Reload, changes};
pub use self::evidence::{EvidenceConfig, NodeQuota};
pub use self::hours::Hours;
pub use self::insights::{Global, InsightsConfig};
pub use self::iothub::{DpsConfig, HubMessage, IotHubConfig};
pub use self::load::{ConfigError, ConfigFile, Loaded, Mistake, load, parse};
pub(crate) use self::load::{digest, nearest};
pub use self::mqtt::MqttConfig;
pub use self::name::Name;
pub use self::privacy::{
    Allow, FinderConfig, MaskConfig, MessageAllow, MessageKind, MessageRuleConfig, Method, PrivacyConfig, Redact,
    RuleConfig,
};
pub use self::review::{ReviewConfig, ReviewNames, ReviewPictures, ReviewerConfig};
pub use self::scene::{Anchor, EventChoice, FilterConfig, LineConfig, TrackConfig, ZoneConfig};
pub use self::schema::schema;
pub use self::serve::ServeConfig;
pub use self::ship::{Service, ShipConfig};
pub use self::traces::TracesConfig;

/// The whole file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
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
    /// A hub in Azure that gets events too, and may command this node; leave the table out to have none.
    pub iothub: Option<IotHubConfig>,
    /// The web page; leave the table out to have none.
    pub web: Option<WebConfig>,
    /// Scoring of pictures that others send; leave the table out to serve none.
    pub serve: Option<ServeConfig>,
    /// Models by name.
    #[serde(default)]
    pub models: BTreeMap<Name, ModelConfig>,
    /// Cameras by name.
    #[serde(default)]
    pub cameras: BTreeMap<Name, CameraConfig>,
    /// Which frames are kept, and where; leave the table out to keep none.
    pub evidence: Option<EvidenceConfig>,
    /// What the fleet gets to know, hour by hour; leave the table out to tell nothing.
    pub insights: Option<InsightsConfig>,
    /// What may leave the site, and what is made unrecognisable before.
    #[serde(default)]
    pub privacy: PrivacyConfig,
    /// What people say of kept frames.
    #[serde(default)]
    pub review: ReviewConfig,
    /// Where events and evidence wait until they are delivered.
    #[serde(default)]
    pub outbox: OutboxConfig,
    /// Where traces of frames go, for OpenTelemetry; leave the table out to have none.
    pub traces: Option<TracesConfig>,
}

/// Where models run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
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

/// The web page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WebConfig {
    /// Address and port to listen on.
    pub listen: SocketAddr,
    /// File that holds the token for `/metrics` (`Authorization: Bearer`). Without one metrics are for this machine only.
    pub metrics_token_file: Option<PathBuf>,
    /// systemd credential that holds the token, instead of a file.
    pub metrics_token_credential: Option<Name>,
}

impl Default for WebConfig {
    fn default() -> Self {
        let listen = SocketAddr::from(([127, 0, 0, 1], 8642));
        Self { listen, metrics_token_file: None, metrics_token_credential: None }
    }
}

/// A model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
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

/// Where events and evidence wait until they are delivered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
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

/// Where a secret is, by the three keys that may say so.
fn place(file: &Option<PathBuf>, env: &Option<String>, credential: &Option<Name>) -> SecretPlace {
    SecretPlace { file: file.clone(), env: env.clone(), credential: credential.clone() }
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
