//! What the fleet gets to know of this node, hour by hour.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Config, ShipConfig};

/// The sums of an hour and what happened in it, as Parquet files in a store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct InsightsConfig {
    /// A directory or a URL, as for evidence; by default where evidence goes.
    pub store: Option<String>,
    /// Hours that a file holds: 1, 2, 3, 4, 6, 8, 12 or 24. Rows are by the hour in any case.
    pub hours_per_file: u32,
    /// A frame with a detection whose score lies in this band, `[low, high]`, both 0..=1, counts as uncertain; by default
    /// the band of evidence.
    pub uncertain: Option<[f32; 2]>,
    /// How files get to a store that is elsewhere; where `store` is left out, as evidence does.
    pub ship: Option<ShipConfig>,
}

impl Default for InsightsConfig {
    fn default() -> Self {
        Self { store: None, hours_per_file: 1, uncertain: None, ship: None }
    }
}

/// What of the insights may leave the site.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Global {
    /// The names of cameras.
    Camera,
    /// Name, version and digest of models.
    Model,
    /// What the models call what they see.
    Label,
    /// How many frames were scored, dropped, and uncertain.
    Frames,
    /// How many detections there were.
    Detections,
    /// How sure the models were.
    Confidence,
    /// How many events there were, by kind.
    EventCounts,
    /// For how many seconds cameras were in which state.
    States,
    /// Each event, with its id, time and kind.
    Events,
    /// The names of zones and lines, and directions.
    Rule,
    /// The ids of tracks.
    Track,
}

impl Global {
    /// All.
    pub const ALL: [Self; 11] = [
        Self::Camera,
        Self::Model,
        Self::Label,
        Self::Frames,
        Self::Detections,
        Self::Confidence,
        Self::EventCounts,
        Self::States,
        Self::Events,
        Self::Rule,
        Self::Track,
    ];

    /// The word that the configuration has for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Camera => "camera",
            Self::Model => "model",
            Self::Label => "label",
            Self::Frames => "frames",
            Self::Detections => "detections",
            Self::Confidence => "confidence",
            Self::EventCounts => "event-counts",
            Self::States => "states",
            Self::Events => "events",
            Self::Rule => "rule",
            Self::Track => "track",
        }
    }
}

impl Config {
    /// Where insights go; none where nothing says so.
    #[must_use]
    pub fn insights_store(&self) -> Option<&str> {
        let own = self.insights.as_ref()?.store.as_deref();
        own.or_else(|| self.evidence.as_ref().map(|evidence| &*evidence.store))
    }

    /// How they get there.
    #[must_use]
    pub fn insights_way(&self) -> ShipConfig {
        let own = self.insights.as_ref().and_then(|insights| insights.ship.clone());
        let shared = || self.evidence.as_ref().map(|evidence| evidence.ship.clone()).unwrap_or_default();
        match self.insights.as_ref().and_then(|insights| insights.store.as_ref()) {
            Some(_) => own.unwrap_or_default(),
            None => own.unwrap_or_else(shared),
        }
    }

    /// The band in which a score makes its frame count as uncertain.
    #[must_use]
    pub fn uncertain_band(&self) -> [f32; 2] {
        let own = self.insights.as_ref().and_then(|insights| insights.uncertain);
        own.or_else(|| self.evidence.as_ref().map(|evidence| evidence.band))
            .unwrap_or_else(super::evidence::default_band)
    }
}
