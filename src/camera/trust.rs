//! Whether a camera's pictures can be trusted. A stream may be alive and useless: frozen, black or covered, badly
//! exposed, out of focus, or of another view than it was.
//!
//! Four times a second of the pictures' own time a small grey [`look`] is taken, on the camera's thread. From it come
//! the [`Trust`] signals, each with a threshold in `[cameras.NAME.trust]`; a fault counts once its signal was beyond
//! the threshold for [`HOLD`], and is over when it was not for as long.
//!
//! | signal | of | fault |
//! |---|---|---|
//! | `still` | share of cells that kept their brightness to a quarter of a level for [`STILL`] | frozen; what a clock in the picture covers does not hide it, and sensor noise is enough to tell a quiet scene from it |
//! | `contrast` | standard deviation of the cells, levels | black or covered |
//! | `highlights` | brightness that 95 % of the cells don't exceed | under-exposed |
//! | `burnt` | share of cells that are white | over-exposed |
//! | `sharpness` | fine detail as a share of coarse, against its own average and how much it varies | out of focus |
//! | `moved` | how far what stands still has moved, see [`scene`] | moved |

mod alarm;
pub(super) mod look;
mod scene;

use std::collections::VecDeque;
use std::time::Duration;

use self::alarm::Alarm;
use self::look::Look;
use self::scene::Scene;
use crate::config::TrustConfig;
use crate::frame::Image;
use crate::status::{CameraState, Trust};

/// How often a look is taken.
const EVERY: Duration = Duration::from_millis(250);
/// How long a picture must stay the same to count as still.
const STILL: Duration = Duration::from_secs(3);
/// How long a signal must be beyond its threshold, or within it again, to count.
const HOLD: Duration = Duration::from_millis(1500);
/// How much a still cell's brightness may vary, in levels of 255.
const SAME: f32 = 0.25;
/// Cells as bright as this are white, and as dark as this black, in levels of 255.
const WHITE: f32 = 245.0;
const BLACK: f32 = 12.0;
/// A view with less coarse detail on average has none to be out of focus.
const TEXTURE: f32 = 20.0;
/// How slowly the average of sharpness follows, in seconds.
const FOLLOWS: f32 = 600.0;
/// How many standard deviations below its average sharpness must be to be out of the ordinary: views differ in how much
/// theirs varies with what moves through them.
const USUAL: f32 = 3.0;
/// Looks at the start that pass before focus and view are judged, since cameras still adapt.
const SETTLING: u32 = 8;

/// What can be wrong, in the order in which it is told.
const FAULTS: [(CameraState, &str); 6] = [
    (CameraState::Blind, "the picture is black, or something covers the camera"),
    (CameraState::Blind, "the picture is under-exposed"),
    (CameraState::Blind, "the picture is over-exposed"),
    (CameraState::Blind, "the picture is out of focus"),
    (CameraState::Blind, "the camera has been moved"),
    (CameraState::Frozen, "the picture is frozen"),
];
const BLANK: usize = 0;
const DARK: usize = 1;
const BRIGHT: usize = 2;
const SOFT: usize = 3;
const MOVED: usize = 4;
const FROZEN: usize = 5;

/// What is known of a camera's pictures.
#[derive(Debug)]
pub(super) struct Watch {
    config: TrustConfig,
    /// The last looks, over the time that a picture must be still.
    looks: VecDeque<(Duration, Look)>,
    /// When the last look was taken, and how many there were.
    last: Option<Duration>,
    count: u32,
    alarms: [Alarm; 6],
    sharpness: Average,
    texture: Average,
    scene: Option<Scene>,
    moved_since: Option<Duration>,
}

/// What a camera's pictures are worth.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Verdict {
    /// `Ok`, `Frozen` or `Blind`.
    pub state: CameraState,
    /// Why, for people; empty where it is `Ok`.
    pub reason: String,
    /// The signals it comes from.
    pub signals: Trust,
}

impl Watch {
    /// Watches by these thresholds. `reference` shows the view that the camera should have, instead of the one that
    /// it has at the start.
    pub fn new(config: TrustConfig, reference: Option<&Image>) -> Self {
        let hold = |fault: usize| if fault == FROZEN { Duration::ZERO } else { HOLD };
        Self {
            config,
            looks: VecDeque::new(),
            last: None,
            count: 0,
            alarms: std::array::from_fn(|fault| Alarm::new(hold(fault), HOLD)),
            sharpness: Average::default(),
            texture: Average::default(),
            scene: reference.map(|image| Scene::of(&Look::at(image), true)),
            moved_since: None,
        }
    }

    /// Whether a picture at this time, since the camera was started, is one to look at.
    pub fn is_due(&self, at: Duration) -> bool {
        self.config.enabled && self.last.is_none_or(|last| at >= last + EVERY || at < last)
    }

    /// Judges by one more look.
    pub fn see(&mut self, at: Duration, look: Look) -> Verdict {
        if self.last.is_some_and(|last| at < last) || self.looks.back().is_some_and(|(_, l)| l.width != look.width) {
            self.looks.clear();
        }
        let passed = self.last.map_or(0.0, |last| at.saturating_sub(last).as_secs_f32());
        self.last = Some(at);
        self.count = self.count.saturating_add(1);

        let mut signals = Trust {
            still: self.still(at, &look),
            contrast: look.contrast(),
            highlights: look.highlights(),
            burnt: look.above(WHITE),
            sharpness: None,
            moved: None,
        };
        let mut beyond = self.exposure(&signals);
        if !beyond.contains(&true) {
            signals.sharpness = self.sharpness(&look);
            signals.moved = self.scene.as_ref().and_then(|scene| scene.moved(&look));
        }
        let settled = self.count > SETTLING;
        let soft = below(signals.sharpness.unwrap_or(f32::MAX), self.config.sharpness);
        beyond[SOFT] = settled && soft && self.sharpness.is_unusual(share(&look));
        beyond[MOVED] = settled && above(signals.moved.unwrap_or(0.0), self.config.moved);
        beyond[FROZEN] = above(signals.still, self.config.still);
        for (alarm, beyond) in self.alarms.iter_mut().zip(beyond) {
            alarm.hear(at, beyond);
        }
        self.learn(at, &look, passed, beyond);
        self.looks.push_back((at, look));
        self.verdict(signals)
    }

    /// Which faults of exposure the signals show: at most one.
    fn exposure(&self, signals: &Trust) -> [bool; 6] {
        let mut beyond = [false; 6];
        let config = &self.config;
        let fault = if config.contrast > 0.0 && signals.highlights < BLACK {
            Some(BLANK)
        } else if below(signals.highlights, config.highlights) {
            Some(DARK)
        } else if above(signals.burnt, config.burnt) {
            Some(BRIGHT)
        } else if below(signals.contrast, config.contrast) {
            Some(BLANK)
        } else {
            None
        };
        if let Some(beyond) = fault.and_then(|fault| beyond.get_mut(fault)) {
            *beyond = true;
        }
        beyond
    }

    /// The share of cells that have not changed; 0 as long as not enough has been seen.
    fn still(&mut self, at: Duration, look: &Look) -> f32 {
        // The oldest look that is kept is the youngest that is old enough.
        while self.looks.get(1).is_some_and(|(then, _)| *then + STILL <= at) {
            self.looks.pop_front();
        }
        if self.looks.len() < 2 || self.looks.front().is_none_or(|(then, _)| *then + STILL > at) {
            return 0.0;
        }
        let same = |cell: &usize| {
            let now = look.grey.get(*cell).copied().unwrap_or(0.0);
            let (low, high) = self.looks.iter().fold((now, now), |(low, high), (_, look)| {
                let then = look.grey.get(*cell).copied().unwrap_or(0.0);
                (low.min(then), high.max(then))
            });
            high - low <= SAME
        };
        (0..look.grey.len()).filter(same).count() as f32 / look.grey.len().max(1) as f32
    }

    /// Fine detail against its average; `None` where the view has none.
    fn sharpness(&self, look: &Look) -> Option<f32> {
        let usual = self.sharpness.value?;
        let textured = self.texture.value.is_some_and(|texture| texture >= TEXTURE);
        (textured && usual > 0.0).then(|| share(look) / usual)
    }

    /// Takes a look that shows nothing wrong into the averages.
    fn learn(&mut self, at: Duration, look: &Look, passed: f32, beyond: [bool; 6]) {
        if !beyond.contains(&true) {
            self.sharpness.take(share(look), passed);
            self.texture.take(look.coarse, passed);
            match &mut self.scene {
                Some(scene) => scene.learn(look, passed),
                None => self.scene = Some(Scene::of(look, false)),
            }
        }
        let moved = beyond.get(MOVED) == Some(&true);
        let since = self.moved_since.filter(|_| moved);
        self.moved_since = moved.then(|| since.unwrap_or(at));
        let relearn = Duration::try_from_secs_f32(self.config.relearn_s).unwrap_or_default();
        if self.config.reference.is_none() && since.is_some_and(|since| !relearn.is_zero() && at >= since + relearn) {
            self.scene = Some(Scene::of(look, false));
        }
    }

    fn verdict(&self, signals: Trust) -> Verdict {
        let raised: Vec<_> = FAULTS.iter().zip(&self.alarms).filter(|(_, alarm)| alarm.is_raised()).collect();
        let state = match raised.first() {
            Some(((state, _), _)) => *state,
            None => CameraState::Ok,
        };
        // A black picture is a still one, too; that says nothing new.
        let told = raised.iter().filter(|((fault, _), _)| *fault == state).map(|((_, text), _)| *text);
        let reason = told.collect::<Vec<_>>().join("; ");
        Verdict { state, reason, signals }
    }
}

/// A threshold of 0 switches its signal off.
fn below(signal: f32, threshold: f32) -> bool {
    threshold > 0.0 && signal < threshold
}

fn above(signal: f32, threshold: f32) -> bool {
    threshold > 0.0 && signal >= threshold
}

fn share(look: &Look) -> f32 {
    look.fine / (look.coarse + 1.0)
}

/// An average that follows slowly, and how much its values vary.
#[derive(Debug, Default)]
struct Average {
    value: Option<f32>,
    variance: f32,
    count: u16,
}

impl Average {
    /// Takes a value in, `passed` seconds after the last.
    fn take(&mut self, value: f32, passed: f32) {
        self.count = self.count.saturating_add(1);
        let share = (1.0 / f32::from(self.count)).max(passed / FOLLOWS).min(1.0);
        let before = self.value.unwrap_or(value);
        let off = value - before;
        self.value = Some(before + share * off);
        self.variance = (1.0 - share) * (self.variance + share * off * off);
    }

    /// Whether a value is farther below than values usually are.
    fn is_unusual(&self, value: f32) -> bool {
        self.value.is_some_and(|average| value < average - USUAL * self.variance.sqrt())
    }
}

#[cfg(test)]
mod tests;
