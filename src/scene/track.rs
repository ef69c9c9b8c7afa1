//! One track: its motion, what it is taken for, and how long it has been there.

use std::sync::Arc;
use std::time::Duration;

use super::motion::{Motion, Place};
use crate::detection::{FrameRef, Object, Rect};

/// Labels that a track has votes for; a thing that is taken for more than this is none.
const MAX_LABELS: usize = 16;

/// The detections of one label.
#[derive(Debug, Clone)]
pub(super) struct Vote {
    pub(super) label: Arc<str>,
    /// The sum of their scores.
    weight: f32,
    /// The best of them.
    pub(super) score: f32,
    pub(super) rect: Rect,
}

/// What a thing is taken for. Every detection is a vote, worth its score.
#[derive(Debug, Clone, Default)]
pub(super) struct Votes {
    list: Vec<Vote>,
    sum: f32,
    count: u64,
}

impl Votes {
    pub(super) fn add(&mut self, object: &Object) {
        self.sum += object.score;
        self.count += 1;
        if let Some(vote) = self.list.iter_mut().find(|vote| vote.label == object.label) {
            vote.weight += object.score;
            if object.score > vote.score {
                (vote.score, vote.rect) = (object.score, object.rect);
            }
        } else if self.list.len() < MAX_LABELS {
            let (label, score, rect) = (Arc::clone(&object.label), object.score, object.rect);
            self.list.push(Vote { label, weight: score, score, rect });
        }
    }

    /// The label with the most votes; of equal ones the first that was seen.
    pub(super) fn winner(&self) -> Option<&Vote> {
        self.list.iter().reduce(|best, vote| if vote.weight > best.weight { vote } else { best })
    }

    /// Share of the votes that a label has, 0..=1.
    pub(super) fn share(&self, label: &str) -> f64 {
        let weight = self.list.iter().find(|vote| &*vote.label == label).map_or(0.0, |vote| vote.weight);
        if self.sum > 0.0 { f64::from(weight / self.sum) } else { 0.0 }
    }

    /// The mean score of all detections.
    #[allow(clippy::cast_precision_loss)] // a mean is none the worse for it
    pub(super) fn mean(&self) -> f32 {
        if self.count == 0 { 0.0 } else { self.sum / self.count as f32 }
    }
}

/// One thing, followed from frame to frame.
#[derive(Debug, Clone)]
pub(super) struct Track {
    /// Counts from 1.
    pub(super) number: u64,
    pub(super) motion: Motion,
    pub(super) votes: Votes,
    /// Whether it was seen often enough to be believed.
    pub(super) confirmed: bool,
    /// Frames in which it was seen.
    pub(super) frames: u64,
    /// Frames in a row in which it was not.
    pub(super) missed: u32,
    /// When it was first and last seen.
    pub(super) first: (Duration, FrameRef),
    pub(super) last: (Duration, FrameRef),
    /// Its box when it was last seen.
    pub(super) rect: Rect,
}

impl Track {
    pub(super) fn new(number: u64, motion: Motion, object: &Object, at: Duration, frame: &FrameRef) -> Self {
        let mut votes = Votes::default();
        votes.add(object);
        Self {
            number,
            motion,
            votes,
            confirmed: false,
            frames: 1,
            missed: 0,
            first: (at, frame.clone()),
            last: (at, frame.clone()),
            rect: object.rect,
        }
    }

    /// It was seen here.
    pub(super) fn seen(&mut self, object: &Object, place: &Place, at: Duration, frame: &FrameRef) {
        self.motion.correct(place);
        self.votes.add(object);
        self.frames += 1;
        self.missed = 0;
        self.last = (at, frame.clone());
        self.rect = object.rect;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(label: &str, score: f32, x: f32) -> Object {
        let rect = Rect { x, y: 0.0, w: 0.1, h: 0.1 };
        Object { class: 0, label: label.into(), score, rect, track: None, zones: Vec::new() }
    }

    #[test]
    fn the_label_with_the_most_votes_wins_with_its_own_best_box() {
        let mut votes = Votes::default();
        for (label, score, x) in [("bolt", 0.6, 0.1), ("nut", 0.99, 0.2), ("bolt", 0.7, 0.3), ("bolt", 0.5, 0.4)] {
            votes.add(&object(label, score, x));
        }
        let winner = votes.winner().expect("there are votes");
        assert_eq!((&*winner.label, winner.score, winner.rect.x), ("bolt", 0.7, 0.3));
        assert!((votes.share("bolt") - 1.8 / 2.79).abs() < 1e-6);
        assert!((votes.mean() - 2.79 / 4.0).abs() < 1e-6);
    }

    #[test]
    fn any_number_of_labels_takes_bounded_room() {
        let mut votes = Votes::default();
        for i in 0..1000 {
            votes.add(&object(&format!("label {i}"), 0.5, 0.0));
        }
        assert_eq!(votes.list.len(), MAX_LABELS);
        assert_eq!(Votes::default().winner().map(|vote| vote.score), None);
    }
}
