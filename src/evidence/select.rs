//! Which frames are worth keeping.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

use super::flicker::flicker;
use super::memory::{Looks, Memory};
use super::novelty::{Kept, Sight, pace};
use super::quota::Quota;
use super::rare::Census;
use super::reason::{Change, Happening, Reason};
use super::unsure::{Worth, band, margin};
use crate::clock::Clock;
use crate::config::EvidenceConfig;
use crate::detection::{Object, Scored};
use crate::event::Event;
use crate::status::{CameraState, ReasonStats};

/// Boxes of one label that overlap this much are taken for the same object.
pub(super) const SAME: f32 = 0.5;
/// Three frames that span more than this say nothing about flicker: things come and go in that time.
const FLICKER_SPAN: Duration = Duration::from_millis(1500);
/// Within this time the same reason and label are not kept again, unless the limit allows a frame less often.
const NEAR_DUPLICATE: Duration = Duration::from_secs(3);
/// What is new is worth so much of a doubt, as long as both want the same room: doubts find more of what is wrong.
const OF_NEW: f32 = 0.5;
/// Whether a camera's frames are new is asked no more often.
const LOOK_EVERY: Duration = Duration::from_millis(250);

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

/// Decides, frame by frame, which are worth keeping. Frames of one camera come in order. The same frames at the same
/// times give the same picks.
#[derive(Debug)]
pub struct Selector {
    config: EvidenceConfig,
    /// Frames that may be kept in a millisecond for being new.
    pace: f32,
    clock: Arc<dyn Clock>,
    /// Both clocks at the start: time goes on evenly from there, whatever is done to the calendar.
    started: (DateTime<Utc>, Instant),
    quota: Quota,
    cameras: BTreeMap<Arc<str>, Camera>,
    /// What was read of cameras that have shown nothing yet.
    before: (BTreeMap<String, Census>, Looks),
    counts: BTreeMap<&'static str, ReasonStats>,
    /// Whether something was kept since `unsaved` gave what to write.
    changed: bool,
}

#[derive(Debug, Default)]
struct Camera {
    census: Census,
    kept: Kept,
    /// When each reason was last kept. The labels of a model are few.
    recent: HashMap<(&'static str, Option<Change>, String), Instant>,
    before: Option<Scored>,
    last: Option<Scored>,
    last_was_kept: bool,
    /// The capture time of the frame of which it was last asked whether it is new.
    looked: Option<Instant>,
    /// What the frame of this moment looks like, since that is asked for more than once.
    sight: Option<(Instant, Sight)>,
}

impl Selector {
    /// A selector that has seen nothing yet.
    #[must_use]
    pub fn new(config: &EvidenceConfig, clock: Arc<dyn Clock>) -> Self {
        Self::resume(config, clock, Memory::default(), Looks::default())
    }

    /// A selector that goes on from what another knew.
    #[must_use]
    pub(super) fn resume(config: &EvidenceConfig, clock: Arc<dyn Clock>, memory: Memory, looks: Looks) -> Self {
        let started = (clock.wall(), clock.monotonic());
        let now = milliseconds(started.0);
        Self {
            pace: pace(config),
            quota: Quota::new(config, memory.quota, now),
            config: config.clone(),
            clock,
            started,
            cameras: BTreeMap::new(),
            before: (memory.census, looks),
            counts: BTreeMap::new(),
            changed: false,
        }
    }

    /// Goes by other settings from now on, and what was seen and kept before still counts.
    pub(super) fn retune(&mut self, config: &EvidenceConfig) {
        self.pace = pace(config);
        self.quota = Quota::new(config, std::mem::take(&mut self.quota.accounts), self.now());
        self.config = config.clone();
    }

    /// Looks at the next frame of a camera, and at what happened in it. What is to be kept is that frame, or the one
    /// before it, which only its successor shows to be odd, or both. No frame is given twice.
    pub fn select(&mut self, scored: &Scored, events: &[Event]) -> Vec<Pick> {
        self.enter(&scored.frame.camera);
        let now = self.now();
        self.quota.see(&scored.frame.camera, now);
        let mut picks = Vec::new();
        if let Some((odd, (reason, value))) = self.odd(scored) {
            picks.extend(self.consider(&odd, (reason, value), value, now));
        }
        let found = self.reasons(scored, events, now);
        let all = self.worth(scored, &found, now);
        picks.extend(found.into_iter().find_map(|worth| self.consider(scored, worth, all, now)));
        let kept_this = picks.iter().any(|pick| pick.scored.frame.seq == scored.frame.seq);
        if let Some(camera) = self.cameras.get_mut(&scored.frame.camera) {
            camera.before = camera.last.replace(scored.clone());
            camera.last_was_kept = kept_this;
        }
        picks
    }

    /// Notes a frame that is kept because somebody asked for it.
    pub(super) fn note_request(&mut self, scored: &Scored) {
        self.enter(&scored.frame.camera);
        self.count(&Reason::Operator).picked += 1;
        self.remember(scored, false);
    }

    /// What became of frames that were worth keeping, by reason.
    pub(super) fn counts(&self) -> BTreeMap<String, ReasonStats> {
        self.counts.iter().map(|(kind, stats)| ((*kind).to_owned(), stats.clone())).collect()
    }

    /// What must be on the disk before what was picked is kept; nothing where it is.
    pub(super) fn unsaved(&mut self) -> Option<Memory> {
        let census = |(name, camera): (&Arc<str>, &Camera)| (name.to_string(), camera.census.clone());
        std::mem::take(&mut self.changed).then(|| Memory {
            quota: self.quota.accounts.clone(),
            census: self.before.0.clone().into_iter().chain(self.cameras.iter().map(census)).collect(),
        })
    }

    /// What all kept frames looked like.
    pub(super) fn looks(&self) -> Looks {
        let kept = |(name, camera): (&Arc<str>, &Camera)| (name.to_string(), camera.kept.clone());
        self.before.1.clone().into_iter().chain(self.cameras.iter().map(kept)).collect()
    }

    /// Milliseconds since 1970 on a clock that goes evenly.
    fn now(&self) -> u64 {
        let passed = self.clock.monotonic().saturating_duration_since(self.started.1);
        milliseconds(self.started.0).saturating_add(u64::try_from(passed.as_millis()).unwrap_or(u64::MAX))
    }

    /// Makes a camera known.
    fn enter(&mut self, name: &Arc<str>) {
        if !self.cameras.contains_key(name) {
            let census = self.before.0.remove(&**name).unwrap_or_default();
            let mut kept = self.before.1.remove(&**name).unwrap_or_default();
            kept.settle(self.now());
            self.cameras.insert(Arc::clone(name), Camera { census, kept, ..Camera::default() });
        }
    }

    /// The last frame, if it is odd between the one before and the one after it.
    fn odd(&mut self, after: &Scored) -> Option<(Scored, Worth)> {
        let camera = self.cameras.get_mut(&after.frame.camera)?;
        camera.forget_what_does_not_precede(after);
        let (before, odd) = (camera.before.as_ref()?, camera.last.as_ref()?);
        let span = after.frame.captured.saturating_duration_since(before.frame.captured);
        if !self.config.flicker || camera.last_was_kept || span > FLICKER_SPAN {
            return None;
        }
        let worth = flicker(objects(before), objects(odd), objects(after))?;
        Some((odd.clone(), worth))
    }

    /// All that makes a frame worth keeping. What somebody asked for by name comes first, and what chance wants, since a
    /// sample is none that gives way; then what is seldom, and last what there will be more of.
    fn reasons(&mut self, scored: &Scored, events: &[Event], now: u64) -> Vec<Worth> {
        let objects = objects(scored);
        let mut found: Vec<Worth> = events.iter().filter_map(|event| self.rule(scored, event)).take(1).collect();
        if self.is_drawn(scored) {
            found.push((Reason::Random, 1.0));
        }
        let (config, pace) = (&self.config, self.pace);
        let Some(camera) = self.cameras.get_mut(&scored.frame.camera) else { return found };
        let trusted = scored.frame.state == CameraState::Ok;
        if trusted {
            found.extend(camera.census.rare(config.rare, objects));
            camera.census.note(objects);
        }
        let mut unsure: Vec<Worth> =
            margin(config.margin, objects).into_iter().chain(band(config.band, objects)).collect();
        unsure.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        found.extend(unsure);
        if config.novelty && trusted && camera.may_look(scored) {
            let sight = camera.sight(scored);
            found.extend(camera.kept.novel(&sight, pace, now));
        }
        found
    }

    /// What a frame is worth by all that speaks for it, 0..=1: who is worth less leaves room to others. What was asked for,
    /// wanted by chance or seldom leaves none, and neither does what is new once it has waited for long.
    fn worth(&self, scored: &Scored, found: &[Worth], now: u64) -> f32 {
        let is_due = || self.cameras.get(&scored.frame.camera).is_some_and(|camera| camera.kept.is_due(self.pace, now));
        let rest = found.iter().fold(1.0, |rest, (reason, value)| {
            let claim = match reason {
                Reason::Band { .. } | Reason::Margin { .. } | Reason::Flicker { .. } => *value,
                Reason::Novel { .. } if !is_due() => value * OF_NEW,
                _ => 1.0,
            };
            rest * (1.0 - claim)
        });
        1.0 - rest
    }

    /// Whether an event is one whose frames are to be kept, and happened in this frame.
    fn rule(&self, scored: &Scored, event: &Event) -> Option<Worth> {
        let (rule, what) = Happening::of(event)?;
        let wanted = event.frame.seq == scored.frame.seq && self.config.rules.iter().any(|name| **name == *rule);
        let reason =
            || Reason::Rule { rule: rule.to_owned(), what, label: event.label.clone(), track: event.track.clone() };
        wanted.then(|| (reason(), 1.0))
    }

    /// Whether chance wants a frame. That hangs on the frame alone, so that it is the same each time.
    fn is_drawn(&self, scored: &Scored) -> bool {
        if self.config.random <= 0.0 {
            return false;
        }
        let hash = Sha256::new()
            .chain_update(self.config.seed.to_le_bytes())
            .chain_update(scored.frame.captured_at.timestamp_micros().to_le_bytes())
            .chain_update(scored.frame.seq.to_le_bytes())
            .chain_update(scored.frame.camera.as_bytes())
            .finalize();
        let drawn = hash.iter().take(4).fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
        f64::from(drawn) < f64::from(self.config.random) * 2.0_f64.powi(32)
    }

    /// Keeps a frame for a reason, unless it is the same again or there is no room for what it is worth by all of them;
    /// counts what becomes of it.
    fn consider(&mut self, scored: &Scored, (reason, value): Worth, all: f32, now: u64) -> Option<Pick> {
        let (name, at) = (&scored.frame.camera, self.clock.monotonic());
        // Not what is the same by nature, nor what was asked for by name.
        let may_repeat = matches!(reason, Reason::Rule { .. } | Reason::Random | Reason::Novel { .. });
        if !may_repeat && self.is_repeated(scored, &reason, at) {
            self.count(&reason).repeated += 1;
            return None;
        }
        if let Err(limit) = self.quota.take(name, all, now) {
            *self.count(&reason).refused.entry(limit.to_owned()).or_default() += 1;
            return None;
        }
        self.count(&reason).picked += 1;
        self.changed = true;
        if let Some(camera) = self.cameras.get_mut(name).filter(|_| !may_repeat) {
            camera.recent.insert(key(&reason), at);
        }
        self.remember(scored, matches!(reason, Reason::Novel { .. }));
        Some(Pick { reason, value, scored: scored.clone() })
    }

    /// Whether the same reason was kept a moment ago, or the same picture at any time.
    fn is_repeated(&mut self, scored: &Scored, reason: &Reason, at: Instant) -> bool {
        let Some(camera) = self.cameras.get_mut(&scored.frame.camera) else { return false };
        let share = Duration::from_secs(60) / self.config.per_minute.max(1);
        let quiet = NEAR_DUPLICATE.max(share / 2);
        let recent = camera.recent.get(&key(reason)).is_some_and(|kept| at.saturating_duration_since(*kept) < quiet);
        recent || (self.config.novelty && camera.looks_kept(scored))
    }

    fn remember(&mut self, scored: &Scored, for_being_new: bool) {
        if let Some(camera) = self.cameras.get_mut(&scored.frame.camera).filter(|_| self.config.novelty) {
            let sight = camera.sight(scored);
            camera.kept.remember(sight, objects(scored), for_being_new);
        }
    }

    fn count(&mut self, reason: &Reason) -> &mut ReasonStats {
        self.counts.entry(reason.kind()).or_default()
    }
}

impl Camera {
    /// A camera that was opened again counts its frames from 0.
    fn forget_what_does_not_precede(&mut self, scored: &Scored) {
        if self.last.as_ref().is_some_and(|last| last.frame.seq >= scored.frame.seq) {
            self.before = None;
            self.last = None;
        }
    }

    fn sight(&mut self, scored: &Scored) -> Sight {
        match &self.sight {
            Some((at, sight)) if *at == scored.frame.captured => sight.clone(),
            _ => {
                let sight = Sight::of(scored);
                self.sight = Some((scored.frame.captured, sight.clone()));
                sight
            }
        }
    }

    fn looks_kept(&mut self, scored: &Scored) -> bool {
        let sight = self.sight(scored);
        self.kept.has(&sight, objects(scored))
    }

    /// Whether it is time to ask whether a frame is new.
    fn may_look(&mut self, scored: &Scored) -> bool {
        let captured = scored.frame.captured;
        let due = self.looked.is_none_or(|looked| captured.saturating_duration_since(looked) >= LOOK_EVERY);
        if due {
            self.looked = Some(captured);
        }
        due
    }
}

fn key(reason: &Reason) -> (&'static str, Option<Change>, String) {
    let change = if let Reason::Flicker { change, .. } = reason { Some(*change) } else { None };
    (reason.kind(), change, reason.label().unwrap_or_default().to_owned())
}

fn objects(scored: &Scored) -> &[Object] {
    &scored.detections.objects
}

fn milliseconds(at: DateTime<Utc>) -> u64 {
    u64::try_from(at.timestamp_millis()).unwrap_or(0)
}

#[cfg(test)]
pub(super) mod tests;
