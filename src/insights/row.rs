//! What is counted, and by what.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::detection::ModelRef;
use crate::event::{Direction, Event, EventType, ZoneChange};
use crate::status::CameraState;

/// Bins of a histogram of scores, of equal width from 0 to 1.
pub const BINS: usize = 20;
const HOUR: i64 = 3600;

/// What a row is about. Frames are counted by camera and model, detections and events by label too, and the states of a
/// camera by the camera alone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Key {
    /// Hours since 1970, UTC.
    pub hour: i64,
    /// The camera; none where the policy hides it.
    pub camera: Option<String>,
    /// Name, version and digest.
    pub model: Option<(String, String, String)>,
    /// What was seen.
    pub label: Option<String>,
}

impl Key {
    /// Of a camera in an hour.
    #[must_use]
    pub fn new(hour: i64, camera: &str) -> Self {
        Self { hour, camera: Some(camera.to_owned()), model: None, label: None }
    }

    /// As seen by a model.
    #[must_use]
    pub fn by(self, model: &ModelRef) -> Self {
        let model = (model.name.clone(), model.version.clone(), model.digest.clone());
        Self { model: Some(model), ..self }
    }

    /// Of one label.
    #[must_use]
    pub fn of(self, label: &str) -> Self {
        Self { label: Some(label.to_owned()), ..self }
    }
}

/// The hour that a time lies in, since 1970.
pub(super) fn hour_of(at: DateTime<Utc>) -> i64 {
    at.timestamp().div_euclid(HOUR)
}

/// When an hour begins.
pub(super) fn start_of(hour: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::try_hours(hour).unwrap_or_default()
}

/// What is counted. All of it adds up.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Sums {
    /// Frames scored.
    pub frames: u64,
    /// Frames dropped before they were scored.
    pub dropped: u64,
    /// Frames in which a score was in the band of uncertainty.
    pub uncertain: u64,
    /// Objects seen, frame by frame.
    pub detections: u64,
    /// Their scores, added up, in units of 1/10 000.
    pub score: u64,
    /// How many of them had a score in each of the bins; the last includes 1.
    pub scores: [u64; BINS],
    /// Events, in the order of [`Happening::ALL`].
    pub events: [u64; Happening::ALL.len()],
    /// Microseconds in each state, in the order of [`CameraState::ALL`].
    pub states: [u64; CameraState::ALL.len()],
}

impl Sums {
    /// Adds what was counted elsewhere.
    pub fn add(&mut self, other: &Self) {
        let sums = |all: &Self| [all.frames, all.dropped, all.uncertain, all.detections, all.score];
        let mine = [&mut self.frames, &mut self.dropped, &mut self.uncertain, &mut self.detections, &mut self.score];
        let lists = [
            (&mut self.scores[..], &other.scores[..]),
            (&mut self.events[..], &other.events[..]),
            (&mut self.states[..], &other.states[..]),
        ];
        let parts = lists.into_iter().flat_map(|(mine, other)| mine.iter_mut().zip(other.iter().copied()));
        mine.into_iter().zip(sums(other)).chain(parts).for_each(|(mine, more)| *mine = mine.saturating_add(more));
    }

    /// Counts a detection.
    pub(super) fn detect(&mut self, score: f32) {
        let score = if score.is_finite() { score.clamp(0.0, 1.0) } else { 0.0 };
        self.detections += 1;
        // Rounded as messages say it: whoever adds those up has the same sum.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let steps = (score * 1e4).round() as u64;
        self.score += steps;
        let bin = usize::try_from(steps * BINS as u64 / 10_000).unwrap_or(BINS).min(BINS - 1);
        if let Some(count) = self.scores.get_mut(bin) {
            *count += 1;
        }
    }
}

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Happening {
    /// A track began.
    New,
    /// It came into a zone.
    Entered,
    /// It stayed there for long.
    Dwelt,
    /// It left the zone.
    Left,
    /// It crossed a line.
    Crossed,
    /// It turned out to be something else.
    Relabelled,
    /// It ended.
    End,
}

impl Happening {
    /// All.
    pub const ALL: [Self; 7] =
        [Self::New, Self::Entered, Self::Dwelt, Self::Left, Self::Crossed, Self::Relabelled, Self::End];

    /// What an event is about.
    #[must_use]
    pub fn of(event: &Event) -> Self {
        match (event.kind, &event.zone, &event.line) {
            (EventType::New, ..) => Self::New,
            (EventType::End, ..) => Self::End,
            (EventType::Update, Some(zone), _) => match zone.change {
                ZoneChange::Entered => Self::Entered,
                ZoneChange::Dwelt => Self::Dwelt,
                ZoneChange::Left => Self::Left,
            },
            (EventType::Update, None, Some(_)) => Self::Crossed,
            (EventType::Update, None, None) => Self::Relabelled,
        }
    }

    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Entered => "entered",
            Self::Dwelt => "dwelt",
            Self::Left => "left",
            Self::Crossed => "crossed",
            Self::Relabelled => "relabelled",
            Self::End => "end",
        }
    }
}

/// What is told of an event: no picture, no box, no text that anybody wrote.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Occurrence {
    /// The event's id.
    pub id: String,
    /// The time of its frame.
    pub at: DateTime<Utc>,
    /// The camera.
    pub camera: String,
    /// What it is about.
    pub kind: Happening,
    /// Name and digest of the model.
    pub model: (String, String),
    /// What it is.
    pub label: String,
    /// The zone that it is about, if it is about one.
    pub zone: Option<String>,
    /// The line that it is about, if it is about one.
    pub line: Option<String>,
    /// Which way the line was crossed.
    pub direction: Option<Direction>,
    /// The track's id.
    pub track: String,
}

impl From<&Event> for Occurrence {
    fn from(event: &Event) -> Self {
        Self {
            id: event.id.clone(),
            at: event.frame.captured_at,
            camera: event.camera.clone(),
            kind: Happening::of(event),
            model: (event.model.name.clone(), event.model.digest.clone()),
            label: event.label.clone(),
            zone: event.zone.as_ref().map(|zone| zone.name.clone()),
            line: event.line.as_ref().map(|line| line.name.clone()),
            direction: event.line.as_ref().map(|line| line.direction),
            track: event.track_id.clone(),
        }
    }
}
