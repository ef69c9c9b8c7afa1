//! How often a camera shows each label.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::reason::Reason;
use super::unsure::Worth;
use crate::detection::Object;

/// Before so many frames nothing can be called rare.
const LEAST_FRAMES: u32 = 300;
/// Then all numbers are halved, so that what counts is what was usual lately: half a day to a day at a frame a second.
const MANY_FRAMES: u32 = 65_536;
/// Labels that are remembered. Models have fewer.
const MOST_LABELS: usize = 4096;

/// In how many frames of a camera there was each label.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Census {
    frames: u32,
    labels: BTreeMap<String, u32>,
}

impl Census {
    /// Counts a frame.
    pub(super) fn note(&mut self, objects: &[Object]) {
        if self.frames >= MANY_FRAMES {
            self.frames /= 2;
            self.labels.values_mut().for_each(|count| *count /= 2);
            self.labels.retain(|_, count| *count > 0);
        }
        self.frames += 1;
        for (i, object) in objects.iter().enumerate() {
            let again = objects.iter().take(i).any(|before| before.label == object.label);
            let known = self.labels.len() < MOST_LABELS || self.labels.contains_key(&*object.label);
            if !again && known {
                let count = self.labels.entry(object.label.to_string()).or_default();
                *count = count.saturating_add(1);
            }
        }
    }

    /// The object whose label was in the smallest share of the frames before, if that is less than `share`.
    pub(super) fn rare(&self, share: f32, objects: &[Object]) -> Option<Worth> {
        if self.frames < LEAST_FRAMES {
            return None;
        }
        let of = |object: &Object| self.share(&object.label);
        let object = objects.iter().min_by(|a, b| of(a).total_cmp(&of(b)).then(b.score.total_cmp(&a.score)))?;
        let seen = of(object);
        let reason = Reason::Rare { label: object.label.to_string(), score: object.score, share: seen };
        (seen < share).then(|| (reason, 1.0 - 0.5 * (seen / share).clamp(0.0, 1.0)))
    }

    fn share(&self, label: &str) -> f32 {
        let count = self.labels.get(label).copied().unwrap_or(0);
        // Both are far below 2^24.
        #[allow(clippy::cast_precision_loss)]
        let share = count as f32 / self.frames.max(1) as f32;
        share
    }
}
