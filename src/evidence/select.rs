//! Which frames are worth keeping.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::limit::Limiter;
use crate::clock::Clock;
use crate::config::EvidenceConfig;
use crate::detection::{Object, Scored};

/// Boxes of one label that overlap this much are taken for the same object.
const SAME: f32 = 0.5;
/// Three frames that span more than this say nothing about flicker: things come and go in that time.
const FLICKER_SPAN: Duration = Duration::from_millis(1500);
/// Within this time the same reason and label are not kept again, unless the limit allows a frame less often.
const NEAR_DUPLICATE: Duration = Duration::from_secs(3);

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
    /// The model contradicted the frames before and after.
    Flicker {
        /// What came or went.
        label: String,
        /// How sure the model was where it saw it, 0..=1.
        score: f32,
        /// Which of the two.
        change: Change,
    },
    /// Somebody asked for it.
    Operator,
}

impl Reason {
    /// The label that it is about, where it is about one.
    #[must_use]
    pub fn label(&self) -> Option<&str> {
        match self {
            Self::Band { label, .. } | Self::Flicker { label, .. } => Some(label),
            Self::Operator => None,
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
}

/// A frame that is to be kept.
#[derive(Debug, Clone)]
pub struct Pick {
    /// Why.
    pub reason: Reason,
    /// What it is worth, 0..=1: where there is no room, the lowest goes first.
    pub value: f32,
    /// The frame and what was seen in it.
    pub scored: Scored,
}

/// Decides, frame by frame, which are worth keeping. Frames of one camera come in order.
#[derive(Debug)]
pub struct Selector {
    band: [f32; 2],
    flicker: bool,
    per_minute: u32,
    clock: Arc<dyn Clock>,
    cameras: HashMap<Arc<str>, Camera>,
}

#[derive(Debug)]
struct Camera {
    limiter: Limiter,
    /// When each reason was last kept. The labels of a model are few.
    recent: HashMap<(Option<Change>, String), Instant>,
    before: Option<Scored>,
    last: Option<Scored>,
    last_was_kept: bool,
}

impl Selector {
    /// A selector that has seen nothing yet.
    #[must_use]
    pub fn new(config: &EvidenceConfig, clock: Arc<dyn Clock>) -> Self {
        Self {
            band: config.band,
            flicker: config.flicker,
            per_minute: config.per_minute,
            clock,
            cameras: HashMap::new(),
        }
    }

    /// Looks at the next frame of a camera. What is to be kept may be that frame, or the one before it, which
    /// only its successor shows to be odd. No frame is given twice.
    pub fn select(&mut self, scored: &Scored) -> Option<Pick> {
        let now = self.clock.monotonic();
        let per_minute = self.per_minute;
        let camera =
            self.cameras.entry(Arc::clone(&scored.frame.camera)).or_insert_with(|| Camera::new(per_minute, now));
        camera.forget_what_does_not_precede(scored);

        let odd = if self.flicker { camera.flicker(scored) } else { None };
        let pick = odd
            .filter(|pick| camera.allow(pick, per_minute, now))
            .or_else(|| band(self.band, scored).filter(|pick| camera.allow(pick, per_minute, now)));
        let kept_this = pick.as_ref().is_some_and(|pick| pick.scored.frame.seq == scored.frame.seq);
        camera.before = camera.last.replace(scored.clone());
        camera.last_was_kept = kept_this;
        pick
    }
}

impl Camera {
    fn new(per_minute: u32, now: Instant) -> Self {
        Self {
            limiter: Limiter::new(per_minute, now),
            recent: HashMap::new(),
            before: None,
            last: None,
            last_was_kept: false,
        }
    }

    /// A camera that was opened again counts its frames from 0.
    fn forget_what_does_not_precede(&mut self, scored: &Scored) {
        if self.last.as_ref().is_some_and(|last| last.frame.seq >= scored.frame.seq) {
            self.before = None;
            self.last = None;
        }
    }

    /// The last frame, if it is odd between the one before and the one after it.
    fn flicker(&self, after: &Scored) -> Option<Pick> {
        let (before, odd) = (self.before.as_ref()?, self.last.as_ref()?);
        let span = after.frame.captured.saturating_duration_since(before.frame.captured);
        if self.last_was_kept || span > FLICKER_SPAN {
            return None;
        }
        let (a, b, c) = (objects(before), objects(odd), objects(after));
        let (object, change) = vanished(a, b, c)
            .map(|object| (object, Change::Vanished))
            .or_else(|| appeared(a, b, c).map(|object| (object, Change::Appeared)))?;
        Some(Pick {
            reason: Reason::Flicker { label: object.label.to_string(), score: object.score, change },
            value: 1.0,
            scored: odd.clone(),
        })
    }

    /// Whether the limits let it pass; if so, it counts.
    fn allow(&mut self, pick: &Pick, per_minute: u32, now: Instant) -> bool {
        let change = if let Reason::Flicker { change, .. } = &pick.reason { Some(*change) } else { None };
        let key = (change, pick.reason.label().unwrap_or_default().to_owned());
        let share = Duration::from_secs(60) / per_minute.max(1);
        let quiet = NEAR_DUPLICATE.max(share / 2);
        let duplicate = self.recent.get(&key).is_some_and(|at| now.saturating_duration_since(*at) < quiet);
        if duplicate || !self.limiter.take(now) {
            return false;
        }
        self.recent.insert(key, now);
        true
    }
}

fn objects(scored: &Scored) -> &[Object] {
    &scored.detections.objects
}

/// The object whose score is nearest to the middle of the band, if any is inside.
fn band([low, high]: [f32; 2], scored: &Scored) -> Option<Pick> {
    let (middle, half) = (f32::midpoint(low, high), (high - low) / 2.0);
    let distance = |object: &Object| (object.score - middle).abs();
    let inside = objects(scored).iter().filter(|object| (low..=high).contains(&object.score));
    let object = inside.min_by(|a, b| distance(a).total_cmp(&distance(b)))?;
    // From one half at the edges of the band to 1 in its middle.
    let off = if half > 0.0 { distance(object) / half } else { 0.0 };
    Some(Pick {
        reason: Reason::Band { label: object.label.to_string(), score: object.score },
        value: 1.0 - 0.5 * off.clamp(0.0, 1.0),
        scored: scored.clone(),
    })
}

/// An object of `a` and `c` that `b` lacks. The number of its kind must be less too, so that a box that jumps
/// is not taken for one that is missing.
fn vanished<'a>(a: &[Object], b: &[Object], c: &'a [Object]) -> Option<&'a Object> {
    c.iter().find(|object| {
        let few = count(b, object);
        seen(a, object) && !seen(b, object) && few < count(a, object) && few < count(c, object)
    })
}

/// An object of `b` that neither `a` nor `c` have. The number of its kind must be more too, so that something
/// that moves fast is not taken for something new in every frame.
fn appeared<'b>(a: &[Object], b: &'b [Object], c: &[Object]) -> Option<&'b Object> {
    b.iter().find(|object| {
        let many = count(b, object);
        !seen(a, object) && !seen(c, object) && many > count(a, object) && many > count(c, object)
    })
}

fn seen(objects: &[Object], object: &Object) -> bool {
    let mut others = objects.iter();
    others.any(|other| other.label == object.label && other.rect.iou(&object.rect) >= SAME)
}

fn count(objects: &[Object], object: &Object) -> usize {
    objects.iter().filter(|other| other.label == object.label).count()
}

#[cfg(test)]
pub(super) mod tests;
