//! Counting, in memory, since the ledger was last written. Without a clock: time comes with what is counted.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use super::row::{Happening, Key, Occurrence, Sums, hour_of, start_of};
use crate::detection::Detections;
use crate::event::Event;
use crate::status::CameraState;

/// Events that may wait for a disk that takes nothing; then the oldest are left out of the list of events, though not of
/// the sums.
const MAX_EVENTS: usize = 20_000;
/// Rows that may wait so; then what is new is not counted by label any more.
const MAX_ROWS: usize = 20_000;

/// What was counted since the last batch.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Batch {
    /// Sums by what they are about.
    pub sums: BTreeMap<Key, Sums>,
    /// What happened.
    pub events: VecDeque<Occurrence>,
}

impl Batch {
    /// Whether nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sums.is_empty() && self.events.is_empty()
    }
}

/// How a camera is, as it is looked at every second.
#[derive(Debug, Clone, Copy)]
pub struct Look<'a> {
    /// Its name.
    pub camera: &'a str,
    /// What it is doing.
    pub state: CameraState,
    /// Frames that it dropped since it was opened.
    pub dropped: u64,
}

/// Counts.
#[derive(Debug)]
pub struct Tally {
    uncertain: [f32; 2],
    batch: Batch,
    /// When it was looked at the cameras, and what they had dropped.
    looked: Option<Instant>,
    dropped: BTreeMap<String, u64>,
    /// Events that were left out.
    lost: u64,
}

impl Tally {
    /// Nothing yet. A frame with a score in `uncertain` counts as uncertain.
    #[must_use]
    pub fn new(uncertain: [f32; 2]) -> Self {
        Self { uncertain, batch: Batch::default(), looked: None, dropped: BTreeMap::new(), lost: 0 }
    }

    /// Counts a scored frame, in the hour of its capture.
    pub fn scored(&mut self, detections: &Detections) {
        let hour = hour_of(detections.frame.captured_at);
        let key = Key::new(hour, &detections.camera).by(&detections.model);
        let [low, high] = self.uncertain;
        for object in &detections.objects {
            self.sums(key.clone().of(&object.label)).detect(object.score);
        }
        let sums = self.sums(key);
        sums.frames += 1;
        // By the scores that messages say.
        let rounded = |score: f32| (score * 1e4).round() / 1e4;
        let mut scores = detections.objects.iter().map(|object| rounded(object.score));
        sums.uncertain += u64::from(scores.any(|score| (low..=high).contains(&score)));
    }

    /// Counts an event, in the hour of its frame.
    pub fn happened(&mut self, event: &Event) {
        let key = Key::new(hour_of(event.frame.captured_at), &event.camera).by(&event.model).of(&event.label);
        let kind = Happening::of(event);
        let of_kind = Happening::ALL.iter().position(|other| *other == kind);
        if let Some(count) = of_kind.and_then(|index| self.sums(key).events.get_mut(index)) {
            *count += 1;
        }
        if self.batch.events.len() == MAX_EVENTS {
            self.batch.events.pop_front();
            self.lost += 1;
        }
        self.batch.events.push_back(event.into());
    }

    /// Counts for how long cameras have been what they are: since the last look, which is taken for all that time.
    pub fn look<'a>(&mut self, wall: DateTime<Utc>, now: Instant, cameras: impl IntoIterator<Item = Look<'a>>) {
        let past = self.looked.replace(now).map_or(Duration::ZERO, |last| now.saturating_duration_since(last));
        let mut seen = BTreeMap::new();
        for Look { camera, state, dropped } in cameras {
            let before = self.dropped.get(camera).copied().unwrap_or(0);
            // A camera that was opened again counts from 0.
            let more = if dropped < before { dropped } else { dropped - before };
            seen.insert(camera.to_owned(), dropped);
            if more > 0 {
                self.sums(Key::new(hour_of(wall), camera)).dropped += more;
            }
            let index = CameraState::ALL.iter().position(|other| *other == state);
            for (hour, microseconds) in hours(wall, past) {
                let sums = self.sums(Key::new(hour, camera));
                if let Some(time) = index.and_then(|index| sums.states.get_mut(index)) {
                    *time += microseconds;
                }
            }
        }
        self.dropped = seen;
    }

    /// Takes what was counted since the last time.
    pub fn take(&mut self) -> Batch {
        std::mem::take(&mut self.batch)
    }

    /// Events that were left out of the list because the disk took nothing for long.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost
    }

    fn sums(&mut self, mut key: Key) -> &mut Sums {
        if self.batch.sums.len() >= MAX_ROWS && !self.batch.sums.contains_key(&key) {
            key.label = None;
        }
        self.batch.sums.entry(key).or_default()
    }
}

/// The hours that a span of time lies in which ends now, with the microseconds in each. Spans are short: of one that began
/// before the last hour all that lies before is counted in that hour.
fn hours(now: DateTime<Utc>, past: Duration) -> impl Iterator<Item = (i64, u64)> {
    let past = u64::try_from(past.as_micros()).unwrap_or(u64::MAX);
    let hour = hour_of(now);
    let begun = (now - start_of(hour)).num_microseconds().and_then(|begun| u64::try_from(begun).ok()).unwrap_or(past);
    let inside = begun.min(past);
    [(hour - 1, past - inside), (hour, inside)].into_iter().filter(|(_, microseconds)| *microseconds > 0)
}
