//! Why a frame is worth keeping.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::{Event, ZoneChange};

/// Why a frame is worth keeping.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Reason {
    /// The model was unsure: a score inside the configured band.
    Band {
        /// What it may be.
        label: String,
        /// How sure the model was, 0..=1.
        score: f32,
    },
    /// The model could not decide: two labels for the same thing with nearly the same score.
    Margin {
        /// What it is rather.
        label: String,
        /// How sure the model was of that, 0..=1.
        score: f32,
        /// What else it may be.
        second: String,
        /// How sure the model was of that, 0..=1.
        second_score: f32,
    },
    /// The model contradicted the frames before and after.
    Flicker {
        /// What came or went.
        label: String,
        /// How sure the model was where it saw it, 0..=1.
        score: f32,
        /// Which of the two.
        change: Change,
    },
    /// It looks like nothing that was kept of this camera.
    Novel {
        /// How far it is from the most similar one that was kept; absent where none was.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        distance: Option<f32>,
        /// From which distance on a frame was worth keeping then.
        least: f32,
    },
    /// Something is in it that this camera hardly ever shows.
    Rare {
        /// What.
        label: String,
        /// How sure the model was, 0..=1.
        score: f32,
        /// The share of the camera's frames that had it, 0..=1.
        share: f32,
    },
    /// Something happened in a zone or at a line whose frames are to be kept.
    Rule {
        /// The zone or line.
        rule: String,
        /// What happened.
        what: Happening,
        /// What it was that did it.
        label: String,
        /// Its track.
        track: String,
    },
    /// By chance, so that there is a sample of what is usual.
    Random,
    /// Somebody asked for it.
    Operator,
}

impl Reason {
    /// Its name, as in the record's `kind`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Band { .. } => "band",
            Self::Margin { .. } => "margin",
            Self::Flicker { .. } => "flicker",
            Self::Novel { .. } => "novel",
            Self::Rare { .. } => "rare",
            Self::Rule { .. } => "rule",
            Self::Random => "random",
            Self::Operator => "operator",
        }
    }

    /// The label that it is about, where it is about one.
    #[must_use]
    pub fn label(&self) -> Option<&str> {
        match self {
            Self::Band { label, .. }
            | Self::Margin { label, .. }
            | Self::Flicker { label, .. }
            | Self::Rare { label, .. }
            | Self::Rule { label, .. } => Some(label),
            Self::Novel { .. } | Self::Random | Self::Operator => None,
        }
    }
}

/// What happened for a single frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// An object was there in this frame only.
    Appeared,
    /// An object was missing in this frame only.
    Vanished,
    /// A track was something else in this frame only.
    Relabelled,
}

/// What happened in a zone or at a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Happening {
    /// Something crossed the line.
    Crossed,
    /// Something came into the zone.
    Entered,
    /// Something has been in the zone for as long as its `dwell_s`.
    Dwelt,
    /// Something went out of the zone.
    Left,
}

impl Happening {
    /// The zone or line that an event is about, and what happened there.
    pub(super) fn of(event: &Event) -> Option<(&str, Self)> {
        let line = event.line.as_ref().map(|line| (line.name.as_str(), Self::Crossed));
        line.or_else(|| {
            let zone = event.zone.as_ref()?;
            let what = match zone.change {
                ZoneChange::Entered => Self::Entered,
                ZoneChange::Dwelt => Self::Dwelt,
                ZoneChange::Left => Self::Left,
            };
            Some((zone.name.as_str(), what))
        })
    }
}
