//! Which frames are kept, and where.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Name, ShipConfig};

/// Which frames are worth learning from, and where they are kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EvidenceConfig {
    /// A directory, or a URL: `file:///path`, `az://container/path`, `s3://bucket/path`.
    /// Credentials come from the environment (`AZURE_STORAGE_…`, `AWS_…`), never from this file.
    pub store: String,
    /// A detection whose score lies in this band, `[low, high]`, both 0..=1, makes its frame worth keeping.
    #[serde(default = "default_band")]
    pub band: [f32; 2],
    /// Two labels of the same thing whose scores differ by less make their frame worth keeping, 0 (off) to 1.
    #[serde(default = "default_margin")]
    pub margin: f32,
    /// Keep frames in which an object appears, vanishes or is something else for a single frame.
    #[serde(default = "yes")]
    pub flicker: bool,
    /// Keep frames that look like nothing that was kept of their camera, and of those that look the same only one.
    #[serde(default = "yes")]
    pub novelty: bool,
    /// A label that a smaller share of a camera's frames has makes its frame worth keeping, 0 (off) to 1.
    #[serde(default = "default_rare")]
    pub rare: f32,
    /// The share of frames that are kept by chance, 0 to 1.
    #[serde(default)]
    pub random: f32,
    /// What chance starts from.
    #[serde(default)]
    pub seed: u64,
    /// Zones and lines whose events make their frames worth keeping.
    #[serde(default)]
    pub rules: Vec<Name>,
    /// Most frames kept a minute and camera, 1 to 6000.
    #[serde(default = "default_per_minute")]
    pub per_minute: u32,
    /// Most frames kept an hour and camera, 1 to 360000; by default as many as `per_minute` lets through.
    pub per_hour: Option<u32>,
    /// Most frames kept a day and camera, 1 to 8640000; by default as many as the others let through.
    pub per_day: Option<u32>,
    /// What all cameras together may keep.
    #[serde(default)]
    pub node: NodeQuota,
    /// How it gets to a store that is elsewhere.
    #[serde(default)]
    pub ship: ShipConfig,
}

impl EvidenceConfig {
    /// The defaults, for a store.
    #[must_use]
    pub fn at(store: String) -> Self {
        Self {
            store,
            band: default_band(),
            margin: default_margin(),
            flicker: true,
            novelty: true,
            rare: default_rare(),
            random: 0.0,
            seed: 0,
            rules: Vec::new(),
            per_minute: default_per_minute(),
            per_hour: None,
            per_day: None,
            node: NodeQuota::default(),
            ship: ShipConfig::default(),
        }
    }
}

/// Most frames that all cameras of a node together may keep, shared fairly; no limit by default.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NodeQuota {
    /// A minute.
    pub per_minute: Option<u32>,
    /// An hour.
    pub per_hour: Option<u32>,
    /// A day.
    pub per_day: Option<u32>,
}

pub(super) fn default_band() -> [f32; 2] {
    [0.3, 0.6]
}

fn default_margin() -> f32 {
    0.15
}

fn default_rare() -> f32 {
    0.002
}

fn default_per_minute() -> u32 {
    6
}

fn yes() -> bool {
    true
}
