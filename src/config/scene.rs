//! What happens to what a camera sees: tracks, zones and lines.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Name;
use crate::event::Direction;

/// How objects become tracks. A camera has tracks where this table, a zone or a line is there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TrackConfig {
    /// Labels that are tracked; all by default.
    pub labels: Option<Vec<String>>,
    /// Lowest score of a detection that begins a track, 0..=1; weaker ones only go on with one. By default all that the
    /// model reports begin one.
    pub min_score: Option<f32>,
    /// Lowest mean score of a track that is believed, 0..=1.
    pub threshold: f32,
    /// Smallest box that is tracked, as a fraction of the frame's area.
    pub min_area: f32,
    /// Largest box that is tracked, as a fraction of the frame's area.
    pub max_area: f32,
    /// The same for single labels, where they differ.
    pub filters: BTreeMap<String, FilterConfig>,
    /// Frames in which a thing must be seen before it is believed, 1 to 100.
    pub confirm: u32,
    /// Seconds that a thing which is out of sight is waited for, at most 600.
    pub keep_s: f64,
    /// Which events are published.
    pub events: EventChoice,
}

impl Default for TrackConfig {
    fn default() -> Self {
        Self {
            labels: None,
            min_score: None,
            threshold: 0.0,
            min_area: 0.0,
            max_area: 1.0,
            filters: BTreeMap::new(),
            confirm: 3,
            keep_s: 2.0,
            events: EventChoice::All,
        }
    }
}

/// What holds for one label instead of what holds for all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FilterConfig {
    /// Lowest score of a detection that begins a track, 0..=1.
    pub min_score: Option<f32>,
    /// Lowest mean score of a track that is believed, 0..=1.
    pub threshold: Option<f32>,
    /// Smallest box that is tracked, as a fraction of the frame's area.
    pub min_area: Option<f32>,
    /// Largest box that is tracked, as a fraction of the frame's area.
    pub max_area: Option<f32>,
}

/// Which events are published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EventChoice {
    /// The life of each track, and what it does with zones and lines.
    #[default]
    All,
    /// What tracks do with zones and lines.
    Rules,
    /// None; tracks and counts only.
    None,
}

/// Which point of a box says where a thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Anchor {
    /// The middle of the box.
    #[default]
    Center,
    /// The middle of its lower edge: the feet of people, the wheels of vehicles.
    Bottom,
}

/// A part of the picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ZoneConfig {
    /// Its name; the zones and lines of a camera share no name.
    pub name: Name,
    /// Its corners, `[x, y]` as fractions of the frame, at least three.
    pub points: Vec<[f64; 2]>,
    /// Labels that count; all by default.
    pub labels: Option<Vec<String>>,
    /// Which point of a box says where a thing is.
    #[serde(default)]
    pub anchor: Anchor,
    /// `[n, m]`: a thing is inside once it was in n of the last m frames, and outside likewise; n is more than half of
    /// m, and m at most 64.
    #[serde(default = "default_inertia")]
    pub inertia: [u32; 2],
    /// Seconds after which a thing that stays inside is an event of its own; by default none is.
    pub dwell_s: Option<f64>,
    /// Labels that are counted together, by the group's name.
    #[serde(default)]
    pub groups: BTreeMap<Name, Vec<String>>,
}

/// A line that things cross.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LineConfig {
    /// Its name; the zones and lines of a camera share no name.
    pub name: Name,
    /// Its two ends, `[x, y]` as fractions of the frame.
    pub points: Vec<[f64; 2]>,
    /// The only direction that counts, as on a belt; a thing is then counted once. By default both directions count,
    /// each time.
    pub direction: Option<Direction>,
    /// Labels that count; all by default.
    pub labels: Option<Vec<String>>,
    /// Which point of a box says where a thing is.
    #[serde(default)]
    pub anchor: Anchor,
    /// Labels that are counted together, by the group's name: `ok` and `ng`, say.
    #[serde(default)]
    pub groups: BTreeMap<Name, Vec<String>>,
}

fn default_inertia() -> [u32; 2] {
    [3, 4]
}
