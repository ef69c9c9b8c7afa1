//! What was kept of a camera, by what it looks like: whether a frame is unlike all of it, or the same again.
//!
//! Vectors are the model's embeddings where it gives any, else layouts of their pictures. Few are remembered: where
//! there are too many, the older one of the two that are most alike goes, so that those that stay cover what there was.
//! From which distance on a frame is new changes: each one that is kept raises it, and time lowers it, so fast that at
//! most about half of what may be kept is kept for being new; below a floor it never falls, so that nothing new means none.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::layout::layout;
use super::reason::Reason;
use super::select::SAME;
use super::unsure::Worth;
use crate::config::EvidenceConfig;
use crate::detection::{Detections, Object, Rect, Scored};

/// Frames that are remembered of a camera.
const FRAMES: usize = 64;
/// Things that are remembered of a frame, the best ones.
const THINGS: usize = 16;
/// What one frame that is kept for being new raises the least distance by.
const RAISE: f32 = 1.3;
/// For how many frames' time what is new leaves the room that there is to other reasons, where these want it.
const GIVES_WAY: f32 = 8.0;

/// What a frame looks like.
#[derive(Debug, Clone)]
pub(super) struct Sight {
    /// What made the vector: vectors of different origin can't be compared.
    origin: String,
    vector: Vec<f32>,
    /// Distances below which two frames are the same, and from which on one may be new.
    same: f32,
    floor: f32,
}

impl Sight {
    pub(super) fn of(scored: &Scored) -> Self {
        let Detections { embedding, model, .. } = &*scored.detections;
        match embedding {
            // Their length is 1: cosines of 0.995 and 0.955.
            Some(vector) => Self { origin: model.digest.clone(), vector: vector.clone(), same: 0.1, floor: 0.3 },
            // On the sample clips neighbouring frames of a still scene are 0.001 to 0.003 apart, and one in which
            // somebody walks through is 0.02 to 0.1 from the empty scene.
            None => Self { origin: "layout".to_owned(), vector: layout(&scored.frame.image), same: 0.005, floor: 0.02 },
        }
    }
}

/// What was kept of a camera.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Kept {
    origin: String,
    frames: VecDeque<Memory>,
    /// The least distance of a frame that is new, and when that was so.
    least: f32,
    at: u64,
    /// When a frame was last kept for being new.
    new_at: u64,
}

/// A frame that was kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Memory {
    #[serde(with = "packed")]
    vector: Vec<f32>,
    things: Vec<(String, Rect)>,
}

impl Kept {
    /// Whether a frame shows what one that was kept shows: it looks the same, and the same was seen in it.
    pub(super) fn has(&self, sight: &Sight, objects: &[Object]) -> bool {
        let things: Vec<&Object> = objects.iter().take(THINGS).collect();
        let alike = |memory: &&Memory| distance(&memory.vector, &sight.vector) < sight.same;
        self.of(sight).filter(alike).any(|memory| {
            memory.things.len() == things.len()
                && things.iter().all(|object| {
                    let same =
                        |(label, rect): &(String, Rect)| *label == *object.label && rect.iou(&object.rect) >= SAME;
                    memory.things.iter().any(same)
                })
        })
    }

    /// Whether a frame is unlike all that was kept, and how much. `pace` is how many may be kept for that reason in a
    /// millisecond.
    pub(super) fn novel(&mut self, sight: &Sight, pace: f32, now: u64) -> Option<Worth> {
        let passed = now.saturating_sub(self.at) as f32;
        let faded = self.least * (-passed * pace * RAISE.ln()).exp();
        self.least = if faded.is_finite() { faded.max(sight.floor) } else { sight.floor };
        self.at = now;
        let distances = self.of(sight).map(|memory| distance(&memory.vector, &sight.vector));
        let nearest = distances.reduce(f32::min);
        let value = match nearest {
            Some(distance) if distance < self.least => return None,
            // One half where it is just new, towards 1 the farther it is.
            Some(distance) => 1.0 - 0.5 * self.least / distance.max(self.least),
            None => 1.0,
        };
        Some((Reason::Novel { distance: nearest, least: self.least }, value))
    }

    /// Whether what is new has given way to other reasons for long enough.
    pub(super) fn is_due(&self, pace: f32, now: u64) -> bool {
        now.saturating_sub(self.new_at) as f32 * pace * 2.0 >= GIVES_WAY
    }

    /// Remembers a frame that is kept.
    pub(super) fn remember(&mut self, sight: Sight, objects: &[Object], for_being_new: bool) {
        if for_being_new {
            self.least *= RAISE;
            self.new_at = self.at;
        }
        if self.origin != sight.origin {
            self.frames.clear();
            self.origin = sight.origin;
        }
        let things = objects.iter().take(THINGS).map(|object| (object.label.to_string(), object.rect)).collect();
        self.frames.push_back(Memory { vector: sight.vector, things });
        if self.frames.len() > FRAMES {
            self.thin_out();
        }
    }

    /// What can be compared to a frame.
    fn of(&self, sight: &Sight) -> impl Iterator<Item = &Memory> {
        let comparable = self.origin == sight.origin;
        self.frames.iter().filter(move |memory| comparable && memory.vector.len() == sight.vector.len())
    }

    /// Forgets the older one of the two frames that are most alike.
    fn thin_out(&mut self) {
        let frames = self.frames.iter().enumerate();
        let pairs =
            frames.flat_map(|(i, a)| self.frames.iter().skip(i + 1).map(move |b| (i, distance(&a.vector, &b.vector))));
        if let Some((older, _)) = pairs.min_by(|(_, a), (_, b)| a.total_cmp(b)) {
            self.frames.remove(older);
        }
    }

    /// Makes sense of what was read.
    pub(super) fn settle(&mut self, now: u64) {
        self.at = self.at.min(now);
        self.new_at = self.new_at.min(now);
        self.frames.truncate(FRAMES);
    }

    /// Bytes that it takes on the disk, about.
    pub(super) fn weight(&self) -> usize {
        self.frames.iter().map(|memory| memory.vector.len() * 3 + memory.things.len() * 64 + 64).sum()
    }
}

/// How many frames may be kept in a millisecond for being new: half of what the tightest limit allows.
pub(super) fn pace(config: &EvidenceConfig) -> f32 {
    let limits = [(Some(config.per_minute), 60e3), (config.per_hour, 3600e3), (config.per_day, 86_400e3_f32)];
    let each = limits.into_iter().filter_map(|(most, span)| Some(most? as f32 / span));
    each.reduce(f32::min).unwrap_or_default() / 2.0
}

fn distance(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f32>().sqrt()
}

/// Vectors in 16 bits a number, whose values are -2..=2, as text.
mod packed {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    const SCALE: f32 = 16_000.0;

    pub(super) fn serialize<S: Serializer>(vector: &[f32], s: S) -> Result<S::Ok, S::Error> {
        #[allow(clippy::cast_possible_truncation)]
        let bytes: Vec<u8> = vector.iter().flat_map(|value| ((value * SCALE) as i16).to_le_bytes()).collect();
        s.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<f32>, D::Error> {
        let bytes = STANDARD.decode(String::deserialize(d)?).map_err(D::Error::custom)?;
        let value = |pair: &[u8]| match pair {
            [low, high] => f32::from(i16::from_le_bytes([*low, *high])) / SCALE,
            _ => 0.0,
        };
        Ok(bytes.chunks(2).map(value).collect())
    }
}

#[cfg(test)]
mod tests;
